"""The peer: Docker with BuildKit, by its own command line for builds and by its socket for short things."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

BASE = "bench-base"


class _Socket(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=600)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


@dataclass(frozen=True)
class Docker:
    """program: the docker command; socket: the daemon's."""

    program: str
    socket: str

    def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """One request to the daemon, on a connection of its own as a command line would make it."""
        connection = _Socket(self.socket)
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def run(self, image: str, argv: list[str], network: str = "host") -> int:
        """create, start, wait, remove: what `docker run --rm` does, without the command line's own start."""
        status, answer = self.call("POST", "/containers/create",
                                   {"Image": image, "Cmd": argv, "HostConfig": {"NetworkMode": network}})
        if status != 201:
            raise RuntimeError(answer.decode())
        name = json.loads(answer)["Id"]
        self.call("POST", f"/containers/{name}/start")
        code = json.loads(self.call("POST", f"/containers/{name}/wait")[1])["StatusCode"]
        self.call("DELETE", f"/containers/{name}?force=1")
        return int(code)

    def cli(self, *words: str, **more: object) -> subprocess.CompletedProcess[bytes]:
        """The docker command line; raises with what it said when it fails."""
        done = subprocess.run([self.program, *words], capture_output=True, check=False,
                              env={**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "1"})
        if done.returncode:
            raise RuntimeError(f"docker {' '.join(words)}: {done.stderr.decode()[-2000:]}")
        return done

    def build(self, context: Path, tag: str) -> None:
        """docker buildx build with the host's network, loaded into the daemon."""
        self.cli("buildx", "build", "--network", "host", "--load", "-q", "-t", tag, str(context))

    def forget_build_cache(self) -> None:
        """Everything that BuildKit keeps, cache mounts included."""
        self.cli("builder", "prune", "-af")

    def import_base(self, trees: list[Path], uv: Path, ca_bundle: Path, scratch: Path) -> None:
        """The same base that bareboat runs on, with uv in it, as an image."""
        archive = scratch / "base.tar"
        with tarfile.open(archive, "w") as tar:
            for tree in trees:
                tar.add(tree, ".")
            tar.add(uv, "usr/local/bin/uv")
            tar.add(ca_bundle, "etc/ssl/certs/ca-certificates.crt")
        self.cli("import", "-c", "ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin", "-c",
                 "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", str(archive), BASE)
        archive.unlink()


def dockerfile(python: str, installer: str) -> str:
    """The line that users write, by uv or by pip, each with a cache mount."""
    if installer == "uv":
        return (f"FROM {BASE}\nRUN uv venv -q --python /usr/bin/python{python} /opt/venv\n"
                "COPY requirements.txt .\n"
                "RUN --mount=type=cache,target=/root/.cache/uv UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv "
                "uv pip install -q -r requirements.txt\n")
    return (f"FROM {BASE}\nRUN uv venv -q --seed --python /usr/bin/python{python} /opt/venv\n"
            "COPY requirements.txt .\n"
            "RUN --mount=type=cache,target=/root/.cache/pip pip install -q -r requirements.txt\n")
