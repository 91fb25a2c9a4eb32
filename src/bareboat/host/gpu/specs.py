"""The CDI specifications of this machine: which files there are, and which device is meant by a name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bareboat.errors import EngineError
from bareboat.host.gpu.cdi import SIZE, CdiDevice, Spec, parse, wrong
from bareboat.values import dataclass

FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))  # the later ones go before
KINDS = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}


@dataclass(frozen=True)
class Specs:
    """What was found. specs: by folder, what goes before first. broken: files that could not be understood, and why,
    each with the kinds of ours that its name or text speaks of.
    """

    specs: tuple[Spec, ...] = ()
    broken: tuple[tuple[EngineError, frozenset[str]], ...] = ()

    def of(self, kind: str) -> tuple[Spec, ...]:
        """The specifications of a kind. Raises the error of a broken file that is of this kind where there is no other:
        what an administrator wrote is not passed over."""
        found = tuple(spec for spec in self.specs if spec.kind == kind)
        for error, kinds in () if found else self.broken:
            if kind in kinds:
                raise error
        return found

    def device(self, kind: str, names: Iterable[str]) -> tuple[Spec, CdiDevice] | None:
        """The device of the first of these names that there is. Raises EngineError "gpu.cdi" where two files of one
        folder both have it."""
        for name in names:
            found = [(spec, d) for spec in self.of(kind) for d in spec.devices if d.name == name]
            if found:
                folder = Path(found[0][0].file).parent
                if len(found) > 1 and Path(found[1][0].file).parent == folder:
                    raise wrong(found[1][0].file, f"{kind}={name}", f"is in {found[0][0].file} too")
                return found[0]
        return None


def read_specs(folders: Iterable[Path] = FOLDERS) -> Specs:
    """All *.json and *.yaml of the folders; one that is not there has none, a file that is wrong stops no other."""
    specs: list[Spec] = []
    broken: list[tuple[EngineError, frozenset[str]]] = []
    for folder in reversed(tuple(folders)):
        try:
            files = sorted(f for f in folder.iterdir() if f.suffix in (".json", ".yaml", ".yml"))
        except OSError:
            continue
        for file in files:
            content = b""
            try:
                content = _content(file)
                specs.append(parse(content, str(file)))
            except EngineError as e:
                of = (kind for vendor, kind in KINDS.items() if vendor in file.name or kind.encode() in content)
                broken.append((e, frozenset(of)))
    return Specs(tuple(specs), tuple(broken))


def _content(file: Path) -> bytes:
    try:
        if not file.is_file():
            raise wrong(str(file), "", "is no file")
        with open(file, "rb") as opened:
            return opened.read(SIZE + 1)
    except OSError as e:
        raise wrong(str(file), "", f"cannot be read: {e.strerror}") from None
