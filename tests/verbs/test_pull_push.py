"""pull, push and load as a user has them, with a registry in memory."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from tests.image_kit import Made, registry
from tests.world_kit import World

from bareboat.engine.memory import Guest
from bareboat.errors import BareboatError, UsageError
from bareboat.project import load as load_project
from bareboat.registry.places import parse_place
from bareboat.store import Store
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import environment
from bareboat.verbs.load import load
from bareboat.verbs.lock_mode import LockMode
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.pull import pull
from bareboat.verbs.push import push
from bareboat.verbs.run import run
from bareboat.verbs.save import Target, save

HOST = "host.example"


@pytest.fixture
def work(world: World) -> Work:
    made, _ = registry()

    def opened(place: object) -> object:
        return made.repository(place.reference.repository)  # type: ignore[attr-defined]

    return Work(world.store, world.engine, world.settings, world.tell, opened)  # type: ignore[arg-type]


def other(work: Work, home: Path) -> Work:
    """The same world with an empty store."""
    return Work(Store.open(home), work.engine, work.settings, work.tell, work.repositories)


def build(world: World, work: Work, name: str) -> None:
    """As the verb, without bytecode: there is no Python in this world to compile it."""
    work.store.tag(name, environment(load_project(world.root), LockMode(), work).plan)


def names(*words: str) -> RunRequest:
    return RunRequest(words=words, project_run=False)


def test_what_is_pulled_runs_by_its_name(world: World, work: Work) -> None:
    assert work.repositories is not None
    repository = work.repositories(parse_place(f"{HOST}/lab/seg:1"))
    Made(run={"Env": ["A=1"], "Entrypoint": ["tell"], "Cmd": ["me"], "WorkingDir": "/w"}).put(repository, "1")  # type: ignore[arg-type]
    seen: list[tuple[tuple[str, ...], str, str]] = []

    def tell(guest: Guest) -> int:
        seen.append((guest.workload.argv, guest.env["A"], guest.workload.cwd))
        return 0

    world.program("tell", tell)
    world.program("other", tell)
    made = pull(parse_place(f"{HOST}/lab/seg:1"), "linux/amd64", work)
    assert work.store.tags() == {f"{HOST}/lab/seg:1": made.plan}
    for request in (names(f"{HOST}/lab/seg:1"), names(f"docker://{HOST}/lab/seg:1", "you"), names(made.plan[7:15]),
                    RunRequest(words=(f"{HOST}/lab/seg:1", "x"), project_run=False, entrypoint="other")):
        assert run(request, work).exit_code == 0
    assert [argv for argv, _, _ in seen] == [("tell", "me"), ("tell", "you"), ("tell", "me"), ("other", "x")]
    assert all((a, cwd) == ("1", "/w") for _, a, cwd in seen)


def test_an_image_without_a_command(work: Work) -> None:
    assert work.repositories is not None
    Made(run={}).put(work.repositories(parse_place(f"{HOST}/a:1")), "1")  # type: ignore[arg-type]
    pull(parse_place(f"{HOST}/a:1"), "linux/amd64", work, "mine:1")
    with pytest.raises(UsageError) as caught:
        run(names("mine:1"), work)
    assert caught.value.code == "usage.no-program"


def test_what_is_built_is_pushed_once_and_pulled_elsewhere(world: World, work: Work, tmp_path: Path) -> None:
    world.require("alpha")
    build(world, work, f"{HOST}/lab/seg:1")
    first = push(f"{HOST}/lab/seg:1", parse_place(f"{HOST}/lab/seg:1"), work)
    assert first.sent > 2 and not first.there
    again = push(f"{HOST}/lab/seg:1", parse_place(f"{HOST}/lab/seg:1"), work)
    assert (again.digest, again.sent, again.bytes) == (first.digest, 0, 0)
    beside = push(f"{HOST}/lab/seg:1", parse_place(f"{HOST}/lab/copy:1"), work)
    assert beside.mounted >= first.sent - 1  # the config is sent, layers are known by where they were pushed
    elsewhere = other(work, tmp_path / "elsewhere")
    made = pull(parse_place(f"{HOST}/lab/seg:1"), "linux/amd64", elsewhere)
    [tree] = [elsewhere.store.tree(k) for k in made.trees]
    assert tree is not None and list(tree.glob("opt/venv/lib/python3*/site-packages/alpha.py"))


def test_a_saved_archive_is_loaded(world: World, work: Work, tmp_path: Path) -> None:
    world.require("alpha")
    build(world, work, "lab/seg:1")
    for packed in (False, True):
        out = io.BytesIO()
        save("lab/seg:1", Target(out=out.write), work)
        data = out.getvalue()
        if packed:
            import gzip

            data = gzip.compress(data, 1)
        elsewhere = other(work, tmp_path / f"elsewhere-{packed}")
        [(named, made)] = load(io.BytesIO(data), "x.tar", "linux/amd64", elsewhere)
        assert named == ("lab/seg:1",) and elsewhere.store.tags() == {"lab/seg:1": made.plan}


@pytest.mark.parametrize("data", [b"", b"x", b"\x1f\x8b\x08\x00junk", b"\x28\xb5\x2f\xfdjunk", bytes(1024)])
def test_what_is_no_archive(work: Work, data: bytes) -> None:
    with pytest.raises(BareboatError) as caught:
        load(io.BytesIO(data), "x.tar", "linux/amd64", work)
    assert caught.value.code.split(".")[0] in ("archive", "tar")


def test_offline_asks_no_registry(world: World) -> None:
    from dataclasses import replace

    work = Work(world.store, world.engine, replace(world.settings, offline=True), world.tell)
    with pytest.raises(UsageError) as caught:
        pull(parse_place("host.example/x:1"), "linux/amd64", work)
    assert caught.value.code == "registry.offline"


def test_nothing_to_push(work: Work) -> None:
    with pytest.raises(UsageError) as caught:
        push("nothing:1", parse_place(f"{HOST}/x:1"), work)
    assert caught.value.code == "image.unknown"


def docker_archive(rows: object) -> bytes:
    """As `docker save` wrote it before 25, with the rows of its manifest.json."""
    import hashlib
    import json
    import tarfile

    def tarred(files: dict[str, bytes]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return out.getvalue()

    layer = tarred({"a": b"x"})
    config = {"os": "linux", "architecture": "amd64", "config": {},
              "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}
    return tarred({"c.json": json.dumps(config).encode(), "l.tar": layer, "manifest.json": json.dumps(rows).encode()})


@pytest.mark.parametrize(("name", "known"), [
    ("lab/seg:1", "lab/seg:1"), ("V1.0", "V1.0"), ("\x1b[2J", ""), ("\ud800", ""), ("a:\ud800", ""), ("-rf", ""),
    ("../../etc", ""), ("", ""), ("a b", ""), ("a\nb", ""), ("x" * 10_000, "")])
def test_a_name_in_an_archive_is_a_name_or_none(world: World, work: Work, name: str, known: str) -> None:
    data = docker_archive([{"Config": "c.json", "Layers": ["l.tar"], "RepoTags": [name]}])
    [(named, made)] = load(io.BytesIO(data), "x.tar", "linux/amd64", work)
    assert named == ((known,) if known else ()) and work.store.tags() == dict.fromkeys(named, made.plan)
    assert known or "not named" in world.tell.text  # type: ignore[attr-defined]
    assert "\x1b" not in world.tell.text  # type: ignore[attr-defined]


@pytest.mark.parametrize("row", [
    {"Config": "c.json", "Layers": ["l.tar"], "RepoTags": "latest"}, {"Config": "c.json", "Layers": {"l.tar": 1}},
    {"Config": "c.json", "Layers": ["l.tar"], "RepoTags": [None]}, {"Config": "c.json", "Layers": "l.tar"}, [], 7])
def test_docker_s_rows_are_read_strictly(work: Work, row: object) -> None:
    with pytest.raises(BareboatError) as caught:
        load(io.BytesIO(docker_archive([row])), "x.tar", "linux/amd64", work)
    assert caught.value.code == "archive.malformed" and not work.store.tags()


def rot(work: Work, digest: str) -> None:
    path = work.store.blob(digest.removeprefix("sha256:"))
    assert path is not None
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])


def test_a_layer_that_rotted_is_fetched_or_made_again(world: World, work: Work) -> None:
    from bareboat.host.files import remove_tree
    from bareboat.verbs.images import find, stored_plan

    assert work.repositories is not None
    content = Made().put(work.repositories(parse_place(f"{HOST}/a:1")), "1")  # type: ignore[arg-type]
    made = pull(parse_place(f"{HOST}/a:1"), "linux/amd64", work)
    image = stored_plan(made.plan, work).image
    assert image is not None
    [layer] = image.layers

    def lose_trees() -> None:
        for path in (work.store.home / "trees").iterdir():
            remove_tree(str(path))

    for again in (lambda: pull(parse_place(f"{HOST}/a:1"), "linux/amd64", work),
                  lambda: find(f"{HOST}/a:1", work)):
        rot(work, layer.digest)
        lose_trees()
        found = again()
        assert found is not None and work.store.tree(found.trees[0]) is not None
    rot(work, layer.digest)
    assert push(f"{HOST}/a:1", parse_place(f"{HOST}/b:1"), work).digest == content.digest
    world.require("alpha")
    build(world, work, "seg:1")
    first = push("seg:1", parse_place(f"{HOST}/c:1"), work)
    layers = [b.name for b in (work.store.home / "blobs/sha256").iterdir() if b.read_bytes()[:2] == b"\x1f\x8b"]
    assert layers
    for name in layers:
        elsewhere, _ = registry()
        rot(work, name)
        there = Work(work.store, work.engine, work.settings, work.tell,
                     lambda place, at=elsewhere: at.repository(place.reference.repository))  # type: ignore
        assert push("seg:1", parse_place(f"{HOST}/c:1"), there).digest == first.digest


def test_an_image_is_never_pushed_under_a_digest_of_another(world: World, work: Work, tmp_path: Path) -> None:
    assert work.repositories is not None
    content = Made().put(work.repositories(parse_place(f"{HOST}/a:1")), "1")  # type: ignore[arg-type]
    pull(parse_place(f"{HOST}/a:1"), "linux/amd64", work)
    wrong = "sha256:" + "a" * 64
    for place in (f"{HOST}/b@{wrong}", f"{HOST}/b:1@{wrong}", f"oci:{tmp_path}/out@{wrong}",
                  f"oci:{tmp_path}/out@{content.digest}"):
        with pytest.raises(UsageError) as caught:
            push(f"{HOST}/a:1", parse_place(place), work)
        assert caught.value.code == "push.digest"
    there = work.repositories(parse_place(f"{HOST}/b:1"))
    assert not there.tags() and not (tmp_path / "out").exists()
    assert push(f"{HOST}/a:1", parse_place(f"{HOST}/b@{content.digest}"), work).digest == content.digest
    assert there.head(content.digest) and not there.tags()
    push(f"{HOST}/a:1", parse_place(f"{HOST}/b:2@{content.digest}"), work)
    assert there.tags() == ["2"]


def test_an_image_of_an_index_of_an_archive_has_its_media_type(work: Work, tmp_path: Path) -> None:
    import json
    import tarfile

    from tests.image_kit import digest, index, put

    from bareboat.image.manifest import Platform
    from bareboat.image.spec import MANIFEST

    assert work.repositories is not None
    _, theirs = registry()
    document = json.loads(Made().put(theirs).data)
    del document["mediaType"]  # as older programs write it
    inner = index(theirs, [(put(theirs, document, MANIFEST), Platform("linux", "amd64"))])
    top = {"schemaVersion": 2, "manifests": [{**inner.descriptor.document(), "annotations": {
        "org.opencontainers.image.ref.name": "lab/nested:1"}}]}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        blobs = [*theirs.blobs.values(), *(c.data for c in theirs.manifests.values())]
        for name, data in (("index.json", json.dumps(top).encode()),
                           *((f"blobs/sha256/{digest(b).removeprefix('sha256:')}", b) for b in blobs)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    load(io.BytesIO(out.getvalue()), "x.tar", "linux/amd64", work)
    push("lab/nested:1", parse_place(f"{HOST}/nested:1"), work)
    assert work.repositories(parse_place(f"{HOST}/nested:1")).manifest("1").media_type == MANIFEST


@pytest.mark.parametrize(("by", "label"), [("@", None), (":1@", [f"{HOST}/a:1"])])
def test_a_name_by_digest_is_none_in_an_archive(work: Work, by: str, label: list[str] | None) -> None:
    import json
    import tarfile

    assert work.repositories is not None
    content = Made().put(work.repositories(parse_place(f"{HOST}/a:1")), "1")  # type: ignore[arg-type]
    name = f"{HOST}/a{by}{content.digest}"
    pull(parse_place(name), "linux/amd64", work)
    out = io.BytesIO()
    save(name, Target(out=out.write), work)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        assert json.loads(tar.extractfile("manifest.json").read())[0]["RepoTags"] == label  # type: ignore[union-attr]
