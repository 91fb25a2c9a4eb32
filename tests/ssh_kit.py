"""A gateway over local processes in a process of its own, and OpenSSH's clients against it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bareboat.sessions.ssh import entries, keys
from bareboat.sessions.ssh.gateway import Doors, Gateway
from bareboat.sessions.ssh.local import LocalInside
from bareboat.sessions.ssh.ways import through_port, through_stdio

NAME = "tried"


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


@dataclass
class Gate:
    """A gateway's folder: keys, ssh's configuration, a home for the programs. way: "stdio" or "port"."""

    base: Path
    way: str = "stdio"
    idle: float = 600.0
    agent: bool = False
    host: keys.Pair = field(init=False)
    own: keys.Pair = field(init=False)
    process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        for folder in (self.home, self.base / "empty", self.base / "tmp"):
            folder.mkdir()
        self.host, self.own = keys.make(self.base / "ssh/host"), keys.make(self.base / "ssh/id")
        self.known.write_text(entries.known_host(NAME, self.host.public))
        argv = (sys.executable, __file__, str(self.base), "stdio", *(("agent",) if self.agent else ()))
        entry = entries.Entry(NAME, "user", argv, str(self.own.private), str(self.known), self.agent)
        text = entries.include_file([entry])
        if self.way == "port":
            self.process = subprocess.Popen([sys.executable, __file__, str(self.base), "port", str(self.idle)],
                                            stdout=subprocess.PIPE, text=True, env=self.env)
            assert self.process.stdout is not None
            self.port = int(self.process.stdout.readline())
            text = text.replace("ProxyCommand ", f"HostName 127.0.0.1\n    Port {self.port}\n    # ")
        self.config.write_text(text)

    @property
    def home(self) -> Path:
        return self.base / "home"

    @property
    def known(self) -> Path:
        return self.base / "known_hosts"

    @property
    def config(self) -> Path:
        return self.base / "config"

    @property
    def env(self) -> dict[str, str]:
        """No agent, no home of the tester's."""
        path = os.pathsep.join(p for p in sys.path if p)
        return {"PATH": os.environ["PATH"], "HOME": str(self.base / "empty"), "PYTHONPATH": path}

    @property
    def host_name(self) -> str:
        return f"bareboat-{NAME}"

    def client(self, program: str, *words: str) -> list[str]:
        """A client's argv with our configuration."""
        return [program, "-F", str(self.config), *words]

    def ssh(self, *words: str, options: tuple[str, ...] = (), stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """ssh to its end."""
        return self.run(self.client("ssh", *options, self.host_name, *words), stdin)

    def run(self, argv: list[str], stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        """A program to its end."""
        return subprocess.run(argv, input=stdin, capture_output=True, env={**self.env, **env}, timeout=60)

    def end(self) -> None:
        """As if the container had ended."""
        (self.base / "ended").touch()

    def close(self) -> None:
        self.end()
        if self.process is not None:
            self.process.wait(20)
            assert self.process.stdout is not None
            self.process.stdout.close()


async def _main(base: Path, way: str, *more: str) -> None:
    path = base / "path"
    env = (("TMPDIR", str(base / "tmp")), *((("PATH", path.read_text()),) if path.exists() else ()))
    inside = LocalInside(base / "home", env)
    doors = Doors((keys.make(base / "ssh/id").public,), (base / "ssh/host").read_bytes(), ("user",), more == ("agent",))
    gateway = Gateway(inside, doors)

    async def watch() -> None:
        while not (base / "ended").exists():
            await asyncio.sleep(0.02)
        inside.end()

    watching = asyncio.get_running_loop().create_task(watch())
    if way == "stdio":
        await through_stdio(gateway)
    else:
        server = socket.create_server(("127.0.0.1", 0))
        print(server.getsockname()[1], flush=True)
        await through_port(gateway, server, float(more[0]))
    watching.cancel()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), *sys.argv[2:]))
