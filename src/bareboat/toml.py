"""TOML files, read so that whatever is wrong with one is an error with file, line and column."""

from __future__ import annotations

from bareboat.errors import BareboatError

LARGEST = 4 * 1024 * 1024  # bytes; a settings or project file that is larger is not one


def parse(content: bytes, file: str, room: str, error: type[BareboatError]) -> dict[str, object]:
    """The document in a TOML file's bytes. A UTF-8 byte order mark is dropped (editors on Windows write it).

    Raises `error` with the codes "<room>.too-large", "<room>.encoding", "<room>.toml".
    """
    if len(content) > LARGEST:
        raise error(
            f"{room}.too-large",
            f"the file has {len(content)} bytes, the limit is {LARGEST}",
            where=file,
            hint="Keep data out of it; name files instead.",
        )
    text = decode(content, file, room, error)
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]
    try:
        parsed: dict[str, object] = tomllib.loads(text)
        return parsed
    except tomllib.TOMLDecodeError as wrong:
        what, line, column = _position(str(wrong))
        where = f"{file}:{line}:{column}" if line else file
        raise error(
            f"{room}.toml", f"not valid TOML: {what}", where=where, hint=_pointer(text, line, column)
        ) from None
    except (ValueError, RecursionError) as wrong:  # an integer of thousands of digits, endless nesting
        raise error(f"{room}.toml", f"not valid TOML: {wrong}", where=file) from None


def decode(content: bytes, file: str, room: str, error: type[BareboatError]) -> str:
    """Text of a UTF-8 file; raises `error` "<room>.encoding" with the line that is not."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise error(f"{room}.encoding", "the file is UTF-16", where=file, hint="Save it as UTF-8.")
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = content.count(b"\n", 0, wrong.start) + 1
        raise error(
            f"{room}.encoding",
            f"byte 0x{content[wrong.start]:02x} is not UTF-8",
            where=f"{file}:{line}",
            hint="Save the file as UTF-8.",
        ) from None


def _position(message: str) -> tuple[str, int, int]:
    """The parser ends its message with the place: "… (at line 3, column 7)" or "… (at end of document)"."""
    what, found, place = message.rpartition(" (at ")
    if not found:
        return message, 0, 0
    if not place.startswith("line "):
        return f"{what} at its end", 0, 0
    line, _, column = place.rstrip(")").removeprefix("line ").partition(", column ")
    return what, int(line), int(column)


def _pointer(text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    if not 0 < line <= len(lines):
        return ""
    shown = lines[line - 1].rstrip("\r").replace("\t", " ")
    if len(shown) > 100:
        return ""
    return f"{shown}\n  {' ' * (column - 1)}^"


def quote(text: str) -> str:
    """A TOML basic string."""
    out = []
    for character in text:
        if character in '"\\':
            out.append("\\" + character)
        elif character < " " or character == "\x7f":
            out.append(f"\\u{ord(character):04x}")
        else:
            out.append(character)
    return '"' + "".join(out) + '"'
