"""CDI specifications: what a device's vendor says a container needs. Pure: text → values, refused with file and key.

After the Container Device Interface specification 0.3.0 to 1.1 (SPEC.md, "CDI JSON Specification"): unknown fields are
refused, as its reference implementation refuses them. JSON and YAML; nvidia-ctk writes YAML.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

from bareboat.errors import EngineError
from bareboat.values import Any, dataclass

VERSIONS = ((0, 3), (1, 1))  # first and last (major, minor) that is understood
SIZE = 8 << 20  # bytes of a file; nvidia-ctk's for 16 GPUs are below 100 kB
_NODES = 200_000  # values in a document, those behind YAML's aliases counted each time
_KIND = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,253}[A-Za-z0-9])?")
_ENV = re.compile(r"[^=\0]+=[^\0]*", re.DOTALL)


@dataclass(frozen=True)
class Node:
    """A device node: on the host, and inside."""

    host: str
    inside: str


@dataclass(frozen=True)
class BindMount:
    """A file or directory of the host's, and where it is to be inside."""

    host: str
    inside: str
    read_only: bool


@dataclass(frozen=True)
class Hook:
    """A program that a runtime would start. bareboat starts none: edits.py does what the known ones do."""

    program: str
    args: tuple[str, ...]
    key: str  # where in its file


