from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.queue_kit import Yard

from bareboat.cli.used import lines
from bareboat.record.gathered import Curve, Used
from bareboat.record.values import RunRecord
from bareboat.supervisor.meter import Look, Meter
from bareboat.values import replace
from bareboat.verbs.runs import load
from bareboat.verbs.used import used_of
from bareboat.workload import Limits


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()


def metered(*looks: Look) -> Meter:
    made = Meter(0.0)
    made.looks = list(looks)
    return made


def test_means_are_of_the_time_and_sums_of_the_whole() -> None:
    meter = metered(Look(1.0, 2.0, 100, 10, 1, 100.0, 50), Look(4.0, 3.0, 20, 0, 2, 0.0, 60))
    assert used_of(meter, Limits(cpus=2.0)) == Used(
        2.0, 5.0, 100, 40, 10, 3, 25.0, 60,
        Curve((1.0, 4.0), (2.0, 1.0), (100, 20), (10, 0), (1, 2), (100.0, 0.0), (50, 60)))


def test_gpus_that_were_not_known_all_the_time_have_no_curve() -> None:
    used = used_of(metered(Look(1.0, 0.0, 1, 0, 0), Look(2.0, 0.0, 1, 0, 0, 40.0, 7)), Limits())
    assert used is not None and used.gpu == 40.0 and used.gpu_memory == 7 and used.curve.gpu == () and used.cpus >= 1


def test_nobody_looked() -> None:
    assert used_of(metered(), Limits()) is None


def test_it_is_kept_in_the_record_and_read_back() -> None:
    used = used_of(metered(Look(1.0, 2.0, 100, 10, 1)), Limits(cpus=1.0))
    record = RunRecord("a" * 12, used=used)
    assert RunRecord.from_document(record.document()) == record
    older = {name: value for name, value in record.document().items() if name != "used"}
    assert RunRecord.from_document(older).used is None


def test_what_show_says_of_it() -> None:
    used = Used(2.0, 90.0, 3_100_000_000, 2_000_000_000, 12_000_000_000, 5_000, 87.4, 40_000_000_000,
                Curve((10.0, 20.0, 30.0, 60.0), (1.0, 2.0, 1.0, 2.0), (1, 2, 3, 3), (1, 1, 1, 1), (0, 0, 0, 0),
                      (80.0, 90.0, 90.0, 88.0), (1, 1, 1, 1)))
    text = [line for _, line in lines(used)]
    assert text[0].startswith("CPUs     1.50 of 2 in use, about 90.0 s in all  ")
    assert text[1].startswith("memory   3.1 GB at most, 2.0 GB in the mean")
    assert text[2].startswith("GPUs     87 % in use, 40 GB at most") and text[3].startswith("storage  12 GB read, 5 kB")
    curve = Curve((float("inf"),), (float("nan"),) * 9)
    odd = Used(float("nan"), float("inf"), -1, 10**30, 0, -5, float("nan"), None, curve)
    assert list(lines(odd)) == []  # a stranger's record
    assert list(lines(replace(odd, cpus=1.0, cpu_seconds=-1.0, gpu=None, curve=Curve())))


def test_a_queued_run_has_it(yard: Yard) -> None:
    run, = yard.submit("i=0; while [ $i -lt 30 ]; do echo >> /results/x; sleep 0.1; i=$((i+1)); done")
    yard.wake()
    assert yard.over(run).state == "succeeded"
    used = load(yard.store, run).used
    assert used is not None and used.memory_peak > 0 and used.curve.seconds and used.cpus > 0
