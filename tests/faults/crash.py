"""Row 2: power loss. A run of the store is recorded as system calls, and every state that a crash could leave
is rebuilt and looked at: each prefix of the calls, with any part of what was not synced missing (a small
ALICE).

The model: file contents are sure after fsync of the file, names after fsync of their directory, everything
after syncfs. What is not sure may be there or not, name by name in any order; unsynced contents may be
missing, cut short, zeros, or whole. A rename is one step (journals give that), and needs no other step before
it.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.kit import Figures, corrupt, sha256, workplace

from bareboat.host import files
from bareboat.store import Store

CALLS = ("openat,write,fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
         "unlink,unlinkat,mkdir,mkdirat,rmdir,ftruncate,fchmod,chmod,fchmodat")  # fmt: skip

PROGRAM = """
import os, sys
from pathlib import Path
control = sys.argv[2]
if control in ("no file sync", "no directory sync"):
    real = os.fsync
    def fsync(fd):
        if os.path.isdir(f"/proc/self/fd/{fd}") != (control == "no directory sync"):
            real(fd)
    os.fsync = fsync
from bareboat.store import Store
from bareboat.host import files
files.boot_id = lambda: "before"
if control == "no tree sync":
    files.syncfs = lambda path: None
store = Store.open(Path(sys.argv[1]))
def ack(text):
    os.write(1, f"ACK {text}\\n".encode())
ack("open")
for n in range(3):
    data = bytes([n]) * (4000 * n + 100)
    ack("blob " + store.put_blob([data[:50], data[50:]]))
store.put_json("plans", "p1", {"trees": ["t1"]})
store.make_tree("t1", lambda w: (w.file("a/b", 0o644, [b"one" * 100]), w.symlink("a/l", "b"),
                               w.file("c", 0o755, [b"2"])))
store.tag("name", "p1")
ack("document tags name p1")
store.settle()
ack("tree t1")
store.put_json("notes", "n", "first")
ack("document notes n first")
store.put_json("notes", "n", "second")
ack("document notes n second")
store.runs.create("r1")
store.runs.write("r1", {"state": "running"})
ack("run r1 running")
store.runs.write("r1", {"state": "succeeded"})
ack("run r1 succeeded")
with store.scratch("work") as scratch:
    (scratch / "f").write_bytes(b"pulled")
    ack("blob " + store.put_file(scratch / "f"))
