"""What is run before the command: the image's own script, then the project's or the caller's; and its repetition."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.world_kit import World

from bareboat.engine.memory import Guest
from bareboat.errors import BareboatError, UsageError
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.rerun import RerunRequest, rerun
from bareboat.verbs.run import run
from bareboat.verbs.startup import before

OURS = "/run/bareboat/startup"
SH = ("/bin/sh", "-e", "-c")


def asked(*program: str, **more: object) -> RunRequest:
    return RunRequest(program=program or ("true",), **more)  # type: ignore[arg-type]


@pytest.fixture
def ready(world: World) -> World:
    world.require("beta")

    def shell(guest: Guest) -> int:  # as /bin/sh does it: the script, then the program
        script = guest.read(OURS)
        guest.write("/results/script", script)
        return 0

    world.program("/bin/sh", shell)
    return world


def test_the_scripts_to_the_letter(tmp_path: Path) -> None:
    plain, image = tmp_path / "plain", tmp_path / "image"
    plain.mkdir()
    (image / "etc/bareboat").mkdir(parents=True)
    (image / "etc/bareboat/startup").touch()
    argv = ("python", "x y")
    assert before(argv, (plain,), False) == argv
    assert before(argv, (plain,), True) == (*SH, '. "$0"; set +e; exec "$@"', OURS, *argv)
    assert before(argv, (plain, image), False) == (*SH, '. "$0"; set +e; exec "$@"', "/etc/bareboat/startup", *argv)
    assert before(argv, (image, plain), True) == (
        *SH, '. /etc/bareboat/startup; . "$0"; set +e; exec "$@"', OURS, *argv)


def test_a_script_of_elsewhere_is_kept_by_its_content(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (ready.base / "start.sh").write_text("export A=1\n")
    monkeypatch.chdir(ready.base)
    old = run(asked("train", project=ready.root, startup="start.sh"), ready.work)
    assert old.argv == (*SH, '. "$0"; set +e; exec "$@"', OURS, "train")
    mount = next(m for m in old.mounts if m.target == OURS)
    assert (mount.source, mount.kind, mount.read_only) == (os.fspath(ready.base / "start.sh"), "startup", True)
    assert mount.within in old.blobs
    (ready.base / "start.sh").write_text("export A=2\n")
    done = rerun(RerunRequest(old.id, into=ready.base / "again", quiet=True), ready.work)
    assert done.verdict.verdict == "identical" and (ready.base / "again/results/script").read_text() == "export A=1\n"
    blob = ready.store.blob(mount.within)
    assert blob is not None
    blob.unlink()
    with pytest.raises(BareboatError) as caught:
        rerun(RerunRequest(old.id, into=ready.base / "more", quiet=True), ready.work)
    assert caught.value.code == "record.code-gone" and "start.sh" in caught.value.what


def test_a_script_of_the_project_is_code(ready: World) -> None:
    (ready.root / "bareboat.toml").write_text('startup = "own.sh"\n')
    (ready.root / "own.sh").write_text("own\n")
    (ready.root / "other.sh").write_text("other\n")
    for startup, text in ((None, "own\n"), (os.fspath(ready.root / "other.sh"), "other\n")):
        record = run(asked("train", startup=startup), ready.work)
        assert (ready.root / "results/script").read_text() == text
        mount = next(m for m in record.mounts if m.target == OURS)
        assert (mount.kind, mount.within) == ("code", text.strip() + ".sh")
    assert run(asked(startup=""), ready.work).argv == ("true",)


def test_an_image_brings_its_own(ready: World) -> None:
    run(asked(), ready.work)
    tree = next(t for t in ready.engine.ran[0].root.trees if (t / "etc").is_dir())
    (tree / "etc").chmod(0o755)
    (tree / "etc/bareboat").mkdir()
    (tree / "etc/bareboat/startup").write_text("x\n")
    ready.program("/bin/sh", lambda guest: 0)
    assert run(asked(), ready.work).argv == (*SH, '. "$0"; set +e; exec "$@"', "/etc/bareboat/startup", "true")
    assert run(asked(startup=""), ready.work).argv == ("true",)


def test_what_is_no_script(ready: World) -> None:
    (ready.base / "large").write_bytes(b"#" * (1 << 20 | 1))
    for startup in (ready.base, ready.base / "none", ready.base / "large"):
        with pytest.raises(UsageError) as caught:
            run(asked(startup=os.fspath(startup)), ready.work)
        assert caught.value.code == "usage.startup" and os.fspath(startup) == caught.value.where
    assert not ready.store.runs.ids()


def test_a_notebook_is_the_projects(ready: World) -> None:
    for more in ({"startup": "x.sh"}, {"code": "git+https://h.example/x"}):
        with pytest.raises(UsageError) as caught:
            run(RunRequest(words=("a.ipynb",), project_run=False, **more), ready.work)  # type: ignore[arg-type]
        assert caught.value.code == "usage.notebook"
