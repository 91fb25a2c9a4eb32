"""Runs that travel: sent from one store, taken into another, repeated there; and what strangers may send."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tarfile
import threading
from pathlib import Path

import pytest
from tests.builder.image_factory import plan_in
from tests.record_kit import Lab

from bareboat.cli import main
from bareboat.errors import BareboatError, StoreError
from bareboat.image.manifest import choose, read_manifest
from bareboat.image.spec import CONFIG, INDEX, MANIFEST, PLAN, Descriptor, canonical, describe
from bareboat.record import artifact as kinds
from bareboat.record.artifact import Part, make_artifact, make_index
from bareboat.record.codec import encode_bytes
from bareboat.record.gathered import ResultFile
from bareboat.record.values import CodeSnapshot, RecordedMount, RunRecord
from bareboat.registry.base import Content
from bareboat.registry.memory import MemoryRegistry, MemoryRepository
from bareboat.registry.places import Place, parse_place
from bareboat.store.gc import Policy
from bareboat.verbs.arrivals import forget, take
from bareboat.verbs.diff import diff
from bareboat.verbs.rerun import RerunRequest, rerun
from bareboat.verbs.run_places import arrive, find_run
from bareboat.verbs.runs import find, taken_in
from bareboat.verbs.save import Target
from bareboat.verbs.show import write_results
from bareboat.verbs.travel import Destination, Luggage, Packed, pack, push_run, save_run, send_run

HERE = "linux/amd64"
SAME = "(results / 'a.csv').write_text('x\\n' + str(len((data / 'd.txt').read_text())) + '.5\\n'); say('done\\n')"
RANDOM = "import os; (results / 'r.txt').write_text(os.urandom(8).hex())"
WHEELS = {"one": {"one/__init__.py": b"x = 1\n"}}


def at(wanted: str) -> Place:
    joint = "@" if wanted.startswith("sha256:") else ":"
    return parse_place(f"memory.example/lab/seg{joint}{wanted}")


class Room:
    """A sender with one image, an empty receiver, and a registry between them."""

    def __init__(self, tmp_path: Path) -> None:
        self.sender = Lab(tmp_path / "theirs", tmp_path / "iris")
        self.receiver = Lab(tmp_path / "ours", tmp_path / "nothing")
        self.plan = plan_in(self.sender.store, WHEELS)
        self.registry = MemoryRegistry()
        self.repository = self.registry.repository("memory/lab/seg")
        self.data = tmp_path / "copy"
        self.data.mkdir()
        (self.data / "d.txt").write_text("data")

    def run(self, code: str = SAME, **more: object) -> RunRecord:
        return self.sender.run(code, self.plan, **more)  # type: ignore[no-any-return]

    def push(self, run: RunRecord, tag: str = "paper", luggage: Luggage = Luggage()) -> Packed:  # noqa: B008
        return push_run(run.id, Destination(self.repository, tag), luggage, self.sender.work)

    def take(self, wanted: str = "paper") -> RunRecord:
        return take(find_run(self.repository, at(wanted), f"memory/lab/seg:{wanted}"), HERE, self.receiver.work)

    def again(self, run: str, **request: object):  # type: ignore[no-untyped-def]
        return rerun(RerunRequest(run, quiet=True, **request), self.receiver.work,  # type: ignore[arg-type]
                     self.receiver.steps)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return Room(tmp_path)


def refused(call) -> BareboatError:  # type: ignore[no-untyped-def]
    with pytest.raises(BareboatError) as caught:
        call()
    return caught.value


def nothing_kept(lab: Lab) -> bool:
    return lab.store.runs.ids() == [] and lab.store.keys("plans") == []


def test_pushed_and_repeated_by_somebody_else(room: Room) -> None:
    old = room.run(env=(("API_KEY", "s3cret-value"), ("LR", "0.1")))
    packed = room.push(old)
    assert b"s3cret-value" not in b"".join(room.repository.blobs.values())
    came = room.take()
    assert came.id == old.id and came.origin == f"memory/lab/seg@{packed.digest}" and taken_in(came)
    assert came.host is not None and came.host.mark == "" and came.manifest == packed.image.descriptor.digest
    assert (room.receiver.store.runs.path(old.id) / "log").read_bytes() == b"done\n"
    done = room.again(old.id, data=room.data)
    assert done.verdict.verdict == "identical" and done.new.rerun_of == old.id
    assert done.new.network == "none" and done.new.manifest == came.manifest and done.new.origin == came.origin
    assert room.receiver.engine.loads[-1].env == (("LR", "0.1"),)
    plans = room.receiver.store.keys("plans")
    assert old.plan not in plans  # what a stranger calls a plan is no image of ours


def test_the_run_of_a_store_is_not_taken_in_twice_or_by_itself(room: Room) -> None:
    old = room.run()
    room.push(old)
    first, again = room.take(), room.take()
    assert first == again and room.receiver.store.runs.ids() == [old.id]
    own = take(find_run(room.repository, at("paper"), "here"), HERE, room.sender.work)
    assert own.origin == "" and find(room.sender.store, old.id) == old
    assert any("own" in line for line in room.sender.tell.lines)


def test_pushing_is_repeatable_and_goes_on(room: Room) -> None:
    old = room.run()
    first = room.push(old)
    count = len(room.repository.blobs)
    assert room.push(old).digest == first.digest and len(room.repository.blobs) == count
    assert room.repository.sent[-1].how == "there"
    room.registry.cut = {part.descriptor.digest: 1 for part in first.parts}
    assert room.take().id == old.id and not room.registry.cut


def test_what_goes_along(room: Room) -> None:
    small = room.run("(results / 'a').write_text('1'); (results / 'b').write_text('2' * 100)")
    document = room.sender.store.runs.read(small.id)
    rows = document["results"]["files"]  # type: ignore[index,call-overload]
    rows[1]["kept"] = False  # as one that was too large
    room.sender.store.runs.write(small.id, document)
    plain = pack(small.id, Luggage(), room.sender.work)
    large = pack(small.id, Luggage(large=True, log=False, data_from="https://data.example/d"), room.sender.work)
    assert {p.kind for p in plain.parts} == {
        kinds.RECORD, kinds.PLAN, kinds.CODE_INDEX, kinds.CODE_PACK, kinds.RESULTS, kinds.LOG}
    assert {p.kind for p in large.parts} - {p.kind for p in plain.parts} == {kinds.RESULT}
    assert large.record.log == "" and large.record.data_from == "https://data.example/d"
    (room.sender.root / "results/b").write_text("other")
    room.sender.store.remove_blob(rows[1]["sha256"])
    assert refused(lambda: pack(small.id, Luggage(large=True), room.sender.work)).code == "record.result-gone"


def test_data_are_asked_for_and_where_to_have_them_is_told(room: Room) -> None:
    room.push(room.run(), luggage=Luggage(data_from="https://data.example/d"))
    came = room.take()
    error = refused(lambda: room.again(came.id))
    assert error.code == "record.data-needed" and "https://data.example/d" in error.hint
    (room.data / "d.txt").write_text("other")
    error = refused(lambda: room.again(came.id, data=room.data))
    assert error.code == "record.data-differs" and "https://data.example/d" in error.hint


def test_other_results_are_told_with_the_cause(room: Room) -> None:
    room.push(room.run(RANDOM))
    done = room.again(room.take().id, data=room.data)
    assert done.verdict.verdict == "differs" and "not deterministic" in done.verdict.causes[-1]
    assert not any("packages" in cause for cause in done.verdict.causes)  # the image is the same, by its manifest


def test_a_repetition_can_be_sent_on_and_repeated_here(room: Room) -> None:
    old = room.run()
    room.push(old)
    done = room.again(room.take().id, data=room.data)
    again = room.again("last")  # made here: it knows where the data are
    assert again.old.id == done.new.id and again.verdict.verdict == "identical"
    assert room.receiver.engine.loads[-1].network == "none"


def test_a_secret_of_ours_never_goes_to_the_repetition_of_a_repetition(
        room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "geheim")
    room.push(room.run(env=(("API_KEY", "theirs"),)))
    room.again(room.take().id, data=room.data)
    room.again("last")
    assert "geheim" not in str(room.receiver.engine.loads)


def test_from_a_file_whole_and_by_docker(room: Room, tmp_path: Path) -> None:
    old = room.run()
    saved = save_run(old.id, Target.of(f"{tmp_path}/run.tar"), Luggage(), room.sender.work)
    again = save_run(old.id, Target.of(f"{tmp_path}/again.tar"), Luggage(), room.sender.work)
    assert saved == again and (tmp_path / "run.tar").read_bytes() == (tmp_path / "again.tar").read_bytes()
    with tarfile.open(tmp_path / "run.tar") as tar:
        names = tar.getnames()
        rows = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert rows[0]["RepoTags"] == [f"bareboat-run:{old.id}"]
        assert {rows[0]["Config"], *rows[0]["Layers"]} <= set(names) and len(names) == len(set(names))
        index = read_manifest(tar.extractfile("index.json").read(), "", "")  # type: ignore[union-attr]
        [row] = index.manifests  # type: ignore[union-attr]
        assert row.descriptor.media_type == INDEX and row.descriptor.digest == saved.manifest
    came = arrive(f"{tmp_path}/run.tar", HERE, room.receiver.work)
    assert came.id == old.id and came.origin.startswith(f"{tmp_path}/run.tar@sha256:")
    assert room.again(f"{tmp_path}/run.tar", data=room.data).verdict.verdict == "identical"


def test_a_layout_directory_is_a_repository_as_well(room: Room, tmp_path: Path) -> None:
    old = room.run()
    save_run(old.id, Target.of(f"{tmp_path}/run/"), Luggage(), room.sender.work)
    assert arrive(f"oci:{tmp_path}/run", HERE, room.receiver.work).id == old.id


def test_gc_leaves_what_a_repetition_needs(room: Room) -> None:
    room.push(room.run())
    came = room.take()
    room.receiver.store.close()
    room.receiver.store.gc(Policy(older_than=0, grace=0, now=4e9))
    store = room.receiver.store
    from bareboat.builder.layers import image_tree_key
    from bareboat.verbs.arrivals import image_plan_of

    plan = image_plan_of(came, room.receiver.work)
    assert plan is not None and plan.image is not None and store.tree(image_tree_key(plan.image)) is not None
    assert all(store.blob(digest) for digest in came.blobs)
    assert room.again(came.id, data=room.data).verdict.verdict == "identical"


def test_listed_shown_and_compared(room: Room, capsys: pytest.CaptureFixture[str],
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    room.push(room.run())
    came = room.take()
    done = room.again(came.id, data=room.data)
    monkeypatch.setenv("BAREBOAT_HOME", str(room.receiver.store.home))
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "FROM" in lines[0] and sum(" seg " in line for line in lines) == 1
    assert main(["show", came.id]) == 0
    assert came.origin in capsys.readouterr().out
    found = diff(room.receiver.store, came.id, done.new.id)
    assert found.packages == () and found.problems == () and found.code == () and found.results.same


def test_extensions_come_under_a_name_of_their_own(room: Room) -> None:
    """A key of the sender's store is never one of ours: ours means that we made it."""
    old = room.run()
    store = room.sender.store
    store.make_tree("ext-1", lambda tree: tree.file("pkg/fast.so", 0o755, [b"\x7fELF"]))
    store.runs.write(old.id, store.runs.read(old.id) | {"overlays": [["/app/src", "ext-1"]]})
    room.push(old)
    came = room.take()
    [(target, key)] = came.overlays
    tree = room.receiver.store.tree(key)
    assert target == "/app/src" and tree is not None and (tree / "pkg/fast.so").read_bytes() == b"\x7fELF"
    assert room.receiver.store.tree("ext-1") is None and not key.startswith("ext-")
    room.again(came.id, data=room.data)
    assert room.receiver.engine.loads[-1].code_overlays == (("/app/src", tree),)


