"""--code: the run of a repository's project; what it may ask of the caller's machine, and what is done once."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.git_kit import git, needs_git, repository
from tests.world_kit import World

from bareboat.engine.memory import Guest
from bareboat.errors import BareboatError
from bareboat.record.codec import encode_bytes
from bareboat.store.gc import Policy
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.rerun import RerunRequest, rerun
from bareboat.verbs.run import run

pytestmark = needs_git


class Here:
    """A world with a repository beside it, and a folder of the caller's that is no project."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.origin, self.caller = world, world.base / "origin/seg.git", world.base / "caller"
        self.caller.mkdir()
        monkeypatch.chdir(self.caller)
        world.publish("beta", "1.0")

    @property
    def url(self) -> str:
        return f"git+file://{self.origin}"

    def run(self, *program: str, ref: str = "", **more: object):  # type: ignore[no-untyped-def]
        request = RunRequest(program=program or ("true",), code=self.url + ref, **more)  # type: ignore[arg-type]
        return run(request, self.world.work)

    def refused(self, ref: str = "", **more: object) -> BareboatError:
        count = len(self.world.engine.ran)
        with pytest.raises(BareboatError) as caught:
            self.run(ref=ref, **more)
        assert len(self.world.engine.ran) == count
        return caught.value


@pytest.fixture
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(world, monkeypatch)


def test_a_repository_is_run_and_its_commit_is_in_the_record(here: Here) -> None:
    commit = repository(here.origin, {"requirements.txt": "beta\n", "src/run.py": "1", "README": "x"})

    def train(guest: Guest) -> int:
        assert guest.read("/app/src/run.py") == b"1"
        with pytest.raises(PermissionError):
            guest.write("/app/src/run.py", b"2")
        guest.write("/results/out", b"x")
        return len(guest.read("/data/d"))

    here.world.program("train", train)
    (here.caller / "data").mkdir()
    (here.caller / "data/d").write_text("12345")
    record = here.run("train", ref="@main")
    assert record.exit_code == 5 and (here.caller / "results/out").read_bytes() == b"x"
    assert record.git is not None and (record.git.commit, record.git.branch) == (commit, "main")
    assert record.git.remote == f"file://{here.origin}" and not record.git.dirty
    assert record.project == "seg" and record.code is not None and record.code.files >= 2
    assert sorted(os.listdir(here.caller)) == ["data", "results"]  # no lock of somebody else's project
    assert {m.kind for m in record.mounts} == {"code", "data", "results"}


def test_a_branch_is_asked_for_once_and_again_with_refresh(here: Here) -> None:
    first = repository(here.origin, {"requirements.txt": "beta\n"})
    assert here.run(ref="@main").git.commit == first
    second = repository(here.origin, {"requirements.txt": "beta\n", "more": "x"})
    here.world.tell.lines.clear()
    assert here.run(ref="@main").git.commit == first and "fetching" not in here.world.tell.text
    assert "locked" not in here.world.tell.text  # its lock was kept beside it
    assert here.run(ref="@main", refresh=True).git.commit == second
    assert here.run(ref=f"@{first}").git.commit == first
    git(here.origin, "branch", "-m", "main", "other")
    assert here.run(ref="@main").git.commit == second
    assert here.refused(ref="@main", refresh=True).code == "code.ref"
    shutil.rmtree(here.origin)
    assert here.run(ref="@main").git.commit == second
    assert here.refused(ref="@main", refresh=True).code == "code.unreachable"


def test_offline_with_what_is_here(here: Here) -> None:
    commit = repository(here.origin, {"requirements.txt": "beta\n"})
    online = here.world.settings
    here.world.settings = replace(online, offline=True)
    assert {here.refused(ref=r).code for r in ("@main", f"@{commit}")} == {"code.offline"}
    here.world.settings = online
    here.run(ref="@main")
    here.world.settings = replace(online, offline=True)
    for ref in ("@main", f"@{commit}"):
        assert here.run(ref=ref, refresh=True).git.commit == commit


def test_a_folder_of_the_repository_is_the_project(here: Here) -> None:
    repository(here.origin, {"a/b/requirements.txt": "beta\n", "a/b/bareboat.toml": 'name = "inner"\n', "x": "1",
                             "link": "-> a/b", "out": "-> /etc"})
    record = here.run(ref="@main#subdir=a/b")
    assert record.project == "inner" and "x" not in os.listdir(record.root)
    assert here.refused(ref="@main#subdir=link").code == "code.subdir"
    assert here.refused(ref="@main#subdir=out").code == "code.subdir"
    assert here.refused(ref="@main#subdir=none").code == "code.subdir"


def test_results_have_their_place_though_the_code_is_read_only(here: Here) -> None:
    repository(here.origin, {"requirements.txt": "beta\n", "train.py": "1"})
    here.world.program("relative", lambda guest: guest.write("results/out", b"x") or 0)
    here.run("relative")
    assert (here.caller / "results/out").read_bytes() == b"x"
    other = here.world.base / "elsewhere"
    here.run("relative", results=other)
    assert (other / "out").exists()


def test_it_can_be_repeated_when_the_repository_is_gone(here: Here) -> None:
    repository(here.origin, {"requirements.txt": "beta\n", "train.py": "1"})
    here.world.program("read", lambda guest: guest.write("/results/out", guest.read("/app/train.py")) or 0)
    old = here.run("read")
    shutil.rmtree(here.origin)
    shutil.rmtree(here.world.store.home / "checkouts")
    done = rerun(RerunRequest(old.id, into=here.world.base / "again", quiet=True), here.world.work)
    assert done.verdict.verdict == "identical" and done.new.git == old.git


