"""The project file's text → a checked document. What its values mean for the folder is folder.py's."""

from __future__ import annotations

from pathlib import Path

from bareboat import toml
from bareboat.errors import ProjectError
from bareboat.values import Any

FILE = "bareboat.toml"
PYPROJECT = "pyproject.toml"


def read(path: Path) -> bytes | None:
    """A file's bytes, or None when there is none. Raises ProjectError "project.unreadable"."""
    import os
    import stat

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe of this name is not waited for
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ProjectError("project.unreadable", "is not a regular file", where=str(path))
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as wrong:
        raise ProjectError(
            "project.unreadable", f"cannot be read: {wrong.strerror}", where=str(path)
        ) from None


def document(content: bytes, file: str = FILE) -> dict[str, Any]:
    """A checked bareboat.toml. Raises ProjectError "project.toml", "project.encoding" and those of check."""
    parsed = toml.parse(content, file, "project", ProjectError)
    check(parsed, f"{file}: ")
    return parsed


def tool_table(pyproject: dict[str, Any]) -> dict[str, Any] | None:
    """A checked [tool.bareboat], or None where there is none."""
    tool = pyproject.get("tool")
    if not isinstance(tool, dict) or "bareboat" not in tool:
        return None
    table = tool["bareboat"]
    check(table, f"{PYPROJECT}: tool.bareboat.")
    assert isinstance(table, dict)
    return table


def check(value: object, prefix: str) -> None:
    """Check a document against the table of keys.

    Raises ProjectError with where = prefix + key path: "project.unknown-key", "project.type",
    "project.value", "project.missing-key".
    """
    from bareboat.project.keys import PROJECT
    from bareboat.project.kinds import Wrong

    try:
        PROJECT.check(value, "")
    except Wrong as wrong:
        where = (prefix + wrong.path).rstrip(".: ")
        raise ProjectError(wrong.code, wrong.what, where=where, hint=wrong.hint) from None