@dataclass(frozen=True)
class Edits:
    """What a container needs for a device."""

    nodes: tuple[Node, ...] = ()
    mounts: tuple[BindMount, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    hooks: tuple[Hook, ...] = ()


@dataclass(frozen=True)
class CdiDevice:
    """A device by name, with its own edits."""

    name: str
    edits: Edits


@dataclass(frozen=True)
class Spec:
    """One file: devices of one kind ("nvidia.com/gpu"), and the edits that any of them needs besides its own."""

    file: str
    kind: str
    devices: tuple[CdiDevice, ...]
    edits: Edits


def parse(content: bytes, file: str) -> Spec:
    """The specification in a file of this name. Raises EngineError "gpu.cdi" with file and key."""
    if len(content) > SIZE:
        raise wrong(file, "", f"is larger than {SIZE >> 20} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise wrong(file, "", f"is not UTF-8 at byte {e.start}") from None
    try:
        document = _json(text, file) if file.endswith(".json") else _yaml(text, file)
    except RecursionError:
        raise wrong(file, "", "is nested too deeply") from None
    return _Reader(file).spec(document)


def wrong(file: str, key: str, what: str) -> EngineError:
    """The error of a file; key: the path to what is wrong in it."""
    return EngineError("gpu.cdi", f"{f'{key} ' if key else ''}{what}", where=file,
                       hint="Correct it or make it anew, for NVIDIA: sudo nvidia-ctk cdi generate "
                            "--output=/etc/cdi/nvidia.yaml")


def _json(text: str, file: str) -> object:
    import json

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise wrong(file, name, "is there twice in one object")
            found[name] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as e:
        raise wrong(file, "", f"is no JSON: {e.msg} at line {e.lineno} column {e.colno}") from None
    except ValueError:  # a number of thousands of digits
        raise wrong(file, "", "is no JSON: a number in it is too long") from None


def _yaml(text: str, file: str) -> object:
    """The document of YAML's JSON part: mappings with text as keys, sequences, scalars; a number may stand for text.

    Made from the nodes, so that a key that is there twice is found, and aliases cannot make it explode.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        top = yaml.compose(text, loader)
    except (yaml.YAMLError, ValueError) as e:
        mark = getattr(e, "problem_mark", None)
        at = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise wrong(file, "", f"is no YAML: {getattr(e, 'problem', '') or 'it cannot be read'}{at}") from None
    left = _NODES

    def value(node: Any) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise wrong(file, "", "is too large once its aliases are followed")
        if isinstance(node, yaml.MappingNode):
            found: dict[str, object] = {}
            for key, each in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                    raise wrong(file, f"line {line}", "has a key that is no text")
                if key.value in found:
                    raise wrong(file, f"line {line}: {key.value}", "is there twice in one mapping")
                found[key.value] = value(each)
            return found
        if isinstance(node, yaml.SequenceNode):
            return [value(each) for each in node.value]
        kind = node.tag.rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "int" and re.fullmatch(r"[+-]?[0-9]{1,18}", node.value):
            return _Number(node.value)
        return node.value

    return value(top) if top is not None else None


class _Number(str):
    """A whole number of YAML as it was written: a name like 0 needs no quotes there."""


class _Reader:
    """One file on its way to a Spec; every method takes the value and its key path."""

    def __init__(self, file: str) -> None:
        self.file = file

    def fail(self, key: str, what: str) -> EngineError:
        return wrong(self.file, key, what)

    def spec(self, document: object) -> Spec:
        top = self.table(document, "", ("cdiVersion", "kind", "annotations", "devices", "containerEdits"))
        self.version(top.get("cdiVersion"))
        kind = self.text(top.get("kind"), "kind")
        if not _KIND.fullmatch(kind):
            raise self.fail("kind", f"must be vendor/class as nvidia.com/gpu, not {kind[:200]!r}")
        devices: dict[str, CdiDevice] = {}
        for number, each in enumerate(self.many(top.get("devices"), "devices")):
            device = self.device(each, f"devices[{number}]")
            if device.name in devices:
                raise self.fail(f"devices[{number}].name", f"is {device.name!r} as that of a device before it")
            devices[device.name] = device
        if not devices:
            raise self.fail("devices", "is empty")
        edits = self.edits(top.get("containerEdits"), "containerEdits")
        return Spec(self.file, kind, tuple(devices.values()), edits)

    def version(self, value: object) -> None:
        text = self.text(value, "cdiVersion")
        match = re.fullmatch(r"v?(\d{1,4})\.(\d{1,4})(\.\d{1,4})?", text)
        first, last = (".".join(map(str, v)) for v in VERSIONS)
        if not match or not VERSIONS[0] <= (int(match[1]), int(match[2])) <= VERSIONS[1]:
            raise self.fail("cdiVersion", f"is {text[:60]!r}, and {first} to {last} are understood")

    def device(self, value: object, key: str) -> CdiDevice:
        table = self.table(value, key, ("name", "annotations", "containerEdits"))
        name = self.text(table.get("name"), f"{key}.name")
        if not _NAME.fullmatch(name):
            raise self.fail(f"{key}.name", f"is no name of a device: {name[:200]!r}")
        return CdiDevice(name, self.edits(table.get("containerEdits"), f"{key}.containerEdits"))

    def edits(self, value: object, key: str) -> Edits:
        table = self.table({} if value is None else value, key, (
            "env", "deviceNodes", "mounts", "hooks", "intelRdt", "additionalGids", "netDevices"))
        if table.get("netDevices"):
            raise self.fail(f"{key}.netDevices", "asks for a network device, which a container without root cannot get")

        def each(name: str, read: Callable[[object, str], Any]) -> tuple[Any, ...]:
            values = self.many(table.get(name), f"{key}.{name}")
            return tuple(read(one, f"{key}.{name}[{number}]") for number, one in enumerate(values))

        return Edits(each("deviceNodes", self.node), each("mounts", self.mount), each("env", self.variable),
                     each("hooks", self.hook))

    def node(self, value: object, key: str) -> Node:
        table = self.table(value, key, ("path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid",
                                        "gid"))
        inside = self.path(table.get("path"), f"{key}.path")
        if not inside.startswith("/dev/"):
            raise self.fail(f"{key}.path", f"is outside /dev: {inside}")
        return Node(self.path(table.get("hostPath") or inside, f"{key}.hostPath"), inside)

    def mount(self, value: object, key: str) -> BindMount:
        table = self.table(value, key, ("hostPath", "containerPath", "options", "type"))
        options = [self.text(o, f"{key}.options") for o in self.many(table.get("options"), f"{key}.options")]
        kind = table.get("type") or "bind"
        if kind not in ("bind", "none", "rbind"):
            raise self.fail(f"{key}.type", f"is {str(kind)[:60]!r}, and only bind mounts are made")
        inside = self.path(table.get("containerPath"), f"{key}.containerPath")
        if inside == "/" or inside.startswith(("/proc/", "/sys/")) or inside in ("/proc", "/sys", "/dev"):
            raise self.fail(f"{key}.containerPath", f"cannot be a mount point: {inside}")
        return BindMount(self.path(table.get("hostPath"), f"{key}.hostPath"), inside, "rw" not in options)

    def variable(self, value: object, key: str) -> tuple[str, str]:
        text = self.text(value, key)
        if not _ENV.fullmatch(text):
            raise self.fail(key, f"must be NAME=VALUE, not {text[:60]!r}")
        name, _, rest = text.partition("=")
        return name, rest

    def hook(self, value: object, key: str) -> Hook:
        table = self.table(value, key, ("hookName", "path", "args", "env", "timeout"))
        args = tuple(self.text(arg, f"{key}.args") for arg in self.many(table.get("args"), f"{key}.args"))
        self.text(table.get("hookName"), f"{key}.hookName")
        return Hook(self.text(table.get("path"), f"{key}.path"), args, key)

    def path(self, value: object, key: str) -> str:
        """An absolute path that means one place, whoever reads it."""
        text = self.text(value, key)
        if not text.startswith("/") or ".." in text.split("/"):
            raise self.fail(key, f"must be an absolute path without '..', not {text[:200]!r}")
        return "/" + posixpath.normpath(text).lstrip("/")

    def table(self, value: object, key: str, known: tuple[str, ...]) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self.fail(key, "must be a mapping" if key else "must be a mapping with cdiVersion, kind and devices")
        for name in value:
            if name not in known:
                raise self.fail(f"{key}.{name}" if key else str(name), "is no field of CDI's")
        return value

    def many(self, value: object, key: str) -> list[object]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.fail(key, "must be a list")
        return value

    def text(self, value: object, key: str) -> str:
        if value is None:
            raise self.fail(key, "is missing")
        if not isinstance(value, str) or not value or "\0" in value:
            raise self.fail(key, "must be text, not empty and without NUL")
        return str(value)
