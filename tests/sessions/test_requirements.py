"""Versions put into a requirements file: one line changes, and the file means what it meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from bareboat.project.requirements import lines
from bareboat.sessions.installed import normalised
from bareboat.sessions.requirements import edit

RICH = {"rich": "rich==13.9.4"}


@pytest.mark.parametrize(("before", "after"), [
    ("", "rich==13.9.4\n"),
    ("six\n", "six\nrich==13.9.4\n"),
    ("six", "six\nrich==13.9.4\n"),
    ("six\r\n", "six\r\nrich==13.9.4\r\n"),
    ("rich\n", "rich==13.9.4\n"),
    ("Rich>=12,<14  # colours\nsix\n", "Rich==13.9.4  # colours\nsix\n"),
    ("  rich [jupyter] ~= 12.0 ; python_version < '3.14' # why\n",
     "  rich[jupyter]==13.9.4 ; python_version < '3.14' # why\n"),
    ("rich==1;python_version>'3'\n", "rich==13.9.4;python_version>'3'\n"),
    ("rich @ https://h/rich.whl#sha256=ab\n", "rich==13.9.4\n"),
    ("rich-click\nrich_text==1\n", "rich-click\nrich_text==1\nrich==13.9.4\n"),
    ("# rich==1\n-r rich.txt\n./rich/\n", "# rich==1\n-r rich.txt\n./rich/\nrich==13.9.4\n"),
    ("\ufeffrich==1\n", "\ufeffrich==13.9.4\n"),
    ("rich/local\n", "rich/local\nrich==13.9.4\n"),
    ("https://h/rich.whl\n", "https://h/rich.whl\nrich==13.9.4\n"),
])
def test_a_line_is_changed_or_added(before: str, after: str) -> None:
    assert edit(before, RICH).text == after
    assert edit(after, RICH).text == after


@pytest.mark.parametrize("before", [
    "rich==1 \\\n  --hash=sha256:00\n", "rich==1 --hash=sha256:00\n", "rich==1; a\nrich==2; b\n",
    "--require-hashes\nsix==1\n", "rich \\\n  ==1\n", "rich==1 --config-settings x=y\n"])
def test_what_must_be_done_by_hand_is_left_alone(before: str) -> None:
    edited = edit(before, RICH)
    assert (edited.text, edited.refused) == (before, ("rich",))


def test_a_url_takes_the_place_of_a_version() -> None:
    assert edit("a>1;x\n", {"a": "a @ https://h/a.whl"}).text == "a @ https://h/a.whl ;x\n"


NAMES = st.sampled_from(["rich", "six", "Foo.Bar", "foo_bar", "numpy", "a"])
SPEC = st.sampled_from(["", "==1.0", ">=1,<2", " ~= 3.1", "[x]", "[x,y]>=2", " ; python_version >= '3.8'",
                        "!=2 ; sys_platform == 'linux'"])
OTHER = st.sampled_from(["# a comment", "", "-r other.txt", "--index-url https://h/simple", "   "])
LINE = st.one_of(st.builds(lambda n, s, c: n + s + c, NAMES, SPEC, st.sampled_from(["", "  # why"])), OTHER)


@given(st.lists(LINE, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans(),
       st.dictionaries(st.sampled_from(["rich", "foo-bar", "new"]), st.just("9.9"), min_size=1))
def test_all_other_lines_stay(found: list[str], ending: str, last: bool, versions: dict[str, str]) -> None:
    text = ending.join(found) + (ending if last and found else "")
    wanted = {n: f"{n}=={v}" for n, v in versions.items()}
    edited = edit(text, wanted)
    changed = {normalised(n) for n in wanted if n not in edited.refused}

    def asked(text: str) -> tuple[list[str], dict[str, str]]:
        others, mine = [], {}
        for _, line in lines(text):
            if not line.startswith("-") and normalised(Requirement(line).name) in changed:
                mine[normalised(Requirement(line).name)] = line
            else:
                others.append(line)
        return others, mine

    before, after = asked(text), asked(edited.text)
    assert after[0] == before[0] and after[1].keys() == changed
    for name, line in after[1].items():
        new, old = Requirement(line), Requirement(before[1].get(name, line))
        assert str(new.specifier) == "==9.9" and (new.extras, new.marker) == (old.extras, old.marker)
    again = edit(edited.text, {n: r for n, r in wanted.items() if n not in edited.refused})
    assert (again.text, again.refused) == (edited.text, ())


@given(st.text(max_size=80))
def test_any_text_is_survived(text: str) -> None:
    edited = edit(text, RICH)
    assert edited.refused or "13.9.4" in edited.text
