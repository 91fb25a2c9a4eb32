"""What verbs about an image are asked of: an image by name, or a project as it stands; its plan, its trees made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.values import dataclass
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment, environment
from bareboat.verbs.lock_mode import LockMode

if TYPE_CHECKING:
    from bareboat.image.plan import Plan
    from bareboat.project.values import Project


@dataclass(frozen=True)
class Subject:
    """name: the image's, or the project's; project: None for an image by name."""

    name: str
    plan: Plan
    made: Environment
    project: Project | None = None


def subject(image: str | None, folder: Path | None, work: Work, *, locked: bool = False) -> Subject:
    """The image of this name, else that of the project in the folder (None: this one), locked and assembled.

    Raises UsageError "image.unknown", and what locking and assembling raise.
    """
    from bareboat.verbs.images import find, plan_of, required

    if image is not None:
        required(image, work)
        made = find(image, work)
        assert made is not None
        return Subject(image if image in work.store.tags() else "", plan_of(made.plan_blob, work), made)
    from bareboat.project import find_root, load

    project = load(folder or find_root(Path.cwd()))
    made = environment(project, LockMode(locked), work)
    return Subject(project.name, plan_of(made.plan_blob, work), made, project)
