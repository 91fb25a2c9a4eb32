"""archive: out of one store, into an empty one where nothing can be fetched; and archives that are not right."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.world_kit import Heard, World

from bareboat.cli import main
from bareboat.errors import BareboatError
from bareboat.image.spec import canonical
from bareboat.project import load
from bareboat.settings import Settings
from bareboat.store import Store
from bareboat.verbs.archive import Along, Archived, archive
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import environment
from bareboat.verbs.lock_mode import LockMode
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.rerun import RerunRequest, rerun
from bareboat.verbs.run import run
from bareboat.verbs.runs import load as load_run
from bareboat.verbs.save import Target
from bareboat.verbs.unarchive import Restored, restore_archive


def elsewhere(world: World, name: str = "elsewhere") -> Work:
    """A machine with an empty store, no archive of packages, no index, and settings that forbid asking."""
    settings = Settings(home=world.base / name, debian_mirror=f"file:{world.base}/nothing", offline=True)
    return Work(Store.open(settings.home), world.engine, settings, Heard())


def written(world: World, to: str = "out.tar", *what: str, images: bool = True) -> tuple[Path, Archived]:
    made = archive(what, Target.of(f"{world.base}/{to}"), world.work, Along(images))
    return world.base / to.rstrip("/"), made


def refused(path: Path, at: Work) -> str:
    """The code with which it is refused; nothing has a name or can be run then."""
    with pytest.raises(BareboatError) as caught:
        restore_archive(path, at)
    assert at.store.tags() == {} and at.store.keys("plans") == []
    return caught.value.code


@pytest.fixture
def project(world: World) -> World:
    world.require("beta")
    (world.root / "src/run.py").write_text("print('here')\n")
    return world


@pytest.mark.parametrize("to", ["out.tar", "out/"])
@pytest.mark.parametrize("images", [True, False])
def test_a_clone_runs_from_it_with_an_empty_store_and_nobody_to_ask(project: World, to: str, images: bool) -> None:
    named(project, "lab/seg:1")
    path, made = written(project, to, images=images)
    assert made.images == int(images) and made.files > 5
    clone = project.base / "clone"
    shutil.copytree(project.root, clone)
    project.index.server.shutdown()
    shutil.rmtree(project.base / "archive")
    at = elsewhere(project)
    with pytest.raises(BareboatError):  # the broken control: without the archive it cannot be made
        environment(load(clone), LockMode(locked=True), at)
    restored = restore_archive(path, at)
    assert restored.images[0][1:] == (made.plans[0], ("lab/seg:1",)) and restored.files == made.files
    again = environment(load(clone), LockMode(locked=True), at)
    assert again.plan == made.plans[0] == at.store.tags()["lab/seg:1"]
    assert (clone / "bareboat.lock").read_bytes() == (project.root / "bareboat.lock").read_bytes()
    assert restore_archive(path, at) == Restored(restored.images, 0, 0) or made.files  # idempotent
    onward = archive(["lab/seg:1"], Target.of(f"{project.base}/onward/"), at, Along(images))
    assert onward.plans == made.plans and onward.files == made.files


def test_the_layout_is_one_that_any_tool_reads(project: World) -> None:
    named(project, "lab/seg:1", "lab/seg:latest")
    path, _ = written(project, "out/")
    blobs = {p.name: p for p in (path / "blobs/sha256").iterdir()}
    for name, blob in blobs.items():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == name
    index = json.loads((path / "index.json").read_bytes())
    assert json.loads((path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    tags = [row["annotations"]["org.opencontainers.image.ref.name"] for row in index["manifests"] if
             "annotations" in row]
    assert tags == ["1", "latest"]
    reached = set()
    for row in index["manifests"]:
        manifest = json.loads(blobs[row["digest"][7:]].read_bytes())
        rows = [row, manifest["config"], *manifest["layers"], *([manifest["subject"]] if "subject" in manifest else [])]
        for of in rows:
            assert blobs[of["digest"][7:]].stat().st_size == of["size"]
            reached.add(of["digest"][7:])
    assert reached == set(blobs)
    [bundle] = [row for row in index["manifests"] if row.get("artifactType")]
    titles = {layer["annotations"]["org.opencontainers.image.title"] for layer in
              json.loads(blobs[bundle["digest"][7:]].read_bytes())["layers"]}
    assert {"bareboat.lock", "pylock.toml", "plan.json", "beta-2.0-py3-none-any.whl"} <= titles


def test_the_same_project_gives_the_same_archive(project: World) -> None:
    first, _ = written(project, "one.tar")
    second, _ = written(project, "two.tar")
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar:
        [docker] = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert docker["RepoTags"] == ["project:latest"] and set(docker["Layers"]) <= set(tar.getnames())


def test_what_the_store_dropped_is_fetched_again(project: World) -> None:
    made = environment(load(project.root), LockMode(), project.work)
    first, _ = written(project, "one.tar")
    store = project.store
    store.settle()
    from bareboat.builder.archives import drop_archives
    from bareboat.verbs.images import plan_of

    store.close()
    assert drop_archives(store, plan_of(made.plan_blob, project.work)) > 5
    assert written(project, "two.tar")[0].read_bytes() == first.read_bytes()


def test_what_a_private_index_has_is_asked_for_with_the_projects_user(
        project: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from bareboat.builder import blobs

    made = environment(load(project.root), LockMode(), project.work)
    first, _ = written(project, "one/")
    user = project.index.url.replace("://", "://me:hunter2@")
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", user)
    asked: list[str] = []
    fetch = blobs.fetch_wheels

    def noted(store, wheels, sources, progress):  # type: ignore[no-untyped-def]
        asked.extend(w.url for w in wheels)
        fetch(store, wheels, sources, progress)

    monkeypatch.setattr(blobs, "fetch_wheels", noted)
    for wheel in _plan(project).wheels:
        project.store.remove_blob(wheel.sha256)
    second, _ = written(project, "two/")
    assert asked and all("://me:hunter2@" in url for url in asked)
    assert made.plan == _plan(project).digest
    assert not any(b"hunter2" in p.read_bytes() for p in second.rglob("*") if p.is_file())
    assert sorted(p.name for p in first.rglob("*")) == sorted(p.name for p in second.rglob("*"))


def test_what_rotted_is_fetched_again(project: World) -> None:
    first, _ = written(project, "one.tar")
    wheel = next(w for w in _plan(project).wheels if w.name == "beta")
    blob = project.store.blob(wheel.sha256)
    assert blob is not None
    blob.chmod(0o600)
    blob.write_bytes(b"x" * blob.stat().st_size)
    assert written(project, "two.tar")[0].read_bytes() == first.read_bytes()


def _plan(world: World):  # type: ignore[no-untyped-def]
    from bareboat.verbs.images import plan_of

    return plan_of(environment(load(world.root), LockMode(), world.work).plan_blob, world.work)


def test_several_share_what_is_the_same(project: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(project.root, other, ignore=shutil.ignore_patterns("*lock*"))
    (other / "requirements.txt").write_text("alpha\n")
    path, made = written(project, "out/", str(project.root), str(other))
    assert len(set(made.plans)) == 2 and made.images == 2
    at = elsewhere(project)
    assert [plan for _, plan, _ in restore_archive(path, at).images] == list(made.plans)


def test_a_bundle_of_many_files_is_several_manifests(project: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bareboat.image.archive.PART_MOST", 3)
    path, made = written(project, "out/")
    rows = [r for r in json.loads((path / "index.json").read_bytes())["manifests"] if r.get("artifactType")]
    assert len(rows) > 3
    assert restore_archive(path, elsewhere(project)).files == made.files


def named(world: World, *names: str) -> None:
    """Give the project's image names, as build -t does."""
    made = environment(load(world.root), LockMode(), world.work)
    for name in names:
        world.store.tag(name, made.plan)


