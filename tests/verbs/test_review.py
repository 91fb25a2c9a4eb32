"""Several runs repeated for a review: one that fails is a row and stops nothing; the page and the table of it."""

from __future__ import annotations

import dataclasses
import html.parser
import json
import re

import pytest
from tests.record_kit import Lab

from bareboat.cli import main
from bareboat.cli.review import document, page, summary, table_of
from bareboat.errors import RecordError
from bareboat.record.verdict import FileVerdict, Verdict
from bareboat.verbs.rerun import Repetition, RerunRequest
from bareboat.verbs.review import Review, Row, review

SAME = "(results / 'a.csv').write_text('x\\n' + str(len((data / 'd.txt').read_text())) + '.5\\n')"
RANDOM = "import os; (results / 'r.txt').write_text(os.urandom(8).hex())"
BAD = "\x1b[2J\u202e<script>alert(1)</script>\"'&\udcff\n</style>"


@pytest.fixture
def lab(tmp_path, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return Lab(tmp_path / "home", tmp_path / "iris")


def reviewed(lab, *words, **request):
    return review(words, RerunRequest("", **request), lab.work, lab.steps)


def test_each_has_its_row_and_its_folder(lab, tmp_path):
    same, other = lab.run(SAME), lab.run(RANDOM)
    found = reviewed(lab, same.id, "nothing", other.id, into=tmp_path / "out")
    assert [row.word for row in found.rows] == ["identical", "could not", "differs"]
    assert found.exit_code == 125 and found.rows[1].error.code == "record.missing"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["01", "03"]
    assert (tmp_path / "out/01/results/a.csv").exists()
    assert Review((found.rows[0],)).exit_code == 0 and Review((found.rows[0], found.rows[2])).exit_code == 1
    assert summary(found) == "3 runs: 1 identical, 1 differs, 1 could not be repeated"


def test_data_go_to_the_runs_that_had_some(lab):
    with_data, without = lab.run(SAME), lab.run("(results / 'b').write_text('1')")
    record = lab.store.runs.read(without.id)
    lab.store.runs.write(without.id, record | {"mounts": [m for m in record["mounts"] if m["kind"] != "data"]})
    found = reviewed(lab, with_data.id, without.id, data=lab.root / "data")
    assert found.exit_code == 0


def test_what_cannot_start_says_why_and_stops_nothing(lab):
    one, other = lab.run(SAME), lab.run(SAME)
    (lab.root / "data/d.txt").unlink()
    (lab.root / "data").rmdir()
    found = reviewed(lab, one.id, other.id)
    assert [row.error.code for row in found.rows] == ["record.data-gone"] * 2


class Mark(html.parser.HTMLParser):
    """Elements and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def hostile(lab):
    """A review whose every text is a stranger's."""
    record = lab.run(SAME)
    bad = dataclasses.replace(
        record, project=BAD, argv=(BAD,), plan=BAD, manifest=BAD, origin=BAD,
        code=dataclasses.replace(record.code, digest=BAD), data=tuple(
            dataclasses.replace(d, target=BAD) for d in record.data))
    verdict = Verdict("differs", (FileVerdict(BAD, "differs", BAD),), (BAD,), (BAD,))
    done = Repetition(bad, bad, verdict, lab.root / "x")
    return Review((Row(BAD, bad, done), Row(BAD, None, None, RecordError("record.x", BAD, where=BAD, hint=BAD)),
                   Row(BAD, bad, None, RecordError("record.x", BAD))))


def test_nothing_from_runs_is_markup_or_moves(lab):
    found = hostile(lab)
    text = page(found, "2026-01-01T00:00:00Z", BAD)
    text.encode()  # what is no text was written out
    seen = Mark(text)
    assert set(seen.tags) <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "table",
                              "thead", "tbody", "tr", "th", "td", "a", "code", "section", "span", "br", "ul", "li",
                              "details", "summary", "footer"}
    assert seen.tags.count("style") == 1 and not any(name.startswith("on") for name, _ in seen.attributes)
    assert all(value.startswith("#run-") for name, value in seen.attributes if name == "href")
    assert not any(name in ("src", "style") for name, _ in seen.attributes)
    assert "\x1b" not in text and "\u202e" not in text and "<script>alert(1)</script>" in seen.text
    terminal = table_of(found) + summary(found)
    assert "\x1b" not in terminal and "\u202e" not in terminal
    json.dumps(document(found))


def test_the_page_forbids_itself_all_but_its_style(lab):
    import base64
    import hashlib

    text = page(hostile(lab), "2026-01-01T00:00:00Z", "1")
    [style] = re.findall(r"<style>(.*?)</style>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in text
    assert "http://" not in text and "https://" not in text  # nothing is fetched, nobody is told


def test_on_the_command_line(lab, capsys, monkeypatch, tmp_path):
    from bareboat import wiring
    from bareboat.verbs import rerun as verb

    monkeypatch.setattr(verb, "steps", lambda: lab.steps)
    monkeypatch.setattr(wiring, "work", lambda tell, **said: lab.work)
    same, other = lab.run(SAME), lab.run(RANDOM)
    assert main(["rerun", "--all", same.id, same.id, "--html", "page.html"]) == 0
    out = capsys.readouterr().out
    assert out.count("identical") >= 2 and "2 runs: 2 identical" in out
    assert "2 runs: 2 identical" in (tmp_path / "cwd/page.html").read_text()
    assert main(["rerun", "--all", same.id, other.id, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["same"] is False and [r["verdict"] for r in said["runs"]] == ["identical", "differs"]
    assert main(["rerun", "--all", same.id, "nothing", "--json"]) == 125
    said = json.loads(capsys.readouterr().out)
    assert said["runs"][1]["error"]["code"] == "record.missing" and said["runs"][1]["verdict"] is None
    assert main(["rerun", same.id, other.id]) == 125
    assert "usage.all" in capsys.readouterr().err
    assert main(["rerun", "--all", same.id, "--html", "no/such/page.html"]) == 125
    assert len(lab.engine.loads) == 2 + 2 + 2 + 1  # the page's place is tried before the work
