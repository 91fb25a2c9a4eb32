"""Where build backends run: an image of the base, a toolchain where one is needed, and the build
requirements, in the sandbox without network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import ResolveError
from bareboat.image.plan import Plan, interpreter_of
from bareboat.lock import Base, Wheel
from bareboat.store import Store
from bareboat.workload import Mount, Rootfs, Workload

if TYPE_CHECKING:
    from bareboat.builder.image import Sources
    from bareboat.engine.base import Engine
    from bareboat.resolve.python.building import BuildSpec, Errand

Progress = Callable[[str, int, int], None]
_HOME = "/bareboat"  # where source, driver and answer are inside
_LOG = 64 * 1024  # bytes of a backend's output that are kept


@dataclass
class SandboxRoom:
    """A BuildRoom (resolve.python.building) of this machine's store and engine, for one locked base.

    For another architecture than this machine's it is emulated, or EngineError "engine.platform". progress: what is
    being built, then as everywhere.
    """

    store: Store
    engine: Engine
    base: Base
    platform: str
    sources: Sources
    progress: Progress = lambda what, done, total: None
    env: Mapping[str, str] | None = None  # proxies and CA bundle for downloads; None: the process's own
    _bases: dict[tuple[str, ...], Base] = field(default_factory=dict)

    def run(self, spec: BuildSpec) -> str:
        """Run the driver to its end; the image it runs in is made first."""
        self.progress(f"building {spec.name}", 0, 0)
        python = interpreter_of(self.base)
        tools = ("gcc", "g++", "make", "pkg-config", "libc6-dev", f"libpython{self.base.python}-dev")
        driver = Path(__file__).parent.parent / "resolve" / "python" / "pep517_inside.py"
        source = f"{_HOME}/{'source' if spec.source.is_dir() else spec.source.name}"
        argv = (
            f"{python.prefix}/bin/python",
            f"{_HOME}/driver.py",
            source,
            spec.subdirectory,
            "/tmp/build",
            f"{_HOME}/out",
            spec.want,
        )
        mounts = (
            Mount(spec.source, source, read_only=True),
            Mount(driver, f"{_HOME}/driver.py", read_only=True),
            Mount(spec.out, f"{_HOME}/out"),
        )
        return self._start(
            self._plan(tools if spec.toolchain else (), spec.requires), argv, spec.env, mounts, "none"
        )[1]

    def errand(self, errand: Errand) -> tuple[int, str]:
        """Run a script of ours with the host's network."""
        self.progress("resolving packages inside the sandbox", 0, 0)
        python = interpreter_of(self.base)
        mounts = [
            Mount(errand.script, f"{_HOME}/errand.py", read_only=True),
            Mount(errand.folder, f"{_HOME}/out"),
        ]
        env = errand.env
        if errand.ca is not None:
            mounts.append(Mount(errand.ca.resolve(), f"{_HOME}/ca.pem", read_only=True))
            env = (*env, ("PIP_CERT", f"{_HOME}/ca.pem"), ("SSL_CERT_FILE", f"{_HOME}/ca.pem"))
        argv = (python.executable, f"{_HOME}/errand.py", *errand.arguments)
        return self._start(self._plan((), ()), argv, env, tuple(mounts), "host")

    def _plan(self, packages: tuple[str, ...], wheels: tuple[Wheel, ...]) -> Plan:
        from bareboat.image.planning import env_over, environment_files, image_env

        base = self._with(packages)
        python = interpreter_of(base)
        generated = tuple(sorted(environment_files(python), key=lambda g: g.path.encode()))
        return Plan(
            self.platform,
            base.family,
            base.suite,
            python,
            base.packages,
            wheels,
            generated,
            image_env(python) if base.image is None else env_over(base.image, python),
            date=base.date,
            libc=base.libc,
            image=base.image,
            cpython=base.cpython,
        )

    def _start(
        self,
        plan: Plan,
        argv: tuple[str, ...],
        env: tuple[tuple[str, str], ...],
        mounts: tuple[Mount, ...],
        network: str,
    ) -> tuple[int, str]:
        from bareboat.builder.image import make_trees
        from bareboat.builder.stacking import lowers
        from bareboat.engine.base import Streams
        from bareboat.host.kernel import foreign

        trees = make_trees(self.store, plan, self.sources, self.progress)
        workload = Workload(
            root=Rootfs(lowers(self.store, trees.keys, ())),
            argv=argv,
            env=tuple(sorted({**dict(plan.env), **dict(env), "HOME": "/home/user"}.items())),
            cwd="/tmp",
            mounts=mounts,
            network=network,
            platform=foreign(self.platform),
        )
        log = bytearray()

        def heard(chunk: bytes) -> None:
            log.extend(chunk)
            del log[:-_LOG]

        with self.store.lease(trees.keys):
            outcome = self.engine.run(workload, Streams(heard, heard))
        return outcome.code, log.decode("utf-8", "replace")

    def blob(self, sha256: str) -> Path | None:
        """The store's file."""
        return self.store.blob(sha256) if sha256 else None

    def keep(self, path: Path) -> str:
        """A copy in the store."""
        return self.store.put_file(path, where=path.name)

    def download(self, url: str, sha256: str) -> Path:
        """By digest as everything else; without one, what comes is taken, once."""
        from bareboat.resolve.download import Download, Policy, fetch

        if sha256:
            name = url.rpartition("/")[2]
            fetch(
                self.store,
                [Download(url, sha256, 0, name)],
                policy=replace(Policy(env=self.env), offline=self.sources.offline),
            )
        else:
            sha256 = self._take(url)
        path = self.store.blob(sha256)
        if path is None:
            raise ResolveError(
                "download.lost", "the file vanished from the store", where=url.partition("#")[0]
            )
        return path

    def _take(self, url: str) -> str:
        from urllib3.exceptions import HTTPError

        from bareboat.transport import Transport, redacted

        if self.sources.offline:
            raise ResolveError(
                "python.offline", "the network must not be asked for this file", where=redacted(url)
            )
        try:
            response = Transport(self.env).get(url)
            if response.status != 200:
                raise ResolveError(
                    "download.refused",
                    f"the server answers {response.status}",
                    where=redacted(url),
                    hint="Check the URL.",
                )
            return self.store.put_blob(response.stream(1 << 18), where=redacted(url))
        except HTTPError as e:
            raise ResolveError("download.failed", f"{type(e).__name__}", where=redacted(url)) from None

    def remembered(self, key: str) -> Mapping[str, object] | None:
        """What the store knows of an earlier build."""
        value = self.store.get_json("builds", key)
        return value if isinstance(value, dict) else None

    def remember(self, key: str, value: Mapping[str, object]) -> None:
        """Into the store."""
        self.store.put_json("builds", key, dict(value))

    def _with(self, packages: tuple[str, ...]) -> Base:
        """The base with more packages of the same suite; locked once per room."""
        if not packages or self.base.image is not None:  # an image has its compilers, or has none
            return self.base
        if packages not in self._bases:
            from bareboat.resolve.debian.lockbase import BaseRequest, lock_base

            own = tuple(d.name for d in self.base.packages if d.extra)
            request = BaseRequest(
                suite=self.base.suite,
                python=self.base.python,
                apt=(*packages, *own),
                apt_source="building",
                platform=self.platform,
            )
            self._bases[packages] = lock_base(request, self.sources.archive(self.base.family))
        return self._bases[packages]
