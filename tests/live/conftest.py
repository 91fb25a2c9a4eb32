from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that the kits beside this one are importable

from tests import sandbox_kit
from tests.notebook_kit import Place


@pytest.fixture(scope="session")
def notebook_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A project whose store has JupyterLab: fetched once for all that needs it."""
    sandbox_kit.need_sandbox()
    made = Place(tmp_path_factory.mktemp("notebook"))
    done = made("lock")
    if done.returncode and any(c in done.stderr for c in ("network", "unreachable")) and not os.environ.get("CI"):
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return made
