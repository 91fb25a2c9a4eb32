"""Which GPUs are wanted: Docker's --gpus grammar, and what the project file adds to it. Pure: no machine is asked."""

from __future__ import annotations

from bareboat.errors import ProjectError, UsageError
from bareboat.values import TYPE_CHECKING, dataclass

if TYPE_CHECKING:
    from bareboat.project.values import Project

GRAMMAR = ('all, a number, a share of one as 0.5, none, or device=0,1 with indexes or UUIDs (MIG instances: "0:1" or '
           "their UUID)")
# An index, a MIG instance as GPU:INSTANCE, or a UUID as nvidia-smi -L prints it, the old MIG-GPU-…/1/0 too.
NAME = r"(?:[0-9]{1,4}(?::[0-9]{1,3})?|[A-Z]{2,4}-[A-Za-z0-9/-]{1,96})"
MOST = 1024  # GPUs of one machine: more is a slip of the hand
_WITHOUT_EFFECT = ("capabilities", "driver", "options")  # Docker's: the whole driver is granted in any case


@dataclass(frozen=True)
class GpuRequest:
    """The GPUs of a run. Exactly one of all, count, names and share says which; none of them: no GPU.

    share: a part of one, between 0 and 1. names: indexes, "GPU:INSTANCE" of MIG, or UUIDs, each once, in the order
    given. optional: where they cannot be had the run goes on without one, and says so.
    """

    all: bool = False
    count: int = 0
    names: tuple[str, ...] = ()
    optional: bool = False
    share: float = 0.0

    @property
    def wanted(self) -> bool:
        """Whether any GPU is asked for."""
        return self.all or self.count > 0 or self.share > 0 or bool(self.names)

    def __str__(self) -> str:
        """The canonical text, which parses to the same request: "all", "2", "0.5", "device=0,1" or "none"."""
        if self.names:
            return f"device={','.join(self.names)}"
        if self.share:
            return f"{self.share:g}"
        return "all" if self.all else str(self.count) if self.count else "none"


NO_GPU = GpuRequest()


def parse_gpus(text: str, where: str = "--gpus") -> GpuRequest:
    """The request of a --gpus value, with Docker's quotes and fields: '"device=0,1",capabilities=utility'.

    Raises UsageError "usage.gpus".
    """
    found: dict[str, list[str]] = {}
    key = ""
    for field in _fields(text, where):
        name, equals, value = field.partition("=")
        if not equals:
            if key == "device":  # device=0,1 without the quotes that Docker wants
                found["device"].append(field.strip())
                continue
            name, value = "count", field
        key = name.strip().lower()
        if key in _WITHOUT_EFFECT:
            continue
        if key not in ("count", "device"):
            raise _wrong(text, where, f"{key!r} is not a part of it")
        if key in found:
            raise _wrong(text, where, f"{key} is there twice")
        found[key] = [part.strip() for part in value.split(",")]
    if len(found) != 1:
        raise _wrong(text, where, "it says both a number and devices" if found else "nothing is asked for")
    if "count" in found:
        return _count(",".join(found["count"]), text, where)
    return GpuRequest(names=tuple(dict.fromkeys(_name(name, text, where) for name in found["device"])))


def requested(said: str | None, project: Project | None) -> GpuRequest:
    """The request of the command line, else of the project: its resources.gpus, else one GPU where gpu says that it
    needs or may use one. Raises UsageError, ProjectError "project.gpus" where the file contradicts itself.
    """
    if said is not None:
        return parse_gpus(said)
    if project is None:
        return NO_GPU
    file = project.file or ""
    gpus, need = project.resources.gpus, project.gpu
    if need == "none":
        if gpus:
            raise ProjectError("project.gpus", f'says "none", and resources.gpus asks for {gpus}', where=f"{file}: gpu",
                               hint='Take one of them out, or write "optional".')
        return NO_GPU
    found = parse_gpus(gpus, f"{file}: resources.gpus") if gpus else GpuRequest(count=1 if need else 0)
    return GpuRequest(found.all, found.count, found.names, need == "optional", found.share)


def _fields(text: str, where: str) -> list[str]:
    """Comma-separated fields; within double quotes a comma is an ordinary character. Any field may be quoted."""
    fields, current, quoted = [], "", False
    for char in text.strip():
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            fields.append(current)
            current = ""
        else:
            current += char
    if quoted:
        raise _wrong(text, where, "a quote is not closed")
    return [*fields, current]


def _count(value: str, text: str, where: str) -> GpuRequest:
    value = value.strip()
    if value in ("all", "-1"):
        return GpuRequest(all=True)
    if value == "none":
        return NO_GPU
    if value.startswith(("0.", ".")) and value.isascii() and value.replace(".", "", 1).isdigit() and len(value) < 8:
        share = float(value)
        if not share:
            raise _wrong(text, where, "nothing is asked for")
        return GpuRequest(share=share)
    if not (value.isascii() and value.isdigit()) or int(value[:9]) > MOST:
        raise _wrong(text, where, f"{value!r} is no number of GPUs" if value else "nothing is asked for")
    return GpuRequest(count=int(value))


def _name(name: str, text: str, where: str) -> str:
    import re

    if not re.fullmatch(NAME, name):
        raise _wrong(text, where, f"{name!r} is neither an index nor a UUID")
    return str(int(name)) if name.isdigit() else name


def _wrong(text: str, where: str, why: str) -> UsageError:
    return UsageError("usage.gpus", f"{text[:200]!r} does not name GPUs: {why}", where=where,
                      hint=f"It may be {GRAMMAR}.")
