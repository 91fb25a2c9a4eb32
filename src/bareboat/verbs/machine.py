"""What there is of this machine to share among runs: asked of it now."""

from __future__ import annotations

import os

from bareboat.queue.policy import Machine
from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from bareboat.verbs.collaborators import Work


def machine_of(work: Work) -> Machine:
    """The GPUs by the names that --gpus has for them, CPUs and memory."""
    from bareboat.host.gpu.values import Inventory
    from bareboat.verbs.grant import machine, specs_of

    here: Inventory = machine(specs_of(work), work)
    units = tuple(str(gpu.index) for gpu in here.gpus)
    return Machine(units, float(os.cpu_count() or 1), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
