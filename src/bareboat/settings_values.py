"""What a setting says, in a variable or a file, as what it means. Pure, but for ~ and a shell's relative paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bareboat.settings import Setting, SettingsError


def from_text(setting: Setting, text: str, where: str) -> object:
    """The value of a variable's or a command line's text. Raises SettingsError "settings.value", "settings.home"."""
    value: object = text
    if setting.kind == "flag":
        value = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }.get(text.lower(), text)
    elif setting.kind == "hosts":
        value = text.replace(",", " ").split()
    elif setting.kind in ("host-urls", "host-paths"):
        table: dict[str, list[str]] = {}
        for item in text.split():
            host, _, rest = item.partition("=")
            table.setdefault(host, []).append(rest)
        value = table
    elif setting.kind in ("count", "number", "seconds", "cpus"):
        try:
            value = int(text) if setting.kind in ("count", "number") else float(text)
        except ValueError:
            pass
    return from_value(setting, value, where)


def from_value(setting: Setting, value: object, where: str) -> object:
    """The value of what a file says, of the type that the setting has. Raises as from_text."""
    kind = setting.kind
    if kind == "flag" and isinstance(value, bool):
        return value
    if not isinstance(value, bool):
        if kind == "size" and isinstance(value, str | int):
            return _size(setting, value, where)
        if kind in ("count", "number") and isinstance(value, int) and (kind == "count") <= value < 2**31:
            return value
        if kind == "cpus" and isinstance(value, int | float) and 0 < value < 1e6:
            return float(value)
        if kind == "duration" and isinstance(value, str | int | float):
            return _duration(setting, value, where)
        if kind == "seconds" and isinstance(value, int | float) and 0 <= value < float("inf"):
            return float(value)
    if isinstance(value, str) and value and "\0" not in value:
        if kind == "text" or (kind == "choice" and value in setting.choices):
            return value
        if kind == "url" and value.startswith(("http://", "https://", "file:///")) and " " not in value:
            return value.rstrip("/")
        if kind == "path" and value.startswith(("/", "~/")):
            return _expand(value)
        if kind == "path" and where == setting.variable:
            return Path(
                value
            ).absolute()  # a shell's completion gives relative paths; files have no directory to mean
    if kind == "hosts" and isinstance(value, list) and all(_is_host(v) for v in value):
        return tuple(v.lower() for v in value)
    if kind in ("host-urls", "host-paths") and isinstance(value, dict):
        return tuple(_by_host(setting, value, where))
    raise _wrong(setting, value, where)


def _is_host(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isascii() and not any(c in value for c in " /@=\"'\t\n")


def _by_host(setting: Setting, table: Mapping[str, object], where: str) -> Iterator[tuple[str, str]]:
    one = Setting(setting.name, "url" if setting.kind == "host-urls" else "path", setting.help)
    for host, value in table.items():
        for text in value if isinstance(value, list) else [value]:
            if not _is_host(host) or (one.kind == "url" and str(text).startswith("file:")):
                raise _wrong(setting, table, where)
            yield host.lower(), str(from_value(one, text, where))


def _expand(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise SettingsError(
            "settings.home",
            f"{value!r} means the home directory, and there is none",
            hint="Write an absolute path.",
        ) from None


def _size(setting: Setting, value: str | int, where: str) -> int:
    from bareboat.errors import UsageError
    from bareboat.units import parse_size

    try:
        return parse_size(value)
    except UsageError:
        raise _wrong(setting, value, where) from None


def _duration(setting: Setting, value: str | float, where: str) -> float:
    from bareboat.errors import UsageError
    from bareboat.units import parse_duration

    try:
        return parse_duration(value)
    except UsageError:
        raise _wrong(setting, value, where) from None


def _wrong(setting: Setting, value: object, where: str) -> SettingsError:
    return SettingsError(
        "settings.value", f"{setting.name} must be {setting.allowed}, not {value!r}", where=where
    )
