"""The composition root: settings, store, engine and what commands are told by, put together once per command."""

from __future__ import annotations

import os

from bareboat.settings import Settings, load
from bareboat.store import Store
from bareboat.values import TYPE_CHECKING
from bareboat.verbs.collaborators import Tell, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from bareboat.engine.base import Engine


def settings(**said: object) -> Settings:
    """The settings in force; said: what the command line says, None for what it does not."""
    return load(os.environ).override(**said)


def store() -> Store:
    """The user's store."""
    return open_store(settings())


def work(tell: Tell, **said: object) -> Work:
    """The collaborators of one command; said: settings from the command line, None for what it does not say."""
    chosen = settings(**said)
    for note in chosen.notes:
        tell.say(note)
    at = open_store(chosen)
    made = Work(at, engine(chosen, lambda: made), chosen, tell)
    return made


def open_store(chosen: Settings) -> Store:
    """The store of these settings."""
    return Store.open(chosen.home, (chosen.layer_size, chosen.layer_entries, chosen.layer_ratio))


def engine(chosen: Settings, work: Callable[[], Work] | None = None) -> Engine:
    """The engine that the settings name. work: who feeds images to one that has a store of its own."""
    from bareboat.engine.bubblewrap import Bubblewrap

    own = Bubblewrap(chosen.home)
    if chosen.engine == own.name:
        return own
    from bareboat.engine.docker import CommandLine
    from bareboat.verbs.feeding import Fed, Unfed

    return CommandLine(chosen.engine, chosen.home, Unfed() if work is None else Fed(work), own)
