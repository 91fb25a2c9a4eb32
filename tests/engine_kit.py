"""Every engine with the same programs in it: functions for the fake, scripts of busybox's shell for the real ones.

The image is a tree of busybox and the scripts, made once a session and imported once by each engine with a store of
its own: nothing of this machine's /usr is in it, so that it is the same behind a daemon that lives in another root.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from tests import sandbox_kit

from bareboat.engine import init
from bareboat.engine.base import Capabilities, Engine
from bareboat.engine.bubblewrap import Bubblewrap
from bareboat.engine.docker import CommandLine, Loader
from bareboat.engine.memory import Guest, MemoryEngine
from bareboat.host.loop import Loop
from bareboat.workload import Rootfs, Workload

PEERS = os.environ.get("BAREBOAT_PEERS", "")
REAL = ("bubblewrap", "bubblewrap-without-overlay", "docker", "podman")
ROOTLESS = "podman-rootless"
ENGINES = ("memory", *REAL)
PATH = ("PATH", "/opt/bin:/bin")
BUSYBOX = "/bin/busybox"


def _both(g: Guest) -> int:
    g.streams.stdout(b"to out\n")
    g.streams.stderr(b"to err\n")
    return 7


def _args(g: Guest) -> int:
    for word in g.workload.argv[1:]:
        g.streams.stdout(f"<{word}>\n".encode())
    return 0


def _env(g: Guest) -> int:
    g.streams.stdout(b"".join(f"{k}={v}\0".encode() for k, v in sorted(g.env.items())))
    return 0


def _write(g: Guest) -> int:
    for path in g.workload.argv[1:]:
        g.write(path, b"kept\n")
    return 0


def _elsewhere(g: Guest) -> int:
    for name in "abcdefg":
        g.write(f"/var/lib/{name}", b"12345")
    g.write("/tmp/t", b"x")
    g.write("/home/user/h", b"x")
    return 0


def _cat(g: Guest) -> int:
    paths = g.workload.argv[1:]
    for path in paths:
        g.streams.stdout(g.read(path))
    if not paths:
        g.streams.stdout(g.stdin())
    return 0


def _code(g: Guest) -> int:
    return int(g.workload.argv[1])


def _count(g: Guest) -> int:
    g.streams.stdout(f"{len(g.stdin())}\n".encode())
    return 0


def _lines(g: Guest) -> int:
    for number in range(1, int(g.workload.argv[1]) + 1):
        g.streams.stdout(f"{number}\n".encode())
    return 0


def _bytes(g: Guest) -> int:
    g.streams.stdout(b"\0\1\r\n\x80\xff")
    return 0


def _where(g: Guest) -> int:
    g.streams.stdout(f"{g.workload.cwd}\n".encode())
    return 0


def _hostname(g: Guest) -> int:
    g.streams.stdout(f"{g.workload.hostname}\n".encode())
    return 0


PROGRAMS: dict[str, tuple[Callable[[Guest], int] | None, str]] = {
    "both": (_both, "echo to out; echo to err >&2; exit 7"),
    "args": (_args, 'for w in "$@"; do printf "<%s>\\n" "$w"; done'),
    "environment": (_env, ""),  # asked of busybox itself: its shell drops names that are no identifiers
    "write": (_write, 'for f in "$@"; do echo kept > "$f" || exit 1; done'),
    "elsewhere": (_elsewhere, "mkdir -p /var/lib && for n in a b c d e f g; do printf 12345 > /var/lib/$n; done;"
                              "echo x > /tmp/t; echo x > /home/user/h"),
    "copy": (_cat, 'cat "$@"'),
    "code": (_code, "exit $1"),
    "count": (_count, "wc -c"),
    "lines": (_lines, "seq $1"),
    "bytes": (_bytes, "printf '\\000\\001\\r\\n\\200\\377'"),
    "where": (_where, "pwd"),
    "hostname": (_hostname, "busybox hostname"),
    "much": (None, "head -c $1 /dev/zero; head -c $2 /dev/zero >&2"),
    "trap": (None, 'for s in "$@"; do trap "echo got $s" $s; done; trap "exit 9" TERM; echo ready;'
                   "while :; do sleep 0.02; done"),
    "deaf": (None, "trap 'echo asked' INT; trap '' TERM; echo ready; while :; do sleep 0.02; done"),
    "wait": (None, "echo ready; while :; do sleep 0.02; done"),
    "beat": (None, "(setsid sh -c 'while :; do date +%s%N > /out/beat; sleep 0.02; done' >/dev/null 2>&1 &);"
                   "until [ -s /out/beat ]; do sleep 0.02; done; echo done; [ $# = 0 ] || sleep 100"),
    "sized": (None, 'until [ "$(stty size)" = "40 100" ]; do sleep 0.02; done; echo grown'),
    "typed": (None, "read word; echo got $word"),
}


def tree(place: Path, platform: str = "linux/amd64") -> Path:
    """The image: busybox under all its names, the scripts, the first process, and what a user may write to."""
    for name in ("bin", "opt/bin", "etc", "var/lib", "tmp", "home/user", "run", "odd/directory"):
        (place / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, place / "bin/busybox")
    for name in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name != "busybox":
            (place / "bin" / name).symlink_to("busybox")
    for name in ("tmp", "home/user", "var/lib"):
        (place / name).chmod(0o1777)
    (place / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    for name, (_, text) in PROGRAMS.items():
        sandbox_kit.script(place, name, f"#!/bin/sh\n{text}\n")
    (place / "odd/plain").write_text("#!/bin/sh\n")
    for name, content in (("interpreter", b"#!/no/such\n"),
                          ("foreign", b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0\x09\0" + b"\0" * 40)):
        (place / "odd" / name).write_bytes(content)
        (place / "odd" / name).chmod(0o755)
    (place / init.PATH[1:]).write_bytes(init.program(platform))
    (place / init.PATH[1:]).chmod(0o755)
    return place


class TreeImages:
    """Images of trees, by `import`: for tests, where there is no plan."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.made: dict[tuple[Path, ...], str] = {}

    def ids(self, workload: Workload) -> tuple[str, ...]:
        """Of trees that were seen before."""
        known = self.made.get(workload.root.trees)
        return (known,) if known else ()

    def bring(self, workload: Workload, engine: Loader) -> str:
        """One layer of all the trees."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, place in sorted(_merged(workload.root.trees).items()):
                archive.add(place, path, recursive=False, filter=_roots)
        done = subprocess.run([self.program, "import", *(["-q"] if engine.facts.client.podman else []), "-"],
                              input=packed.getvalue(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        self.made[workload.root.trees] = done.stdout.decode().split()[-1]
        return self.made[workload.root.trees]

    def forget(self) -> None:
        """Take them away again."""
        for id in self.made.values():
            subprocess.run([self.program, "rmi", "-f", id], capture_output=True, check=False)


def _merged(trees: tuple[Path, ...]) -> dict[str, Path]:
    """Path inside → where it lies; upper trees hide lower ones."""
    return {os.fspath(place.relative_to(one)): place for one in trees for place in (one, *sorted(one.rglob("*")))}


def _roots(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


class Harness:
    """An engine with the programs in it. kind: as in ENGINES; caller: whose the results are to be."""

    def __init__(self, kind: str, engine: Engine, tree: Path, caller: tuple[int, int] | None = None) -> None:
        self.kind, self.engine, self.tree = kind, engine, tree
        self.caller = caller or (os.getuid(), os.getgid())

    @property
    def able(self) -> Capabilities:
        """What the engine says of itself."""
        return self.engine.capabilities() if hasattr(self.engine, "capabilities") else Capabilities()

    @property
    def inside(self) -> int:
        """The user inside where nobody asked for one: a daemon of root's cannot make root another."""
        return 0 if self.kind in ("docker", "podman") and self.caller[0] == 0 else 1000

    @property
    def by_daemon(self) -> bool:
        """Whether it has an image store and containers of its own."""
        return self.kind.startswith(("docker", "podman"))

    def workload(self, *argv: str, **more: object) -> Workload:
        """A workload over the tree; trees: more of them on top."""
        trees = (self.tree, *more.pop("trees", ()))  # type: ignore[misc]
        env = (PATH, ("HOME", "/home/user"), *more.pop("env", ()))  # type: ignore[misc]
        return Workload(Rootfs(trees), argv, env, more.pop("cwd", "/"), **more)  # type: ignore[arg-type]

    def run(self, *argv: str, stdin: int | None = None, terminal: int | None = None,
            when: dict[bytes, Callable[[object], None]] | None = None, **more: object) -> sandbox_kit.Heard:
        """Run to the end; when: once these bytes have been written, call with the Live container."""
        heard, waiting, held = sandbox_kit.Heard(), dict(when or {}), list[object]()

        def look() -> None:
            for word in [w for w in waiting if held and w in heard.out]:
                waiting.pop(word)(held[0])

        def out(chunk: bytes) -> None:
            heard.out.extend(chunk)
            look()

        def live(loop: Loop, container: object) -> None:
            held.append(container)
            look()

        streams = heard.streams(stdin=stdin, terminal=terminal, live=live)
        streams = type(streams)(**{**streams.__dict__, "stdout": out})
        heard.outcome = self.engine.run(self.workload(*argv, **more), streams)
        return heard

    def sh(self, text: str, **more: object) -> sandbox_kit.Heard:
        """A line for the shell."""
        return self.run("sh", "-c", text, **more)  # type: ignore[arg-type]

    def environment(self, **more: object) -> dict[str, str]:
        """The variables that a program gets; PWD is let through, which bwrap sets."""
        argv = ("environment",) if self.kind == "memory" else ("cat", "/proc/self/environ")
        rows = self.run(*argv, **more).text.split("\0")  # type: ignore[arg-type]
        return {name: value for name, _, value in (row.partition("=") for row in rows) if name not in ("", "PWD")}

    def folder(self, place: Path) -> Path:
        """A directory that the caller may write to."""
        place.mkdir(parents=True, exist_ok=True)
        os.chown(place, *self.caller)
        return place


