"""The engines as fixtures: harness is every one of them, real those with a kernel under them; widest and
wide with a rootless podman too, for what is another there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_kit import ENGINES, REAL, ROOTLESS, Harness, Session


@pytest.fixture(scope="session")
def engines() -> Iterator[Session]:
    # not below pytest's folder: other users must come through, and the peers see /var/tmp
    with tempfile.TemporaryDirectory(prefix="bareboat-engines-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        session = Session(Path(folder))
        yield session
        session.end()


@pytest.fixture(params=ENGINES)
def harness(request: pytest.FixtureRequest, engines: Session, shared: Path) -> Harness:
    return engines.harness(request.param, shared)


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest, engines: Session, shared: Path) -> Harness:
    return engines.harness(request.param, shared)


@pytest.fixture(params=(*ENGINES, ROOTLESS))
def widest(request: pytest.FixtureRequest, engines: Session, shared: Path) -> Harness:
    return engines.harness(request.param, shared)


@pytest.fixture(params=(*REAL, ROOTLESS))
def wide(request: pytest.FixtureRequest, engines: Session, shared: Path) -> Harness:
    return engines.harness(request.param, shared)


@pytest.fixture
def shared(engines: Session) -> Iterator[Path]:
    """A folder of one test that daemons and other users see at the same path."""
    with tempfile.TemporaryDirectory(dir=engines.folder, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
