"""save: the layout in a directory and in a tar, atomic, and what it says of wrong targets."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builder.image_factory import plan_in
from tests.record_kit import Lab

from bareboat.errors import BareboatError, UsageError
from bareboat.image.layout import Member
from bareboat.record.codec import encode_bytes
from bareboat.verbs import save as verb
from bareboat.verbs.collaborators import Work
from bareboat.verbs.save import Saved, Target, save


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "home", tmp_path / "iris")
    plan = plan_in(made.store, {"one": {"one/__init__.py": b"x = 1\n"}})
    blob = made.store.put_blob([encode_bytes(plan)])
    made.store.put_json("plans", plan.digest, {"plan": plan.digest, "plan_blob": blob, "trees": [], "bytecode": [],
                                               "env": [], "workdir": "/app", "locks": []})
    made.store.tag("lab/iris:1", plan.digest)
    return made


def verified(folder: Path) -> dict[str, object]:
    """The manifest of a layout of which every blob is what its name says, and every descriptor is met."""
    assert json.loads((folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    blobs = {p.name: p for p in (folder / "blobs/sha256").iterdir()}
    for name, path in blobs.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == name
    [row] = json.loads((folder / "index.json").read_bytes())["manifests"]
    manifest = json.loads(blobs[row["digest"][7:]].read_bytes())
    for of in (row, manifest["config"], *manifest["layers"]):
        assert blobs[of["digest"][7:]].stat().st_size == of["size"]
    assert len(blobs) == 2 + len(manifest["layers"])
    return manifest  # type: ignore[no-any-return]


def test_a_directory_a_file_and_a_stream_hold_the_same(lab: Lab, tmp_path: Path) -> None:
    made = save("lab/iris:1", Target.of(f"{tmp_path}/out/"), lab.work)
    assert len(verified(tmp_path / "out")["layers"]) == made.layers == 4  # type: ignore[arg-type]
    assert not (tmp_path / "out/manifest.json").exists()
    again = save("lab/iris:1", Target.of(f"{tmp_path}/out.tar"), lab.work)
    assert (again.manifest, again.plan, again.layers) == (made.manifest, made.plan, made.layers)
    stream = io.BytesIO()
    save("lab/iris:1", Target(out=stream.write), lab.work)
    assert (tmp_path / "out.tar").read_bytes() == stream.getvalue()
    with tarfile.open(tmp_path / "out.tar") as tar:
        for path in (tmp_path / "out").rglob("*"):
            if path.is_file():
                file = tar.extractfile(str(path.relative_to(tmp_path / "out")))
                assert file is not None and file.read() == path.read_bytes()
        docker = tar.extractfile("manifest.json")
        assert docker is not None and json.load(docker)[0]["RepoTags"] == ["lab/iris:1"]


def test_the_manifest_digest_is_noted(lab: Lab, tmp_path: Path) -> None:
    made = save("lab/iris:1", Target.of(f"{tmp_path}/out.tar"), lab.work)
    document = lab.store.get_json("plans", made.plan)
    assert isinstance(document, dict) and document["manifest"] == made.manifest and "plan_blob" in document


def test_by_digest_it_has_no_name(lab: Lab, tmp_path: Path) -> None:
    save(lab.store.tags()["lab/iris:1"][7:19], Target.of(f"{tmp_path}/out/"), lab.work)
    assert "annotations" not in json.loads((tmp_path / "out/index.json").read_bytes())["manifests"][0]


def test_a_file_is_replaced_and_a_full_directory_refused(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "old.tar").write_text("old")
    save("lab/iris:1", Target.of(f"{tmp_path}/old.tar"), lab.work)
    assert (tmp_path / "old.tar").stat().st_size > 10_000
    (tmp_path / "full").mkdir()
    save("lab/iris:1", Target.of(f"{tmp_path}/full"), lab.work)  # empty: taken
    with pytest.raises(UsageError) as caught:
        save("lab/iris:1", Target.of(f"{tmp_path}/full"), lab.work)
    assert caught.value.code == "save.exists"
    with pytest.raises(UsageError) as caught:
        save("lab/iris:1", Target.of(f"{tmp_path}/old.tar/"), lab.work)
    assert caught.value.code == "save.exists"


@pytest.mark.parametrize(("name", "where", "code"), [
    ("lab/other", "out.tar", "image.unknown"), ("lab/iris:1", "no/such/out.tar", "save.folder")])
def test_what_cannot_be_done_makes_nothing(lab: Lab, tmp_path: Path, name: str, where: str, code: str) -> None:
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(BareboatError) as caught:
        save(name, Target.of(f"{tmp_path}/{where}"), lab.work)
    assert caught.value.code == code
    assert sorted(os.listdir(tmp_path)) == before and lab.store.keys("cache") == []


@pytest.mark.parametrize("form", ["out.tar", "out/"])
def test_a_failing_write_leaves_what_was(lab: Lab, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    save("lab/iris:1", Target.of(f"{tmp_path}/first.tar"), lab.work)
    (tmp_path / "out.tar").write_text("old")
    before = sorted(os.listdir(tmp_path))

    def full(member: Member, work: Work) -> Iterator[bytes]:
        yield from [member.content] if member.content is not None else [b"half"]
        if member.content is None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(verb, "_blob", full)
    with pytest.raises(OSError, match="No space"):
        save("lab/iris:1", Target.of(f"{tmp_path}/{form}"), lab.work)
    assert sorted(os.listdir(tmp_path)) == before and (tmp_path / "out.tar").read_text() == "old"


def rot(lab: Lab, saved: Saved, folder: Path) -> str:
    """Change a byte of a layer in the store; its digest."""
    digest = json.loads((folder / "blobs/sha256" / saved.manifest[7:]).read_bytes())["layers"][2]["digest"][7:]
    path = lab.store.blob(digest)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    return str(digest)


def test_a_layer_that_rotted_is_made_again(lab: Lab, tmp_path: Path) -> None:
    first = save("lab/iris:1", Target.of(f"{tmp_path}/first/"), lab.work)
    rot(lab, first, tmp_path / "first")
    assert save("lab/iris:1", Target.of(f"{tmp_path}/second/"), lab.work) == first
    verified(tmp_path / "second")
    rot(lab, first, tmp_path / "first")
    with pytest.raises(BareboatError) as caught:
        save("lab/iris:1", Target(out=lambda _: None), lab.work)
    assert caught.value.code == "blob.digest"
    assert save("lab/iris:1", Target(out=lambda _: None), lab.work).manifest == first.manifest


def test_a_link_stays_and_a_pipe_is_written_to(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "link.tar").symlink_to("real.tar")
    save("lab/iris:1", Target.of(f"{tmp_path}/link.tar"), lab.work)
    assert (tmp_path / "link.tar").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    save("lab/iris:1", Target.of(f"{tmp_path}/pipe"), lab.work)
    reader.join()
    assert (tmp_path / "pipe").is_fifo() and found == [(tmp_path / "real.tar").read_bytes()]
