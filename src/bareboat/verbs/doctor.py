"""doctor: what the main job needs of this machine, each line ok or what to do."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator

from bareboat.engine.base import Check
from bareboat.engine.choice import OTHERS, obstacle
from bareboat.engine.docker import CommandLine
from bareboat.errors import BareboatError, StoreError
from bareboat.verbs.collaborators import Work
from bareboat.verbs.feeding import Unfed

ROOM_WANTED = 5 * 10**9  # bytes: an environment with a large framework, its wheels and its trees


def checks(work: Work) -> list[Check]:
    """Every check, in the order people should read them. Reads only; the network is asked with short timeouts."""
    found = list(_engines(work))
    for check in CHECKS:
        try:
            found += check(work)
        except BareboatError as e:
            found.append(Check(check.__name__.lstrip("_"), False, e.what, e.hint))
    return found


def _engines(work: Work) -> Iterator[Check]:
    """The engine in force, whose lines are what runs need, and which of the others could be used."""
    from bareboat.values import replace

    docker_like = work.engine.name in OTHERS
    for check in work.engine.checks():
        yield replace(check, fatal=True) if docker_like else check
    yield Check("engine", True, f"{work.engine.name}, by {work.settings.source('engine')}")
    for name in OTHERS:
        if name != work.engine.name:
            yield from CommandLine(name, work.store.home, Unfed()).checks()
    if docker_like and sys.platform.startswith("linux"):
        from bareboat.engine.bubblewrap import Bubblewrap

        wrong = obstacle(Bubblewrap(work.store.home).checks())
        yield Check("bubblewrap", wrong is None, "bareboat's own engine can be used" if wrong is None else wrong.detail,
                    wrong.remedy if wrong else "")


def _store(work: Work) -> Iterator[Check]:
    system = work.store.filesystem()
    note = "; ".join(system.notes)
    shown = f"{work.store.home} on {system.type}" + (f": {note}" if note else "")
    try:
        with work.store.scratch("doctor"):
            pass
    except StoreError as e:
        yield Check("store", False, f"{shown}: {e.what}", e.hint, fatal=True)
        return
    yield Check("store", True, shown)


def _queue(work: Work) -> Iterator[Check]:
    from bareboat.verbs.queued import ledger_of

    with ledger_of(work.store) as ledger:
        if ledger is None:
            return
        try:
            found, counts = ledger.check(), ledger.counts()
        except BareboatError as e:
            yield Check("queue", False, f"{e.where}: {e.what}", e.hint)
            return
        shown = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "empty"
        yield Check("queue", found == "ok", shown if found == "ok" else f"{work.store.queue} is damaged: {found}",
                    "" if found == "ok" else "bareboat queue --rebuild makes it anew")


def _shared(work: Work) -> Iterator[Check]:
    place = work.settings.shared_store_path
    if place is not None:
        trouble = work.store.shared_trouble()
        yield Check("shared store", not trouble, trouble or f"{place}, {work.settings.shared_store_owner}'s",
                    "until it is in order everything goes to your own store; docs/administration.md is for its owner")


def _disk(work: Work) -> Iterator[Check]:
    free = shutil.disk_usage(work.store.home).free
    yield Check("disk", free >= ROOM_WANTED, f"{free / 1e9:.1f} GB free for the store",
                "free some space, run `bareboat gc --older-than 0`, or set BAREBOAT_HOME to a larger disk")


def _uv(work: Work) -> Iterator[Check]:
    from bareboat.resolve.python.uv import uv_version

    yield Check("uv", True, uv_version(), fatal=True)


def _archive(work: Work) -> Iterator[Check]:
    from bareboat.verbs.lock import archive

    for mirror in archive("", work).bases("main")[:1]:
        yield _reached("archive", mirror.rstrip("/") + "/dists/", "debian.mirror",
                       "locked environments whose packages are on this machine still run")


def _index(work: Work) -> Iterator[Check]:
    url = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    if url is None:
        yield _index_by_uv(work)
        return
    yield _reached("index", url, "UV_DEFAULT_INDEX", "locked environments still run")


def _index_by_uv(work: Work) -> Check:
    """Ask uv itself: only it knows its own default index."""
    from bareboat.resolve.python.uv import index_reachable

    ok, detail = index_reachable()
    return Check("index", ok, detail, "check the network and proxy, or set UV_DEFAULT_INDEX to a mirror")


def _reached(name: str, url: str, setting: str, otherwise: str) -> Check:
    from bareboat.resolve.download import reachable

    shown = _without_password(url)
    problem = reachable(url, timeout=5.0)
    return Check(name, not problem, f"{shown} answers" if not problem else f"{shown}: {problem}",
                 f"check network and proxy, or set {setting}; {otherwise}")


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    host = rest.partition("/")[0]
    return f"{scheme}{mark}{rest[rest.index('@') + 1:]}" if "@" in host else url


def _proxy(work: Work) -> Iterator[Check]:
    from bareboat.host.env import ca_bundle

    names = [n for n in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy") if os.environ.get(n)]
    yield Check("proxy", True, f"by {', '.join(names)}" if names else "none set")
    bundle = ca_bundle(os.environ)
    yield Check("CA bundle", bundle is not None, str(bundle) if bundle else "none found",
                "install ca-certificates or set SSL_CERT_FILE")


def _gpu(work: Work) -> Iterator[Check]:
    from bareboat.verbs.gpu_checks import checks

    yield from checks(work)


def _leases(work: Work) -> Iterator[Check]:
    from bareboat.verbs.lease_checks import checks

    yield from checks(work)


CHECKS: tuple[Callable[[Work], Iterator[Check]], ...] = (
    _store, _queue, _shared, _disk, _uv, _archive, _index, _proxy, _gpu, _leases)
