"""A model that is preempted three times ends with the loss of one that is left alone, to the last bit: the documented
example, on the real worker.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.queue_kit import Yard

from bareboat.supervisor.client import ask
from bareboat.training.values import Interrupt, Training
from bareboat.workload import Mount

numpy = pytest.importorskip("numpy")
EXAMPLE = Path(__file__).parents[2] / "examples/resume-numpy/src/train.py"
STEPS, EVERY, TIMES = 6000, 1000, 3
BROKEN = {  # a program that goes on wrongly: each must be seen
    "": ("", ""),
    "it ignores its checkpoint": ('RESUME = os.environ.get("BAREBOAT_RESUME", "")', 'RESUME = ""'),
    "it forgets its random numbers": ('            rng.bit_generator.state = json.loads(str(saved["rng"]))\n', ""),
}


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    model = tmp_path / "model"
    model.mkdir()
    here = [Path(sys.base_prefix), Path(numpy.__file__).parents[1]]
    made = Yard(tmp_path, mounts=(model, *(Mount(path, str(path), True) for path in here
                                           if not path.is_relative_to("/usr"))))
    yield made
    made.close()


def train(yard: Yard, name: str, times: int, broken: str = "") -> str:
    """Its loss, after so many preemptions, each at its first checkpoint of that attempt. What it goes on from is held
    against what it had saved.
    """
    text = EXAMPLE.read_text()
    old, new = BROKEN[broken]
    assert old in text
    (yard.results.parent / f"model/{name}.py").write_text(text.replace(old, new) if old else text)
    python = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    packages = Path(numpy.__file__).parents[1]
    command = f"PYTHONPATH={packages} exec {python} /model/{name}.py --steps {STEPS} --every {EVERY} --width 16"
    run, = yard.submit(command, name=name, training=Training(interrupt=Interrupt(grace=60.0, kill=5.0)))
    yard.wake()
    for attempt in range(1, times + 1):
        begins = f"attempt {attempt}, from step"
        yard.until(run, lambda entry, b=begins: "step " in yard.said(run).partition(b)[2].partition("\n")[2])
        ask(yard.store.runs.path(run), 5.0, do="interrupt", cause="preempted")
        yard.until(run, lambda entry, a=attempt: entry.attempt > a)
    entry = yard.over(run)
    said = yard.said(run)
    assert (entry.state, entry.attempt, entry.failures) == ("succeeded", times + 1, 0), said
    began = [int(step) for step in re.findall(r"from step (\d+)", said)]
    saved = [int(step) for step in re.findall(r"step (\d+), loss [0-9.]+\ninterrupted: saved", said)]
    assert began == [0, *saved] and began == sorted(set(began)) and len(began) == times + 1, said
    return str(json.loads((yard.results / name / "final.json").read_text())["loss"])


def test_preempted_three_times_ends_with_the_same_loss(yard: Yard) -> None:
    assert train(yard, "cut", TIMES) == train(yard, "whole", 0)


def test_what_goes_on_wrongly_is_seen(yard: Yard) -> None:
    whole = train(yard, "whole", 0)
    assert train(yard, "forgets", 1, "it forgets its random numbers") != whole
    with pytest.raises(AssertionError, match="from step 0"):
        train(yard, "ignores", 1, "it ignores its checkpoint")
