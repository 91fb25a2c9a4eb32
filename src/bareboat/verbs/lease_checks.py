"""doctor's line on leases: where the users of this machine meet, whose that is, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from bareboat.engine.base import Check
from bareboat.errors import LeaseError
from bareboat.lease.flock import FlockLeases
from bareboat.lease.place import place
from bareboat.verbs.collaborators import Work
from bareboat.verbs.lending import user_name

REMEDY = ("the administrator makes it root's: docs/administration.md, \"Leases of GPUs\"; until then every file there "
          "can be removed by its owner")


def checks(work: Work) -> Iterator[Check]:
    """One line; nothing is made."""
    try:
        at = place(work.settings.leases_path)
        try:
            owner = os.stat(at.path).st_uid
        except FileNotFoundError:
            yield Check("leases", True, f"{at.path}, made when it is first needed")
            return
        leases = FlockLeases(at)
        held, pages, problems = leases.holdings(), leases.pages(), leases.problems()
        leases.close()
    except LeaseError as error:
        yield Check("leases", False, f"{error.where}: {error.what}", error.hint)
        return
    shown = f"{at.path}, {user_name(owner)}'s: {len(held)} held, {len({page.uid for page in pages})} users"
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        yield Check("leases", False, f"{shown}; not believed: {'; '.join(problems[:3])}{more}",
                    f"see whose these are: ls -la {at.path}")
    else:
        yield Check("leases", owner in (0, os.geteuid()), shown, REMEDY)
