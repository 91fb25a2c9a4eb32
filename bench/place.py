"""What all figures share: bareboat, Docker, folders, and one store with both environments in it, made when asked."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.environments import PYTHON, Environment
from bench.peer import BASE, Docker, prepared
from bench.subject import Subject, copy, make_project, remove


@dataclass(frozen=True)
class Place:
    """work: scratch space on a disk. docker: None where only figures without it are taken. rounds: pairs of the long
    figures; short ones take more.
    """

    work: Path
    subject: Subject
    docker: Docker
    rounds: int = 5
    pairs: int = 21
    starts: int = 31

    def bare(self) -> Path:
        """The project without packages: its lock has the base, and its store nothing else."""
        folder = self.work / "bare/project"
        if not folder.exists():
            subject = self.bare_subject()
            make_project(folder, "")
            subject.run(folder, "true")
            subject.settled(folder)
        return folder

    def bare_subject(self) -> Subject:
        return self.subject.at(self.work / "bare/home")

    def project(self, environment: Environment) -> Path:
        """The project of an environment, locked, assembled and settled in the common store."""
        folder = self.work / environment.name
        if not folder.exists():
            bare = self.bare()
            if not self.subject.home.exists():
                copy(self.bare_subject().home, self.subject.home)
            copy(bare, folder)
            make_project(folder, environment.text())
            self.subject.run(folder, "true")
            self.subject.settled(folder)
        return folder

    def base(self) -> None:
        """Docker's images with the same base."""
        bare = self.bare()
        if BASE not in self.docker.cli("images", "--format", "{{.Repository}}").split():
            tree = next(t for t in self.bare_subject().trees(bare) if t.parent.name.startswith("base-"))
            self.docker.import_base(tree, self.subject.uv, self.work)
        for installer in ("uv", "pip"):
            prepared(self.docker, PYTHON, installer, self.work)

    def plain(self, environment: Environment) -> Path:
        """The same base as a plain directory, with a plain virtual environment of the same wheels by uv."""
        project = self.project(environment)
        root = self.work / f"plain-{environment.name}"
        if not (root / "made").exists():
            remove(root)
            tree = next(t for t in self.subject.trees(project) if t.parent.name.startswith("base-"))
            copy(tree, root)
            subprocess.run(["chmod", "-R", "u+w", root], check=True)
            inside = self.bwrap(root, "--ro-bind", self.subject.uv, "/usr/local/bin/uv", "--bind", self.subject.cache,
                                "/cache", "--ro-bind", project / "pylock.toml", "/tmp/pylock.toml",
                                "--setenv", "UV_CACHE_DIR", "/cache")
            for words in (["venv", "-q", "--python", f"/usr/bin/python{PYTHON}", "/opt/venv"],
                          ["pip", "install", "-q", "--compile-bytecode", "--link-mode", "copy", "--preview",
                           "--python", "/opt/venv/bin/python", "-r", "/tmp/pylock.toml"]):
                subprocess.run([*inside, "uv", *words], check=True, env=self.subject.env)
            (root / "made").touch()
        return root

    def bwrap(self, root: Path, *words: str | Path) -> list[str]:
        """bubblewrap on a plain root, with nothing of ours."""
        return [str(w) for w in (
            self.subject.bwrap, "--bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
            "--ro-bind", "/etc/resolv.conf", "/etc/resolv.conf", "--ro-bind", "/etc/ssl/certs/ca-certificates.crt",
            "/etc/ssl/certs/ca-certificates.crt", "--ro-bind", "/sys", "/sys",
            "--setenv", "PATH", "/opt/venv/bin:/usr/local/bin:/usr/bin:/bin", *words)]
