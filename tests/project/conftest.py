"""A folder made from a mapping of names to texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """make({"src/run.py": "…", "data/": ""}) → the folder; a name that ends with / is a directory."""

    def folder(files: dict[str, str | bytes] | None = None, name: str = "digits") -> Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for path, content in (files or {}).items():
            target = root / path
            if path.endswith("/"):
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return folder