def test_a_startup_script_comes_along(room: Room) -> None:
    old = room.run()
    store = room.sender.store
    digest = store.put_blob([b"export A=1\n"])
    document = store.runs.read(old.id)
    script = {"source": "/home/them/start.sh", "target": "/run/bareboat/startup", "read_only": True, "kind": "startup",
              "within": digest}
    store.runs.write(old.id, document | {"mounts": [*document["mounts"], script]})
    room.push(old)
    came = room.take()
    room.receiver.store.gc(Policy(older_than=0, grace=0, now=4e9))
    done = room.again(came.id, data=room.data)
    mount = room.receiver.engine.loads[-1].mounts[-1]
    assert (mount.source, mount.read_only) == (room.receiver.store.blob(digest), True)
    assert mount.source.read_bytes() == b"export A=1\n" and done.new.mounts[-1].within == digest
    ours = room.receiver.store.put_blob([b"ours"])
    forged(room, lambda record, parts: (dataclasses.replace(record, id="0123456789ab", mounts=tuple(
        dataclasses.replace(m, within=ours) if m.kind == "startup" else m for m in came.mounts)), parts))
    assert refused(room.take).code == "artifact.missing-blob"


# what somebody with bad intentions, or a broken program, could send


def forged(room: Room, change=lambda record, parts: (record, parts), subject: Descriptor | None = None,  # type: ignore
           code: bytes | None = None) -> None:
    """Push a sound run, then in its place one whose record and blobs were changed."""
    packed = room.push(room.run())
    record, parts = change(packed.record, packed.parts[1:])
    if code is not None:
        index = put(room.repository, kinds.CODE_INDEX, code)
        parts = [p for p in parts if p.kind != kinds.CODE_INDEX] + [index]
        from bareboat.store.codepack import Entry, canonical_digest

        rows = json.loads(code)["entries"]
        digest = canonical_digest([Entry("l", r[1], target=r[2]) if r[0] == "l" else Entry("d", r[1]) if r[0] == "d"
                                   else Entry("f", r[1], r[2], r[3]) for r in rows])
        record = dataclasses.replace(record, code=CodeSnapshot(digest, index.sha256, record.code.packs))
    encoded = record if isinstance(record, bytes) else encode_bytes(record)
    put(room.repository, kinds.RECORD, encoded)
    shown = record if isinstance(record, RunRecord) else packed.record
    place(room, make_artifact(shown, encoded, parts, subject or packed.image.descriptor), packed)


