"""run over a world of our own: what is said, recorded and left, and what bad input leaves behind: nothing."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest
from tests.world_kit import World

from bareboat.errors import BareboatError, EngineError, LockError, ProgramError, RecordError, ResolveError, UsageError
from bareboat.verbs import execute
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.run import run
from bareboat.workload import Mount, Tmpfs


def asked(*program: str, **more: object) -> RunRequest:
    return RunRequest(program=program, **more)  # type: ignore[arg-type]


def refused(world: World, request: RunRequest) -> BareboatError:
    before = world.outside()
    with pytest.raises(BareboatError) as caught:
        run(request, world.work)
    assert world.outside() == before and not world.store.runs.ids()
    return caught.value


def test_a_folder_becomes_a_recorded_run(world: World) -> None:
    world.require("beta")

    def train(guest):
        guest.write("/results/sums.csv", b"1\n")
        guest.write("/opt/lost", b"gone")
        guest.streams.stdout(b"hello\n")
        return 3

    world.program("train", train)
    record = run(asked("train"), world.work)
    assert (record.exit_code, record.state, [f.path for f in record.results.files]) == (3, "failed", ["sums.csv"])
    assert (world.root / "results/sums.csv").read_bytes() == b"1\n"
    for said in ("locked 2 packages", "assembled", "engine memory", "exit 3", "sums.csv", "lost with the container: 1",
                 f"bareboat rerun {record.id[:6]}"):
        assert said in world.tell.text
    assert {"pylock.toml", "bareboat.lock"} <= set(os.listdir(world.root))
    trees = [os.fspath(t) for t in world.engine.ran[0].root.trees]
    assert any("alpha" in t for t in trees) and any("beta" in t for t in trees)


def test_what_is_up_to_date_asks_nobody(world: World) -> None:
    world.require("beta")
    run(asked("true"), world.work)
    world.index.asked.clear()
    world.tell.lines.clear()
    run(asked("true", locked=True), world.work)
    assert not world.index.asked and "locked" not in world.tell.text and "fetched" not in world.tell.text


def test_an_edit_says_what_changed(world: World) -> None:
    world.require("alpha")
    run(asked("true"), world.work)
    world.require("beta")
    with pytest.raises(LockError) as caught:
        run(asked("true", locked=True), world.work)
    assert "requirements.txt" in caught.value.what
    run(asked("true"), world.work)
    assert "+ beta 2.0" in world.tell.text


def test_offline_runs_what_is_cached_and_names_what_is_missing(world: World) -> None:
    world.require("alpha")
    run(asked("true"), world.work)
    world.settings = replace(world.settings, offline=True)
    assert run(asked("true"), world.work).exit_code == 0
    other = World(world.base / "second", world.index)
    other.settings = replace(other.settings, offline=True)
    (other.root / "requirements.txt").write_text("alpha\n")
    for name in ("pylock.toml", "bareboat.lock"):
        (other.root / name).write_bytes((world.root / name).read_bytes())
    os.chdir(other.root)
    world.index.asked.clear()
    with pytest.raises(ResolveError) as caught:
        run(asked("true"), other.work)
    assert caught.value.hint and not world.index.asked  # --offline fetched wheels once


def _wheel(world: World, name: str) -> str:
    import hashlib

    return hashlib.sha256(next((world.index.folder / "files").glob(f"{name}-*")).read_bytes()).hexdigest()


def test_a_rotten_blob_is_fetched_again(world: World) -> None:
    world.require("alpha")
    run(asked("true"), world.work)
    blob = world.store.blob(_wheel(world, "alpha"))
    assert blob is not None
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes().replace(b"alpha", b"alphb"))
    world.require("beta")
    for tree in (world.store.home / "trees").glob("*alpha*"):
        tree.rename(world.base / tree.name)
    assert run(asked("true"), world.work).exit_code == 0
    assert world.store.blob(_wheel(world, "alpha"))


@pytest.mark.parametrize("name", ["pylock.toml", "bareboat.lock"])
def test_a_digest_that_was_tampered_with(world: World, name: str) -> None:
    world.require("alpha")
    run(asked("true"), world.work)
    path, sha256 = world.root / name, _wheel(world, "alpha")
    path.write_text(path.read_text().replace(sha256, "0" * 64))
    with pytest.raises(BareboatError):
        run(asked("true", locked=True), world.work)


def test_a_program_is_asked_for_before_anything_is_locked(world: World) -> None:
    world.require("alpha")
    assert refused(world, RunRequest()).code == "usage.no-program"


def test_the_default_command_and_named_ones_with_words(world: World) -> None:
    (world.root / "bareboat.toml").write_text(
        'command = ["true"]\n[commands]\nfit = ["false"]\nshow = "echo hello"\n')
    assert run(RunRequest(), world.work).exit_code == 0
    assert run(RunRequest(words=("fit", "--fast"), project_run=False), world.work).argv == ("false", "--fast")
    world.program("/bin/sh", lambda _: 0)
    assert run(RunRequest(words=("show", "a b"), project_run=False), world.work).argv == (
        "/bin/sh", "-c", 'echo hello "$@"', "show", "a b")


def test_an_unknown_image_that_is_a_program_suggests_the_dashes(world: World) -> None:
    error = refused(world, RunRequest(words=("python", "x.py"), project_run=False))
    assert error.code == "image.unknown" and "--" in error.hint


def test_data_that_links_to_nothing(world: World) -> None:
    (world.root / "data").symlink_to("nowhere")
    error = refused(world, asked("true"))
    assert error.code == "project.missing-data" and "link to nothing" in error.what


def test_results_that_cannot_be(world: World) -> None:
    (world.root / "results").write_text("")
    assert refused(world, asked("true")).code == "project.results-file"
    (world.root / "results").unlink()
    (world.root / "results").symlink_to(world.base)
    assert refused(world, asked("true")).code == "project.results-link"


def test_a_home_that_is_no_project(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.root / "src").rmdir()
    monkeypatch.setenv("HOME", str(world.root))
    assert refused(world, asked("true")).code == "project.none"
    world.require("alpha")  # described, it is one
    assert run(asked("true"), world.work).exit_code == 0


def test_an_unknown_package_leaves_no_lock(world: World) -> None:
    world.require("gamma")
    error = refused(world, asked("true"))
    assert error.code == "python.unknown-package" and "gamma" in error.what


def test_a_program_that_is_not_there_stays_recorded(world: World) -> None:
    with pytest.raises(ProgramError) as caught:
        run(asked("nothing"), world.work)
    assert caught.value.exit_code == 127
    assert world.store.runs.read(world.store.runs.ids()[0])["state"] == "failed"


def test_results_in_use_are_refused_unless_others_are_named(world: World) -> None:
    inner: list[object] = []

    def train(_guest):
        try:
            run(asked("true"), world.work)
        except RecordError as e:
            inner.append(e.code)
        inner.append(run(asked("true", results=world.root / "other"), world.work).exit_code)
        return 0

    world.program("train", train)
    assert run(asked("train"), world.work).exit_code == 0
    assert inner == ["run.results-busy", 0]


class Failing:
    """os.write of one descriptor after the first bytes."""

    def __init__(self, number: int) -> None:
        self.number, self.write = number, os.write

    def __call__(self, descriptor: int, chunk: bytes) -> int:
        if self.number == errno.ENOSPC and os.readlink(f"/proc/self/fd/{descriptor}").endswith("/log"):
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.number == errno.EPIPE and descriptor == 1:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        return self.write(descriptor, chunk)


@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "the log ends here"), (errno.EPIPE, "exit 0")])
def test_a_full_disk_or_a_gone_reader_never_ends_the_program(
        world: World, monkeypatch: pytest.MonkeyPatch, number: int, said: str) -> None:
    def train(guest):
        for _ in range(3):
            guest.streams.stdout(b"x" * 10)
        guest.write("/results/model", b"weights")
        return 0

    world.program("train", train)
    monkeypatch.setattr(execute.os, "write", Failing(number))
    record = run(asked("train"), world.work)
    assert record.exit_code == 0 and (world.root / "results/model").exists() and said in world.tell.text


def test_an_engine_that_fails_is_recorded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(workload, streams):
        raise EngineError("engine.userns", "user namespaces are off")

    monkeypatch.setattr(world.engine, "run", broken)
    with pytest.raises(EngineError):
        run(asked("true"), world.work)
    record = world.store.runs.read(world.store.runs.ids()[0])
    assert record["state"] == "failed" and "user namespaces" in str(record["reason"])


def test_a_clock_in_1970(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.require("alpha")
    run(asked("true"), world.work)
    monkeypatch.setattr("time.time", lambda: 100.0)
    record = run(asked("true"), world.work)
    assert record.exit_code == 0 and record.created.startswith("1970-01-01")


def test_a_run_in_the_background_gets_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from bareboat.verbs import prepare

    monkeypatch.setattr(os, "isatty", lambda _: True)
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    assert prepare._tty(RunRequest()) is False
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    assert prepare._tty(RunRequest()) is True


def test_a_variable_without_a_name() -> None:
    from bareboat.verbs.prepare import env_words

    with pytest.raises(UsageError):
        list(env_words(("=x",)))


def test_an_unknown_word_names_the_projects_commands(world: World) -> None:
    (world.root / "bareboat.toml").write_text('[commands]\nfit = ["false"]\n')
    error = refused(world, RunRequest(words=("fitt",), project_run=False))
    assert error.code == "image.unknown" and "fit" in error.hint


def test_a_wrong_project_file_is_told_before_an_unknown_image(world: World) -> None:
    (world.root / "bareboat.toml").write_text('[comands]\nfit = ["false"]\n')
    assert refused(world, RunRequest(words=("fit",), project_run=False)).code == "project.unknown-key"


def test_mounts_of_the_command_line_reach_the_workload_and_the_record(world: World) -> None:
    world.require("beta")
    (world.base / "more").mkdir()
    record = run(asked("true", mounts=(f"type=bind,source={world.base}/more,target=/more,readonly",),
                       tmpfs=("/scratch:size=1m,mode=700",)), world.work)
    load = world.engine.ran[0]
    assert [m for m in load.mounts if m.target == "/more"] == [Mount(world.base / "more", "/more", True)]
    assert load.tmpfs == record.tmpfs == (Tmpfs("/scratch", 1 << 20, 0o700),)
    assert "/more" in [m.target for m in record.mounts] and "/scratch" not in [m.target for m in record.mounts]


def test_two_mounts_at_one_place_are_refused(world: World) -> None:
    world.require("beta")
    for more in ({"volumes": ("/tmp:/x",), "tmpfs": ("/x",)}, {"tmpfs": ("/x:size=1m", "/x:size=2m")}):
        assert refused(world, asked("true", **more)).code == "project.mount-clash"
