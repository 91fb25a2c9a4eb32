"""Local images: names, plans, and where the size goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import UsageError
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment, of_document

if TYPE_CHECKING:
    from bareboat.image.plan import Plan

SHORTEST = 4  # digits of a plan digest that may stand for it


@dataclass(frozen=True)
class Image:
    """A local image. trees: how many layers; here: every one of them is on disk."""

    plan: str
    names: tuple[str, ...]
    platform: str
    base: str
    python: str
    packages: int
    trees: int
    here: bool


@dataclass(frozen=True)
class Layer:
    """A layer of an image: its tree's key, what is in it, and bytes and files on disk (0 when not unpacked)."""

    key: str
    what: str
    bytes: int
    files: int


def images(work: Work) -> list[Image]:
    """Every image of the store: named ones first, by name, then by digest."""
    names: dict[str, list[str]] = {}
    for name, plan in work.store.tags().items():
        for digest in dict.fromkeys((plan, *(p for _, p in work.store.platforms(name)))):
            names.setdefault(digest, []).append(name)
    found = []
    for name, plan in work.store.shared_images().items():
        if name not in work.store.tags() and work.store.borrow_plan(plan):
            names.setdefault(plan, []).append(name)
    for plan in work.store.keys("plans"):
        document = work.store.get_json("plans", plan)
        if not isinstance(document, dict):
            continue
        about = document.get("about") or {}
        trees = document["trees"]
        found.append(Image(plan, tuple(sorted(names.get(plan, ()))), about.get("platform", ""), about.get("base", ""),
                           about.get("python", ""), about.get("packages", 0), len(trees),
                           all(work.store.tree(k) for k in trees)))
    return sorted(found, key=lambda i: (not i.names, i.names, i.plan))


def tag_of(name: str, work: Work) -> str:
    """The name in the store that a word means; "" when it is none."""
    tags = work.store.tags()
    return next((n for n in (name, f"{name}:latest", _usual(name)) if n in tags), "")


def plans_of(name: str, work: Work) -> tuple[str, ...]:
    """The plan digests of a name, one a platform, this machine's first; or of the beginning of a digest. Raises
    UsageError "image.unknown".
    """
    digest, tag = required(name, work), tag_of(name, work)
    others = [plan for _, plan in work.store.platforms(tag)] if tag else []
    return tuple(dict.fromkeys((digest, *others)))


def name_image(name: str, image: str, work: Work) -> None:
    """Give an image one more name, with all its platforms. Raises UsageError "image.unknown"."""
    digest, tag = required(image, work), tag_of(image, work)
    work.store.tag(name, digest, work.store.platforms(tag) if tag else ())


def digest_of(name: str, work: Work, platform: str = "") -> str | None:
    """The plan digest of a name, or of the beginning of a digest; platform: which of several. Raises UsageError when
    that is not one image's, "image.platform" when there is none for it.
    """
    tag = tag_of(name, work)
    if tag:
        digest = work.store.tags()[tag]
        return _for(platform, digest, work.store.platforms(tag), work, name) if platform else digest
    shared = work.store.shared_images()
    for word in (name, f"{name}:latest", _usual(name)) if shared else ():
        if word in shared and work.store.borrow_plan(shared[word]):
            return _for(platform, shared[word], (), work, name) if platform else shared[word]
    start = name.removeprefix("sha256:")
    if len(start) < SHORTEST or any(c not in "0123456789abcdef" for c in start):
        return None
    found = [p for p in work.store.keys("plans") if p.removeprefix("sha256:").startswith(start)]
    if len(found) > 1:
        raise UsageError("image.ambiguous", f"{len(found)} images begin with {name}", hint="write more of the digest")
    return found[0] if found else None


def _for(platform: str, digest: str, rows: tuple[tuple[str, str], ...], work: Work, name: str) -> str:
    from bareboat.image.platforms import same_machine

    document = work.store.get_json("plans", digest)
    about = document.get("about") if isinstance(document, dict) else None
    known = dict(rows) or {str((about or {}).get("platform", "")): digest}
    found = known.get(platform) or next((d for p, d in known.items() if same_machine(p, platform)), None)
    if found is None:
        raise UsageError("image.platform", f"{name} is not here for {platform}", hint=f"it is here for: "
                         f"{', '.join(known)}; bareboat pull --platform {platform}, or build --platform, brings more")
    return found


def _usual(name: str) -> str:
    """The name as `pull` enters it: docker.io/library/python is python:latest."""
    from bareboat.image.reference import parse_reference

    try:
        return parse_reference(name.removeprefix("docker://")).short
    except UsageError:
        return ""


