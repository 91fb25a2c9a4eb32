"""The composition root: settings, store, engine and what commands are told by, put together once per command."""

from __future__ import annotations

import os

from bareboat.settings import Settings, load
from bareboat.store import Store
from bareboat.values import TYPE_CHECKING
from bareboat.verbs.collaborators import Tell, Work

if TYPE_CHECKING:
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
    return Work(open_store(chosen), engine(chosen), chosen, tell)


def open_store(chosen: Settings) -> Store:
    """The store of these settings."""
    return Store.open(chosen.home, (chosen.layer_size, chosen.layer_entries, chosen.layer_ratio))


def engine(chosen: Settings) -> Engine:
    """The engine that the settings name."""
    from bareboat.engine.bubblewrap import Bubblewrap

    return Bubblewrap(chosen.home)
