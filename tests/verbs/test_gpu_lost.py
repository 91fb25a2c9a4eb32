"""A GPU that falls off the bus while a run has it: what the run, the others and the listings make of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import gpu_kit as kit
from tests.life_kit import until
from tests.queue_kit import Yard

from bareboat.cli import gpus as words
from bareboat.errors import EngineError, RecordError, StoreError
from bareboat.training.rules import LOST_MOST, follow
from bareboat.training.values import Ending, Need, Retry, Training
from bareboat.values import replace
from bareboat.verbs import queued
from bareboat.verbs.attempt import failed_start
from bareboat.verbs.gpus import gpus
from bareboat.verbs.queue import listing

ONE = Training(Need(gpus=1), retry=Retry(retries=1))
SCRIPT = """
cd /dev; echo "has $(echo nvidia[0-9])"
while [ ! -e /results/go ]; do sleep 0.02; done
[ "$BAREBOAT_ATTEMPT" -gt 1 ] || exit 3
"""


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    library = kit.nvml(kit.TWO, tmp_path, monkeypatch)
    cdi = kit.cdi_yaml(tmp_path / "cdi", kit.library(tmp_path / "libcuda.so.999.88", "libcuda.so.1"))
    monkeypatch.setenv("BAREBOAT_GPU_NVML", str(library))
    monkeypatch.setenv("BAREBOAT_GPU_CDI", str(cdi.parent))
    made = Yard(tmp_path)
    settings = replace(made.work.settings, gpu_nvml=library, gpu_cdi=str(cdi.parent))
    made.work = replace(made.work, settings=settings)
    yield made
    made.close()


def lose(yard: Yard, tmp_path: Path, run: str) -> str:
    """The GPU of a run is not there any more; its name."""
    holding, = (h for h in yard.queue.leases.holdings() if h.run == run)
    (unit, _), = holding.units
    lines = (tmp_path / "nvml.txt").read_text().splitlines(keepends=True)
    (tmp_path / "nvml.txt").write_text("".join(line for line in lines if not line.startswith(f"gpu {unit}")))
    return unit


def test_its_run_goes_on_elsewhere_and_nobody_is_given_it(yard: Yard, tmp_path: Path) -> None:
    run, = yard.submit(SCRIPT, name="first", training=ONE)
    yard.wake()
    yard.until(run, lambda _: "has nvidia" in yard.said(run))
    unit = lose(yard, tmp_path, run)

    row = next(row for row in listing(yard.work, yard.queue).rows if row.run == run)
    assert row.state == "running" and row.why == "a GPU that it has is not there any more"
    found = gpus(yard.work)
    assert len(found.rows) == 1 and any(
        line.startswith(f"{unit} is leased by ") and "training first" in line for line in found.missing)
    assert words.document(found)["missing"]

    both, = yard.submit("echo never", name="both", training=Training(Need(gpus=2)))
    other, = yard.submit(SCRIPT, name="other", training=ONE)  # the one that is left is given away
    yard.wake()
    yard.until(other, lambda _: "has nvidia" in yard.said(other))
    row = next(row for row in listing(yard.work, yard.queue).rows if row.run == both)
    assert row.why == "it needs 2 GPUs, and there are 1"

    (yard.results / "first/go").touch()  # its program finds out
    entry = yard.until(run, lambda entry: entry.attempt == 1 and entry.state == "pending")
    assert entry.failures == 1
    until(lambda: [h.run for h in yard.queue.leases.holdings()] == [other])  # it waits: never on what is gone
    queued.stop("other", yard.queue)
    assert yard.over(run).state == "succeeded"
    assert yard.said(run).split("has ")[1:] != [] and yard.entry(run).attempt == 2
    first, second = (part.split()[0] for part in yard.said(run).split("has ")[1:])
    assert {first, second} == {"nvidia0", "nvidia1"}
    queued.stop("both", yard.queue)


@pytest.mark.parametrize("error", [
    EngineError("gpu.gone", "the GPU GPU-1 is not there any more"), StoreError("store.full", "the disk is full"),
    StoreError("store.quota", "the disk quota is used up"),
])
def test_what_met_an_attempt_before_its_program_began_is_no_failure_of_it(error: EngineError) -> None:
    ending = failed_start(error)
    step = follow(ending, Retry())
    assert ending.cause == "lost" and error.code in ending.reason
    assert (step.state, step.failures, step.losses) == ("pending", 0, 1)
    assert follow(ending, Retry(), losses=LOST_MOST - 1).state == "failed"  # and not for ever


def test_what_is_its_own_fault_is() -> None:
    assert failed_start(RecordError("record.code-gone", "no code")) == Ending("start", 125, "record.code-gone: no code")