@cache
def program(name: str) -> str:
    """The command line of a real engine; skipped where it is not here and nobody promised it."""
    found = shutil.which(name, path=f"{PEERS}:{os.environ['PATH']}" if PEERS else None)
    usable = found is not None and subprocess.run([found, "info"], capture_output=True, check=False).returncode == 0
    if found is None or not usable:
        give_up(f"there is no usable {name} here")
    return str(found)


def give_up(why: str) -> None:
    """Skip, but never where it was promised."""
    if PEERS or os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@cache
def direct(name: str, folder: Path) -> str:
    """As program; the peers' docker without a root of its own, which its client has no need of and each call pays."""
    found = program(name)
    root = Path(PEERS).parent / "root" if PEERS else Path("/nonexistent")
    if name != "docker" or not (root / "usr/bin/docker").exists() or os.uname().machine != "x86_64":
        return found
    script = folder / "docker"
    script.write_text(f'#!/bin/sh\nexec {root}/lib64/ld-linux-x86-64.so.2 --library-path '
                      f'{root}/usr/lib/x86_64-linux-gnu {root}/usr/bin/docker "$@"\n')
    script.chmod(0o755)
    return str(script)


@cache
def rootless_podman(folder: Path) -> tuple[str, tuple[int, int]]:
    """A podman of an ordinary user in the peers' root, and that user's numbers.

    By pivot_root: the kernel lets nobody make a user namespace in a chroot, which is how the peers are entered.
    """
    import pwd

    program("podman")
    root = Path(PEERS).parent / "root" if PEERS else None
    if root is None or os.geteuid() or not root.is_dir():
        pytest.skip("rootless podman is tried by root, with the peers")
    known = {entry.pw_uid for entry in pwd.getpwall()}
    user = next(number for number in range(2001, 3000) if number not in known)
    home = folder / "rootless"
    (home / ".config/containers").mkdir(parents=True)
    (home / "run").mkdir(mode=0o700)
    (home / ".config/containers/storage.conf").write_text('[storage]\ndriver = "overlay"\n')
    (home / "passwd").write_text(f"root:x:0:0:root:/root:/bin/sh\nbareboat:x:{user}:{user}::/home:/bin/sh\n")
    for name in ("subuid", "subgid"):
        (home / name).write_text("bareboat:500000:65536\n")
    for place in (home, *home.rglob("*")):
        os.chown(place, user, user)
    script = folder / "podman-rootless"
    script.write_text(f"""#!/bin/sh
exec unshare -m --propagation private /bin/sh -ec '
r={root}
mount --bind $r $r
for d in dev sys proc home root tmp work srv opt mnt var/tmp; do
  if [ -d /$d ]; then mkdir -p $r/$d; mount --rbind /$d $r/$d; fi
done
for f in passwd subuid subgid; do mount --bind {home}/$f $r/etc/$f; done
mkdir -p $r/old
cd $r; pivot_root . old; umount -l /old; mount --make-rshared /
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME={home} XDG_RUNTIME_DIR={home}/run PODMAN_IGNORE_CGROUPSV1_WARNING=1
cd /; exec setpriv --reuid={user} --regid={user} --clear-groups podman "$@"' podman "$@"
""")
    script.chmod(0o755)
    for above in [*folder.parents][:-1]:
        if above.stat().st_uid == 0 and not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    ready = subprocess.run([script, "info"], capture_output=True, text=True, check=False)
    if ready.returncode:
        pytest.fail(f"rootless podman does not start: {ready.stderr}")
    return str(script), (user, user)


