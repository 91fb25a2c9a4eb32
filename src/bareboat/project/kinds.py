"""What a value in the project file may be. Each kind checks, says what is allowed, and gives its JSON Schema.

The two must agree on every document: a pattern is therefore one both Python and ECMA-262 read alike.
Made on every start that has a project file, so the classes leave out what nobody asks of them (eq, repr).
"""

from __future__ import annotations

from collections.abc import Iterable

from bareboat.values import Any, Protocol, dataclass

END = r"(?![\s\S])"  # the end of the text in both dialects; "$" may also match before a last newline


class Wrong(Exception):
    """A value that is not allowed, with its key path; parse.py turns it into a ProjectError."""

    def __init__(self, code: str, path: str, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.code, self.path, self.what, self.hint = code, path, what, hint


class Kind(Protocol):
    """allowed: completes "must be …"."""

    @property
    def allowed(self) -> str: ...

    def fits(self, value: object) -> bool:
        """Whether a value is meant to be of this kind, by its type alone."""

    def check(self, value: object, path: str) -> None:
        """Raises Wrong where the value is not allowed."""

    def schema(self) -> dict[str, Any]: ...


def shown(value: object) -> str:
    """A value as an error names it: its type in TOML's words, and itself when it is short."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "table"}
    name = names.get(type(value), "date or time")
    text = (
        ""
        if isinstance(value, list | dict)
        else (str(value).lower() if isinstance(value, bool) else repr(value))
    )
    return f"the {name} {text}" if 0 < len(text) <= 80 else f"{'an' if name[0] in 'ai' else 'a'} {name}"


def mismatch(kind: Kind, value: object, path: str) -> Wrong:
    """The error of a value that is not of the kind at all."""
    return Wrong("project.type", path, f"must be {kind.allowed}, not {shown(value)}")


@dataclass(frozen=True, eq=False, repr=False, match_args=False)
class Text:
    """A string without NUL; pattern: for the whole of it, in the common part of both dialects."""

    allowed: str
    pattern: str = r"[^\u0000]+"

    def fits(self, value: object) -> bool:
        return isinstance(value, str)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, str):
            raise mismatch(self, value, path)
        import re

        if not re.search(self.schema()["pattern"], value):
            raise Wrong("project.value", path, f"must be {self.allowed}, not {shown(value)}")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^(?:{self.pattern}){END}"}


@dataclass(frozen=True, eq=False, repr=False, match_args=False)
class OneOf:
    """One of a few strings."""

    values: tuple[str, ...]

    @property
    def allowed(self) -> str:
        quoted = [f'"{value}"' for value in self.values]
        return " or ".join(quoted) if len(quoted) < 3 else "one of " + ", ".join(quoted)

    def fits(self, value: object) -> bool:
        return isinstance(value, str)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, str):
            raise mismatch(self, value, path)
        if value not in self.values:
            near = nearest(value, self.values)
            raise Wrong(
                "project.value",
                path,
                f"must be {self.allowed}, not {shown(value)}",
                f"Did you mean {near!r}?" if near else "",
            )

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.values)}


@dataclass(frozen=True, eq=False, repr=False, match_args=False)
class Whole:
    """An integer of at least `least`; 2.0 is one too, as JSON Schema has it."""

    allowed: str
    least: int = 0
    most: int = 2**53

    def fits(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise mismatch(self, value, path)
        if value != value or not self.least <= value <= self.most or value != int(value):
            raise Wrong("project.value", path, f"must be {self.allowed}, not {shown(value)}")

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, eq=False, repr=False, match_args=False)
class Number:
    """A finite number above zero."""

    allowed: str
    most: float = 1e6

    def fits(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise mismatch(self, value, path)
        if not 0 < value <= self.most:
            raise Wrong("project.value", path, f"must be {self.allowed}, not {shown(value)}")

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "exclusiveMinimum": 0, "maximum": self.most}


@dataclass(frozen=True, eq=False, repr=False, match_args=False)
class Flag:
    """true or false, or one of the two alone."""

    only: bool | None = None

    @property
    def allowed(self) -> str:
        return "true or false" if self.only is None else str(self.only).lower()

    def fits(self, value: object) -> bool:
        return isinstance(value, bool)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, bool):
            raise mismatch(self, value, path)
        if self.only is not None and value is not self.only:
            raise Wrong("project.value", path, f"must be {self.allowed}, not {shown(value)}")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"} if self.only is None else {"const": self.only}


@dataclass(frozen=True, eq=False, repr=False, match_args=False)
class ListOf:
    """An array of one kind."""

    allowed: str
    kind: Kind
    least: int = 0

    def fits(self, value: object) -> bool:
        return isinstance(value, list)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, list):
            raise mismatch(self, value, path)
        if len(value) < self.least:
            raise Wrong("project.value", path, f"must be {self.allowed}, not an empty array")
        for at, each in enumerate(value):
            self.kind.check(each, f"{path}[{at}]")

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.kind.schema()} | (
            {"minItems": self.least} if self.least else {}
        )


@dataclass(frozen=True, eq=False, repr=False, match_args=False)
class MapOf:
    """A table whose keys the user names."""

    allowed: str
    names: Text
    kind: Kind

    def fits(self, value: object) -> bool:
        return isinstance(value, dict)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise mismatch(self, value, path)
        for name, each in value.items():
            try:
                self.names.check(name, path)
            except Wrong:
                raise Wrong(
                    "project.value", path, f"the name {name!r} must be {self.names.allowed}"
                ) from None
            self.kind.check(each, f"{path}.{spelled(name)}")

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "propertyNames": {"pattern": self.names.schema()["pattern"]},
            "additionalProperties": self.kind.schema(),
        }


@dataclass(frozen=True, eq=False, repr=False, match_args=False)
class Key:
    """A key of a table: its kind, one line of help, and an example as TOML."""

    name: str
    kind: Kind
    help: str
    example: str = ""
    required: bool = False
    default: str = ""  # what holds without it, for the documentation


def _meant(name: str, near: str | None, keys: tuple[Key, ...]) -> str:
    """The key that was meant: of this name in a table below, else the nearest here; "" when there is none."""
    for key in keys:
        for kind in getattr(key.kind, "kinds", (key.kind,)):
            if isinstance(kind, Table) and any(inner.name == name for inner in kind.keys):
                return f"Did you mean {key.name}.{name}?"
    return f"Did you mean {near!r}?" if near else ""


@dataclass(frozen=True, eq=False, repr=False, match_args=False)
class Table:
    """A table with the keys given and no others."""

    allowed: str
    keys: tuple[Key, ...]

    def fits(self, value: object) -> bool:
        return isinstance(value, dict)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise mismatch(self, value, path)
        known = {key.name: key for key in self.keys}
        for name, each in value.items():
            here = f"{path}.{spelled(name)}" if path else spelled(name)
            if name not in known:
                near = nearest(name, known)
                raise Wrong(
                    "project.unknown-key",
                    here,
                    "there is no such key",
                    _meant(name, near, self.keys) or f"Allowed are: {', '.join(known)}.",
                )
            known[name].kind.check(each, here)
        for key in self.keys:
            if key.required and key.name not in value:
                raise Wrong(
                    "project.missing-key",
                    path,
                    f"the key {key.name!r} is missing",
                    f"For example: {key.name} = {key.example}" if key.example else "",
                )

    def schema(self) -> dict[str, Any]:
        properties = {key.name: key.kind.schema() | {"description": key.help} for key in self.keys}
        required = [key.name for key in self.keys if key.required]
        return {"type": "object", "properties": properties, "additionalProperties": False} | (
            {"required": required} if required else {}
        )


@dataclass(frozen=True, eq=False, repr=False, match_args=False)
class Either:
    """One of several kinds, told apart by type; the error is that of the kind the value was meant to be."""

    kinds: tuple[Kind, ...]

    @property
    def allowed(self) -> str:
        return ", or ".join(kind.allowed for kind in self.kinds)

    def fits(self, value: object) -> bool:
        return any(kind.fits(value) for kind in self.kinds)

    def check(self, value: object, path: str) -> None:
        meant = [kind for kind in self.kinds if kind.fits(value)]
        if len(meant) != 1:
            raise mismatch(self, value, path)
        meant[0].check(value, path)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [kind.schema() for kind in self.kinds]}


def nearest(name: str, names: Iterable[str]) -> str:
    """The known name most like a mistyped one, or ""."""
    import difflib

    return next(iter(difflib.get_close_matches(name.lower().replace("_", "-"), list(names), 1, 0.6)), "")


def spelled(name: str) -> str:
    """A key as TOML writes it in a path: bare where it can be."""
    if name and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name):
        return name
    from bareboat.toml import quote

    return quote(name)
