from __future__ import annotations

from bareboat.record.patch import Side, file_patch


def patch(old, new):
    return list(file_patch("src/a.py", old, new))


def test_edited_added_removed():
    assert patch(Side(b"a\nb\n"), Side(b"a\nc\n")) == [
        "diff a/src/a.py b/src/a.py",
        "--- a/src/a.py",
        "+++ b/src/a.py",
        "@@ -1,2 +1,2 @@",
        " a",
        "-b",
        "+c",
    ]
    assert patch(None, Side(b"x\n"))[-1] == "+x" and "/dev/null" in patch(None, Side(b"x\n"))[0]
    assert patch(Side(b"x\n"), None)[-1] == "-x"
    assert patch(Side(b"x"), Side(b"x")) == []


def test_modes_links_binaries_and_missing_newlines():
    assert patch(Side(b"x", 0o644), Side(b"x", 0o755))[1] == "mode 0644 became 0755"
    assert patch(Side(b"t", link=True), Side(b"u", link=True))[1] == "link t became u"
    assert patch(Side(b"\0a"), Side(b"\0bc"))[1] == "binary, 2 bytes became 3"
    assert patch(Side(b"a\nb"), Side(b"a\nb\n"))[-1].startswith("\\")
    assert patch(Side(b"a" * (3 << 20)), Side(b"b"))[1].startswith("binary")