store.make_tree("t2", lambda w: w.file("x", 0o644, [b"x" * 5000]))
store.remove_json("notes", "n")
ack("gone notes n")
store.close()
"""

has_strace = shutil.which("strace") is not None


@dataclass(frozen=True)
class Step:
    """One call. kind: write, sync, syncfs, make (file, dir or link), mode, rename, link, remove, truncate,
    ack.
    """

    kind: str
    path: str = ""
    other: str = ""
    data: bytes = b""


def record(home: Path, control: str, log: Path) -> list[Step]:
    """Run the program under strace and read what it did below home."""
    command = ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(log)]
    subprocess.run(
        [*command, sys.executable, "-c", PROGRAM, str(home), control], check=True, capture_output=True
    )
    return list(_steps(log.read_text(), str(home)))


_LINE = re.compile(r"^\d+\s+(\w+)\((.*)\)\s+= (-?\d+)")
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})+")


def _text(raw: str) -> bytes:
    return bytes(int(h, 16) for h in re.findall(r"\\x([0-9a-f]{2})", raw))


def _arguments(raw: str) -> list[str]:
    """Arguments with hexadecimal strings and <paths> decoded; latin-1 keeps bytes as characters."""
    decoded = _HEX.sub(lambda m: _text(m.group()).decode("latin-1").replace(",", "\0"), raw)
    return [part.strip().replace("\0", ",") for part in decoded.split(",")]


def _steps(log: str, home: str) -> Iterator[Step]:
    for line in log.splitlines():
        match = _LINE.match(line)
        if match is None or int(match.group(3)) < 0:
            continue
        call, raw = match.group(1), match.group(2)
        arguments = _arguments(raw)
        paths = _paths(arguments)
        if call == "write":
            data = _text(raw.split(", ", 1)[1].rsplit('"', 1)[0])
            if data.startswith(b"ACK ") and home not in arguments[0]:
                yield Step("ack", data[4:].decode().strip())
            elif home in arguments[0]:
                yield Step("write", _fd_path(arguments[0]), data=data)
            continue
        if not paths or not any(p.startswith(home) for p in paths):
            if home in arguments[0] and call in ("fsync", "fdatasync", "syncfs"):
                yield Step("syncfs" if call == "syncfs" else "sync", _fd_path(arguments[0]))
            if home in arguments[0] and call == "fchmod":
                yield Step("mode", _fd_path(arguments[0]), arguments[1])
            continue
        if "chmod" in call:
            yield Step("mode", paths[0], next(a for a in arguments if a.startswith("0")))
            continue
        if call == "openat" and "O_CREAT" in raw:
            yield Step("make", paths[0], "file")
            if "O_TRUNC" in raw:
                yield Step("truncate", paths[0])
        elif call.startswith("mkdir"):
            yield Step("make", paths[0], "dir")
        elif call.startswith("symlink"):
            target = arguments[0].strip('"')
            yield Step("make", paths[-1], "link", target.encode("latin-1"))
        elif call.startswith("rename"):
            yield Step("rename", paths[0], paths[1])
        elif call.startswith("link"):
            yield Step("link", paths[0], paths[1])
        elif call.startswith(("unlink", "rmdir")):
            yield Step("remove", paths[0])


def _fd_path(argument: str) -> str:
    return argument[argument.index("<") + 1 : argument.rindex(">")]


def _paths(arguments: list[str]) -> list[str]:
    """Absolute paths of a call: each string, below the directory descriptor before it where it is
    relative.
    """
    found, base = [], ""
    for argument in arguments:
        if "<" in argument and not argument.startswith('"'):
            base = _fd_path(argument)
        elif argument.startswith('"'):
            text = argument.strip('"')
            found.append(text if text.startswith("/") else f"{base}/{text}")
    return found


@dataclass
class Node:
    """An inode. data: what a program would read; sure: what a crash cannot take (None: nothing was
    synced).
    """

    kind: str
    data: bytes = b""
    sure: bytes | None = None
    names: dict[str, Node] = field(default_factory=dict)
    sure_names: dict[str, Node] = field(default_factory=dict)
    pending: list[tuple[str, Node | None]] = field(default_factory=list)  # a name, what it means now
    mode: int = 0o600
    sure_mode: int = 0o600


class Disk:
    """The model file system of one run, advanced call by call."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.root = Node("dir", mode=0o700, sure_mode=0o700)
        self.above = Node("dir", names={"home": self.root})
        self.above.pending = [("home", self.root)]
        self.renames: list[tuple[Node, int]] = []

    def _at(self, path: str) -> tuple[Node, str]:
        parts = [p for p in path[len(self.home) :].split("/") if p and p != "."]
        node = self.root
        for part in parts[:-1]:
            node = node.names[part]
        return node, parts[-1] if parts else ""

    def node(self, path: str) -> Node:
        parent, name = self._at(path)
        return parent.names[name] if name else self.root

    def apply(self, step: Step) -> None:
        if step.kind in ("write", "truncate"):
            node = self.node(step.path)
            node.data = b"" if step.kind == "truncate" else node.data + step.data
        elif step.kind == "mode":
            self.node(step.path).mode = int(step.other, 8)
        elif step.kind == "sync":
            self._sync(self.node(step.path))
        elif step.kind == "syncfs":
            self._sync_all(self.root)
        elif step.kind == "make":
            parent, name = self._at(step.path)
            if name and name not in parent.names:
                sure = step.data if step.other == "link" else None
                self._name(parent, name, Node(step.other, step.data, sure))
        elif step.kind == "rename":
            source, old = self._at(step.path)
            target, new = self._at(step.other)
            node = source.names[old]
            self._name(target, new, node)
            self._name(source, old, None)
        elif step.kind == "link":
            node = self.node(step.path)
            self._name(*self._at(step.other), node)
        elif step.kind == "remove":
            self._name(*self._at(step.path), None)

    def _name(self, parent: Node, name: str, node: Node | None) -> None:
        if node is None:
            parent.names.pop(name, None)
        else:
            parent.names[name] = node
        parent.pending.append((name, node))

    def _sync(self, node: Node) -> None:
        node.sure_mode = node.mode
        if node.kind == "dir":
            node.sure_names = dict(node.names)
            node.pending = []
        else:
            node.sure = node.data

    def _sync_all(self, node: Node) -> None:
        self._sync(node)
        for child in node.names.values():
            self._sync_all(child)

    def crash(self, chance: random.Random, place: Path) -> None:
        """Write one state that a crash could leave now."""
        keep = chance.choice((0.0, 0.5, 1.0, chance.random()))
        self._write(self.root, place, chance, keep)

    def _write(self, node: Node, path: Path, chance: random.Random, keep: float) -> None:
        if node.kind == "link":
            os.symlink(os.fsdecode(node.data), path)
        elif node.kind == "file":
            data = node.data
            if node.sure != data:
                data = chance.choice((node.sure or b"", data, data[: len(data) // 2], bytes(len(data))))
            path.write_bytes(data)
        else:
            path.mkdir(mode=0o700)
            names = dict(node.sure_names)
            for name, meaning in node.pending:
                if chance.random() < keep:
                    if meaning is None:
                        names.pop(name, None)
                    else:
                        names[name] = meaning
            for name, child in names.items():
                self._write(child, path / name, chance, keep)
        if node.kind != "link":
            path.chmod(chance.choice((node.sure_mode, node.mode)))


def crashes(states: int, *, control: str = "", seed: int = 1) -> Figures:
    """Rebuild so many states and look at each as the first bareboat after the restart would."""
    figures = Figures(2, "power loss")
    chance = random.Random(seed)
    real_boot_id = files.boot_id
    with workplace() as place:
        (place / "live").mkdir()
        home = place / "live" / "home"
        steps = record(home, control, place / "strace")
        figures.add("calls", sum(step.kind != "ack" for step in steps))
        figures.add("acknowledgements", sum(step.kind == "ack" for step in steps))
        each = -(-states // (len(steps) + 1))
        disk, acknowledged = Disk(str(home)), []
        files.boot_id = lambda: "after"
        try:
            for step in steps:
                if step.kind == "ack":
                    acknowledged.append(step.path)
                else:
                    disk.apply(step)
                for _ in range(each):
                    after = place / "after"
                    disk.crash(chance, after)
                    figures.add("states")
                    figures.bad += _look(after, acknowledged)
                    shutil.rmtree(after)
        finally:
            files.boot_id = real_boot_id
    figures.counts["bad states"] = len(figures.bad)
    return figures


def _look(home: Path, acknowledged: list[str]) -> list[str]:
    if not acknowledged:  # before the first acknowledgement any start must do, from whatever is there
        try:
            Store.open(home)
        except Exception as error:
            return [f"cannot be opened: {error}"]
        return []
    try:
        store = Store.open(home)
        found = [line for line in corrupt(store) if "document plans" not in line]  # made again, and told so
        found += [f"lost: {ack}" for ack in acknowledged if not _is_kept(store, ack, acknowledged)]
        store.close()
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return [line for line in found if "dangles" not in line]  # its plan is made again by the next build


def _is_kept(store: Store, ack: str, acknowledged: list[str]) -> bool:
    kind, *rest = ack.split()
    later = [other.split() for other in acknowledged[acknowledged.index(ack) + 1 :]]
    if kind == "blob":
        path = store.blob(rest[0])
        return path is not None and sha256(path.read_bytes()) == rest[0]
    if kind == "tree":
        return store.tree(rest[0]) is not None
    if kind == "run":
        return any(o[:2] == ["run", rest[0]] for o in later) or store.runs.read(rest[0])["state"] in (
            rest[1], "succeeded")  # fmt: skip
    if kind == "gone":
        return store.get_json(rest[0], rest[1]) is None
    if kind == "document" and not any(o[1:3] == rest[:2] for o in later):
        value = store.get_json(rest[0], rest[1])
        return value in (rest[2], {"plan": rest[2]}, "second") or (rest[1] == "n" and rest[2] == "second")
    return True
