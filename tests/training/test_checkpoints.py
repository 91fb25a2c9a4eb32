"""Which checkpoints count, and which is the newest."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.training.checkpoints import HEAD, TAIL, Found, marked, newest, ordered, superfluous, temporary, whole


@pytest.mark.parametrize("name", [
    "model.pt.tmp", "model.pt.tmp.1234", ".model.pt", "model.pt~", "#model#", "model.part", "ckpt-5.incomplete",
    "tmp-checkpoint-500", "checkpoint-500-tmp", "state.temp", "orbax.partial",
])  # fmt: skip
def test_a_temporary_name_is_never_a_checkpoint(name: str) -> None:
    assert temporary(name)


@pytest.mark.parametrize("name", [
    "model.pt", "epoch=3-step=1200.ckpt", "checkpoint-500", "last.ckpt", "attempt.pt", "temperature-0.7.pt",
    "template.npz",
])  # fmt: skip
def test_other_names_are(name: str) -> None:
    assert not temporary(name)


def test_directories_need_the_file_that_is_written_last() -> None:
    assert marked({"model.safetensors", "optimizer.pt", "trainer_state.json"})
    assert not marked({"model.safetensors", "optimizer.pt"})
    assert marked({"done"}, "done") and not marked({"trainer_state.json"}, "done")


def _zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 5000)
        archive.comment = b"a comment"
    return made.getvalue()


def _safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [100], "data_offsets": [0, 400]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0" * 400


@pytest.mark.parametrize("data", [_zip(), b"\x80\x05K\x01.", _safetensors()], ids=["zip", "pickle", "safetensors"])
def test_a_file_that_was_cut_off_is_told_by_its_format(data: bytes) -> None:
    def judged(cut: bytes) -> bool:
        return whole(len(cut), cut[:TAIL], cut[-TAIL:])

    assert judged(data)
    for length in {0, min(len(data) - 1, 30), len(data) // 2, len(data) - 1}:
        assert not judged(data[:length]), length


def test_a_file_of_another_format_is_whole_unless_it_is_empty() -> None:
    assert whole(3, b"123", b"123") and not whole(0, b"", b"")
    assert HEAD > 16


def _found(*names: str) -> list[Found]:
    return [Found(name, at, True) for at, name in enumerate(names)]


@pytest.mark.parametrize("names, last", [
    (("step-20.txt", "step-100.txt", "step-9.txt"), "step-100.txt"),
    (("epoch=0-step=900.ckpt", "epoch=1-step=100.ckpt"), "epoch=0-step=900.ckpt"),
    (("checkpoint-500", "checkpoint-1500"), "checkpoint-1500"),
    (("epoch=9.ckpt", "last.ckpt"), "last.ckpt"),  # not all are numbered: the time says
    (("last.ckpt", "epoch=9.ckpt"), "epoch=9.ckpt"),
    (("model_0007.pt", "model_0010.pt"), "model_0010.pt"),
])  # fmt: skip
def test_the_newest_is_that_of_the_last_step_else_of_the_last_moment(names: tuple[str, ...], last: str) -> None:
    found = newest(_found(*names))
    assert found is not None and found.name == last


def test_none_is_newest_where_none_is_complete() -> None:
    assert newest([Found("a", 1, False)]) is None
    assert newest([]) is None


@given(st.lists(st.builds(Found, st.text(min_size=1, max_size=8), st.integers(0, 9), st.booleans()), max_size=12,
                unique_by=lambda found: found.name), st.integers(0, 5))
def test_the_newest_complete_one_is_never_superfluous(found: list[Found], keep: int) -> None:
    gone = superfluous(found, keep)
    last = newest(found)
    assert last not in gone
    assert all(entry.complete for entry in gone)
    assert len(ordered(found)) - len(gone) == (min(keep, len(ordered(found))) if keep else len(ordered(found)))
