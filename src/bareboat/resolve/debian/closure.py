"""Which packages a set of names needs: dependencies, alternatives, provides, conflicts. Pure and
deterministic.

Not a SAT solver: like apt, the first alternative that can be had is taken; a choice that turns out
impossible is struck out and the closure is made again. Maintainer scripts never run here, so what only
they need is not brought in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bareboat.errors import ResolveError
from bareboat.resolve.debian.index import Catalogue, Package
from bareboat.resolve.debian.relations import Relation, parse_relations

# Needed by maintainer scripts alone (and mailcap, a mail reader's launcher through which old Pythons would
# drag in perl); brought in only when asked for by name.
NOT_IMPLIED = frozenset(
    {
        "debconf",
        "debconf-2.0",
        "dpkg",
        "install-info",
        "init-system-helpers",
        "sysvinit-utils",
        "ucf",
        "update-inetd",
        "insserv",
        "mailcap",
    }
)
_PRIORITIES = {"required": 0, "important": 1, "standard": 2, "optional": 3, "extra": 4}
MAX_RETRIES = 60


@dataclass(frozen=True)
class Request:
    """One package that somebody asked for. why: the file and key, for errors; version: "" or an exact one."""

    name: str
    why: str = ""
    version: str = ""


class _Impossible(Exception):
    """A choice cannot hold. culprits: packages that were chosen, not forced, most recent first."""

    def __init__(self, error: ResolveError, culprits: Sequence[str] = ()) -> None:
        super().__init__(error.what)
        self.error, self.culprits = error, tuple(culprits)


class _Attempt:
    def __init__(self, archive: Catalogue, architecture: str, installed: Iterable[Package], banned: set[str]) -> None:
        self.archive, self.architecture, self.banned = archive, architecture, banned
        self.chosen: dict[str, Package] = {}
        self.parent: dict[str, str] = {}  # who brought it in
        self.free: list[str] = []  # chosen where there was another way, in order
        self.provided: dict[str, list[tuple[str, str]]] = {}  # virtual name → (provider, version)
        self.installed: set[str] = set()
        for package in installed:
            self._take(package)
            self.installed.add(package.name)

    def _take(self, package: Package) -> None:
        self.chosen[package.name] = package
        for group in parse_relations(package.provides):
            for r in group:
                self.provided.setdefault(r.name, []).append((package.name, r.version))

    def chain(self, name: str) -> str:
        """How a package came in: "a → b → c"."""
        names = [name]
        while name in self.parent and len(names) < 20:
            name = self.parent[name]
            names.insert(0, name)
        return " → ".join(names)

    def candidates(self, relation: Relation) -> list[Package]:
        """What can satisfy a relation, in order of preference: the package itself, then what provides it."""
        if relation.qualifier not in ("", "any", "native", self.architecture):
            return []
        usable = [p for p in self.archive.packages(relation.name) if p.name not in self.banned]
        real = usable[:1] if usable and relation.matches(usable[0].version) else []
        if not real and relation.relation in (
            "=",
            "<<",
            "<=",
        ):  # an older one, where the archive still has it
            real = [p for p in usable if relation.matches(p.version)][:1]
        providers = []
        for name in self.archive.providers(relation.name):
            newest = next((p for p in self.archive.packages(name)[:1] if p.name not in self.banned), None)
            if newest is not None and newest.name != relation.name and self._provides(newest, relation):
                providers.append(newest)
        providers.sort(key=lambda p: (_PRIORITIES.get(p.priority, 5), p.name))
        return real + providers

    @staticmethod
    def _provides(package: Package, relation: Relation) -> bool:
        for group in parse_relations(package.provides):
            for r in group:
                if r.name == relation.name and (not relation.relation or (r.version and relation.matches(r.version))):
                    return True
        return False

    def satisfied(self, relation: Relation) -> bool:
        """Whether what has been chosen already satisfies a relation."""
        if relation.qualifier not in ("", "any", "native", self.architecture):
            return False
        present = self.chosen.get(relation.name)
        if present is not None and relation.matches(present.version):
            return True
        return any(
            not relation.relation or (version and relation.matches(version))
            for _, version in self.provided.get(relation.name, ())
        )

    def run(self, requests: Sequence[Request]) -> None:
        queue: list[str] = []
        for request in requests:
            package = self._requested(request)
            if package.name not in self.chosen:
                self._take(package)
                if request.why:
                    self.parent.setdefault(package.name, request.why)
                queue.append(package.name)
        for name in queue:  # grows while it is walked
            package = self.chosen[name]
            for group in parse_relations(f"{package.pre_depends},{package.depends}"):
                self._resolve(package, group, queue)
        self._check_conflicts()

    def _requested(self, request: Request) -> Package:
        found = self.archive.packages(request.name)
        if request.version:
            found = [p for p in found if p.version == request.version]
        if found:
            present = self.chosen.get(request.name)
            if present is not None and (not request.version or present.version == request.version):
                return present
            return found[0]
        relation = Relation(request.name, "=" if request.version else "", request.version)
        providers = self.candidates(relation)
        if len(providers) == 1:
            return providers[0]
        raise _Impossible(_unknown(self.archive, request, [p.name for p in providers]))

    def _resolve(self, package: Package, group: tuple[Relation, ...], queue: list[str]) -> None:
        if any(self.satisfied(r) or r.name in NOT_IMPLIED for r in group):
            return
        options = [p for r in group for p in self.candidates(r) if p.name not in self.chosen]
        if not options:
            text = " | ".join(map(str, group))
            culprits = [n for n in (package.name, *(r.name for r in group)) if n in self.free]
            raise _Impossible(
                ResolveError(
                    "debian.unsatisfiable",
                    f"{package.name} {package.version} needs {text}, which the archive cannot give",
                    where=self.chain(package.name),
                    hint="another suite or package may do; or the mirror is being updated: try again later",
                ),
                culprits or self._free_above(package.name),
            )
        best = options[0]
        if len({o.name for o in options}) > 1:
            self.free.append(best.name)
        self._take(best)
        self.parent[best.name] = package.name
        queue.append(best.name)

    def _free_above(self, name: str) -> list[str]:
        found = []
        while name in self.parent:
            if name in self.free:
                found.append(name)
            name = self.parent[name]
        return found

    def _check_conflicts(self) -> None:
        for name in sorted(self.chosen):
            package = self.chosen[name]
            for kind, text in (("conflicts with", package.conflicts), ("breaks", package.breaks)):
                for group in parse_relations(text):
                    for r in group:
                        other = self._hit(package, r)
                        if other is not None:
                            raise _Impossible(
                                ResolveError(
                                    "debian.conflict",
                                    f"{name} {package.version} {kind} {other} ({r}), and both are asked for",
                                    where=f"{self.chain(name)}; {self.chain(other)}",
                                    hint="ask for one of them, or for another suite",
                                ),
                                [n for n in reversed(self.free) if n in (name, other)]
                                or self._free_above(name)
                                or self._free_above(other),
                            )

    def _hit(self, package: Package, relation: Relation) -> str | None:
        other = self.chosen.get(relation.name)
        if other is not None and other.name != package.name and relation.matches(other.version):
            return other.name
        for provider, version in self.provided.get(relation.name, ()):
            if provider != package.name and (not relation.relation or (version and relation.matches(version))):
                return provider
        return None


def _unknown(archive: Catalogue, request: Request, providers: list[str]) -> ResolveError:
    what = f"{request.name} {request.version}".strip()
    if providers:
        return ResolveError(
            "debian.virtual-package",
            f"{what} is a virtual package",
            where=request.why,
            hint=f"name one that provides it: {', '.join(providers[:12])}",
        )
    if request.version:
        have = ", ".join(p.version for p in archive.packages(request.name)) or "none"
        return ResolveError(
            "debian.unknown-version",
            f"the archive has no {request.name} in version {request.version}",
            where=request.why,
            hint=f"it has: {have}",
        )
    import difflib

    near = difflib.get_close_matches(request.name, archive.names(), 4, 0.7)
    return ResolveError(
        "debian.unknown-package",
        f"the archive has no package {request.name!r}",
        where=request.why,
        hint=f"did you mean {', '.join(near)}?" if near else "look the name up in this suite",
    )


def closure(
    archive: Catalogue, architecture: str, requests: Sequence[Request], installed: Sequence[Package] = ()
) -> tuple[Package, ...]:
    """What must be added to `installed` so that every request works, sorted by name.

    Deterministic: a function of its arguments. Essential packages and Recommends are not implied.
    ResolveError:
    "debian.unknown-package", "debian.unknown-version", "debian.virtual-package", "debian.unsatisfiable",
    "debian.conflict".
    """
    banned: set[str] = set()
    first: ResolveError | None = None
    for _ in range(MAX_RETRIES):
        attempt = _Attempt(archive, architecture, installed, banned)
        try:
            attempt.run(requests)
        except _Impossible as impossible:
            first = first or impossible.error
            culprit = next((c for c in impossible.culprits if c not in banned), None)
            if culprit is None:
                raise first from None
            banned.add(culprit)
            continue
        return tuple(attempt.chosen[name] for name in sorted(attempt.chosen) if name not in attempt.installed)
    assert first is not None
    raise first
