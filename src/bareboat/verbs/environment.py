"""From a project to the trees its runs start on: lock, plan, assembly, each only when it has to be done."""

from __future__ import annotations

import json
import time

from bareboat import __version__
from bareboat.digests import hasher, sha256
from bareboat.project.values import Project
from bareboat.values import TYPE_CHECKING, Any, dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.lock_mode import LOCK_FILE, PYLOCK_FILE, LockMode

if TYPE_CHECKING:
    from bareboat.image.plan import Plan

ASSEMBLY = 2  # builder/bytecode.FORMAT, whose import a start does without; what others wrote down is made anew


@dataclass(frozen=True)
class Environment:
    """An image that can run here.

    plan: its digest. plan_blob: sha256 of the blob with the whole plan. trees: store keys, bottom to top; bytecode:
    keys of the trees that are stacked on these where they exist. env, workdir, entrypoint, cmd: the image's config.
    locks: file name → sha256 of its text's blob. platform: what it is for.
    """

    plan: str
    plan_blob: str
    trees: tuple[str, ...]
    bytecode: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    workdir: str
    locks: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    platform: str = ""


def environment(project: Project, mode: LockMode, work: Work, platform: str = "") -> Environment:
    """The environment a project describes, as it stands on disk. What is up to date is only looked at. platform: ""
    for this machine's.

    Raises LockError, ResolveError, ArchiveError, StoreError; the project's files are not touched then.
    """
    from bareboat.project import inputs as read_inputs

    inputs = read_inputs(project)
    key = _key(project, inputs, platform)
    if not mode.upgrade and not mode.replace:
        found = known(work, key)
        if found is not None:
            return found
    from bareboat.image.planning import plan_for
    from bareboat.project import lock_inputs
    from bareboat.verbs.lock import host_platform, lock, restore

    if platform and not mode.platforms:
        mode = replace(mode, platforms=(platform,))
    locked = lock(project, lock_inputs(project), mode, work)
    wanted = platform or host_platform()
    here = next((p for p in locked.lock.platforms if p.platform == wanted), locked.lock.platforms[0])
    restore(project, here, work)
    made = assemble(plan_for(project, here), work)
    locks = tuple((name, work.store.put_blob([text.encode()])) for name, text in locked.texts if text)
    made = replace(made, locks=locks)
    remember(work, _key(project, read_inputs(project), platform), made)
    return made


def assemble(plan: Plan, work: Work) -> Environment:
    """The trees of a plan, made where they are missing: fetched, verified, unpacked, checked for conflicts."""
    from bareboat.builder.image import make_trees
    from bareboat.record.codec import encode_bytes
    from bareboat.verbs.lock import sources

    began = time.monotonic()
    made = make_trees(work.store, plan, sources(work), work.tell.progress)
    if made.fetched or made.made:
        fetched = f"fetched {made.fetched} packages, {made.fetched_bytes / 1e6:.0f} MB; " if made.fetched else ""
        work.tell.say(f"{fetched}assembled {made.made} of {len(made.keys)} layers in "
                      f"{time.monotonic() - began:.1f} s")
    blob = work.store.put_blob([encode_bytes(plan)])
    found = Environment(plan.digest, blob, made.keys, made.bytecode, plan.env, plan.workdir,
                        entrypoint=plan.entrypoint, cmd=plan.cmd or (("python",) if plan.interpreter.version else ()),
                        platform=plan.platform)
    if plan.image is not None and not plan.wheels and not plan.generated:
        found = replace(found, entrypoint=plan.image.entrypoint, cmd=plan.image.cmd)
    base = plan.image.reference if plan.image is not None else f"{plan.family}:{plan.suite}"
    about = {"platform": plan.platform, "base": base, "python": plan.interpreter.full,
             "packages": len(plan.wheels)}
    work.store.put_json("plans", plan.digest, {**found.__dict__, **_kept(plan), "assembly": ASSEMBLY, "about": about})
    return found


def _kept(plan: Plan) -> dict[str, object]:
    """What a plan needs besides its trees, in the words of store/references.py."""
    blobs: list[str] = []
    if plan.image is not None:  # kept as they came: what is pushed on must have the digests it was pulled by
        of = (plan.image.manifest, plan.image.config, *(x.digest for x in plan.image.layers))
        blobs += [d.removeprefix("sha256:") for d in of]
    if plan.code is None:
        return {"blobs": blobs} if blobs else {}
    return {"blobs": [*blobs, plan.code.index, *plan.code.packs],
            "pins": [f"tree:{key}" for _, key in plan.code.overlays]}


def known(work: Work, key: str) -> Environment | None:
    """An environment that was made before from exactly these inputs, when all its trees are still there."""
    document = work.store.get_json("projects", key)
    if not isinstance(document, dict) or document.get("assembly") != ASSEMBLY:
        return None
    found = of_document(document)
    store = work.store
    if None not in store.trees(found.trees) and store.blob(found.plan_blob):
        return found
    return None


def remember(work: Work, key: str, made: Environment) -> None:
    """Keep the environment of these inputs, for next time."""
    work.store.put_json("projects", key, {**made.__dict__, "assembly": ASSEMBLY})


def of_document(document: dict[str, Any]) -> Environment:
    """The environment that remember or assemble kept. Bytecode of another format is left out: taken for a twin of
    today's it would stand in the place of its wheel."""
    d = document
    bytecode = d["bytecode"] if d.get("assembly") == ASSEMBLY else ()
    return Environment(d["plan"], d["plan_blob"], tuple(d["trees"]), tuple(bytecode),
                       tuple((n, v) for n, v in d["env"]), d["workdir"], tuple((n, v) for n, v in d["locks"]),
                       tuple(d.get("entrypoint", ())), tuple(d.get("cmd", ())),
                       d.get("platform") or d.get("about", {}).get("platform", ""))


def _key(project: Project, inputs: tuple[tuple[str, str], ...], platform: str) -> str:
    """Everything an environment is a function of: the inputs, the locks as they stand, this version."""
    locks = []
    for name in (LOCK_FILE, PYLOCK_FILE):
        try:
            with open(project.root / name, "rb") as f:
                content = f.read()
            whole = hasher(len(content))
            whole.update(content)
            locks.append(whole.hexdigest())
        except OSError:
            locks.append("")
    import os

    document = [__version__, platform or os.uname().machine, inputs, locks, project.workdir, project.base,
                *project.replace, project.python.specifier, project.package.__dict__ if project.package else None]
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
