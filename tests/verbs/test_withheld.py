"""SECURITY row 22 for queued runs: what a record withholds is with the program, and in one file until it is over."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import sandbox_kit
from tests.life_kit import until
from tests.queue_kit import Yard

from bareboat.errors import UsageError
from bareboat.queue import withheld
from bareboat.queue.base import Added
from bareboat.record.values import RunRecord
from bareboat.training.sweep import grid
from bareboat.training.values import Point, Retry, Training
from bareboat.values import replace
from bareboat.verbs import queued
from bareboat.verbs.launch import Kept
from bareboat.verbs.rebuild import rebuild
from bareboat.verbs.runs import load
from bareboat.verbs.submission import KIND, Template, apart, enter, keep, packed, submission_of, whole
from bareboat.verbs.sweep import spread

CANARY = "canary-9f27ab61"
URL = f"postgres://me:{CANARY}@db/x"
SECRETS = (("API_KEY", CANARY), ("DATABASE", URL), ("PLAIN", "seen"))
SCRIPT = f"""
[ "$API_KEY" = {CANARY} ] && [ "$DATABASE" = {URL} ] && echo "both $PLAIN" || echo "none"
while [ ! -e /results/go ]; do sleep 0.02; done
""".replace(CANARY, "canary''-9f27ab61")  # so that the words themselves have no hit


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    before = os.umask(0)
    made = Yard(tmp_path)
    yield made
    made.close()
    os.umask(before)


def hits(top: Path) -> list[str]:
    """Files below that have the canary in them, by name."""
    return sorted(str(path.relative_to(top)) for path in top.rglob("*")
                  if path.is_file() and CANARY.encode() in path.read_bytes())


def heard(pid: int) -> list[str]:
    """What of a process has it."""
    found = []
    for name in ("cmdline", "environ"):
        try:
            data = Path(f"/proc/{pid}/{name}").read_bytes()
        except OSError:
            continue
        if CANARY.encode() in data:
            found.append(f"{name} of {data[:80]!r}" if name == "environ" else "cmdline")
    return found


def processes(yard: Yard) -> tuple[list[str], int]:
    """Where in /proc it is, of our processes, but for this one; and in how many programs, which are to have it."""
    found, programs = [], 0
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if pid == os.getpid():
            continue
        words = heard(pid)
        try:
            argv = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if argv.startswith((b"/bin/sh\0-c\0", b"sleep\0")):
            programs += bool(words)
            words = [word for word in words if not word.startswith("environ")]
        found += [f"{argv[:60]!r}: {word}" for word in words]
    return found, programs


def test_it_is_with_the_program_and_in_one_file_and_nowhere_when_it_is_over(yard: Yard) -> None:
    run, = yard.submit(SCRIPT, name="one", env=SECRETS)
    id = yard.entry(run).submission
    assert hits(yard.home) == [f"queue/withheld/{id}"]
    yard.wake()
    yard.until(run, lambda _: "both seen" in yard.said(run))
    assert hits(yard.home) == [f"queue/withheld/{id}"]
    found, programs = processes(yard)
    assert found == [] and programs > 0
    yard.kill_worker()  # the next one takes it over, and leaves what is needed
    yard.wake()
    until(lambda: withheld.sweep(yard.store.queue, lambda id: True) == 0)
    (yard.results / "one/go").touch()
    assert yard.over(run).state == "succeeded"
    until(lambda: hits(yard.home) == [])
    assert load(yard.store, run).withheld == ("API_KEY", "DATABASE")


def test_another_attempt_has_it_though_worker_and_attempt_were_killed(yard: Yard) -> None:
    run, = yard.submit(SCRIPT, name="one", env=SECRETS, training=Training(retry=Retry(retries=1)))
    yard.wake()
    yard.until(run, lambda _: "both seen" in yard.said(run))
    yard.kill_worker()
    os.kill(yard.attempt_of(run), signal.SIGKILL)
    until(lambda: not yard.store.runs.is_alive(run))
    yard.wake()
    yard.until(run, lambda entry: entry.attempt == 2 and yard.said(run).count("both seen") == 2)
    (yard.results / "one/go").touch()
    assert yard.over(run).state == "succeeded"
    until(lambda: hits(yard.home) == [])


def test_what_is_stopped_before_it_starts_leaves_nothing(yard: Yard) -> None:
    yard.submit(SCRIPT, SCRIPT, name="two", env=SECRETS)
    assert queued.stop("two", yard.queue) and hits(yard.home) != []  # the other waits
    assert queued.stop("two1", yard.queue) and hits(yard.home) == []


def test_what_a_sender_left_that_was_killed_goes(yard: Yard) -> None:
    with withheld.sending(yard.store.queue) if yard.store.queue.exists() else _made(yard):
        withheld.put(yard.store.queue, "0123456789ab", dict(SECRETS))
    assert hits(yard.home) == ["queue/withheld/0123456789ab"]
    queued.tidied(yard.work)
    assert hits(yard.home) == []


def _made(yard: Yard) -> object:
    yard.store.queue.mkdir(mode=0o700)
    return withheld.sending(yard.store.queue)


def test_resumed_when_it_was_over_it_wants_them_again(yard: Yard) -> None:
    run, = yard.submit(SCRIPT, name="one", env=SECRETS)
    yard.wake()
    yard.until(run, lambda _: "both seen" in yard.said(run))
    queued.stop("one", yard.queue)
    until(lambda: hits(yard.home) == [])
    with pytest.raises(UsageError) as error:
        queued.resume("one", yard.queue, given={"API_KEY": CANARY})
    assert error.value.code == "resume.withheld" and "DATABASE" in error.value.what
    assert yard.entry(run).state == "cancelled" and hits(yard.home) == []
    queued.resume("one", yard.queue, given={**dict(SECRETS), "PLAIN": "other"})
    yard.until(run, lambda entry: entry.attempt == 2 and yard.said(run).count("both seen") == 2)
    (yard.results / "one/go").touch()
    assert yard.over(run).state == "succeeded"
    until(lambda: hits(yard.home) == [])


def test_one_whose_file_is_gone_fails_with_words(yard: Yard) -> None:
    run, = yard.submit(SCRIPT, name="one", env=SECRETS)
    (yard.store.queue / "withheld" / yard.entry(run).submission).unlink()
    yard.wake()
    entry = yard.over(run)
    assert entry.state == "failed" and "queue.withheld-gone" in entry.reason and "API_KEY" in entry.reason
    assert entry.attempt == 1 and yard.said(run) == ""


def test_a_ledger_that_is_made_anew_finds_them(yard: Yard) -> None:
    run, = yard.submit(SCRIPT, name="one", env=SECRETS)
    yard.ledger.close()
    (yard.store.queue / "ledger.sqlite").write_bytes(b"damaged" * 1000)
    assert rebuild(yard.work, yard.queue).waiting == 1
    assert hits(yard.home) == [f"queue/withheld/{yard.entry(run).submission}"]


def test_a_shells_other_secrets_do_not_stay_with_worker_and_attempts(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bareboat.host import background
    from bareboat.verbs.attempts import environment
    from bareboat.wiring import wake

    monkeypatch.setenv("GITHUB_TOKEN", CANARY)
    assert CANARY not in environment(yard.store).values() and "PATH" in environment(yard.store)
    began: list[dict[str, str]] = []
    monkeypatch.setattr(background, "start_detached", lambda argv, env: began.append(dict(env)))
    wake(yard.store)
    assert len(began) == 1 and CANARY not in began[0].values() and "PATH" in began[0]


def template(yard: Yard, scheduler: str = "local") -> Template:
    load = sandbox_kit.workload(yard.tree, "work", "{lr}", env=SECRETS)
    return Template(Kept(load, RunRecord("0" * 12, argv=load.argv, withheld=("API_KEY", "DATABASE"))),
                    Training(scheduler=scheduler))


def test_points_of_a_sweep_have_no_copy_of_it(yard: Yard) -> None:
    made = template(yard)
    made = replace(made, kept=replace(made.kept, workload=replace(made.kept.workload, env=(
        *made.kept.workload.env, ("RUN_KEY", "run-{lr}")))))
    words = [f"{name}={value}" for name, value in SECRETS] + ["RUN_KEY=run-{lr}", f"MY_TOKEN={CANARY}{{{{"]
    points = spread(grid(["lr=1,2", "key=a"]), words)(Point("", "sw", argv=("work", "{lr}{key}")))
    made, left, values = apart(made, points)
    assert values == {"API_KEY": CANARY, "DATABASE": URL, "MY_TOKEN": CANARY + "{"}
    assert CANARY not in str(left) and CANARY.encode() not in packed(made)
    assert [dict(point.env)["RUN_KEY"] for point in left] == ["run-1", "run-2"]  # made of parameters, which are seen
    assert dict(whole(made, values, "x").kept.workload.env)["API_KEY"] == CANARY


def test_a_cluster_is_told_and_its_folder_here_is_not(yard: Yard, tmp_path: Path) -> None:
    for scheduler in ("slurm", "kubernetes"):
        made, points, values = apart(template(yard, scheduler), (Point(f"r-{scheduler}", argv=("work",)),))
        id = f"id-{scheduler}"
        added = Added(id, packed(made), points, scheduler)
        keep(yard.store, added, made)
        enter(added, values, yard.queue)
        sent = submission_of(id, made, points, "", yard.store.queue)
        assert (dict(sent.workload.env).get("API_KEY") == CANARY) == (scheduler == "kubernetes")
        assert hits(yard.store.queue / "submissions") == [] == hits(yard.home / "documents" / KIND)
    assert hits(yard.home) == ["queue/withheld/id-kubernetes", "queue/withheld/id-slurm"]
    for path in (yard.store.queue / "submissions/id-slurm").iterdir():
        assert path.stat().st_mode & 0o077 == 0
    yard.ledger.cancel("id-slurm", "", 1.0)
    yard.ledger.cancel("id-kubernetes", "", 1.0)
    queued.tidied(yard.work)
    assert hits(yard.home) == []
