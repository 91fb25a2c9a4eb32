"""What was cut off is never taken for whole, at whatever byte; what is whole always is."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.training.formats import whole


def judge(name: str, data: bytes) -> bool:
    return whole(name, len(data), lambda at, length: data[at:at + length])


def zipped(files: dict[str, bytes], comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.comment = comment
    return out.getvalue()


def safetensors(values: dict[str, bytes]) -> bytes:
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, value in values.items():
        header[name] = {"dtype": "U8", "shape": [len(value)], "data_offsets": [at, at + len(value)]}  # type: ignore
        at += len(value)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(values.values())


def hdf5(version: int, content: bytes, flags: int = 0) -> bytes:
    signature = b"\x89HDF\r\n\x1a\n"
    if version < 2:
        head = signature + bytes([version, 0, 0, 0, 0, 8, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
        head += struct.pack("<HH", 32, 0) if version == 1 else b""
        length = len(head) + 32 + len(content)
        return head + struct.pack("<QQQQ", 0, 2**64 - 1, length, 2**64 - 1) + content
    head = signature + bytes([version, 8, 8, flags])
    length = len(head) + 36 + len(content)
    return head + struct.pack("<QQQQI", 0, 2**64 - 1, length, 48, 7) + content


def npy(shape: tuple[int, ...], item: str, content: bytes) -> bytes:
    text = repr({"descr": item, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


WHOLE = {
    "model.pt": zipped({"archive/data.pkl": b"x" * 100, "archive/data/0": bytes(1000)}),
    "model.npz": zipped({"w.npy": bytes(500)}),
    "model.keras": zipped({"config.json": b"{}", "model.weights.h5": bytes(300)}, b"a comment"),
    "model.safetensors": safetensors({"w": bytes(300), "b": bytes(20)}),
    "model.h5": hdf5(0, bytes(400)),
    "model1.h5": hdf5(1, bytes(400)),
    "model2.hdf5": hdf5(2, bytes(400)),
    "model3.hdf5": hdf5(3, bytes(400)),
    "model.npy": npy((10, 10), "<f8", bytes(800)),
    "model.pkl": pickle.dumps({"w": list(range(100))}, protocol=4),
    "model.joblib": pickle.dumps({"w": list(range(100))}, protocol=5),
    "state.json": json.dumps({"step": 4, "log": [1, 2, 3]}).encode() + b"\n",
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_are_whole_and_cut_ones_are_not(name: str) -> None:
    data = WHOLE[name]
    assert judge(name, data)
    taken = [cut for cut in range(len(data)) if judge(name, data[:cut])]
    if name == "state.json":
        taken = [cut for cut in taken if cut != len(data) - 1]  # without its last line break
    assert taken == []


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "state.json"])
def test_files_that_were_made_long_and_never_filled(name: str) -> None:
    assert not judge(name, bytes(len(WHOLE[name])))


def test_an_hdf5_file_that_nobody_closed() -> None:
    assert not judge("model.h5", hdf5(3, bytes(400), flags=1))
    assert judge("model.h5", hdf5(3, bytes(400), flags=4))


def test_an_hdf5_file_whose_writer_was_killed_says_less_than_there_is() -> None:
    """The end in the superblock is from its last flush; seen with h5py 3.16, killed before the close."""
    for version in range(4):
        assert not judge("model.h5", hdf5(version, bytes(400)) + bytes(100))


def test_what_says_nothing_of_its_length_is_taken_at_its_word() -> None:
    assert judge("weights.bin", b"\x00" * 16 + b"anything")
    assert judge("model.pt", b"\x80\x02legacy")
    assert judge("notes.txt", b"x")
    assert not judge("weights.bin", b"")
    assert judge("model.npy", npy((2,), "|O", b"objects"))


def test_a_zip_with_another_inside_is_cut_where_the_inner_one_ends() -> None:
    data = zipped({"inner.zip": zipped({"a": b"a"}), "b": bytes(100)})
    inner = data.index(b"PK\x05\x06") + 22
    assert judge("m.zip", data) and not judge("m.zip", data[:inner])


@settings(deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.binary(max_size=300))
def test_garbage_is_judged_and_never_an_error(name: str, data: bytes) -> None:
    assert judge(name, data) in (True, False)
    assert judge(name, WHOLE[name][:16] + data) in (True, False)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text("ab/", min_size=1, max_size=5), st.binary(max_size=200), min_size=1, max_size=4),
       st.data())
def test_any_zip_that_is_cut(files: dict[str, bytes], data: st.DataObject) -> None:
    made = zipped(files)
    assert judge("a.npz", made)
    cut = data.draw(st.integers(0, len(made) - 1))
    assert not judge("a.npz", made[:cut])