def put(repository: MemoryRepository, kind: str, data: bytes) -> Part:
    of = describe(kind, data)
    repository.blobs[of.digest] = data
    return Part(kind, of.digest.removeprefix("sha256:"), len(data))


def place(room: Room, artifact: bytes, packed: Packed) -> None:
    of = describe(MANIFEST, artifact)
    room.repository.put_manifest(Content(MANIFEST, of.digest, artifact))
    index = make_index(packed.image.descriptor, packed.image.platform, of)
    room.repository.put_manifest(Content(INDEX, describe(INDEX, index).digest, index), "paper")


def with_record(**changes: object):  # type: ignore[no-untyped-def]
    return lambda record, parts: (dataclasses.replace(record, **changes), parts)


def without(kind: str):  # type: ignore[no-untyped-def]
    return lambda record, parts: (record, [p for p in parts if p.kind != kind])


@pytest.mark.parametrize(("change", "code"), [
    (with_record(id="../../../tmp"), "record.malformed"),
    (with_record(manifest="sha256:" + "1" * 64), "artifact.subject"),
    (with_record(plan="sha256:" + "1" * 64), "record.plan-damaged"),
    (with_record(overlays=(("/app/src", "ext-1"),)), "artifact.missing-blob"),
    (with_record(format=2), "record.format"),
    (without(kinds.PLAN), "artifact.missing-blob"),
    (without(kinds.CODE_PACK), "artifact.missing-blob"),
    (without(kinds.RESULTS), "artifact.missing-blob"),
    (lambda record, parts: (b"[" * 100_000, parts), "record.malformed"),
    (lambda record, parts: (b"{}" + b" " * (33 << 20), parts), "artifact.too-large"),
])  # fmt: skip
def test_bad_records_leave_nothing_behind(room: Room, change, code: str) -> None:  # type: ignore[no-untyped-def]
    forged(room, change)
    assert refused(room.take).code == code
    assert nothing_kept(room.receiver)
    assert sorted(os.listdir(room.receiver.store.home / "runs")) == []