@pytest.mark.parametrize(("files", "what"), [
    ({"bareboat.toml": 'mounts = ["/etc:/x"]\n'}, "/etc"),
    ({"bareboat.toml": 'mounts = ["~/.ssh:/x"]\n'}, ".ssh"),
    ({"bareboat.toml": 'mounts = ["../..:/x"]\n'}, "/"),
    ({"bareboat.toml": 'mounts = ["models:/x"]\n'}, "the volume models"),
    ({"bareboat.toml": 'code = "/etc"\n'}, "/etc"),
    ({"bareboat.toml": 'data = "/etc"\n'}, "/etc"),
    ({"bareboat.toml": 'env-file = "secret"\n', "secret": "-> /etc/passwd"}, "secret"),
    ({"bareboat.toml": 'startup = "start"\n', "start": "-> /etc/passwd"}, "start"),
    ({"bareboat.toml": 'base = "oci:/srv/images:x"\n'}, "/srv/images"),
    ({"src": "-> /etc"}, "/etc"),
    ({"requirements.txt": "-> /etc/passwd"}, ""),
    ({"requirements.txt": "-e /etc\n"}, "/etc"),
    ({"requirements.txt": "beta @ file:///etc/x.whl\n"}, "/etc/x.whl"),
    ({"bareboat.lock": "-> ../../../../written"}, "bareboat.lock"),
    ({"pylock.toml": "-> /tmp/written"}, "pylock.toml"),
    ({"bareboat.toml": "-> /etc/passwd"}, ""),
])
def test_a_project_of_others_names_nothing_of_this_machine(here: Here, files: dict[str, str], what: str) -> None:
    repository(here.origin, {"requirements.txt": "beta\n", **files})
    error = here.refused()
    assert error.code.startswith("project.") and what in error.what
    assert not (here.caller / "pylock.toml").exists() and "written" not in os.listdir(here.world.store.home)


def test_what_the_caller_says_is_the_callers(here: Here, world: World) -> None:
    repository(here.origin, {"requirements.txt": "beta\n", "bareboat.toml": 'mounts = ["./in:/in:ro", "/spare"]\n'
                             "cache = true\n", "in/x": "1"})
    (world.base / "mine").mkdir()
    record = here.run(volumes=(f"{world.base}/mine:/x", "models:/m"))
    kinds = {m.target: m.kind for m in record.mounts}
    assert kinds["/x"] == "mount" and kinds["/m"] == "volume" and kinds["/in"] == "mount"
    assert "cache" not in kinds.values()  # theirs alone is not asked
    assert "cache" in {m.kind for m in here.run(cache=True).mounts}


def test_an_image_has_no_project(here: Here, world: World) -> None:
    repository(here.origin, {"requirements.txt": "beta\n", "bareboat.toml": 'commands = {go = ["true"]}\n'})
    with pytest.raises(BareboatError) as caught:
        run(RunRequest(words=("debian:bookworm",), project_run=False, code=here.url), world.work)
    assert caught.value.code == "usage.code"
    assert run(RunRequest(words=("go",), project_run=False, code=here.url), world.work).exit_code == 0


def test_submodules_and_large_files_are_said_to_be_left(here: Here) -> None:
    inner = here.world.base / "inner"
    repository(inner, {"a": "1"})
    repository(here.origin, {"requirements.txt": "beta\n", "model.bin": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1\n")})
    git(here.origin, "submodule", "add", "-q", f"file://{inner}", "third/inner")
    git(here.origin, "commit", "-qm", "sub")
    record = here.run()
    assert "submodules are not fetched: third/inner" in here.world.tell.text
    assert "Git LFS are not fetched" in here.world.tell.text and "model.bin" in here.world.tell.text
    assert not (Path(record.root) / "third/inner").exists()


def test_gc_takes_what_nobody_used_for_long(here: Here, world: World) -> None:
    repository(here.origin, {"requirements.txt": "beta\n"})
    here.run()
    checkouts = world.store.home / "checkouts"
    late = Policy(older_than=60, grace=0, now=4e9)
    world.store.gc(late)
    assert len(os.listdir(checkouts)) == 1  # this process still holds it
    world.store.close()
    assert [r.kind for r in world.store.gc(late).removed if r.kind == "code"] == ["code"]
    assert not os.listdir(checkouts)
    here.run()
    assert dict(world.store.usage().kinds)["code"].count == 1


def test_gc_leaves_what_a_listed_container_starts_from(here: Here, world: World) -> None:
    from bareboat.verbs import containers
    from bareboat.verbs.launch import Life, create

    repository(here.origin, {"requirements.txt": "beta\n"})
    container, _ = create(RunRequest(program=("true",), code=here.url), Life(), world.work)
    world.store.close()
    late = Policy(older_than=60, grace=0, now=4e9)
    assert "code" not in {r.kind for r in world.store.gc(late).removed}
    containers.forget(world.store, container.id)
    assert "code" in {r.kind for r in world.store.gc(late).removed}


def test_a_password_is_nowhere(here: Here, world: World) -> None:
    repository(here.origin, {"requirements.txt": "beta\n"})
    with pytest.raises(BareboatError) as caught:
        run(RunRequest(program=("true",), code="git+http://u:s3cret@127.0.0.1:1/seg@main"), world.work)
    assert caught.value.code == "code.unreachable"
    told = str(caught.value) + caught.value.where + caught.value.hint + world.tell.text
    assert "s3cret" not in told and "127.0.0.1:1/seg" in told
    record = here.run()
    assert b"s3cret" not in encode_bytes(record)
    for folder, _, names in os.walk(world.store.home):
        for name in names:
            if not Path(folder, name).is_symlink():
                assert b"s3cret" not in Path(folder, name).read_bytes()
