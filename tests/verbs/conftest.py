from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.resolve.python.conftest import Index
from tests.world_kit import World


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    (tmp_path / "index").mkdir()
    made = Index(tmp_path / "index")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def world(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "PIP_FIND_LINKS", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("bareboat.verbs.run.after", lambda made, work: None)  # no process outlives a test
    made = World(tmp_path, index)
    monkeypatch.chdir(made.root)
    made.publish("alpha", "1.0")
    made.publish("beta", "2.0", "alpha")
    return made
