"""What is run before the command: the image's own script, then the project's or the one that --startup names.

Each is read by /bin/sh in the program's own process ("."), so what it exports is the program's; one that fails is the
end of the run. A script from outside the project is kept by its content, so that a repetition has what ran.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bareboat.errors import UsageError
from bareboat.project.values import Project, ProjectMount
from bareboat.verbs.collaborators import Work
from bareboat.verbs.prepare import IMAGE_STARTUP as IN_IMAGE
from bareboat.verbs.prepare import STARTUP as OURS

MOST = 1 << 20


def given(text: str, project: Project | None, work: Work) -> tuple[str | None, tuple[ProjectMount, ...]]:
    """The project's startup for a run for which --startup says this, and the mount of a script from elsewhere. "": none
    at all.

    A script of the project is the project's startup, and so in the snapshot of its code. Raises UsageError
    "usage.startup", StoreError.
    """
    if not text:
        return None, ()
    path = Path(os.path.abspath(text))
    try:
        with open(path, "rb") as file:
            content = file.read(MOST + 1)
    except OSError as error:
        raise UsageError("usage.startup", f"cannot be read: {error.strerror}", where=os.fspath(path),
                         hint=f"name a file of this machine; the image's own {IN_IMAGE} is run by itself") from None
    if len(content) > MOST:
        raise UsageError("usage.startup", f"is larger than {MOST >> 20} MiB", where=os.fspath(path),
                         hint="a script is meant")
    if project is not None and path.is_relative_to(project.root):
        return os.fspath(path.relative_to(project.root)), ()
    digest = work.store.put_blob([content])
    blob = work.store.blob(digest)
    assert blob is not None
    return None, (ProjectMount(blob, OURS, True, "startup", os.fspath(path)),)


def before(argv: tuple[str, ...], trees: Sequence[Path], ours: bool) -> tuple[str, ...]:
    """argv behind the scripts that are there. trees: the image's. ours: there is one at OURS."""
    scripts = [IN_IMAGE] if any(os.path.isfile(f"{tree}{IN_IMAGE}") for tree in trees) else []
    scripts += [OURS] if ours else []
    if not scripts:
        return argv
    first = "".join(f". {script}; " for script in scripts[:-1])
    return ("/bin/sh", "-e", "-c", f'{first}. "$0"; set +e; exec "$@"', scripts[-1], *argv)
