"""Records of strangers: what they may say, by example and by any change of any field."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.errors import BareboatError
from bareboat.image.spec import MANIFEST, describe
from bareboat.record import artifact as kinds
from bareboat.record.artifact import Artifact, Part, make_artifact, read_artifact
from bareboat.record.codec import encode_bytes
from bareboat.record.foreign import check_code, read_record
from bareboat.record.gathered import DataFile, DataFingerprint, DataSource, HostFacts, ResultFile
from bareboat.record.values import CodeSnapshot, RecordedMount, Results, RunRecord
from bareboat.workload import Limits

IMAGE = describe(MANIFEST, b"the image")
PLAN, LOCK, INDEX, PACK, RESULTS, LOG = (c * 64 for c in "abcdef")
RECORD = RunRecord(
    "0123456789ab", state="succeeded", exit_code=0, argv=("python", "src/run.py"), env=(("A", "1"),),
    withheld=("TOKEN",), cwd="/app", plan="sha256:" + "1" * 64, plan_blob=PLAN, manifest=IMAGE.digest,
    locks=(("pylock.toml", LOCK),), root="/home/alice/iris", code=CodeSnapshot("sha256:" + "2" * 64, INDEX, (PACK,)),
    mounts=(RecordedMount("/home/alice/iris/src", "/app/src", True, "code", "src"),
            RecordedMount("/home/alice/iris/results", "/results", False, "results")),
    data=(DataSource("/data", "/d", DataFingerprint("complete", 1, 3, 3, "9", "8", "7", (DataFile("a", 3, 1, "6"),))),),
    limits=Limits(1 << 30, 2.0), host=HostFacts("alice", mark="mark"), log="log", origin="me",
    results=Results("/home/alice/iris/results", (ResultFile("a.csv", 4, "5" * 64, True, "", 2),), 0, RESULTS))
PARTS = (Part(kinds.PLAN, PLAN, 1), Part(kinds.LOCK, LOCK, 1), Part(kinds.CODE_INDEX, INDEX, 1),
         Part(kinds.CODE_PACK, PACK, 10), Part(kinds.RESULTS, RESULTS, 6), Part(kinds.LOG, LOG, 1))


def read(record: RunRecord | bytes, parts: tuple[Part, ...] = PARTS) -> RunRecord:
    data = encode_bytes(record) if isinstance(record, RunRecord) else record
    artifact = read_artifact(make_artifact(RECORD, data, parts, IMAGE), "here")
    return read_record(data, artifact, "here")


def refused(record: RunRecord | bytes, parts: tuple[Part, ...] = PARTS) -> str:
    with pytest.raises(BareboatError) as caught:
        read(record, parts)
    return caught.value.code


def test_a_sound_record_is_read_and_says_nothing_of_where_it_is_from() -> None:
    assert read(RECORD) == replace(RECORD, origin="")
    assert read(RECORD, PARTS[:-1]).log == ""  # no log came


@pytest.mark.parametrize("number", range(5))
def test_what_it_names_must_have_come_along(number: int) -> None:
    assert refused(RECORD, PARTS[:number] + PARTS[number + 1:]) == "artifact.missing-blob"
    other = replace(PARTS[number], kind=kinds.RESULT)  # there, but as something else
    assert refused(RECORD, (*PARTS[:number], other, *PARTS[number + 1:])) == "artifact.missing-blob"


@pytest.mark.parametrize(("change", "code"), [
    ({"manifest": "sha256:" + "3" * 64}, "artifact.subject"),
    ({"manifest": ""}, "artifact.subject"),
    ({"plan_blob": ""}, "artifact.missing-blob"),
    ({"plan_blob": "../../../etc/passwd"}, "artifact.missing-blob"),
    ({"overlays": (("/app/src", "ext-0"),)}, "artifact.missing-blob"),
    ({"state": "running", "exit_code": None}, "record.unfinished"),
    ({"state": "odd"}, "record.malformed"),
    ({"format": 2}, "record.format"),
    ({"id": "../../etc"}, "record.malformed"),
    ({"id": "last"}, "record.malformed"),
    ({"id": "0123456789AB"}, "record.malformed"),
    ({"rerun_of": "../x"}, "record.malformed"),
    ({"plan": "plan"}, "record.malformed"),
    ({"code": CodeSnapshot("x", INDEX, (PACK,))}, "record.malformed"),
    ({"created": "\x1b[2J"}, "record.malformed"),
    ({"ended": "9999"}, "record.malformed"),
    ({"argv": ()}, "record.malformed"),
    ({"argv": ("a\0b",)}, "record.malformed"),
    ({"argv": ("\ud800",)}, "record.malformed"),
    ({"env": (("", "1"),)}, "record.malformed"),
    ({"env": (("A=B", "1"),)}, "record.malformed"),
    ({"withheld": ("A=B",)}, "record.malformed"),
    ({"log": "../../record.json"}, "record.malformed"),
    ({"network": "container:other"}, "record.malformed"),
    ({"uid": -1}, "record.malformed"),
    ({"gid": 1 << 40}, "record.malformed"),
    ({"cwd": "app"}, "record.malformed"),
    ({"home": "/home/../etc"}, "record.malformed"),
    ({"seconds": float("inf")}, "record.malformed"),
    ({"seconds": -1.0}, "record.malformed"),
    ({"created": "x" * (2 << 20)}, "record.malformed"),
    ({"data_from": "x" * 2001}, "record.malformed"),
    ({"limits": Limits(memory=0)}, "record.malformed"),
    ({"limits": Limits(memory=1 << 70)}, "record.malformed"),
    ({"limits": Limits(cpus=float("nan"))}, "record.malformed"),
    ({"mounts": (RecordedMount("/", "app", True),)}, "record.malformed"),
    ({"mounts": (RecordedMount("/", "/a", True, "device"),)}, "record.malformed"),
    ({"mounts": (RecordedMount("/", "/a"), RecordedMount("/etc", "/a"))}, "record.malformed"),
    ({"mounts": (RecordedMount("/", "/a", True, "code", "../x"),)}, "record.malformed"),
    ({"mounts": (RecordedMount("/", "/a", True, "code", "/x"),)}, "record.malformed"),
    ({"results": Results(files=(ResultFile("../x", 1, ""),))}, "record.malformed"),
    ({"results": Results(files=(ResultFile("/x", 1, ""),))}, "record.malformed"),
    ({"results": Results(files=(ResultFile("a//x", 1, ""),))}, "record.malformed"),
    ({"results": Results(files=(ResultFile("x", -1, ""),))}, "record.malformed"),
    ({"results": Results(files=(ResultFile("x", 5, "", True, "", 2),), pack=RESULTS)}, "record.malformed"),
    ({"results": Results(files=(ResultFile("x", 1, "", True, "", -1),), pack=RESULTS)}, "record.malformed"),
    ({"results": Results(files=(ResultFile("x", 4, "", True), ResultFile("y", 4, "", True)), pack=RESULTS)},
     "record.malformed"),
    ({"data": (DataSource("data", "/d", DataFingerprint()),)}, "record.malformed"),
    ({"data": (DataSource("/data", "/d", DataFingerprint(files=(DataFile("a", 1, 1),))),)}, "record.malformed"),
])  # fmt: skip
def test_what_a_record_may_not_say(change: dict[str, Any], code: str) -> None:
    assert refused(replace(RECORD, **change)) == code


@pytest.mark.parametrize("data", [
    b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"id": "0123456789ab", "id": "0123456789ab"}', b'{"seconds": NaN}',
    b'{"id": 1}', b'{"seconds": 1e999, "id": "0123456789ab"}', b'{"n": ' + b"9" * 5000 + b"}"])
def test_what_is_no_record(data: bytes) -> None:
    assert refused(data) == "record.malformed"


def test_names_that_are_not_utf8_stay() -> None:
    odd = replace(RECORD, results=Results(files=(ResultFile("\udcff.txt", 1, ""),)))
    assert read(odd).results.files[0].path == "\udcff.txt"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6)


def places(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    items: list[tuple[Any, Any]] = list(value.items()) if isinstance(value, dict) else list(
        enumerate(value)) if isinstance(value, list) else []
    return [at, *(p for key, item in items for p in places(item, (*at, key)))]


DOCUMENT = json.loads(encode_bytes(RECORD))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(places(DOCUMENT)[1:]), _VALUES)
def test_any_value_in_any_place_is_read_or_refused(at: tuple[Any, ...], value: object) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    here = document
    for key in at[:-1]:
        here = here[key]
    here[at[-1]] = value
    try:
        found = read(json.dumps(document).encode())
    except BareboatError as error:
        assert error.code.split(".")[0] in ("artifact", "record")
    else:
        encode_bytes(found)  # a value that can be written again
        assert found.results.pack in ("", RESULTS) and all(".." not in f.path.split("/") for f in found.results.files)


def index(change: Callable[[dict[str, Any]], object] = lambda d: None) -> bytes:
    document = {"format": 1, "packs": [PACK], "entries": [
        ["f", "run.py", 0o644, "7" * 64, 4, 0, 2], ["f", "empty", 0o755, "7" * 64, 0, -1, 0], ["l", "link", "run.py"],
        ["d", "folder"]]}
    change(document)
    return json.dumps(document).encode()


def test_a_sound_index_of_code() -> None:
    check_code(index(), RECORD, {PACK: 6}, "here")


def row(*values: object) -> Callable[[dict[str, Any]], object]:
    return lambda d: d["entries"].append(list(values))


@pytest.mark.parametrize("change", [
    lambda d: d.update(packs=["0" * 64]), lambda d: d.update(packs=[PACK, 7]), lambda d: d.pop("entries"),
    lambda d: d.update(packs="x"), row(), row("f"), row("f", 7), row("x", "a"), row("d", "a", "b"), row("l", "a"),
    row("l", "a", 7), row("f", "a", 0o644, "7" * 64, 5, 0, 2), row("f", "a", 0o644, "7" * 64, 1 << 61, 0, 0),
    row("f", "a", 0o644, "7" * 64, -1, 0, 0), row("f", "a", 0o644, "7" * 64, 1, 0, -1),
    row("f", "a", 0o644, "7" * 64, 1, 1, 0), row("f", "a", 0o4755, "7" * 64, 1, 0, 0),
    row("f", "a", 0o644, 7, 1, 0, 0), row("f", "a", True, "7" * 64, 1, 0, 0),
    row("f", "a\0b", 0o644, "7" * 64, 1, 0, 0)])
def test_an_index_that_leads_elsewhere(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(BareboatError) as caught:
        check_code(index(change), RECORD, {PACK: 6}, "here")
    assert caught.value.code in ("record.code-damaged", "record.malformed")


def test_code_that_unpacks_to_more_than_anybodys_code() -> None:
    many = index(lambda d: d["entries"].extend([["f", f"{i}", 0o644, "7" * 64, 1 << 30, 0, 0] for i in range(5)]))
    with pytest.raises(BareboatError) as caught:
        check_code(many, RECORD, {PACK: 2 << 30}, "here")
    assert caught.value.code == "record.code-damaged"


def test_the_artifact_of_nothing_has_no_parts() -> None:
    assert Artifact(IMAGE, PARTS[0], ()).of(kinds.PLAN) == ()
