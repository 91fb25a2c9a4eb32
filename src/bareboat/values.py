"""Frozen values without the import of dataclasses (inspect, ast, tokenize, re …) and its compilation on every start.

What `bareboat run -- true` imports takes dataclass, field, fields, replace and is_dataclass from here: the same
meaning for what values use (defaults, factories, compare, repr, metadata, frozen, inheritance), the same to type
checkers, and to the standard module too: its asdict, fields and replace work on these classes. Not here: slots,
kw_only, order, InitVar. TYPE_CHECKING, Any, Protocol and cast stand in for typing likewise. Measured:
docs/decisions/0001-values-without-dataclasses.md.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what typing calls so; type checkers know the name, and typing itself need not be imported

if TYPE_CHECKING:
    from dataclasses import MISSING as MISSING
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import fields as fields
    from dataclasses import is_dataclass as is_dataclass
    from dataclasses import replace as replace
    from typing import Any as Any
    from typing import Protocol as Protocol
    from typing import cast as cast
else:
    Any = object  # only ever in annotations, which are never evaluated

    class Protocol:
        """A seam, as typing.Protocol; what it demands is checked by type checkers alone."""

    def cast(kind, value):
        """As typing.cast."""
        return value

    class _Missing:
        def __repr__(self):
            return "MISSING"

    MISSING = _Missing()

    class Field:
        """A field of a value: name, type (as written), default, default_factory, compare, repr, metadata."""

        __slots__ = ("compare", "default", "default_factory", "metadata", "name", "repr", "type")
        init, hash, kw_only = True, None, False

        def __init__(self, default, default_factory, compare, repr, metadata):
            self.name = self.type = ""
            self.default, self.default_factory = default, default_factory
            self.compare, self.repr, self.metadata = compare, repr, metadata

        @property
        def _field_type(self):
            import dataclasses  # only when the standard module itself asks

            return dataclasses._FIELD

    def field(*, default=MISSING, default_factory=MISSING, compare=True, repr=True, metadata=None):
        """As dataclasses.field."""
        return Field(default, default_factory, compare, repr, metadata or {})

    def dataclass(cls=None, /, *, frozen=False, eq=True, repr=True, match_args=True):
        """As dataclasses.dataclass."""

        def wrap(cls):
            return _value(cls, frozen, eq, repr, match_args)

        return wrap if cls is None else wrap(cls)

    def _value(cls, frozen, eq, repr_, match_args):
        found = {}
        for base in reversed(cls.__mro__[1:]):
            found.update(base.__dict__.get("__dataclass_fields__", {}))
        for name, kind in getattr(cls, "__annotations__", {}).items():
            if "ClassVar" in str(kind):
                continue
            default = cls.__dict__.get(name, MISSING)
            f = default if isinstance(default, Field) else Field(default, MISSING, True, True, {})
            f.name, f.type = name, kind
            if f.default is not MISSING:
                setattr(cls, name, f.default)
            elif name in cls.__dict__:
                delattr(cls, name)
            found[name] = f
        cls.__dataclass_fields__ = found
        cls.__init__ = _init(cls, tuple(found.values()))
        if match_args and "__match_args__" not in cls.__dict__:
            cls.__match_args__ = tuple(found)
        own = cls.__dict__
        if repr_ and "__repr__" not in own:
            cls.__repr__ = _repr
        if eq and "__eq__" not in own:
            names = tuple(f.name for f in found.values() if f.compare)
            cls.__eq__ = _eq(names)
            cls.__hash__ = _hash(names) if frozen else None
        if frozen:
            cls.__setattr__, cls.__delattr__ = _refuse_set, _refuse_delete
        return cls

    def _init(cls, found):
        names = tuple(f.name for f in found)
        defaults = {f.name: f.default for f in found if f.default is not MISSING}
        factories = {f.name: f.default_factory for f in found if f.default_factory is not MISSING}
        required = tuple(n for n in names if n not in defaults and n not in factories)
        after = getattr(cls, "__post_init__", None)

        def __init__(self, *args, **named):
            here = self.__dict__
            if len(args) > len(names):
                raise TypeError(f"{cls.__name__}() takes {len(names)} values, got {len(args)}")
            given = dict(zip(names, args))  # noqa: B905 - shorter is meant
            if named:
                for name in named:
                    if name in given or name not in names:
                        what = "twice" if name in given else "and has no such field"
                        raise TypeError(f"{cls.__name__}() got {name!r} {what}")
                given |= named
            if len(given) < len(names):
                for name in required:
                    if name not in given:
                        raise TypeError(f"{cls.__name__}() is missing {name!r}")
                for name in names:
                    if name not in given:
                        given[name] = defaults[name] if name in defaults else factories[name]()
                here.update({name: given[name] for name in names})
            else:
                here.update({name: given[name] for name in names} if named else given)
            if after is not None:
                after(self)

        return __init__

    def _repr(self):
        shown = (f"{f.name}={getattr(self, f.name)!r}" for f in self.__dataclass_fields__.values() if f.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def _eq(names):
        def __eq__(self, other):
            if type(other) is not type(self):
                return NotImplemented
            return all(getattr(self, n) == getattr(other, n) for n in names)

        return __eq__

    def _hash(names):
        def __hash__(self):
            return hash(tuple(getattr(self, n) for n in names))

        return __hash__

    def _refuse_set(self, name, value):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def _refuse_delete(self, name):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def fields(value):
        """As dataclasses.fields, of a class or an instance."""
        return tuple(value.__dataclass_fields__.values())

    def is_dataclass(value) -> bool:
        """As dataclasses.is_dataclass."""
        return hasattr(value if isinstance(value, type) else type(value), "__dataclass_fields__")

    def replace(value, /, **changes):
        """As dataclasses.replace."""
        return type(value)(**{**{name: getattr(value, name) for name in value.__dataclass_fields__}, **changes})