def test_the_control_of_forged_a_sound_one_is_taken(room: Room) -> None:
    forged(room)
    assert room.take().argv == ("run.py",)


def code_of(*entries: list[object], packs: list[str] | None = None) -> bytes:
    return json.dumps({"format": 1, "packs": packs or [], "entries": entries}, separators=(",", ":")).encode()


@pytest.mark.parametrize("code", [
    code_of(["d", "../../canary"]), code_of(["d", "/canary"]), code_of(["l", "../canary", "x"]),
    code_of(["d", "a/../b"]),
    code_of(["l", "src", "/"], ["d", "src/canary"]), code_of(["l", "src", "../../../.."], ["l", "src/canary", "x"]),
    code_of(["d", "x" * 300]), code_of(["l", "a", "x" * 5000]), code_of(["d", "a"], ["l", "a", "b"]),
    code_of(["d", ""])])
def test_code_that_leads_out_is_refused_when_it_is_unpacked(room: Room, tmp_path: Path, code: bytes) -> None:
    forged(room, code=code)
    before = {p: p.lstat().st_mtime_ns for p in tmp_path.iterdir()}
    came = room.take()
    error = refused(lambda: room.again(came.id, data=room.data))
    assert error.code.split(".")[0] in ("tree", "record"), error.code
    assert room.receiver.engine.loads == [] and not list(tmp_path.rglob("canary"))
    assert {p: p.lstat().st_mtime_ns for p in tmp_path.iterdir()} == before


def test_code_with_links_out_is_harmless_where_nothing_follows_them(room: Room) -> None:
    """A link is text; what is mounted is the snapshot, and a link to outside points into the sandbox."""
    forged(room, with_record(mounts=(RecordedMount("/x/src", "/app/src", True, "code", "src"),)),
           code=code_of(["l", "src", "/etc"]))
    came = room.take()
    assert refused(lambda: room.again(came.id)).code == "record.code-gone"


def test_a_record_that_names_blobs_of_ours(room: Room) -> None:
    """What is in the receiver's store already is not in the artifact: it stays out of reach."""
    secret = room.receiver.store.put_blob([b"our own secret"])
    forged(room, with_record(code=CodeSnapshot("sha256:" + "1" * 64, secret, ())))
    assert refused(room.take).code == "artifact.missing-blob"


