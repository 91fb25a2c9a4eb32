"""SECURITY.md row 9: every case of the corpus gets its verdict, in both forms of a layer."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpus.wheels.cases import Case, cases

from bareboat.errors import ArchiveError
from bareboat.image.layer import LayerDigests, splice
from bareboat.image.plan import Interpreter, interpreter
from bareboat.image.wheel import chunks, read_layout
from bareboat.lock import Wheel

CASES = list(cases())
PYTHON = interpreter("3.11", "3.11.2")


class Memory:
    """A wheel in memory."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read_at(self, offset: int, count: int) -> bytes:
        return self.data[offset : offset + count]


def locked(case: Case) -> Wheel:
    return Wheel("demo", "1.0", case.filename, "", hashlib.sha256(case.data).hexdigest(), len(case.data))


def unpack(case: Case, python: Interpreter = PYTHON) -> dict[str, tuple[int, bytes]]:
    source = Memory(case.data)
    layout = read_layout(source, locked(case), python)
    return {e.path: (e.mode, b"".join(chunks(source, e, case.filename))) for e in layout.entries}


def layer(case: Case) -> tuple[bytes, LayerDigests]:
    source = Memory(case.data)
    parts = splice(source, read_layout(source, locked(case), PYTHON))
    blob = bytearray()
    while True:
        try:
            blob += next(parts)
        except StopIteration as end:
            return bytes(blob), end.value


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) >= 60
    assert len({c.name for c in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_verdict(case: Case) -> None:
    if not case.verdict:
        assert unpack(case)
        return
    with pytest.raises(ArchiveError) as caught:
        unpack(case)
    assert caught.value.code == case.verdict
    assert case.filename in caught.value.where and caught.value.hint


@pytest.mark.parametrize("case", [c for c in CASES if not c.verdict], ids=lambda c: c.name)
def test_layer_and_tree_are_the_same(case: Case) -> None:
    blob, digests = layer(case)
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as tar:
        members = {m.name: (m.mode, tar.extractfile(m).read()) for m in tar if m.isfile()}  # type: ignore
    assert members == unpack(case)
    assert digests.digest == "sha256:" + hashlib.sha256(blob).hexdigest() and digests.size == len(blob)
    import gzip

    plain = gzip.decompress(blob)
    assert digests.diff_id == "sha256:" + hashlib.sha256(plain).hexdigest() and digests.tar_size == len(plain)
    assert layer(case)[0] == blob


def test_a_general_reader_would_have_accepted_many_of_these() -> None:
    """The control: the standard library's reader takes a good part of what is refused here."""
    accepted = 0
    for case in CASES:
        if case.verdict:
            try:
                archive = zipfile.ZipFile(io.BytesIO(case.data))
                accepted += archive.testzip() is None
            except Exception:
                pass
    assert accepted > 30


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_is_an_archive_error_or_harmless(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from([c for c in CASES if not c.verdict and len(c.data) < 20000]))
    raw = bytearray(case.data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        kind = data.draw(st.sampled_from("xdic"))
        if kind == "x":
            raw[at] = data.draw(st.integers(0, 255))
        elif kind == "d":
            del raw[at : at + data.draw(st.integers(1, 30))]
        elif kind == "i":
            raw[at:at] = data.draw(st.binary(max_size=30))
        else:
            raw[at : at + 4] = data.draw(st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"PK\5\6", b"PK\1\2"]))
        if not raw:
            break
    damaged = Case("damaged", bytes(raw), filename=case.filename)
    try:
        found = unpack(damaged)
    except ArchiveError as error:
        assert error.code.startswith("wheel.")
    else:  # timestamps, versions and the like do not matter; contents and names do
        whole = unpack(case)
        assert {p: c for p, (_, c) in found.items()} == {p: c for p, (_, c) in whole.items()}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_an_archive_error(raw: bytes) -> None:
    with pytest.raises(ArchiveError):
        unpack(Case("noise", raw + b"PK\5\6" + raw[:18].ljust(18, b"\0")))
