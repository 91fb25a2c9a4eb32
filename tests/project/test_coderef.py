"""The grammar of --code: what git is given, and what never reaches it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import ProjectError
from bareboat.project.coderef import CodeRef, is_commit, parse_code

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("git+https://h.example/lab/seg", CodeRef("https://h.example/lab/seg", name="seg")),
        ("git+https://h.example/lab/seg.git@v1.0", CodeRef("https://h.example/lab/seg.git", "v1.0", name="seg")),
        ("git+https://h.example:8443/seg@feature/x", CodeRef("https://h.example:8443/seg", "feature/x", name="seg")),
        (f"git+https://h.example/seg@{SHA}", CodeRef("https://h.example/seg", SHA, name="seg")),
        ("git+https://h.example/seg@main#subdir=a/b", CodeRef("https://h.example/seg", "main", "a/b", "seg")),
        ("git+https://h.example/seg#subdirectory=a", CodeRef("https://h.example/seg", "", "a", "seg")),
        ("git+https://h.example/seg#a/b/", CodeRef("https://h.example/seg", "", "a/b", "seg")),
        ("git+https://u:p%40x@h.example/seg@main", CodeRef("https://h.example/seg", "main", "", "seg", "u:p%40x")),
        ("git+https://token@h.example/seg", CodeRef("https://h.example/seg", "", "", "seg", "token")),
        ("git+ssh://git@h.example/lab/seg.git@main", CodeRef("ssh://git@h.example/lab/seg.git", "main", "", "seg")),
        ("git+file:///srv/git/seg", CodeRef("file:///srv/git/seg", name="seg")),
        ("git+file:///srv/git/seg/@v1", CodeRef("file:///srv/git/seg/", "v1", name="seg")),
        ("git+http://127.0.0.1:8080/seg", CodeRef("http://127.0.0.1:8080/seg", name="seg")),
        ("git+http://localhost/seg", CodeRef("http://localhost/seg", name="seg")),
        ("git+http://[::1]:80/seg", CodeRef("http://[::1]:80/seg", name="seg")),
    ],
)
def test_what_it_means(text: str, ref: CodeRef) -> None:
    assert parse_code(text) == ref
    assert parse_code(str(ref)) == CodeRef(ref.remote, ref.ref, ref.subdir, ref.name)


@pytest.mark.parametrize(
    "text",
    [
        "", "git", "git+", "https://h.example/seg", "/home/me/seg", "git@h.example:lab/seg",
        "git+git@h.example:lab/seg", "git+http://h.example/seg", "git+http://127.0.0.1.h.example/seg",
        "git+git://h.example/seg", "git+ext::sh -c x", "git+ext::sh", "git+ext://sh/x", "git+https:/seg",
        "git+https:///seg", "git+https://h.example", "git+https://h.example/", "git+https://-oProxyCommand=x/seg",
        "git+ssh://-oProxyCommand=x/seg", "git+ssh://git@-oProxyCommand=x/seg", "git+ssh://u:p@h.example/seg",
        "git+https://h.example/seg@", "git+https://h.example/seg@-x", "git+https://h.example/seg@--upload-pack=x",
        "git+https://h.example/seg@a..b", "git+https://h.example/seg@a b", "git+https://h.example/seg@a:b",
        "git+https://h.example/seg@refs/heads/*", "git+https://h.example/seg@a^{}", "git+https://h.example/seg@a~1",
        "git+https://h.example/seg@.a", "git+https://h.example/seg@a.lock", "git+https://h.example/-x",
        "git+https://h.example/seg?x=1", "git+https://h.example/se\ng", "git+https://h.example/seg\\x",
        "git+https://h.example:port/seg", "git+https://h.example/seg#egg=x", "git+https://h.example/seg#subdir=",
        "git+https://h.example/seg#subdir=../x", "git+https://h.example/seg#subdir=a/../../x",
        "git+https://h.example/seg#subdir=a//b", "git+https://h.example/seg#subdir=.git/hooks",
        "git+https://h.example/seg#subdir=a/.GIT", "git+file://h.example/seg", "git+file://seg",
        "git+https://h.example/" + "x" * 3000,
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ProjectError) as caught:
        parse_code(text)
    assert (caught.value.code, caught.value.where) == ("project.code", "--code") and caught.value.hint


def test_no_message_and_no_text_has_the_password() -> None:
    with pytest.raises(ProjectError) as caught:
        parse_code("git+https://u:s3cret@h.example/seg@-x")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ProjectError) as caught:
        parse_code("git+ssh://u:s3cret@h.example/seg")
    assert "s3cret" not in str(caught.value)
    found = parse_code("git+https://u:s3cret@h.example/seg@main")
    assert "s3cret" not in str(found) + repr(found) + found.remote


def test_whole_commits() -> None:
    assert is_commit(SHA) and is_commit("a" * 64)
    assert not any(is_commit(text) for text in ("", SHA[:39], SHA.upper(), SHA + "0", "g" * 40))


PARTS = st.sampled_from(["git+", "https://", "ssh://", "file://", "http://", "h.example", "/", "@", "#", ":", "-", "..",
                         "subdir=", "127.0.0.1", "seg", ".git", "%2e", "[", "]", "\n", "\\", "ext::"])


@given(st.lists(PARTS | st.text(max_size=3), max_size=9).map("".join) | st.text(max_size=30))
def test_any_text_is_a_reference_or_a_project_error(text: str) -> None:
    for tried in (text, "git+" + text, "git+https://" + text):
        try:
            found = parse_code(tried)
        except ProjectError as error:
            assert error.code == "project.code" and error.hint
            continue
        scheme = found.remote.partition("://")[0]
        assert scheme in ("https", "ssh", "file", "http") and not found.ref.startswith("-")
        assert ".." not in found.subdir.split("/") and found.remote.isprintable() and " " not in found.remote
        assert parse_code(str(found)).remote == found.remote
