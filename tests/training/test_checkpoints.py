"""Which names are temporary, and which of several is the newest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.training.checkpoints import Found, marker_of, newest, ordered, superfluous, temporary


@pytest.mark.parametrize("name", [
    "model.pt.tmp", "model.tmp", "model.part", ".model.pt", "model.pt~", "model.pt.tmp.123", "tmp-checkpoint-500",
    "checkpoint-500.incomplete", "step_1.orbax-checkpoint-tmp-17", "#model.pt#", "model.PART", ".nfs0001", "last.lock",
    "model.pt.tmp.1234", "state.temp", "orbax.partial", "checkpoint-500-tmp"])
def test_temporary_names(name: str) -> None:
    assert temporary(name)


@pytest.mark.parametrize("name", [
    "model.pt", "epoch=1-step=200.ckpt", "checkpoint-500", "step-0001000.npz", "last.ckpt", "template.pt", "attempt-3",
    "particles.h5", "partialfit.pkl", "temperature-0.7.pt", "template.npz"])
def test_names_in_their_place(name: str) -> None:
    assert not temporary(name)


@pytest.mark.parametrize(("oldest_first", "wanted"), [
    (["step-9.npz", "step-10.npz"], "step-10.npz"),
    (["epoch=0-step=100.ckpt", "epoch=1-step=200.ckpt"], "epoch=1-step=200.ckpt"),
    (["epoch=1-step=100.ckpt", "epoch=0-step=900.ckpt"], "epoch=0-step=900.ckpt"),
    (["model_0007.pt", "model_0010.pt"], "model_0010.pt"),
    (["checkpoint-1000", "checkpoint-500"], "checkpoint-1000"),  # whatever their times are
    (["weights.03-0.25.keras", "weights.04-0.19.keras"], "weights.04-0.19.keras"),  # 0.25 is a loss
    (["epoch-03-loss-0.25.pt", "epoch-04-loss-0.19.pt"], "epoch-04-loss-0.19.pt"),
    (["resnet50-v2-7.pt", "resnet50-v2-8.pt"], "resnet50-v2-8.pt"),
    (["epoch=9-step=900.ckpt", "last.ckpt"], "last.ckpt"),  # one of them has none: by time
    (["last.ckpt", "epoch=9-step=900.ckpt"], "epoch=9-step=900.ckpt"),
    (["on_exception.ckpt"], "on_exception.ckpt"),
    (["epoch-7.pt", "step-3.pt"], "step-3.pt"),  # not to be compared: by time
    (["a1.h5", "a2.h5"], "a2.h5"),
])
def test_newest(oldest_first: list[str], wanted: str) -> None:
    found = [Found(name, number, True) for number, name in enumerate(oldest_first)]
    last = newest(reversed(found))
    assert last is not None and last.name == wanted


def test_what_is_incomplete_is_never_the_newest() -> None:
    found = [Found("step-1.npz", 1, True), Found("step-2.npz", 2, False)]
    assert newest(found) == found[0] and newest(found[1:]) is None


def test_markers() -> None:
    assert marker_of({"model.safetensors", "trainer_state.json"}) == "trainer_state.json"
    assert marker_of({"model.safetensors"}) == ""
    assert marker_of({"done", "trainer_state.json"}, "done") == "done"
    assert marker_of({"trainer_state.json"}, "done") == "", "who named one means that one"


entries = st.lists(st.builds(Found, st.text("step-epoch.019", min_size=1, max_size=12), st.integers(0, 5),
                             st.booleans()), unique_by=lambda f: f.name, max_size=12)


@given(entries, st.integers(0, 5))
def test_what_is_removed_is_complete_older_and_never_the_last(found: list[Found], keep: int) -> None:
    gone = superfluous(found, keep)
    left = [entry for entry in found if entry.complete and entry not in gone]
    assert all(entry.complete for entry in gone)
    assert newest(found) == newest(left) and (newest(found) is None) == (not left)
    if keep and all(entry.modified == 0 for entry in found):  # times do not disagree
        assert len(left) in (min(keep, len(left) + len(gone)), len(left) + len(gone))
    if not keep:
        assert not gone


def test_where_names_and_times_disagree_nothing_is_removed() -> None:
    found = [Found("best.pt", 5, True), Found("step-2.pt", 4, True), Found("step-9.pt", 3, True)]
    assert superfluous(found, 1) == found[1:]
    assert superfluous([Found("step-2.pt", 5, True), Found("step-9.pt", 4, True), Found("old.pt", 3, True)], 2) == []


@given(entries, st.randoms())
def test_the_order_is_of_the_entries_and_not_of_their_listing(found: list[Found], random: object) -> None:
    other = list(found)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert ordered(found) == ordered(other)
