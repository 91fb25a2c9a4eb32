from __future__ import annotations

import dataclasses
import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.errors import RecordError
from bareboat.image.plan import GeneratedFile, Plan, interpreter
from bareboat.lock import Deb, Wheel
from bareboat.record import codec, gathered, values
from bareboat.record.gathered import ResultFile
from bareboat.record.states import STATES
from bareboat.record.values import CodeSnapshot, Results, RunRecord, run_id, timestamp

# Names on disk may hold any byte but NUL: surrogates stand for what is not UTF-8.
text = st.text(st.characters(blacklist_categories=()), max_size=12)


def value_of(kind: type) -> st.SearchStrategy:
    """A strategy for a dataclass by its declared types, as codec reads them."""
    return st.builds(kind, **{name: of(hint) for name, hint in codec._types(kind).items()})


def of(hint):
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return value_of(hint)
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(of(args[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(of, args))
    if origin is not None:
        return st.one_of(*(st.none() if a is type(None) else of(a) for a in args))
    return {
        str: text,
        int: st.integers(-(2**63), 2**63),
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
    }[hint]


records = st.builds(
    dataclasses.replace, value_of(RunRecord), state=st.sampled_from(STATES), format=st.just(1)
)


@settings(max_examples=60, deadline=None)
@given(records)
def test_a_document_gives_its_record_back(record):
    through = json.loads(json.dumps(record.document()))
    assert RunRecord.from_document(through) == record


@settings(max_examples=40, deadline=None)
@given(value_of(Plan))
def test_a_plan_survives_as_bytes_with_its_digest(plan):
    again = codec.decode_bytes(Plan, codec.encode_bytes(plan), "plan")
    assert again == plan


def test_a_real_plan_keeps_urls_and_pool_paths():
    plan = Plan(
        "linux/amd64",
        "debian",
        "trixie",
        interpreter("3.13", "3.13.5"),
        (Deb("libc6", "2.41-1", "amd64", "pool/main/g/glibc/libc6.deb", "a" * 64, 10),),
        (Wheel("numpy", "2.0", "numpy.whl", "https://files.example/numpy.whl", "b" * 64, 20),),
        (GeneratedFile("etc/x", "ö"),),
        (("A", "1"),),
    )
    again = codec.decode_bytes(Plan, codec.encode_bytes(plan), "plan")
    assert again == plan and again.digest == plan.digest
    assert codec.encode_bytes(again) == codec.encode_bytes(plan)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": 3}, "record.malformed"),
        ({"argv": "ls"}, "record.malformed"),
        ({"env": [["A"]]}, "record.malformed"),
        ({"exit_code": "0"}, "record.malformed"),
        ({"exit_code": True}, "record.malformed"),
        ({"code": {"files": 3}}, "record.malformed"),
        ({"state": "sleeping"}, "record.malformed"),
        ({"results": []}, "record.malformed"),
        ({"format": 99}, "record.format"),
    ],
)
def test_a_broken_document_is_refused_with_the_place(change, code):
    document = RunRecord("0123456789ab", argv=("ls",)).document() | change
    with pytest.raises(RecordError) as error:
        RunRecord.from_document(document, "run 0123")
    assert error.value.code == code
    assert error.value.where.startswith("run 0123")


def test_no_object_at_all_is_refused():
    for document in (None, [], "x", 3):
        with pytest.raises(RecordError):
            RunRecord.from_document(document)


def test_older_and_newer_documents_are_read():
    assert RunRecord.from_document({"id": "a" * 12, "invented_later": {"x": 1}}) == RunRecord("a" * 12)


def test_the_blobs_a_record_needs_are_named_once():
    record = RunRecord(
        "a" * 12,
        plan_blob="p",
        locks=(("pylock.toml", "l"), ("bareboat.lock", "l")),
        code=CodeSnapshot("sha256:d", "i", ("k1", "k2")),
        results=Results("/r", (ResultFile("a", 1, "s", True),), pack="z"),
    )
    assert record.blobs == ("p", "l", "i", "k1", "k2", "z")


def test_an_id_is_twelve_hex_digits_and_times_are_utc():
    assert run_id(bytes(range(6))) == "000102030405"
    assert timestamp(0) == "1970-01-01T00:00:00Z"
    assert timestamp(1_777_777_777.9) == "2026-05-03T03:09:37Z"
    assert timestamp(-5) == "1970-01-01T00:00:00Z"


def test_only_states_move_the_state():
    with pytest.raises(TypeError):
        RunRecord("a" * 12).with_(state="failed")
    assert RunRecord("a" * 12).with_(name="x").name == "x"


def test_gathered_values_are_not_imported_before_they_are_needed():
    assert not hasattr(values, "HostFacts")
    assert gathered.HostFacts().level == ""
