from __future__ import annotations

import io
import json
import math
import pickle
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.record.gathered import HostFacts, ResultFile
from bareboat.record.tolerance import Tolerance
from bareboat.record.values import Results, RunRecord
from bareboat.record.verdict import DIFFERS, IDENTICAL, WITHIN, compare, compare_file

T = Tolerance()


def verdict(name, old, new, tolerance=T):
    as_bytes = [x if isinstance(x, bytes) else x.encode() for x in (old, new)]
    return compare_file(name, *as_bytes, tolerance)


def npy(array, **options):
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def npz(**arrays):
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


@pytest.mark.parametrize(("old", "new", "expected"), [
    ("a,b\n1,2.0\n", "a,b\n1,2.0\n", IDENTICAL),
    ("a,b\n1,2.0\n", "a,b\n1,2.00000001\n", WITHIN),
    ("a,b\n1,2.0\n", "a,b\n1,2.1\n", DIFFERS),
    ("a,b\n1,2.0\n", "a,b\n2,2.0\n", DIFFERS),  # whole numbers are exact
    ("a,b\n1000000000,2\n", "a,b\n1000000001,2\n", DIFFERS),
    ("a,b\n1,2\n", "a,c\n1,2\n", DIFFERS),
    ("a,b\n1,2\n", "a,b\n1,2\n3,4\n", DIFFERS),
    ("a,b\n1,2\n", "a,b\n1\n", DIFFERS),
    ("a\nnan\n", "a\nNaN\n", WITHIN),
    ("a\nnan\n", "a\n1.0\n", DIFFERS),
    ("a\ninf\n", "a\n-inf\n", DIFFERS),
    ("a\n1.0\n", "a\r\n1.0\r\n", WITHIN),
    ("a\n0.1\n", "a\n1e-1\n", WITHIN),
    ("a\nx\n", "a\ny\n", DIFFERS),
    ('a\n"1,5"\n', 'a\n"1,6"\n', DIFFERS),
    ("a;b\n1.0;2\n", "a;b\n1.00000001;2\n", WITHIN),
    ("", "a\n", DIFFERS),
])  # fmt: skip
def test_tables(old, new, expected):
    assert verdict("m.csv", old, new).verdict == expected


def test_a_table_says_where_and_by_how_much():
    found = verdict("m.csv", "name,loss\nx,0.5\ny,0.25\n", "name,loss\nx,0.5\ny,0.50\n")
    assert "row 3, column loss: 0.25 became 0.5" in found.detail
    assert (found.absolute, found.relative) == (0.25, 1.0)


@pytest.mark.parametrize(("old", "new", "expected"), [
    ({"a": 1.0}, {"a": 1.0000000001}, WITHIN),
    ({"a": 1.0}, {"a": 1.1}, DIFFERS),
    ({"a": 1}, {"a": 2}, DIFFERS),
    ({"a": 1}, {"a": 1.0}, WITHIN),
    ({"a": 1}, {"a": True}, DIFFERS),
    ({"a": 1}, {"b": 1}, DIFFERS),
    ({"a": [1, 2.0]}, {"a": [1, 2.0, 3]}, DIFFERS),
    ({"a": math.nan}, {"a": math.nan}, IDENTICAL),
    ({"a": None}, {"a": 0.0}, DIFFERS),
    ({"a": "x"}, {"a": "y"}, DIFFERS),
    ({"a": 10**400}, {"a": 1.5}, DIFFERS),
])  # fmt: skip
def test_json(old, new, expected):
    assert verdict("m.json", json.dumps(old), json.dumps(new)).verdict == expected


def test_json_order_and_space_do_not_count_but_are_told():
    found = verdict("m.json", '{"a":1,"b":2}', '{"b": 2, "a": 1}')
    assert (found.verdict, found.detail) == (WITHIN, "the same values, written differently")
    assert verdict("m.jsonl", '{"a":1.0}\n', '{"a":1.0000000001}\n').verdict == WITHIN
    assert (
        "$.fit.seconds: 1.2 became 1.5"
        in verdict("m.json", '{"fit":{"seconds":1.2}}', '{"fit":{"seconds":1.5}}').detail
    )


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a":' + "9" * 5000 + "}", "\xff"])
def test_what_is_no_json_differs_and_nothing_breaks(text):
    data = text.encode("latin-1")
    assert verdict("m.json", data, data + b" ").verdict == DIFFERS


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8", "<c8", "<c16", ">c16"])
def test_arrays_of_floats(dtype):
    a = np.linspace(1, 2, 11).astype(dtype)
    near = (a * (1 + 1e-3)).astype(dtype)
    assert verdict("x.npy", npy(a), npy(a)).verdict == IDENTICAL
    assert verdict("x.npy", npy(a), npy(near), Tolerance(1e-2, 0)).verdict == WITHIN
    found = verdict("x.npy", npy(a), npy(near))
    assert found.verdict == DIFFERS and "item 0" in found.detail
    worst = float(np.max(np.abs(near.astype("c16") - a.astype("c16"))))
    assert found.absolute == pytest.approx(worst)