Change = Callable[[Path], None]


def _rows(path: Path) -> list[dict[str, object]]:
    return json.loads((path / "index.json").read_bytes())["manifests"]  # type: ignore[no-any-return]


def _reindex(path: Path, **changes: object) -> None:
    document = json.loads((path / "index.json").read_bytes())
    (path / "index.json").write_bytes(canonical({**document, **changes}))


def _bundle(path: Path) -> Path:
    [row] = [r for r in _rows(path) if r.get("artifactType")]
    return path / "blobs/sha256" / str(row["digest"])[7:]


def _layer(path: Path, title: str) -> Path:
    rows = json.loads(_bundle(path).read_bytes())["layers"]
    [digest] = [r["digest"] for r in rows if r["annotations"]["org.opencontainers.image.title"].startswith(title)]
    return path / "blobs/sha256" / digest[7:]


def exchange(path: Path) -> None:
    shutil.copy(_layer(path, "alpha"), _layer(path, "beta"))


def flip(path: Path) -> None:
    data = bytearray(_layer(path, "beta").read_bytes())
    data[len(data) // 2] ^= 1
    _layer(path, "beta").write_bytes(data)


def climb(path: Path) -> None:
    [row] = [r for r in _rows(path) if r.get("artifactType")]
    _reindex(path, manifests=[{**row, "digest": "sha256:../../../etc/passwd"}])


def newer(path: Path) -> None:
    _reindex(path, annotations={"bareboat.archive": "2"})


def newer_kind(path: Path) -> None:
    [row] = [r for r in _rows(path) if r.get("artifactType")]
    _reindex(path, manifests=[{**row, "artifactType": "application/vnd.bareboat.archive.v2+json"}])


def only_images(path: Path) -> None:
    _reindex(path, annotations={}, manifests=[r for r in _rows(path) if not r.get("artifactType")])


def link(path: Path) -> None:
    target = _layer(path, "beta")
    shutil.move(target, path.parent / "aside")
    target.symlink_to(path.parent / "aside")


def pipe(path: Path) -> None:
    target = _layer(path, "beta")
    target.unlink()
    os.mkfifo(target)


def other_plan(path: Path) -> None:
    """A bundle that says another digest of its plan, consistently down from the index."""
    _rewrite(path, lambda config: {**config, "plan": "sha256:" + "0" * 64})


def broken_config(path: Path) -> None:
    _rewrite(path, lambda config: {**config, "locks": ["no table"]})


def _rewrite(path: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    manifest = json.loads(_bundle(path).read_bytes())
    config = canonical(change(json.loads((path / "blobs/sha256" / manifest["config"]["digest"][7:]).read_bytes())))
    manifest["config"] = {**manifest["config"], **_put(path, config)}
    [row] = [r for r in _rows(path) if r.get("artifactType")]
    _reindex(path, manifests=[{**row, **_put(path, canonical(manifest))}])


def odd_name(path: Path) -> None:
    _rewrite(path, lambda config: {**config, "names": ["../../Etc"]})


def lacks_a_wheel(path: Path) -> None:
    manifest = json.loads(_bundle(path).read_bytes())
    manifest["layers"] = [x for x in manifest["layers"] if "alpha" not in str(x["annotations"])]
    [row] = [r for r in _rows(path) if r.get("artifactType")]
    _reindex(path, manifests=[{**row, **_put(path, canonical(manifest))}])


def _put(path: Path, data: bytes) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    (path / "blobs/sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


@pytest.mark.parametrize(("change", "code"), [
    (exchange, "blob."), (flip, "blob.digest"), (lambda p: _layer(p, "beta").unlink(), "archive.incomplete"),
    (lambda p: _bundle(p).unlink(), "archive.incomplete"), (lambda p: _bundle(p).write_bytes(b"{}"), "blob.digest"),
    (climb, "manifest.malformed"), (newer, "archive.format"), (newer_kind, "archive.format"),
    (only_images, "archive.unknown"), (lambda p: (p / "index.json").unlink(), "archive.unknown"),
    (lambda p: (p / "index.json").write_text("{"), "manifest.malformed"), (link, "archive.malformed"),
    (pipe, "archive.malformed"), (other_plan, "archive.incomplete"), (broken_config, "archive.malformed"),
    (lacks_a_wheel, "archive.incomplete"), (odd_name, "archive.malformed"),
    (lambda p: _layer(p, "beta").write_bytes(b""), "blob."),
    (lambda p: os.truncate(_layer(p, "beta"), 1 << 30), "blob.size"),
])
def test_wrong_archives_are_refused_and_leave_no_image(project: World, change: Change, code: str) -> None:
    path, _ = written(project, "out/")
    at = elsewhere(project)
    change(path)
    assert refused(path, at).startswith(code)
    as_tar = project.base / "wrong.tar"
    if change not in (link, pipe) and code != "blob.size":
        with tarfile.open(as_tar, "w") as tar:
            for file in sorted(path.rglob("*")):
                tar.add(file, str(file.relative_to(path)), recursive=False)
        assert refused(as_tar, at).startswith(code)


def test_a_tar_cut_anywhere_is_refused(project: World) -> None:
    path, _ = written(project, "out.tar", images=False)
    data = path.read_bytes()
    at = elsewhere(project)
    last = data.rstrip(b"\0")
    for where in (0, 100, 512, 1024, 1500, 9000, len(last) // 2, len(last) - 700):
        (project.base / "cut.tar").write_bytes(data[:where])
        assert refused(project.base / "cut.tar", at).partition(".")[0] in ("archive", "tar"), where
    assert restore_archive(path, at).images  # what was taken in of the cut ones is right, and is used


def test_a_name_in_a_tar_never_becomes_a_path(project: World) -> None:
    path, _ = written(project, "out.tar", images=False)
    (project.base / "evil.tar").write_bytes(b"")
    with tarfile.open(project.base / "evil.tar", "w") as tar, tarfile.open(path) as old:
        for name in ("../climbed", "/absolute-climbed", "blobs/sha256/../../climbed"):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
        for member in old:
            tar.addfile(member, old.extractfile(member) if member.isfile() else None)
    assert refused(project.base / "evil.tar", elsewhere(project)) == "tar.path"
    assert not list(project.base.rglob("*climbed*"))


def test_a_tar_in_another_order_and_repacked_is_taken(project: World) -> None:
    path, made = written(project, "out/")
    with tarfile.open(project.base / "order.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for file in sorted(path.rglob("*"), reverse=True):
            tar.add(file, "./" + str(file.relative_to(path)), recursive=False)
    assert restore_archive(project.base / "order.tar", elsewhere(project)).files == made.files


@pytest.mark.parametrize("what", ["missing", "text", "folder", "empty"])
def test_what_is_no_archive_is_said_to_be_none(project: World, what: str) -> None:
    path = project.base / what
    if what == "text":
        path.write_text("hello " * 200)
    elif what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    assert refused(path, elsewhere(project)) == "archive.unknown"


def test_nothing_is_replaced(project: World) -> None:
    for to, code in (("there.tar", "archive.exists"), ("full/", "save.exists"), ("no/such/out.tar", "save.folder")):
        if to == "there.tar":
            (project.base / to).write_text("mine")
        elif to == "full/":
            (project.base / to).mkdir()
            (project.base / to / "x").touch()
        with pytest.raises(BareboatError) as caught:
            written(project, to)
        assert caught.value.code == code
    assert (project.base / "there.tar").read_text() == "mine"
    with pytest.raises(BareboatError) as caught:
        written(project, "a.tar", "nobody/knows:1")
    assert caught.value.code == "image.unknown"


def test_a_failure_leaves_nothing_at_the_target(project: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bareboat.verbs.save._write", full)
    for to in ("out.tar", "out/"):
        with pytest.raises(OSError, match="No space"):
            written(project, to)
    assert not [p for p in project.base.iterdir() if "out" in p.name]


def test_the_command_line(project: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    works = [project.work]
    monkeypatch.setattr("bareboat.wiring.work", lambda tell, **said: replace(works[0], tell=tell))
    assert main(["archive", "-o", "../out.tar"]) == 0
    plan = capsys.readouterr().out.strip()
    assert main(["archive", "-o", "../out.tar"]) == 125
    assert "[archive.exists]" in capsys.readouterr().err
    works[0] = elsewhere(project)
    assert main(["archive", "--restore", "../out.tar", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == [["project", plan, []]]
    for words in ([], ["-o", "x", "--restore", "y"], ["--restore", "y", "more"]):
        assert main(["archive", *words]) == 125
        assert "[usage.archive]" in capsys.readouterr().err


@pytest.fixture
def run_there(project: World) -> World:
    """The project with a run named "first"."""
    def train(guest):  # type: ignore[no-untyped-def]
        guest.write("/results/sums.csv", b"1\n")
        guest.streams.stdout(b"hello\n")
        return 0

    project.program("train", train)
    run(RunRequest(program=("train",), name="first"), project.work)
    return project


def _with_run(world: World, *what: str, to: str = "out/") -> Path:
    archive(what, Target.of(f"{world.base}/{to}"), world.work, Along(runs=("first",)))
    return world.base / to.rstrip("/")


def test_a_run_goes_along_with_its_image_and_repeats_the_same(run_there: World) -> None:
    path = _with_run(run_there)
    [made] = run_there.store.runs.ids()
    at = elsewhere(run_there)
    restored = restore_archive(path, at)
    assert restored.images == () and restored.runs == (made,) == tuple(at.store.runs.ids())
    record = load_run(at.store, made)
    assert record.origin and record.results.files[0].path == "sums.csv"
    assert (at.store.runs.path(made) / "log").read_bytes() == b"hello\n"
    again = rerun(RerunRequest(made, run_there.base / "again"), at)
    assert again.verdict.same and (run_there.base / "again/results/sums.csv").read_bytes() == b"1\n"
    assert restore_archive(path, at).runs == (made,)
    assert restore_archive(path, run_there.work).runs == (made,)  # its own store keeps its own account
    assert not load_run(run_there.store, made).origin


def test_a_run_and_its_project_in_one_archive(run_there: World) -> None:
    path = _with_run(run_there, str(run_there.root), to="both.tar")
    at = elsewhere(run_there)
    restored = restore_archive(path, at)
    assert len(restored.images) == len(restored.runs) == 1
    assert load_run(at.store, restored.runs[0]).plan == restored.images[0][1]


def _run_blob(path: Path, kind: str) -> Path:
    [row] = [r for r in _rows(path) if "run" in str(r.get("artifactType"))]
    manifest = json.loads((path / "blobs/sha256" / str(row["digest"])[7:]).read_bytes())
    rows = [manifest["config"], *manifest["layers"], manifest["subject"]]
    [digest] = [r["digest"] for r in rows if kind in r["mediaType"]]
    return path / "blobs/sha256" / digest[7:]


@pytest.mark.parametrize("kind", ["record", "plan", "code.pack", "results.pack", "image.manifest"])
def test_a_run_of_which_a_part_was_changed_is_refused(run_there: World, kind: str) -> None:
    path = _with_run(run_there)
    at = elsewhere(run_there)
    blob = _run_blob(path, kind)
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert refused(path, at) == "blob.digest" and at.store.runs.ids() == []
    blob.unlink()
    assert refused(path, at) == "archive.incomplete" and at.store.runs.ids() == []


def test_an_unknown_run_is_said_before_anything_is_written(project: World) -> None:
    with pytest.raises(BareboatError) as caught:
        archive((), Target.of(f"{project.base}/out/"), project.work, Along(runs=("nobody",)))
    assert caught.value.code == "record.missing" and not (project.base / "out").exists()


@pytest.mark.parametrize("to", ["out/", "out.tar"])
def test_an_image_of_others_goes_and_comes_as_it_is(project: World, to: str) -> None:
    from tests.builder.layer_factory import E, d, tar
    from tests.live.layout_kit import write_layout

    from bareboat.registry.places import parse_place
    from bareboat.verbs.pull import pull

    first = tar([d("usr"), E("usr/a", b"one"), E("usr/gone", b"x")])
    second = tar([d("usr"), E("usr/b", b"two" * 999), E("usr/.wh.gone")])
    layout = write_layout(project.base / "layout", [first, second])
    pulled = pull(parse_place(f"oci:{layout}:1"), "linux/amd64", project.work)
    [name] = project.store.tags()
    for blob in (layout / "blobs/sha256").iterdir():
        project.store.remove_blob(blob.name)  # what a store dropped is fetched from where it was found
    path, made = written(project, to, name)
    shutil.rmtree(layout)
    at = elsewhere(project)
    assert [(plan, names) for _, plan, names in restore_archive(path, at).images] == [(pulled.plan, (name,))]
    root = at.store.tree(pulled.trees[0])
    assert root is not None and (root / "usr/a").read_bytes() == b"one" and (root / "usr/b").stat().st_size == 2997
    assert not (root / "usr/gone").exists()
    assert made.images == 1 and made.files == 5  # manifest, config, two layers, the plan


def test_a_name_that_moves_is_told(project: World) -> None:
    named(project, "lab/seg:1")
    path, made = written(project, "out/")
    at = elsewhere(project)
    at.store.put_json("plans", "sha256:other", {"plan": "sha256:other", "trees": []})
    at.store.tag("lab/seg:1", "sha256:other")
    restore_archive(path, at)
    assert at.store.tags() == {"lab/seg:1": made.plans[0]} and "was sha256:other until now" in at.tell.text  # type: ignore[attr-defined]


def test_the_code_is_in_the_image_and_goes_along_with_it(project: World) -> None:
    from bareboat.verbs.environment import assemble
    from bareboat.verbs.shipping import travelling

    loaded = load(project.root)
    made = assemble(travelling(loaded, environment(loaded, LockMode(), project.work), project.work), project.work)
    project.store.tag("lab/seg:1", made.plan)
    path, archived = written(project, "out.tar", str(project.root), "lab/seg:1")
    assert archived.images == 1 and len(archived.plans) == 2  # the project's image is that one
    at = elsewhere(project)
    assert [names for _, _, names in restore_archive(path, at).images] == [(), ("lab/seg:1",)]
    document = at.store.get_json("plans", made.plan)
    assert isinstance(document, dict)
    top = at.store.tree(document["trees"][-1])
    assert top is not None and (top / "app/src/run.py").read_text() == "print('here')\n"
    with tarfile.open(path) as tar:
        [docker] = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert docker["RepoTags"] == ["lab/seg:1"]
    bare = archive((), Target.of(f"{project.base}/bare.tar"), project.work, Along(code=False))
    assert bare.plans == archived.plans[:1] and bare.size < archived.size


def test_load_takes_the_images_of_an_archive(project: World) -> None:
    from bareboat.verbs.load import load as load_images

    named(project, "lab/seg:1")
    path, _ = written(project, "out.tar")
    at = elsewhere(project)
    with open(path, "rb") as file:
        [(names, _)] = load_images(file, str(path), "linux/amd64", at)
    assert names == ("lab/seg:1",)
    bare, _ = written(project, "bare.tar", images=False)
    with open(bare, "rb") as file, pytest.raises(BareboatError) as caught:
        load_images(file, str(bare), "linux/amd64", at)
    assert caught.value.code == "archive.unknown" and "--restore" in caught.value.hint
