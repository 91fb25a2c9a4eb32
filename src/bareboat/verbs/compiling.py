"""Bytecode for an image that is shipped, by the image's own Python, or by one of the same version that runs here."""

from __future__ import annotations

from bareboat.errors import BareboatError
from bareboat.image.plan import Plan
from bareboat.verbs.collaborators import Work


def compile_for(plan: Plan, work: Work) -> None:
    """Compile what the plan lacks. Its trees must be in the store. Idempotent.

    Where nothing here can, that is said: the image is slower to import then, and has another manifest digest.
    """
    from bareboat.builder.bytecode import compile_missing, missing
    from bareboat.verbs.lock import host_platform

    if not missing(work.store, plan):
        return
    why = "not all of it could be compiled"
    try:
        if plan.platform == host_platform():
            compile_missing(work.store, work.engine, plan)
        else:
            why = f"there is no Python {plan.interpreter.full} for {host_platform()} here to compile it"
            native = _native(plan, work)
            if native:
                compile_missing(work.store, work.engine, plan, native=native)
    except BareboatError as error:
        why = error.what
    if missing(work.store, plan):
        work.tell.say(f"the image for {plan.platform} goes without some of its bytecode: {why}")


def _native(plan: Plan, work: Work) -> tuple[str, ...]:
    """Keys of the trees of a base that runs here and has the very same Python; () when none is in the store.

    Bytecode does not depend on the architecture (trap 25). The suite is the same too: distributions patch Python.
    """
    from bareboat.builder.image import bottom_keys
    from bareboat.verbs.images import plan_of
    from bareboat.verbs.lock import host_platform

    for digest in work.store.keys("plans"):
        document = work.store.get_json("plans", digest)
        about = document.get("about") if isinstance(document, dict) else None
        if not isinstance(about, dict) or about.get("platform") != host_platform() \
                or about.get("python") != plan.interpreter.full:
            continue
        assert isinstance(document, dict)
        other = plan_of(document["plan_blob"], work)
        same = (other.interpreter == plan.interpreter and other.image is None and plan.image is None
                and (other.family, other.suite) == (plan.family, plan.suite)
                and _version(other) == _version(plan))
        if same and None not in work.store.trees(bottom_keys(other)):
            return bottom_keys(other)
    return ()


def _version(plan: Plan) -> str:
    """The exact build of the interpreter: its package's version, or the relocatable one's."""
    if plan.cpython is not None:
        return plan.cpython.version
    name = f"python{plan.interpreter.version}-minimal"
    return next((d.version for d in plan.debs if d.name == name), "")
