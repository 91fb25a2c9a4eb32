"""The checks that need the disk, made right before a run: what is to be mounted is there, and fit for it."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.errors import ProjectError
from bareboat.project.folder import unreadable
from bareboat.project.values import Project, ProjectMount
from bareboat.project.volumes import NOWHERE, stacked


def check(project: Project, extra: tuple[ProjectMount, ...] = ()) -> None:
    """Make the results directory where it is missing, and refuse what cannot be mounted.

    extra: mounts of the command line. Idempotent. Raises ProjectError: "project.missing-code",
    "project.missing-data", "project.missing-mount", "project.results-file", "project.results-link",
    "project.results-unwritable", "project.mount-point", "project.mount-clash", "project.none".
    """
    try:
        _check(project, extra)
    except OSError as wrong:
        raise unreadable(wrong, project.root) from None


def _check(project: Project, extra: tuple[ProjectMount, ...]) -> None:
    _is_meant(project)
    mounts = stacked([*project.mounts, *extra], project.file or str(project.root))
    for mount in mounts:
        if mount.kind == "results":
            _results(project, mount)
        elif mount.source != NOWHERE:
            _present(project, mount)
    for mount in mounts:
        _mount_point(project, mount, mounts)


def _is_meant(project: Project) -> None:
    """Refuse a whole home or disk that nothing describes as a project: all of it would be recorded as code."""
    if project.file or project.dependencies.source != "none" or project.apt:
        return
    homes = {"/", os.path.realpath(os.environ.get("HOME") or "/")}
    if os.path.realpath(project.root) in homes and any(m.kind == "code" and m.source == project.root
                                                       for m in project.mounts):
        raise ProjectError("project.none", "nothing here describes a project", where=str(project.root),
                           hint="Change to the project's folder, name it with --project DIR, or run `bareboat init`.")


def _where(project: Project, mount: ProjectMount) -> str:
    return (
        f"{project.file}: {'mounts' if mount.kind == 'mount' else mount.kind}"
        if project.file
        else str(project.root)
    )


def _present(project: Project, mount: ProjectMount) -> None:
    where = _where(project, mount)
    if not mount.source.exists():
        dangling = " (a link to nothing)" if mount.source.is_symlink() else ""
        raise ProjectError(
            f"project.missing-{mount.kind}",
            f"{mount.source} does not exist{dangling}",
            where=where,
            hint="Create it, or correct the path.",
        )
    if mount.kind in ("code", "data") and not mount.source.is_dir():
        raise ProjectError(
            f"project.missing-{mount.kind}",
            f"{mount.source} is not a directory",
            where=where,
            hint=f"Name the directory that holds the {mount.kind}; single files go into mounts.",
        )
    needed = os.R_OK | os.X_OK if mount.source.is_dir() else os.R_OK
    if not os.access(mount.source, needed):
        raise ProjectError("project.unreadable", f"{mount.source} cannot be read by this user", where=where)


def _results(project: Project, mount: ProjectMount) -> None:
    source, where = mount.source, _where(project, mount)
    inside = source.is_relative_to(project.root)
    resolved = Path(os.path.realpath(source))
    if inside and not resolved.is_relative_to(os.path.realpath(project.root)):
        raise ProjectError(
            "project.results-link",
            f"{source} is a link out of the project, to {resolved}",
            where=where,
            hint=f'Name the directory itself if it is meant: results = "{resolved}", '
            "or --results for one run.",
        )
    try:
        source.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ProjectError(
            "project.results-file",
            f"{source} is not a directory",
            where=where,
            hint="Move it away: results are kept in a directory of this name.",
        ) from None
    except OSError as wrong:
        raise ProjectError(
            "project.results-unwritable",
            f"{source} cannot be made: {wrong.strerror}",
            where=where,
            hint="Choose another with --results DIR.",
        ) from None
    if not os.access(source, os.W_OK | os.X_OK):
        raise ProjectError(
            "project.results-unwritable",
            f"{source} cannot be written to by this user",
            where=where,
            hint="Change its mode, or choose another with --results DIR.",
        )


def _mount_point(project: Project, mount: ProjectMount, mounts: tuple[ProjectMount, ...]) -> None:
    """A target inside another mount must exist in that one's source: read-only, or not ours to add to."""
    above = [other for other in mounts if mount.target.startswith(other.target + "/")]
    if not above:
        return
    parent = max(above, key=lambda other: len(other.target))
    if parent.source == NOWHERE:
        return  # a volume or a tmpfs: ours to make a directory in
    directory = mount.source == NOWHERE or mount.source.is_dir()
    point = parent.source / mount.target[len(parent.target) + 1 :]
    if mount.kind == "results" and parent.kind == "code" and point == project.root / "results":
        point.mkdir(
            exist_ok=True
        )  # --results elsewhere: the project keeps the name, so that relative paths work
    if not point.exists() or point.is_dir() != directory:
        kind = "directory" if directory else "file"
        raise ProjectError(
            "project.mount-point",
            f"{mount.target} is inside {parent.target} ({parent.source}), which "
            f"has no {kind} there to mount on",
            where=_where(project, mount),
            hint=f"Create {point}, or choose a target elsewhere.",
        )
