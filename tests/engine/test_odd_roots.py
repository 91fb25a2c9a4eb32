"""Images that lack what a root usually has, or have a link in its place, run all the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests import sandbox_kit as kit
from tests.builder.layer_factory import E, d, image, put, sym, tar

from bareboat.builder.layers import make_image_tree
from bareboat.errors import EngineError
from bareboat.store import Store
from bareboat.workload import Rootfs, Workload

BUSYBOX = shutil.which("busybox")
ROOTS: dict[str, list[E | bytes]] = {
    "a program and nothing else": [],
    "no /tmp": [d("etc"), d("proc"), d("dev")],
    "/tmp is a link": [d("var"), d("var/tmp", 0o1777), sym("tmp", "var/tmp")],
    "/tmp is a link to nothing": [sym("tmp", "/scratch/here")],
    "/tmp is a file": [E("tmp", b"x")],
    "/etc is a link": [d("usr"), d("usr/etc"), sym("etc", "usr/etc")],
    "/etc/passwd is a link out": [d("etc"), sym("etc/passwd", "/nowhere/passwd")],
    "/etc/resolv.conf is a link to nothing": [
        d("etc"), sym("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")],
    "/etc may not be written": [d("etc", 0o555), E("etc/passwd", b"root:x:0:0::/:/bin/sh\n", mode=0o444)],
    "/home is a link": [d("var"), sym("home", "var/home")],
    "/proc is a link": [sym("proc", "sys")],
    "/dev is a link": [d("run"), sym("dev", "run")],
    "/run and /var/run": [d("run"), d("var"), sym("var/run", "/run")],
    "the root may not be written": [d(".", 0o555)],
    "nobody may enter": [d(".", 0)],
}
REFUSED = {"/tmp is a file": "engine.mount-target", "/proc is a link": "engine.root", "/dev is a link": "engine.root"}
SCRIPT = "id -u; echo x > /tmp/x && cat /tmp/x; ls -d /proc/self /dev/null; cat /etc/hostname; id -un; echo y > ~/y"


@pytest.mark.parametrize("name", ROOTS)
def test_odd_roots_run(name: str, tmp_path: Path) -> None:
    kit.need_sandbox()
    if BUSYBOX is None:
        pytest.skip("needs busybox, statically linked")
    store = Store.open(tmp_path / "home")
    base = tar([E(f"bin/{tool}", Path(BUSYBOX).read_bytes() if tool == "busybox" else b"", mode=0o755,
                  kind=b"0" if tool == "busybox" else b"2", link="busybox")
                for tool in ("busybox", "sh", "id", "cat", "ls", "echo")])
    tree = make_image_tree(store, image([put(store, base), put(store, tar(ROOTS[name]))]))
    work = Workload(Rootfs((tree,)), ("sh", "-c", SCRIPT), (("PATH", "/bin"), ("HOME", "/home/user")), "/", (),
                    hostname="odd")
    if name in REFUSED:
        with pytest.raises(EngineError) as caught:
            kit.run(work)
        assert caught.value.code == REFUSED[name]
    else:
        heard = kit.run(work)
        assert heard.text.splitlines() == ["1000", "x", "/dev/null", "/proc/self", "odd", "user"], heard
    store.close()
