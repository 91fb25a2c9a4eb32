"""One image on disk for the whole lab: an owner's store and real ordinary users who run from it, write nothing, and
cannot harm each other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.builder.layer_factory import E, d, tar
from tests.live.layout_kit import write_layout

pytestmark = pytest.mark.live
PYTHON = os.environ.get("BAREBOAT_TEST_PYTHON", sys.executable)  # one that other users may start, with bareboat
OWNER, FIRST, SECOND = 1240, 1241, 1242
LIBRARY = os.urandom(1 << 20) * 24


@dataclass
class Lab:
    base: Path

    @property
    def home(self) -> Path:
        return self.base / "lab"

    def run(self, user: int, *words: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
        """bareboat by that user, who has the owner's store below their own."""
        mine = home or self.base / f"u{user}"
        env = {"PATH": "/usr/bin:/bin", "HOME": str(mine), "BAREBOAT_HOME": str(mine / "store"),
               "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
        if user != OWNER:
            env |= {"BAREBOAT_SHARED_STORE_PATH": str(self.home / "store"), "BAREBOAT_SHARED_STORE_OWNER": str(OWNER)}
        if "PYTHONPATH" in os.environ:
            env["PYTHONPATH"] = os.environ["PYTHONPATH"]
        return subprocess.run([PYTHON, "-m", "bareboat", *words], capture_output=True, text=True, cwd="/", env=env,
                              stdin=subprocess.DEVNULL, user=user, group=user, extra_groups=[])  # fmt: skip

    def own(self, user: int) -> int:
        """Bytes of a user's own store."""
        return sum(p.lstat().st_blocks * 512 for p in (self.base / f"u{user}").rglob("*") if not p.is_symlink())


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if os.getuid() != 0:
        pytest.skip("only root can become other users")
    able = subprocess.run([PYTHON, "-c", "import bareboat"], user=FIRST, group=FIRST, extra_groups=[], cwd="/",
                          capture_output=True)  # fmt: skip
    if able.returncode:
        pytest.skip("this Python cannot be started by other users: set BAREBOAT_TEST_PYTHON to one that can")
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox, statically linked")
    made = Lab(Path("/var/tmp") / f"bareboat-lab-{os.getpid()}")
    made.base.mkdir(mode=0o755)
    try:
        tools = ["sh", "cat", "ls", "id", "mv", "rm", "ln", "mkdir", "stat"]
        layer = tar([d("etc"), E("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"), d("tmp", mode=0o1777),
                     d("root", mode=0o700), E("root/.profile", b"secret", mode=0o600), d("opt"), d("opt/lib"),
                     E("opt/lib/torch.so", LIBRARY), d("var"), d("var/tmp", mode=0o1777), d("bin"),
                     E("bin/busybox", Path(busybox).read_bytes(), mode=0o755),
                     *(E(f"bin/{tool}", kind=b"2", link="busybox") for tool in tools)])
        write_layout(made.base / "layout", [layer], lambda data: data)
        for user in (OWNER, FIRST, SECOND):
            folder = made.home if user == OWNER else made.base / f"u{user}"
            folder.mkdir(mode=0o755)
            os.chown(folder, user, user)
        for words in (("pull", f"oci:{made.base}/layout:1", "-t", "lab/torch:1"), ("share",)):
            done = made.run(OWNER, *words, home=made.home)
            assert done.returncode == 0, done.stderr
        yield made
    finally:
        from tests.live.test_archive import remove

        remove(made.base)


def sh(lab: Lab, user: int, script: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return lab.run(user, "-q", "run", *flags, "lab/torch:1", "sh", "-c", script)


def test_two_users_run_from_one_copy_and_write_where_they_could(lab: Lab) -> None:
    before = {p: (p.lstat().st_mtime_ns, p.lstat().st_ino) for p in (lab.home / "store").rglob("*")}
    for user in (FIRST, SECOND):
        pulled = lab.run(user, "pull", f"oci:{lab.base}/layout:1", "-t", "lab/torch:1")
        assert pulled.returncode == 0, pulled.stderr
        done = sh(lab, user, "id -u; ls -l /opt/lib/torch.so | cat; echo mine > /opt/lib/new && cat /opt/lib/new; "
                  "rm /opt/lib/torch.so && ls /opt/lib; echo x > /tmp/a && echo y > /var/tmp/b && ls /var/tmp")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0] == str(user) and lines[2:] == ["mine", "new", "b"] and str(len(LIBRARY)) in lines[1]
        assert lab.own(user) < len(LIBRARY) // 4, "no second copy"
        again = sh(lab, user, "ls /opt/lib /var/tmp")
        assert again.stdout.split() == ["/opt/lib:", "torch.so", "/var/tmp:"], "thrown away, and nobody else's"
    assert before == {p: (p.lstat().st_mtime_ns, p.lstat().st_ino) for p in (lab.home / "store").rglob("*")}


def test_an_image_of_the_owners_runs_by_its_name(lab: Lab) -> None:
    user = SECOND + 2
    folder = lab.base / f"u{user}"
    folder.mkdir()
    os.chown(folder, user, user)
    done = sh(lab, user, "ls /opt/lib")
    assert (done.returncode, done.stdout) == (0, "torch.so\n"), done.stderr
    listed = lab.run(user, "images")
    assert "lab/torch:1" in listed.stdout and lab.own(user) < len(LIBRARY) // 4
    refused = lab.run(user, "rmi", "lab/torch:1")
    assert refused.returncode == 125 and "[image.shared]" in refused.stderr
    assert sh(lab, user, "true").returncode == 0


def test_what_the_kernel_refuses_over_a_strangers_files(lab: Lab) -> None:
    """The table of docs/administration.md: files of others are read, replaced and removed, not changed in place."""
    lab.run(FIRST, "pull", f"oci:{lab.base}/layout:1", "-t", "lab/torch:1")

    def says(script: str, *flags: str) -> int:
        return sh(lab, FIRST, script, *flags).returncode

    assert says("echo more >> /opt/lib/torch.so") != 0
    assert says("mv /opt/lib/torch.so /opt/lib/old") != 0
    assert says("cd /opt/lib && cat torch.so > copy && rm torch.so && mv copy torch.so") == 0
    assert says("echo me:x:1:1::/:/bin/sh >> /etc/passwd") == 0, "what package managers change in place is copied"
    assert says("ls -a /root && echo x > /root/mine && cat /root/mine", "-u", "0") == 0, "closed to others: empty"
    assert "secret" not in sh(lab, FIRST, "cat /root/.profile", "-u", "0").stdout


def test_a_user_cannot_change_what_others_run(lab: Lab) -> None:
    store = lab.home / "store"
    trees = [p for p in (store / "trees").iterdir() if (p / "root/var/tmp").is_dir()]
    assert trees
    places = [str(p) for p in (*(t / "root/var/tmp/planted" for t in trees), store / "trees/x", store / "shared")]
    script = f"""
import os, sys
tried = []
for place in {places!r}:
    try:
        open(place, "w")
        tried.append(place)
    except PermissionError:
        pass
for hidden in ("documents", "runs", "tmp", "locks", "leases"):
    try:
        os.listdir({str(store)!r} + "/" + hidden)
        tried.append(hidden)
    except PermissionError:
        pass
print(tried)
"""
    done = subprocess.run([PYTHON, "-c", script], user=SECOND, group=SECOND, extra_groups=[], cwd="/",
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_poisoned_blob_and_a_spoilt_tree_are_refused_and_had_from_elsewhere(lab: Lab) -> None:
    user = SECOND + 1
    folder = lab.base / f"u{user}"
    folder.mkdir()
    os.chown(folder, user, user)
    blobs = sorted((lab.home / "store/blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    library = next((lab.home / "store/trees").glob("image-*/root/opt/lib/torch.so"))
    kept = [(path, path.read_bytes()) for path in (blobs[-1], library)]
    try:
        for path, data in kept:
            with open(path, "r+b") as file:
                file.write(bytes(len(data) // 2))
        pulled = lab.run(user, "pull", f"oci:{lab.base}/layout:1", "-t", "lab/torch:1")
        assert pulled.returncode == 0, pulled.stderr
        assert "has another sha256" in pulled.stderr
        assert lab.own(user) > len(LIBRARY), "their own, made from what is right"
        assert sh(lab, user, "ls -l /opt/lib/torch.so").returncode == 0
    finally:
        for path, data in kept:
            with open(path, "r+b") as file:
                file.write(data)
