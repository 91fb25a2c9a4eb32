"""why: the ways from what a project asks for to a package of its environment, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bareboat.builder.contents import DATABASE_MOST, DPKG, METADATA_MOST, contents, fields_of, read_text
from bareboat.errors import UsageError
from bareboat.image.chains import Graph, Node, chains
from bareboat.verbs.collaborators import Work
from bareboat.verbs.subject import Subject

if TYPE_CHECKING:
    from bareboat.image.inventory import Component, Told
    from bareboat.image.plan import Plan
    from bareboat.lock import BaseImage, Deb, Wheel

CHAINS = 12  # ways that are told at most


@dataclass(frozen=True)
class Reason:
    """A package of an environment. kind: as image.inventory.Component; size: bytes of the archive, unpacked: of its
    tree, 0 where they are not known. source: where it came from, without passwords. layer: what of the shipped image
    it is in. chains: ways from what was asked for, shortest first, each a tuple of links as a person reads them.
    """

    name: str
    version: str
    kind: str
    size: int
    unpacked: int
    source: str
    sha256: str
    layer: str
    chains: tuple[tuple[str, ...], ...]
    needed_by: tuple[str, ...]


def why(package: str, of: Subject, work: Work) -> tuple[Reason, ...]:
    """Every package of this name: a Python one, a system one, or both. Raises UsageError "why.unknown"."""
    from bareboat.builder.sbom import plan_keys, take_inventory

    taken = take_inventory(work.store, of.plan, of.name)
    wanted = _normal(package.partition("[")[0])
    matching = [c for c in taken.components if _normal(c.name) == wanted and c.kind != "oci"]
    if not matching:
        raise _unknown(package, taken.components)
    found = contents(work.store, plan_keys(of.plan))
    return tuple(_reason(c, of, found, work) for c in matching)


def _reason(component: Component, of: Subject, found: Told, work: Work) -> Reason:
    plan = of.plan
    wheel = next((w for w in plan.wheels if component.kind == "pypi" and w.sha256 == component.sha256), None)
    deb = next((d for d in plan.debs if component.kind == "deb" and d.sha256 == component.sha256), None)
    if wheel is not None:
        graph = python_graph(of, found, work)
        return Reason(wheel.name, wheel.version, "pypi", wheel.size, _unpacked(wheel, plan, work), component.source,
                      wheel.sha256, _wheel_layer(wheel, plan), chains(graph, wheel.name, CHAINS),
                      graph.needed_by(wheel.name))
    if deb is not None:
        graph = deb_graph(of, work)
        return Reason(deb.name, deb.version, "deb", deb.size, _deb_unpacked(deb, work), f"{deb.archive}: {deb.path}",
                      deb.sha256, _deb_layer(deb, plan), chains(graph, deb.name, CHAINS), graph.needed_by(deb.name))
    if component.kind == "generic":
        way = (f"Python {plan.interpreter.version}", f"{component.name} {component.version}")
        return Reason(component.name, component.version, component.kind, 0, 0, component.source, component.sha256,
                      "the base", (way,), ())
    return _found(component, of, found, work)


def _found(component: Component, of: Subject, found: Told, work: Work) -> Reason:
    """A package that no lock names: brought by the base image, by a system package, or inside another package."""
    base = of.plan.image
    told = ", ".join(f"/{path}" for path in component.paths)
    inside = _holder(component.paths, of.plan)
    itself = f"{component.name} {component.version}"
    if inside:
        return Reason(component.name, component.version, component.kind, 0, 0, f"in the image: {told}", "", inside,
                      ((inside, itself),), (inside,))
    graph = deb_graph(of, work) if component.kind == "deb" else python_graph(of, found, work)
    name = component.name if component.kind == "deb" else _normal(component.name)
    ways = chains(graph, name, CHAINS) if component.kind in ("deb", "pypi") else ()
    if base is not None:
        ways = (*ways, (base.reference, itself))
    return Reason(component.name, component.version, component.kind, 0, 0,
                  _found_at(base) if base else f"in the image: {told}", "", "the base", ways,
                  graph.needed_by(name))


def _found_at(base: BaseImage) -> str:
    """Where a base was found, with the digest of its manifest."""
    return base.reference if base.manifest in base.reference else f"{base.reference}@{base.manifest}"


def _holder(paths: Iterable[str], plan: Plan) -> str:
    """The Python package that carries another one inside itself (setuptools' _vendor), "" for none."""
    site = plan.interpreter.site.lstrip("/") + "/"
    for path in paths:
        if plan.interpreter.site and path.startswith(site) and path.count("/") > site.count("/") + 1:
            top = path[len(site) :].partition("/")[0]
            names = {_normal(w.name): w for w in plan.wheels}
            if (w := names.get(_normal(top))) is not None:
                return f"{w.name} {w.version}"
    return ""


def python_graph(of: Subject, found: Told, work: Work) -> Graph:
    """What the Python packages of a plan and of its base need of each other, markers evaluated for the image's Python
    and platform. A package's own metadata are read from its tree."""
    from bareboat.builder.image import bottom_keys
    from bareboat.image.wheel import wheel_tree_key
    from bareboat.resolve.python.target import Target, marker_environment

    plan = of.plan
    env = marker_environment(Target(plan.interpreter.full or _python_of(found), plan.libc, plan.platform))
    wheels = {w.name: w for w in plan.wheels}
    versions = {w.name: w.version for w in plan.wheels}
    texts: dict[str, list[str]] = {}
    for package in found.packages:
        name = _normal(package.name)
        if package.kind != "pypi" or _holder([package.path], plan):
            continue
        keys = [wheel_tree_key(wheels[name], plan.interpreter)] if name in wheels else bottom_keys(plan)
        texts[name] = _required(keys, package.path, work)
        versions.setdefault(name, package.version)
    needs = {name: _needs(lines, versions, env) for name, lines in texts.items()}
    return Graph(_roots(of, wheels, needs, _stated(of, versions, work)), needs, versions)


def _python_of(found: Told) -> str:
    """The Python of an image that nobody here assembled, by the folder that most of its packages lie in."""
    import re

    versions = [m[1] for p in found.packages if (m := re.search(r"/python(\d+\.\d+)/", f"/{p.path}"))]
    return max(set(versions), key=lambda v: (versions.count(v), v), default="3.12") + ".0"


def _needs(lines: Iterable[str], known: Mapping[str, str], env: Mapping[str, str]) -> tuple[Node, ...]:
    """Lines of Requires-Dist as needs of packages that are there."""
    from packaging.requirements import InvalidRequirement, Requirement

    nodes: list[Node] = []
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # metadata older than PEP 508; the resolver has judged it
        name = _normal(requirement.name)
        if name not in known:
            continue
        extras, bound = tuple(sorted(map(_normal, requirement.extras))), str(requirement.specifier)
        if requirement.marker is None or requirement.marker.evaluate({**env, "extra": ""}):
            nodes.append(Node(name, extras, bound))
            continue
        nodes += [Node(name, extras, bound, _normal(when)) for when in _extras_in(str(requirement.marker))
                  if requirement.marker.evaluate({**env, "extra": when})]
    return tuple(nodes)


def _required(keys: Iterable[str], path: str, work: Work) -> list[str]:
    """Requires-Dist of metadata at a path of the first of these trees that has it; nothing where it is gone."""
    from email.parser import HeaderParser

    for key in keys:
        tree = work.store.tree(key)
        try:
            text = read_text(f"{tree}/{path}", METADATA_MOST) if tree is not None else ""
        except (OSError, ValueError):
            continue
        if text:
            return [str(v) for v in HeaderParser().parsestr(text).get_all("Requires-Dist") or []]
    return []


def _extras_in(marker: str) -> list[str]:
    """The extras that a marker speaks of."""
    import re

    pairs = re.findall(r"""extra\s*==\s*["']([^"']+)["']|["']([^"']+)["']\s*==\s*extra""", marker)
    return sorted({name for pair in pairs for name in pair if name})


def _roots(of: Subject, known: Mapping[str, Wheel], needs: Mapping[str, tuple[Node, ...]],
           stated: tuple[tuple[str, Node], ...]) -> tuple[tuple[str, Node], ...]:
    """What was asked for directly: (where it is asked, what). From the project's own lines where it has some, else
    what the lock says was requested, else whatever nothing else needs."""
    covered = {node.name for _, node in stated}
    where = of.name or of.plan.digest[:19]
    roots = [*stated, *((where, Node(w.name)) for w in known.values() if w.requested and w.name not in covered)]
    if not roots:
        needed = {node.name for nodes in needs.values() for node in nodes if not node.when}
        roots = [(where, Node(name)) for name in known if name not in needed]
    return tuple(roots)


def _stated(of: Subject, known: Mapping[str, str], work: Work) -> tuple[tuple[str, Node], ...]:
    """The lines of the project that ask for packages that are there, wherever they came from."""
    from bareboat.builder.image import base_of
    from bareboat.errors import BareboatError
    from bareboat.lock import PlatformLock
    from bareboat.resolve.python import stated
    from bareboat.resolve.python.requirements import name_of
    from bareboat.verbs.lock import python_request

    if of.project is None:
        return ()
    plan = of.plan
    locked = PlatformLock(plan.platform, base_of(plan), plan.wheels)
    request = python_request(of.project, locked, work.store.home, work)
    d = request.dependencies
    if d.source == "uv.lock":  # what was locked stands in the project's own file beside it
        request = replace(request, dependencies=replace(d, source="pyproject", files=("pyproject.toml",)))
    try:
        lines = stated.lines(request)
    except BareboatError:
        return ()  # a project whose files have since become unreadable still has its lock
    found = []
    for line in lines:
        name = name_of(line.text)
        if line.kind != "option" and not line.constraint and name in known:
            place = f"{line.file}:{line.number}" if line.number else line.file
            found.append((place, _asked(name, line.text)))
    return tuple(found)


def _asked(name: str, text: str) -> Node:
    """A line as a need; one that is no PEP 508 (a path, an address) has its name alone."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return Node(name)
    return Node(name, tuple(sorted(map(_normal, requirement.extras))), str(requirement.specifier))


def deb_graph(of: Subject, work: Work) -> Graph:
    """What the system packages of an image need of each other, by dpkg's list in the topmost tree that has one."""
    from bareboat.builder.image import bottom_keys
    from bareboat.resolve.debian.relations import parse_relations

    fields: dict[str, dict[str, str]] = {}
    for key in bottom_keys(of.plan):
        tree = work.store.tree(key)
        try:
            text = read_text(f"{tree}/{DPKG}", DATABASE_MOST) if tree is not None else ""
        except (OSError, ValueError):
            continue
        paragraphs = (fields_of(p.split("\n")) for p in text.split("\n\n"))
        fields = {p["package"]: p for p in paragraphs if p.get("package")} or fields
    provided: dict[str, list[str]] = {}
    for name, control in fields.items():
        for group in parse_relations(control.get("provides", "")):
            provided.setdefault(group[0].name, []).append(name)
    needs: dict[str, tuple[Node, ...]] = {}
    for name, control in fields.items():
        nodes = []
        for field in ("pre-depends", "depends"):
            for group in parse_relations(control.get(field, "")):
                chosen = next(((r, n) for r in group for n in (r.name, *provided.get(r.name, ())) if n in fields), None)
                if chosen is not None:
                    relation, target = chosen
                    bound = f" {relation.relation} {relation.version}" if relation.relation else ""
                    nodes.append(Node(target, (), bound if target == relation.name else f" for {relation.name}"))
        needs[name] = tuple(nodes)
    return Graph(_deb_roots(of, fields), needs, {n: f.get("version", "") for n, f in fields.items()})


def _deb_roots(of: Subject, fields: Mapping[str, object]) -> tuple[tuple[str, Node], ...]:
    """The packages of every base, its Python, and what the project's apt list names."""
    from bareboat.resolve.debian.lockbase import SEEDS

    if of.plan.image is not None:
        return ()  # nobody here asked for what others put into their image
    minor = of.plan.interpreter.version
    base = f"base {of.plan.family}:{of.plan.suite}"
    roots = [(f"Python {minor}", Node(name)) for name in (f"python{minor}", "python3-distutils") if name in fields]
    if of.project is not None:
        names = [item.partition("=")[0].strip() for item in of.project.apt]
        roots += [(of.project.apt_source or "apt", Node(name)) for name in names if name in fields]
    return (*roots, *((base, Node(name)) for name in SEEDS if name in fields))


def _unpacked(wheel: Wheel, plan: Plan, work: Work) -> int:
    from bareboat.image.wheel import wheel_tree_key
    from bareboat.verbs.images import room

    return room(work.store.tree(wheel_tree_key(wheel, plan.interpreter)))[0]


def _deb_unpacked(deb: Deb, work: Work) -> int:
    from bareboat.builder.debs import deb_tree_key
    from bareboat.verbs.images import room

    return room(work.store.tree(deb_tree_key(deb.sha256)))[0]


def _wheel_layer(wheel: Wheel, plan: Plan) -> str:
    from bareboat.builder.blobs import wheel_groups

    for group in wheel_groups(plan):
        if wheel in group.wheels:
            return f"bucket {group.bucket}, with {len(group.wheels) - 1} others" if group.bucket >= 0 else \
                "a layer of its own" if len(group.wheels) == 1 else f"a layer with {len(group.wheels) - 1} others"
    return ""


def _deb_layer(deb: Deb, plan: Plan) -> str:
    return "the project's system packages" if deb.extra else f"the base, {plan.family} {plan.suite}"


def _normal(name: str) -> str:
    import re

    return re.sub(r"[-_.]+", "-", name).lower()


def _unknown(package: str, components: Iterable[Component]) -> UsageError:
    from bareboat.project.kinds import nearest

    near = nearest(package, sorted({c.name for c in components}))
    return UsageError("why.unknown", f"{package!r} is not in this environment",
                      hint=f"did you mean {near}?" if near else "see `bareboat sbom` for what is")