class Session:
    """What all tests of a session share: the tree, and the images that engines made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tree: Path | None = None
        self._images: dict[str, TreeImages] = {}

    @property
    def tree(self) -> Path:
        """The image's tree; nobody writes to it."""
        if self._tree is None:
            if not Path(BUSYBOX).exists():
                give_up("busybox-static is not installed")
            self._tree = tree(self.folder / "tree")
        return self._tree

    def harness(self, kind: str, folder: Path, caller: tuple[int, int] | None = None) -> Harness:
        """An engine with the programs; skipped where it cannot be had. caller: another than who runs the tests."""
        if kind == "memory":
            functions = {name: call for name, (call, _) in PROGRAMS.items() if call is not None}
            return Harness(kind, MemoryEngine(functions), self.tree)
        if kind.startswith("bubblewrap"):
            sandbox_kit.need_sandbox()
            return Harness(kind, Bubblewrap(folder, overlay=kind == "bubblewrap"), self.tree)
        if kind == ROOTLESS:
            command, caller = rootless_podman(self.folder)
        else:
            command = direct(kind, self.folder)
        images = self._images.setdefault(kind, TreeImages(command))
        name = kind.partition("-")[0]
        return Harness(kind, CommandLine(name, folder, images, program=command, caller=caller), self.tree, caller)

    def end(self) -> None:
        """Take every image away."""
        for images in self._images.values():
            images.forget()
        if (self.folder / "rootless").exists():
            subprocess.run([self.folder / "podman-rootless", "system", "reset", "--force"], capture_output=True,
                           check=False)
