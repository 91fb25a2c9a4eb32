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
CACHES = {"uv": "/root/.cache/uv", "pip": "/root/.cache/pip"}
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


class _Socket(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=1800)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


@dataclass(frozen=True)
class Docker:
    """program: the docker command; socket: the daemon's; config: its folder, with the plugin buildx."""

    program: Path
    socket: Path
    config: Path

    def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """One request to the daemon, on a connection of its own as a command line would make it."""
        connection = _Socket(str(self.socket))
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        try:
            return answer.status, answer.read()
        finally:
            connection.close()

    def run(self, image: str, argv: list[str], network: str = "host") -> None:
        """create, start, wait, remove: what `docker run --rm` does, without the command line's own start."""
        status, answer = self.call("POST", "/containers/create",
                                   {"Image": image, "Cmd": argv, "HostConfig": {"NetworkMode": network}})
        if status != 201:
            raise RuntimeError(answer.decode())
        name = json.loads(answer)["Id"]
        status, answer = self.call("POST", f"/containers/{name}/start")
        if status != 204:
            raise RuntimeError(answer.decode())
        code = json.loads(self.call("POST", f"/containers/{name}/wait")[1])["StatusCode"]
        self.call("DELETE", f"/containers/{name}?force=1")
        if code:
            raise RuntimeError(f"{argv} ended with {code} in {image}")

    def cli(self, *words: str) -> str:
        """The docker command line; its standard output. Raises with what it said when it fails."""
        env = {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self.config)}
        done = subprocess.run([self.program, *words], capture_output=True, check=False, env=env,
                              stdin=subprocess.DEVNULL)
        if done.returncode:
            raise RuntimeError(f"docker {' '.join(words)}: {done.stderr.decode()[-2000:]}")
        return done.stdout.decode()

    def build(self, context: Path, tag: str) -> None:
        """docker buildx build with the host's network, loaded into the daemon."""
        self.cli("buildx", "build", "--network", "host", "--load", "-q", "-t", tag, str(context))

    def forget_layers(self, *tags: str) -> None:
        """Built images and their layers; the caches that builds mount stay."""
        for tag in tags:
            self.call("DELETE", f"/images/{tag}?force=1")
        self.cli("builder", "prune", "-af", "--filter", "type=regular")

    def forget_everything(self, *tags: str) -> None:
        """Built images and all that BuildKit keeps, mounted caches included."""
        for tag in tags:
            self.call("DELETE", f"/images/{tag}?force=1")
        self.cli("builder", "prune", "-af")

    def import_base(self, tree: Path, uv: Path, scratch: Path) -> None:
        """The same base that bareboat runs on, with uv in it, as an image; and on it one with an environment."""
        archive = scratch / "base.tar"
        host = Path("/") / CERTIFICATES
        with tarfile.open(archive, "w") as tar:
            tar.add(tree, ".", filter=lambda m: None if host.exists() and m.name == f"./{CERTIFICATES}" else m)
            tar.add(uv, "./usr/local/bin/uv")
            if host.exists():
                tar.add(host.resolve(), f"./{CERTIFICATES}")
        self.cli("import", "-c", "ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin", "-c",
                 f"ENV SSL_CERT_FILE=/{CERTIFICATES}", str(archive), BASE)
        archive.unlink()


def connect(peers: Path, work: Path) -> Docker:
    """The daemon that peers-up started in a folder."""
    plugins = work / "docker/cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    (plugins / "docker-buildx").unlink(missing_ok=True)
    (plugins / "docker-buildx").symlink_to(peers / "root/usr/libexec/docker/cli-plugins/docker-buildx")
    return Docker(peers / "root/usr/bin/docker", peers / "docker.sock", work / "docker")


def prepared(docker: Docker, python: str, installer: str, work: Path) -> str:
    """An image with an empty environment: what precedes the line that users change, already there."""
    seed = "" if installer == "uv" else " --seed"
    tag = f"{BASE}-{installer}"
    docker.build(_context(work / f"base-{installer}",
                          f"FROM {BASE}\nRUN uv venv -q{seed} --python /usr/bin/python{python} /opt/venv\n"), tag)
    return tag


def context(folder: Path, installer: str, requirements: str) -> Path:
    """The Dockerfile that users write, by uv or by pip with a cache mount, and its requirements.txt."""
    _context(folder, f"FROM {BASE}-{installer}\nCOPY requirements.txt .\n{_install(installer, '-r requirements.txt')}")
    (folder / "requirements.txt").write_text(requirements)
    return folder


def warmer(folder: Path, installer: str, package: str) -> Path:
    """A build that only brings a package into the cache that builds mount."""
    return _context(folder, f"FROM {BASE}-{installer}\n{_install(installer, f'--target /tmp/x {package}')}")


def _install(installer: str, what: str) -> str:
    command = "UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv uv pip" if installer == "uv" else "pip"
    return f"RUN --mount=type=cache,target={CACHES[installer]} {command} install -q {what}\n"


def _context(folder: Path, dockerfile: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    return folder