def required(name: str, work: Work) -> str:
    """As digest_of. Raises UsageError "image.unknown"."""
    found = digest_of(name, work)
    if found is None:
        raise UsageError("image.unknown", f"there is no image {name!r} here", hint="see `bareboat images`")
    return found


def find(name: str, work: Work, platform: str = "") -> Environment | None:
    """The environment of an image, its trees made again where gc took them; None when there is no such image."""
    digest = digest_of(name, work, platform)
    document = work.store.get_json("plans", digest) if digest else None
    if not isinstance(document, dict):
        return None
    found = of_document(document)
    if all(work.store.tree(k) for k in found.trees):
        return found
    from bareboat.verbs.environment import assemble

    return assemble(plan_of(found.plan_blob, work), work)


def stored_plan(digest: str, work: Work) -> Plan:
    """The plan of an image of the store by its digest. Raises UsageError "image.damaged"."""
    document = work.store.get_json("plans", digest)
    return plan_of(document["plan_blob"] if isinstance(document, dict) else "", work)


def plan_of(blob: str, work: Work) -> Plan:
    """The plan of a blob that assemble kept. Raises UsageError "image.damaged"."""
    from bareboat.image.plan import Plan
    from bareboat.record.codec import decode_bytes

    path = work.store.verified_blob(blob) if blob else None
    if path is None:
        raise UsageError("image.damaged", "the plan of this image is not in the store any more",
                         hint="build it again from its project")
    return decode_bytes(Plan, path.read_bytes(), "plan")


def inspect(name: str, work: Work) -> tuple[Plan, list[Layer]]:
    """The plan of an image and its layers, bottom to top, with the room each takes."""
    from bareboat.image.wheel import wheel_tree_key

    document = work.store.get_json("plans", required(name, work))
    assert isinstance(document, dict)
    plan = plan_of(document["plan_blob"], work)
    wheels = {wheel_tree_key(w, plan.interpreter): f"{w.name} {w.version}" for w in plan.wheels}
    core = sum(not d.extra for d in plan.debs)
    layers = []
    for key in [*document["trees"], *document["bytecode"]]:
        what = wheels.get(key, "")
        if not what:
            what = {"base": f"{plan.family} {plan.suite}, {core} packages", "gen": "generated files",
                    "image": plan.base, "cpython": f"CPython {plan.interpreter.full}",
                    "pyc": "bytecode"}.get(key.split("-")[0], key)
            if key.startswith("image-code-"):
                what = "code"
            if key.startswith("base-extra-"):
                what = f"{len(plan.debs) - core} more system packages"
        tree = work.store.tree(key)
        if tree is not None or not key.startswith("pyc"):
            layers.append(Layer(key, what, *room(tree, ".pyc" if key.startswith("pyc") else "")))
    return plan, layers


def room(tree: Path | None, suffix: str = "") -> tuple[int, int]:
    """Bytes and files of a tree, of those with a suffix; hard links within it once. A wheel's bytecode has the wheel
    beside it, which is counted as the wheel's.
    """
    import os

    size = files = 0
    seen: set[int] = set()
    for folder, _, names in os.walk(tree or Path("/nonexistent")):
        for name in names:
            if not name.endswith(suffix):
                continue
            s = os.lstat(f"{folder}/{name}")
            files += 1
            if s.st_ino not in seen:
                seen.add(s.st_ino)
                size += s.st_size
    return size, files


def remove(name: str, work: Work) -> str:
    """Take a name away, or an image by digest with all its names; what only it used goes with the next gc. Raises
    UsageError "image.shared", "image.unknown".
    """
    if name in work.store.tags():
        work.store.untag(name)
        return f"untagged {name}"
    if name in work.store.shared_images():
        raise UsageError("image.shared", f"{name!r} is an image of the shared store, which is its owner's",
                         hint="its owner takes it away")
    digest = required(name, work)
    for tag, plan in work.store.tags().items():
        rows = tuple((p, d) for p, d in work.store.platforms(tag) if d != digest)
        if plan == digest and not rows:
            work.store.untag(tag)
        elif plan == digest or len(rows) < len(work.store.platforms(tag)):  # the name keeps its other platforms
            work.store.tag(tag, rows[0][1] if plan == digest else plan, rows if len(rows) > 1 else ())
    work.store.remove_json("plans", digest)
    for key in work.store.keys("projects"):
        document = work.store.get_json("projects", key)
        if isinstance(document, dict) and document.get("plan") == digest:
            work.store.remove_json("projects", key)
    return f"removed {digest[:19]}"
