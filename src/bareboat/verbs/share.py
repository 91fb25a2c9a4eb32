"""share: a store that others may read, and what is left to do so that they do."""

from __future__ import annotations

import os
import pwd

from bareboat.verbs.collaborators import Work


def share(work: Work, *, stop: bool = False) -> None:
    """Open the store to the other users of this machine, for reading; stop: close it. Idempotent. Raises StoreError."""
    store = work.store
    if stop:
        store.recall()
        work.tell.say(f"{store.home} is closed to others again")
        return
    store.settle()  # what others see is to be there tomorrow, too
    count = store.lend()
    try:
        owner = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        owner = str(os.geteuid())
    said = f'path = "{store.home}"' + ("" if os.geteuid() == 0 else f', owner = "{owner}"')
    work.tell.say(f"{count} trees of {store.home} can be read by every user, and so will be what is added; others use "
                  f"it when /etc/bareboat/settings.toml or their own settings say: shared-store = {{ {said} }}")