def test_arrays_that_differ_in_kind():
    a = np.arange(6.0)
    assert "dtype" in verdict("x.npy", npy(a), npy(a.astype("f4"))).detail
    assert "shape" in verdict("x.npy", npy(a), npy(a.reshape(2, 3))).detail
    assert verdict("x.npy", npy(np.arange(6)), npy(np.arange(6) + 1)).verdict == DIFFERS
    b = a.reshape(2, 3)
    assert verdict("x.npy", npy(b), npy(np.asfortranarray(b))).verdict == DIFFERS
    with_nan = np.array([1.0, np.nan])
    assert verdict("x.npy", npy(with_nan), npy(with_nan * (1 + 1e-9))).verdict == WITHIN


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_never_loaded():
    objects = np.array([Bomb(), 1], dtype=object)
    other = np.array([Bomb(), 2], dtype=object)
    found = verdict("x.npy", npy(objects, allow_pickle=True), npy(other, allow_pickle=True))
    assert found.verdict == DIFFERS
    found = verdict("m.pkl", pickle.dumps(Bomb()), pickle.dumps([Bomb()]))
    assert found.verdict == DIFFERS and "never loaded" in found.detail


def test_archives_of_arrays():
    a = np.arange(4.0)
    assert verdict("x.npz", npz(a=a, b=a), npz(a=a, b=a + 1e-12)).verdict == WITHIN
    found = verdict("x.npz", npz(a=a), npz(a=a + 1))
    assert found.verdict == DIFFERS and found.detail.endswith("a: item 0: 0 became 1")
    assert verdict("x.npz", npz(a=a), npz(b=a)).verdict == DIFFERS
    assert verdict("x.npz", npz(a=a), b"PK\3\4 rubbish").verdict == DIFFERS


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200),
    st.binary(max_size=200),
    st.sampled_from(["a.npy", "a.npz", "a.csv", "a.tsv", "a.json", "a.jsonl", "a.png", "a.bin"]),
    st.booleans(),
)
def test_no_bytes_break_it_and_equal_is_identical(old, new, name, headed):
    if headed and name.endswith("npy"):
        old, new = npy(np.arange(3.0))[:100] + old, npy(np.arange(3.0))[:100] + new
    found = compare_file(name, old, new, T)
    assert (found.verdict == IDENTICAL) == (old == new)


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=20), st.floats(0, 0.1))
def test_tables_agree_with_numpy(values, shift):
    old = [v for v in values if abs(v) < 1e300 or v != v] or [1.0]
    new = [v * (1 + shift) for v in old]
    tolerance = Tolerance(1e-3, 1e-6)
    same = np.allclose(new, old, rtol=1e-3, atol=1e-6, equal_nan=True)
    text = ["x\n" + "".join(f"{v!r}\n" for v in vs) for vs in (old, new)]
    assert (verdict("x.csv", *text, tolerance).verdict != DIFFERS) == same


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_pictures():
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"x" * 13)
    pixels, end = chunk(b"IDAT", b"pixels"), chunk(b"IEND", b"")
    old, new = (head + chunk(b"tEXt", b"Date\0" + day) + pixels + end for day in (b"1", b"2"))
    assert (verdict("p.png", old, new).verdict, verdict("p.png", old, old).verdict) == (WITHIN, IDENTICAL)
    assert verdict("p.png", old, old.replace(b"pixels", b"PIXELS")).verdict == DIFFERS
    assert "date" in verdict("p.svg", "<svg>1</svg>", "<svg>2</svg>").detail


def file(path, sha="a", size=1, **more):
    return ResultFile(path, size, sha, **more)


def run(*files, **more):
    return RunRecord(
        "a" * 12, state="succeeded", exit_code=more.pop("exit_code", 0), results=Results("/r", files), **more
    )


def nothing(record, result):
    return None


def test_whole_runs():
    assert compare(run(file("a")), run(file("a")), nothing, T).verdict == IDENTICAL
    assert compare(run(), run(), nothing, T).verdict == IDENTICAL
    missing = compare(run(file("a"), file("b")), run(file("a")), nothing, T)
    assert not missing.same and missing.files[1].detail == "not there any more"
    assert not compare(run(file("a")), run(file("a", "")), nothing, T).same
    assert not compare(run(file("a")), run(file("a", "b", 2)), nothing, T).same
    exits = compare(run(file("a")), run(file("a"), exit_code=3), nothing, T)
    assert (exits.verdict, exits.notes) == (DIFFERS, ("exit code 0 became 3",))
    linked = compare(run(file("a", link="/etc/passwd")), run(file("a")), nothing, T)
    assert linked.files[0].detail == "a link became a file"


def test_kept_results_are_compared_by_value():
    kept = {"1": b"a\n1.0\n", "2": b"a\n1.000000001\n"}
    found = compare(run(file("a.csv", "1")), run(file("a.csv", "2")), lambda r, f: kept[f.sha256], T)
    assert found.verdict == WITHIN and found.same


def test_the_likely_cause_is_told():
    host = HostFacts(cpu="Xeon", level="x86-64-v4", cores=8)
    old = run(file("a", "1"), host=host)
    found = compare(old, run(file("a", "2"), host=host), nothing, T)
    assert "not deterministic" in found.causes[0]
    other = run(file("a", "2"), host=HostFacts(cpu="EPYC", level="x86-64-v3", cores=8))
    assert "another CPU" in compare(old, other, nothing, T).causes[0]


def test_checkpoints_that_were_not_read_are_not_compared() -> None:
    def run(*files: ResultFile) -> RunRecord:
        return RunRecord("0" * 12, state="succeeded", exit_code=0, results=Results(files=files))

    loss = ResultFile("loss.txt", 3, "a" * 64)
    old = run(ResultFile("checkpoints/step-1.pt", 9, ""), ResultFile("checkpoints/step-2.pt", 9, ""), loss)
    new = run(ResultFile("checkpoints/step-2.pt", 8, ""), loss)
    assert compare(old, new, lambda record, file: None, T).verdict == IDENTICAL
    models = run(ResultFile("model.pt", 9, "")), run(ResultFile("model.pt", 8, ""))
    unread = compare(*models, lambda record, file: None, T)
    assert unread.verdict == DIFFERS