def test_the_control_without_strict_reading_ours_would_be_theirs(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were names of blobs not compared with what came, a record could make our own files its code, and say where."""
    from bareboat.store.codepack import Entry, canonical_digest, index_bytes
    from bareboat.verbs import arrivals

    secret = b"our own secret"
    store = room.receiver.store
    pack = store.put_blob([secret])
    entry = Entry("f", "src/run.py", 0o644, pack, size=len(secret), pack=pack)
    index = store.put_blob([index_bytes([entry], (pack,))])
    forged(room, with_record(code=CodeSnapshot(canonical_digest([entry]), index, (pack,))))
    assert refused(room.take).code == "artifact.missing-blob"
    monkeypatch.setattr(arrivals, "read_record", lambda data, *_: RunRecord.from_document(json.loads(data)))
    monkeypatch.setattr(arrivals, "check_code", lambda *_: None)
    came = room.take()
    with pytest.raises(SyntaxError):  # it was about to be run
        room.again(came.id, data=room.data)


def test_a_run_of_this_id_that_is_another(room: Room) -> None:
    own = room.receiver.run("x = 1", plan_in(room.receiver.store, WHEELS))
    before = room.receiver.store.runs.read(own.id)
    forged(room, with_record(id=own.id))
    assert refused(room.take).code == "record.exists"
    assert room.receiver.store.runs.read(own.id) == before


def test_a_forged_machine_is_not_believed(room: Room) -> None:
    """Our own published record has our host's name; a stranger may use it, and the mark if it ever got out."""
    ours = room.receiver.run("x = 1", plan_in(room.receiver.store, WHEELS)).host
    home = RecordedMount(str(room.data), "/out", False)
    forged(room, lambda r, parts: (dataclasses.replace(
        r, host=ours, origin="", network="host", mounts=(*r.mounts, home)), parts))
    came = room.take()
    assert refused(lambda: room.again(came.id, data=room.data)).code == "record.mount-needed"
    done = room.again(came.id, data=room.data, volumes=(("/out", room.data),))
    assert done.new.network == "none" and all(m.read_only for m in room.receiver.engine.loads[-1].mounts[:-1]
                                              if m.target != "/results")


def test_an_image_of_another_plan_as_the_subject(room: Room) -> None:
    other = plan_in(room.sender.store, {"two": {"two/__init__.py": b""}})
    packed = pack(room.sender.run(SAME, other).id, Luggage(), room.sender.work)
    room.push(room.sender.run(SAME, other), "other")
    forged(room, with_record(manifest=packed.image.descriptor.digest), subject=packed.image.descriptor)
    error = refused(room.take)
    assert error.code == "artifact.subject" and nothing_kept(room.receiver)


def test_a_config_of_another_kind(room: Room) -> None:
    packed = room.push(room.run())
    document = json.loads(packed.artifact)
    document["config"]["mediaType"] = CONFIG
    place(room, canonical(document), packed)
    assert refused(room.take).code == "artifact.malformed"


def test_an_image_without_a_run(room: Room) -> None:
    packed = room.push(room.run())
    image = Content(MANIFEST, packed.image.descriptor.digest, packed.image.manifest)
    alone = room.registry.repository("memory/lab/alone")
    alone.blobs, alone.manifests, alone.names = room.repository.blobs, {image.digest: image}, {"1": image.digest}
    error = refused(lambda: find_run(alone, at("1"), "memory/lab/alone:1"))
    assert error.code == "image.no-run" and "bareboat run memory/lab/alone:1" in error.hint


def test_an_image_with_one_run_and_with_two(room: Room) -> None:
    """By its own tag an image has the runs that say that they were in it."""
    old = room.run()
    packed = room.push(old)
    room.repository.names["1"] = packed.image.descriptor.digest
    assert room.take("1").id == old.id
    room.push(room.run(RANDOM), "other")
    error = refused(lambda: find_run(room.repository, at("1"), "memory/lab/seg:1"))
    assert error.code == "run.which" and packed.digest in error.hint
    assert room.take(packed.digest).id == old.id  # named by digest


def test_a_run_whose_image_is_not_there(room: Room) -> None:
    packed = room.push(room.run())
    del room.repository.manifests[packed.image.descriptor.digest]
    assert refused(room.take).code == "artifact.no-image"
    assert nothing_kept(room.receiver)


def test_a_tag_that_moves_in_between(room: Room) -> None:
    """A tag is asked once: what was seen first is what is taken, whole."""
    old = room.run()
    room.push(old)
    other = room.run(RANDOM)
    found = find_run(room.repository, at("paper"), "memory/lab/seg:paper")
    room.push(other)
    assert take(found, HERE, room.receiver.work).id == old.id
    assert room.take().id == other.id


@pytest.mark.parametrize("cut", [10, 600, 5000, 20_000])
def test_a_file_that_was_cut(room: Room, tmp_path: Path, cut: int) -> None:
    save_run(room.run().id, Target.of(f"{tmp_path}/run.tar"), Luggage(), room.sender.work)
    whole = (tmp_path / "run.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:cut])
    assert refused(lambda: arrive(f"{tmp_path}/cut.tar", HERE, room.receiver.work)).exit_code == 125
    assert nothing_kept(room.receiver)


def test_a_file_with_a_changed_byte(room: Room, tmp_path: Path) -> None:
    packed = pack(room.run().id, Luggage(), room.sender.work)
    save_run(packed.record.id, Target.of(f"{tmp_path}/run.tar"), Luggage(), room.sender.work)
    whole = bytearray((tmp_path / "run.tar").read_bytes())
    at = whole.index(encode_bytes(packed.record))
    whole[at + 20] ^= 1
    (tmp_path / "run.tar").write_bytes(whole)
    assert refused(lambda: arrive(f"{tmp_path}/run.tar", HERE, room.receiver.work)).code == "blob.digest"


def test_a_tar_of_something_else(room: Room, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        info = tarfile.TarInfo("../canary")
        tar.addfile(info, io.BytesIO())
    assert refused(lambda: arrive(f"{tmp_path}/x.tar", HERE, room.receiver.work)).exit_code == 125
    assert not (tmp_path.parent / "canary").exists()


def test_names_in_a_record_do_not_move_the_cursor(room: Room, capsys: pytest.CaptureFixture[str],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    bad = "\x1b[2J\u202e<script>"
    forged(room, lambda r, parts: (dataclasses.replace(
        r, name=bad, project=bad, argv=(bad,), reason=bad, root=bad, version=bad, engine=bad, data_from=bad,
        env=((bad, bad),), results=dataclasses.replace(r.results, folder=bad, files=(
            *r.results.files, ResultFile(bad, 1, "")))), parts))
    came = room.take()
    monkeypatch.setenv("BAREBOAT_HOME", str(room.receiver.store.home))
    for words in (["runs"], ["show", came.id], ["diff", came.id, came.id]):
        main(words)
        said = capsys.readouterr()
        assert "\x1b" not in said.out + said.err and "\u202e" not in said.out + said.err


def test_two_take_the_same_run_at_once(room: Room) -> None:
    room.push(room.run())
    codes: list[str] = []

    def one() -> None:
        try:
            room.take()
        except BareboatError as error:
            codes.append(error.code)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [] and len(room.receiver.store.runs.ids()) == 1
    assert room.take().origin


def test_engines_find_the_image_behind_the_tag(room: Room) -> None:
    packed = room.push(room.run())
    index = read_manifest(room.repository.manifest("paper").data, "", "")
    entry = choose(index.manifests, HERE)  # type: ignore[union-attr]
    assert entry is not None and entry.descriptor.digest == packed.image.descriptor.digest
    config = json.loads(packed.image.config)
    assert config["config"]["Labels"][PLAN] == packed.record.plan


def test_large_results_come_to_those_who_ask(room: Room) -> None:
    old = room.run("(results / 'a').write_text('1'); (results / 'b').write_text('2' * 100)")
    document = room.sender.store.runs.read(old.id)
    document["results"]["files"][1]["kept"] = False  # type: ignore[index,call-overload]
    room.sender.store.runs.write(old.id, document)
    packed = room.push(old, luggage=Luggage(large=True))
    [large] = [p for p in packed.parts if p.kind == kinds.RESULT]
    room.take()
    assert room.receiver.store.blob(large.sha256) is None
    take(find_run(room.repository, at("paper"), "memory/lab/seg:paper"), HERE, room.receiver.work, large=True)
    room.receiver.store.close()
    room.receiver.store.gc(Policy(older_than=0, grace=0, now=4e9))
    path = room.receiver.store.blob(large.sha256)
    assert path is not None and path.read_text() == "2" * 100


def test_forgotten_runs_free_their_image(room: Room) -> None:
    own = room.receiver.run("x = 1", plan_in(room.receiver.store, WHEELS))
    room.push(room.run())
    came = room.take()
    keys = [p.name for p in (room.receiver.store.home / "trees").iterdir() if p.name.startswith("image-")]
    assert refused(lambda: forget(own.id, room.receiver.work)).code == "record.own"
    assert forget(came.id, room.receiver.work).id == came.id
    room.receiver.store.close()
    room.receiver.store.gc(Policy(older_than=0, grace=0, now=4e9))
    assert keys and not any(room.receiver.store.tree(key) for key in keys)
    assert room.receiver.store.runs.ids() == [own.id] and room.take().id == came.id


def test_a_repetition_that_comes_back_is_compared_with_the_first(room: Room) -> None:
    """Its image is known by the manifest; by its plan it would be another."""
    old = room.run()
    room.push(old)
    done = room.again(room.take().id, data=room.data)
    document = room.receiver.store.runs.read(done.new.id)
    room.sender.store.runs.create(done.new.id)
    room.sender.store.runs.write(done.new.id, document)
    room.sender.store.put_json("plans", old.plan, {"plan": old.plan})
    pack(old.id, Luggage(), room.sender.work)
    found = diff(room.sender.store, old.id, done.new.id)
    assert found.packages == () and found.problems == ()


def test_the_proxys_password_stays_here(room: Room) -> None:
    room.push(room.run())
    came = room.take()
    with_proxy = dataclasses.replace(room.receiver.steps, inherited=lambda environ, tty: (
        {"https_proxy": "http://me:geheim@proxy.example:1"}, ()))
    for network, given in (("", False), ("host", True)):
        request = RerunRequest(came.id, quiet=True, data=room.data, network=network)
        rerun(request, room.receiver.work, with_proxy)
        assert ("geheim" in str(room.receiver.engine.loads[-1].env)) is given


def test_results_are_written_out(room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    old = room.run("(results / 'deep').mkdir(); (results / 'deep/a').write_text('1'); "
                   "(results / 'b').write_text('2' * 100); (results / 'l').symlink_to('/etc/passwd')")
    document = room.sender.store.runs.read(old.id)
    [large] = [row for row in document["results"]["files"] if row["path"] == "b"]  # type: ignore[index,call-overload]
    large["kept"] = False
    room.sender.store.runs.write(old.id, document)
    room.push(old, luggage=Luggage(large=True))
    room.take()
    assert write_results(room.receiver.store, old.id, tmp_path / "some") == (2, ("b",))
    assert (tmp_path / "some/deep/a").read_text() == "1" and os.readlink(tmp_path / "some/l") == "/etc/passwd"
    take(find_run(room.repository, at("paper"), "memory/lab/seg:paper"), HERE, room.receiver.work, large=True)
    monkeypatch.setenv("BAREBOAT_HOME", str(room.receiver.store.home))
    assert main(["show", old.id, "--results", str(tmp_path / "all")]) == 0
    assert (tmp_path / "all/b").read_text() == "2" * 100 and "3 files in" in capsys.readouterr().out
    assert main(["show", old.id, "--results", str(tmp_path / "all")]) == 125
    assert "record.results-folder" in capsys.readouterr().err


def test_results_behind_a_link_stay_in_the_folder(room: Room, tmp_path: Path) -> None:
    """The names of a record's results may be made up: one below another that is a link to elsewhere."""
    (tmp_path / "outside").mkdir()
    forged(room, lambda r, parts: (dataclasses.replace(r, results=dataclasses.replace(r.results, files=(
        ResultFile("out", 0, "", link=str(tmp_path / "outside")),
        dataclasses.replace(r.results.files[0], path="out/canary")))), parts))
    came = room.take()
    assert refused(lambda: write_results(room.receiver.store, came.id, tmp_path / "results")).code.startswith("tree.")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_repetition_is_sent_back_and_so_is_a_run_from_elsewhere(room: Room) -> None:
    """Both in the image as it came: what a stranger calls a plan is not made, and none of its URLs is asked."""
    old = room.run()
    room.sender.store.put_json("plans", old.plan, {"plan": old.plan})  # as assembling does
    room.push(old)
    done = room.again(room.take().id, data=room.data)
    back = room.registry.repository("memory/lab/back")
    sent = push_run(done.new.id, Destination(back, "again"), Luggage(), room.receiver.work)
    assert sent.record.rerun_of == old.id and sent.image.descriptor.digest == done.new.manifest
    came = take(find_run(back, at("again"), "memory/lab/back:again"), HERE, room.sender.work)
    assert came.id == done.new.id and came.origin and came.rerun_of == old.id
    found = diff(room.sender.store, old.id, came.id)
    assert found.packages == () and found.problems == ()
    push_run(old.id, Destination(back, "on"), Luggage(), room.receiver.work)
    third = Lab(room.data.parent / "third", room.data.parent / "x")
    assert take(find_run(back, at("on"), "memory/lab/back:on"), HERE, third.work).id == old.id


def test_layers_that_were_collected_are_asked_for_again(room: Room) -> None:
    old = room.run()
    room.push(old)
    room.take()
    room.receiver.store.close()
    room.receiver.store.gc(Policy(older_than=0, grace=0, now=4e9))
    work = dataclasses.replace(room.receiver.work, repositories=lambda place: room.repository)
    back = room.registry.repository("memory/lab/back")
    layer = pack(old.id, Luggage(), room.sender.work).image.layers[0].digest.removeprefix("sha256:")
    assert room.receiver.store.blob(layer) is None
    push_run(old.id, Destination(back, "on"), Luggage(), work)
    assert f"sha256:{layer}" in back.blobs


def test_a_place_for_a_run(room: Room) -> None:
    old = room.run()
    work = dataclasses.replace(room.sender.work, repositories=lambda place: room.registry.repository("memory/lab/seg"))
    packed = send_run(old.id, "memory.example/lab/seg:paper", Luggage(), work)
    assert room.repository.names["paper"] == packed.top
    send_run(old.id, "memory.example/lab/seg", Luggage(), work)
    assert room.repository.names["latest"] == packed.top
    for place in ("docker-daemon:seg:1", f"memory.example/lab/seg@{packed.top}"):
        assert refused(lambda: send_run(old.id, place, Luggage(), work)).code == "usage.run-place"  # noqa: B023


def test_an_index_of_two_runs(room: Room) -> None:
    first, other = room.push(room.run()), room.push(room.run(RANDOM), "other")
    document = json.loads(first.index)
    document["manifests"].append(json.loads(other.index)["manifests"][1])
    data = canonical(document)
    room.repository.put_manifest(Content(INDEX, describe(INDEX, data).digest, data), "both")
    error = refused(lambda: find_run(room.repository, at("both"), str(at("both"))))
    assert error.code == "run.which" and first.digest in error.hint and other.digest in error.hint


def test_an_index_of_too_many_images_does_not_keep_us_asking(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.push(room.run())
    rows = [{**describe(MANIFEST, str(i).encode()).document(), "platform": {"os": "linux", "architecture": "amd64"}}
            for i in range(2000)]
    data = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": rows})
    room.repository.put_manifest(Content(INDEX, describe(INDEX, data).digest, data), "many")
    asked: list[str] = []
    monkeypatch.setattr(MemoryRepository, "referrers", lambda self, digest, kind="": asked.append(digest) or ())
    assert refused(lambda: find_run(room.repository, at("many"), str(at("many")))).code == "image.no-run"
    assert 0 < len(asked) < 50


def test_a_large_result_of_a_stranger_is_known_by_its_digest(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    from bareboat.verbs import diff as verb

    old = room.run(RANDOM)
    room.push(old)
    came = room.take()
    detail = room.again(came.id, data=room.data).verdict.files[0].detail
    monkeypatch.setattr(verb, "COMPARED_MOST", 3)
    assert "not kept" not in detail and "not kept" in room.again(came.id, data=room.data).verdict.files[0].detail


def test_taking_in_that_was_interrupted_goes_on(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was there when it ended, the next one is whole; nothing half is listed in between."""
    from bareboat.store.runs import RunStore

    room.push(room.run())
    write = RunStore.write

    def full(self: RunStore, *args: object, **more: object) -> None:
        raise StoreError("store.full", "no space left")

    monkeypatch.setattr(RunStore, "write", full)
    assert refused(room.take).code == "store.full"
    assert nothing_kept(room.receiver)
    monkeypatch.setattr(RunStore, "write", write)
    came = room.take()
    assert (room.receiver.store.runs.path(came.id) / "log").read_bytes() == b"done\n"


def test_offline_a_run_that_was_taken_in_is_named(room: Room) -> None:
    room.push(room.run())
    came = take(find_run(room.repository, at("paper"), str(at("paper"))), HERE, room.receiver.work)
    offline = dataclasses.replace(room.receiver.work, settings=dataclasses.replace(
        room.receiver.work.settings, offline=True))
    error = refused(lambda: arrive(str(at("paper")), HERE, offline))
    assert error.code == "registry.offline" and f"taken in before: bareboat rerun {came.id[:6]}" in error.hint


def test_an_image_as_it_came_is_not_taken_for_one_without_packages(room: Room) -> None:
    old = room.run()
    room.push(old)
    done = room.again(room.take().id, data=room.data)
    room.sender.store.runs.create(done.new.id)
    room.sender.store.runs.write(done.new.id, room.receiver.store.runs.read(done.new.id))
    plan = room.receiver.store.blob(done.new.plan_blob)
    assert plan is not None
    room.sender.store.put_blob([plan.read_bytes()])
    found = diff(room.sender.store, old.id, done.new.id)  # nobody noted the manifest of the first
    assert found.packages == () and "as it came" in found.problems[0] and not found.same


@pytest.mark.parametrize("strange", [True, False])
def test_a_stranger_does_not_move_the_cursor(room: Room, strange: bool) -> None:
    """What the program writes to a terminal of ours: colours stay, titles and clipboards are written out."""
    import pty

    from bareboat.cli.plain import replay

    room.push(room.run("say('\\x1b]0;title\\x07\\x1b[31mred\\x1b[0m\\x1b[2Jend\\n')"))
    work, steps = (room.receiver.work, room.receiver.steps) if strange else (room.sender.work, room.sender.steps)
    if strange:
        room.take()
    [run] = work.store.runs.ids()
    ours, terminal = pty.openpty()
    saved = os.dup(1)
    os.dup2(terminal, 1)
    try:
        rerun(RerunRequest(run, data=room.data, harmless=replay), work, steps)
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(terminal)
    said = os.read(ours, 4096)
    os.close(ours)
    assert b"end" in said and b"\x1b[31mred\x1b[0m" in said
    assert (b"\x1b]0;" in said) is not strange and (b"\x1b[2J" in said) is not strange
