"""What a cluster may answer instead of what is hoped for: over real HTTP, from a mock API server."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import kubernetes_kit as kit
from tests.kubernetes_cluster import Cluster
from tests.kubernetes_server import Answer

from bareboat.engine.kubernetes import api
from bareboat.engine.kubernetes.api import Clock
from bareboat.engine.kubernetes.kubernetes import Kubernetes
from bareboat.engine.kubernetes.names import parse_named
from bareboat.errors import BareboatError, EngineError
from bareboat.training.values import Interrupt, Need, Observation, Point, Retry, Training

QUICK = Training(interrupt=Interrupt(grace=5.0, kill=2.0))
FOREVER = Point("aa01", argv=("sh", "-c", "echo began; while :; do sleep 0.05; done"))


class Yard:
    """A cluster and a scheduler for it. waited: what the scheduler slept, which takes no time here."""

    def __init__(self, folder: Path) -> None:
        self.cluster, self.folder, self.waited = Cluster(folder), folder, list[float]()
        self.env = {"KUBECONFIG": str(self.cluster.kubeconfig(folder))}
        self.now = 0.0
        self.scheduler = Kubernetes(folder / "kept", self.env, clock=Clock(lambda: self.now, self._sleep))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waited.append(seconds)

    def submit(self, *points: Point, training: Training = QUICK) -> list[str]:
        return list(self.scheduler.submit(kit.submission(*points, training=training)))

    def until(self, job: str, true: Callable[[Observation], bool]) -> Observation:
        end = time.monotonic() + 60
        while True:
            seen = self.scheduler.poll([job]).get(job)
            if seen is not None and true(seen):
                return seen
            assert time.monotonic() < end, seen
            time.sleep(0.05)

    def pod(self, job: str) -> str:
        return next(p["metadata"]["name"] for p in self.cluster.pods_of(parse_named(job).job)
                    if p["status"]["phase"] == "Running")


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.cluster.close()


def running(seen: Observation) -> bool:
    return seen.state == "running" and seen.reason == ""


def test_a_pod_that_is_evicted_is_followed_by_another_and_uses_up_no_retry(yard: Yard) -> None:
    job, = yard.submit(FOREVER)
    yard.until(job, running)
    yard.cluster.disrupt(yard.pod(job), "EvictionByEvictionAPI")
    yard.until(job, lambda seen: running(seen) and seen.attempt == 2)
    yard.scheduler.stop([job])
    assert yard.until(job, lambda seen: seen.state == "cancelled").attempt == 2


def test_an_image_that_cannot_be_brought_is_told_while_the_run_waits(yard: Yard) -> None:
    yard.cluster.images[kit.IMAGE] = 'Back-off pulling image: 401 Unauthorized'
    job, = yard.submit(FOREVER)
    seen = yard.until(job, lambda seen: "ImagePullBackOff" in seen.reason)
    assert (seen.state, seen.attempt) == ("pending", 0) and "401 Unauthorized" in seen.reason
    yard.cluster.images.clear()
    yard.until(job, running)
    yard.scheduler.stop([job])


def test_a_quota_of_pods_is_told_while_the_run_waits(yard: Yard) -> None:
    yard.cluster.quota = 0
    job, = yard.submit(FOREVER)
    assert yard.until(job, lambda seen: "quota" in seen.reason).state == "pending"
    yard.cluster.quota = 10
    yard.until(job, running)
    yard.scheduler.stop([job])


def test_no_node_with_free_gpus_is_told_while_the_run_waits(yard: Yard) -> None:
    yard.cluster.unschedulable = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    job, = yard.submit(FOREVER, training=Training(Need(gpus=8)))
    seen = yard.until(job, lambda seen: "Insufficient" in seen.reason)
    assert seen.state == "pending" and seen.reason.startswith("Unschedulable: 0/3 nodes")
    yard.scheduler.stop([job])
    assert yard.until(job, lambda seen: seen.state == "cancelled").attempt == 0


@pytest.mark.parametrize(("path", "answer", "words"), [
    ("/jobs", Answer(403, "Forbidden", 'jobs.batch "x" is forbidden: exceeded quota: all, used: 5'), "administrator"),
    ("/jobs", Answer(403, "Forbidden", 'jobs.batch is forbidden: User "ann" cannot create resource "jobs"'), "rights"),
    ("/jobs", Answer(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"), "several"),
    ("/configmaps", Answer(422, "Invalid", "data: Too long"), "dry-run"),
    ("/secrets", Answer(403, "Forbidden", "secrets is forbidden"), "rights"),
])
def test_what_is_refused_says_why_and_leaves_nothing(yard: Yard, path: str, answer: Answer, words: str) -> None:
    before = yard.cluster.names()
    yard.cluster.fail("POST", path, answer)
    workload = kit.load("true", env=(("HF_TOKEN", "hf_secretsecretsecret"),))
    with pytest.raises(EngineError) as raised:
        yard.scheduler.submit(kit.submission(workload=workload))
    assert raised.value.code == "kubernetes.refused" and words in raised.value.hint
    assert str(answer).split(":")[0] in raised.value.what
    assert yard.cluster.names() == before


def test_a_namespace_that_is_not_there(yard: Yard) -> None:
    yard.cluster.put("persistentvolumeclaims", {"metadata": {"name": "bareboat-results", "namespace": "nowhere"}})
    with pytest.raises(EngineError) as raised:
        yard.submit(training=Training(options=(("namespace", "nowhere"),)))
    assert raised.value.code == "kubernetes.refused" and "nowhere" in raised.value.what
    assert "--namespace" in raised.value.hint


def test_a_claim_that_is_not_there(yard: Yard) -> None:
    with pytest.raises(EngineError) as raised:
        yard.submit(training=Training(options=(("results-claim", "fast-results"),)))
    assert raised.value.code == "kubernetes.refused" and "fast-results" in raised.value.what
    assert yard.cluster.names() == []


def test_a_context_that_is_not_there(yard: Yard) -> None:
    with pytest.raises(EngineError) as raised:
        yard.submit(training=Training(options=(("context", "elsewhere"),)))
    assert raised.value.code == "kubernetes.config" and "test" in raised.value.hint


def test_a_login_that_ran_out_is_asked_for_anew_and_the_request_goes_on(yard: Yard) -> None:
    plugin = yard.folder / "plugin"
    plugin.write_text(f"#!{sys.executable}\nimport json, pathlib\n"
                      f"f = pathlib.Path({str(yard.folder / 'asked')!r})\n"
                      "n = len(f.read_text()) if f.exists() else 0\nf.write_text('x' * (n + 1))\n"
                      "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
                      " 'status': {'token': f'token-{n}'}}))\n")
    plugin.chmod(0o755)
    config = json.loads(Path(yard.env["KUBECONFIG"]).read_text())
    config["users"][0]["user"] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin"}}
    Path(yard.env["KUBECONFIG"]).write_text(json.dumps(config))
    yard.cluster.state.tokens = {"token-1"}  # the first that is given has run out already
    job, = yard.submit(Point("aa01", argv=("true",)))
    yard.cluster.state.tokens = None
    yard.until(job, lambda seen: seen.state == "succeeded")


def test_a_login_that_is_not_taken_is_no_state_of_a_run(yard: Yard) -> None:
    job, = yard.submit(FOREVER)
    yard.cluster.state.tokens = {"another"}
    with pytest.raises(EngineError) as raised:
        yard.scheduler.poll([job])
    assert raised.value.code == "kubernetes.unreachable" and "login" in raised.value.what
    with pytest.raises(EngineError) as raised:
        yard.submit()
    assert raised.value.code == "kubernetes.login"
    yard.cluster.state.tokens = None
    yard.scheduler.stop([job])


def test_a_server_that_is_away_for_a_moment_is_waited_for(yard: Yard) -> None:
    yard.cluster.fail("*", "/jobs", None, times=2)
    yard.cluster.fail("*", "/jobs", Answer(503, "ServiceUnavailable", "apiserver is shutting down"), times=2)
    job, = yard.submit(Point("aa01", argv=("true",)))
    assert len(yard.waited) == 4
    yard.until(job, lambda seen: seen.state == "succeeded")


def test_a_server_that_is_away_for_good_is_an_error_within_its_patience(yard: Yard) -> None:
    yard.cluster.fail("*", "", None, times=1000)
    with pytest.raises(EngineError) as raised:
        yard.submit()
    assert raised.value.code == "kubernetes.unreachable"
    assert sum(yard.waited) <= api.PATIENCE


def test_an_answer_that_got_lost_makes_no_second_job(yard: Yard) -> None:
    for path in ("/jobs", "/configmaps"):
        yard.cluster.fail("POST", path, None, after=True)
    job, = yard.submit(Point("aa01", argv=("true",)))
    assert [name for name in yard.cluster.names() if name.startswith("jobs/")] == [f"jobs/{parse_named(job).job}"]
    yard.until(job, lambda seen: seen.state == "succeeded")


def test_a_name_that_is_anothers_is_refused_and_stays(yard: Yard) -> None:
    first, = yard.submit(FOREVER)
    yard.until(first, running)
    with yard.cluster.changed:
        theirs = yard.cluster.state.objects["jobs", "team", parse_named(first).job]
        theirs["metadata"]["labels"]["bareboat/submission"] = "somebody-else"
    with pytest.raises(EngineError) as raised:
        yard.submit(FOREVER)
    assert raised.value.code == "kubernetes.refused"
    assert f"jobs/{parse_named(first).job}" in yard.cluster.names()
    yard.scheduler.stop([first])


def test_a_storm_of_429_is_waited_out_as_the_server_says(yard: Yard) -> None:
    yard.cluster.fail("GET", "/jobs", Answer(429, "TooManyRequests", "slow down", {"Retry-After": "7"}), times=3)
    assert yard.scheduler.poll(["team/none-aa"])["team/none-aa"].state == "cancelled"
    assert yard.waited == [7.0, 7.0, 7.0]
    yard.cluster.fail("GET", "/jobs", Answer(429, "TooManyRequests", "slow down", {"Retry-After": "7"}), times=100)
    with pytest.raises(EngineError) as raised:
        yard.scheduler.poll(["team/none-aa"])
    assert raised.value.code == "kubernetes.unreachable" and "slow down" in raised.value.what


def test_a_list_that_goes_stale_between_two_pages_is_begun_anew(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PAGE", 2)
    yard.cluster.unschedulable = "no"
    jobs = yard.submit(*kit.sweep(5))
    yard.until(jobs[4], lambda seen: "Unschedulable" in seen.reason)
    yard.cluster.fail("GET", "continue=", Answer(410, "Expired", "The provided continue parameter is too old"))
    found = yard.scheduler.poll(jobs)
    assert [found[job].reason for job in jobs] == ["Unschedulable: no"] * 5
    yard.cluster.fail("GET", "continue=", Answer(410, "Expired", "too old"), times=100)
    with pytest.raises(EngineError) as raised:
        yard.scheduler.poll(jobs)
    assert raised.value.code == "kubernetes.unreachable"
    yard.cluster.state.faults.clear()
    yard.scheduler.stop(jobs)


def test_a_log_is_followed_over_a_watch_whose_version_is_gone(yard: Yard) -> None:
    yard.cluster.unschedulable = "no"
    job, = yard.submit(Point("aa01", argv=("sh", "-c", "echo one; exit $((75 * (2 - BAREBOAT_ATTEMPT)))")))
    yard.cluster.fail("GET", "watch=1", Answer(410, "Expired", "too old resource version"), times=1)
    yard.cluster.unschedulable = ""
    assert b"".join(yard.scheduler.logs(job, follow=True)) == b"one\none\n"


def test_a_log_goes_on_where_its_connection_broke(yard: Yard) -> None:
    go = yard.folder / "go"
    job, = yard.submit(Point("aa01", argv=("sh", "-c", f"echo one; echo two; until [ -e {go} ]; do sleep 0.05; done; "
                                                       "echo three")))
    yard.until(job, running)
    lines, whole = [], yard.cluster.logs

    def breaking(pod: dict[str, object], query: dict[str, str]) -> Iterator[bytes]:
        """The connection ends after two lines."""
        yard.cluster.logs = whole
        for number, line in enumerate(whole(pod, query)):
            yield line
            if number == 1:
                go.touch()
                return

    yard.cluster.logs = breaking
    for line in yard.scheduler.logs(job, follow=True):
        lines.append(line)
    assert b"".join(lines) == b"one\ntwo\nthree\n"


def test_two_stops_of_one_sweep_at_once_lose_nothing(yard: Yard) -> None:
    jobs = yard.submit(*(Point(f"a{n}", index=n, argv=FOREVER.argv) for n in range(3)))
    for job in jobs:
        yard.until(job, running)
    yard.cluster.fail("PATCH", "/jobs/", Answer(409, "Conflict", "the object has been modified"), times=2)
    yard.scheduler.stop(jobs[:1])
    yard.scheduler.stop(jobs[1:2])
    for job in jobs[:2]:
        assert yard.until(job, lambda seen: seen.state not in ("running", "pending")).state == "cancelled"
    assert yard.scheduler.poll(jobs)[jobs[2]].state == "running"
    yard.scheduler.stop(jobs)
    assert yard.until(jobs[2], lambda seen: seen.state != "running").state == "cancelled"


def test_a_job_that_somebody_deleted_is_cancelled_and_not_unknown(yard: Yard) -> None:
    job, = yard.submit(FOREVER)
    yard.until(job, running)
    yard.cluster.delete(("jobs", "team", parse_named(job).job))
    seen = yard.scheduler.poll([job])[job]
    assert (seen.state, "deleted" in seen.reason) == ("cancelled", True)


def test_a_sweep_of_ten_thousand_is_sent_and_asked_for_in_few_requests(yard: Yard) -> None:
    yard.cluster.unschedulable = "no"
    jobs = yard.submit(*kit.sweep(10_000), training=Training(parallel=4))
    assert len(jobs) == 10_000 and len([n for n in yard.cluster.names() if n.startswith("configmaps/")]) < 6
    asked = len(yard.cluster.state.asked)
    found = yard.scheduler.poll(jobs)
    assert len(found) == 10_000 and {seen.state for seen in found.values()} == {"pending"}
    assert len(yard.cluster.state.asked) - asked <= 4
    yard.scheduler.stop(jobs)
    yard.until(jobs[0], lambda seen: seen.state == "cancelled")
    assert {seen.state for seen in yard.scheduler.poll(jobs).values()} == {"cancelled"}


@pytest.mark.parametrize("refused", [False, True])
def test_a_secret_goes_when_no_pod_can_come_any_more(yard: Yard, refused: bool) -> None:
    workload = kit.load(env=(("HF_TOKEN", "hf_secretsecretsecret"), ("PATH", os.environ["PATH"])))
    go = yard.folder / "go"
    argv = ("sh", "-c", f'until [ -e {go} ]; do sleep 0.05; done; test "$HF_TOKEN" = hf_secretsecretsecret')
    job, = yard.scheduler.submit(kit.submission(Point("aa01", argv=argv), workload=workload, training=QUICK))
    yard.until(job, running)
    secret = f"secrets/{parse_named(job).job}"
    assert secret in yard.cluster.names()
    if refused:
        yard.cluster.fail("DELETE", "/secrets", Answer(403, "Forbidden", "secrets is forbidden"), times=100)
    go.touch()
    yard.until(job, lambda seen: seen.state == "succeeded")
    assert (secret in yard.cluster.names()) == refused
    yard.cluster.delete(("jobs", "team", parse_named(job).job))
    assert yard.cluster.names() == []  # in any case it goes with the Job


def test_what_failed_says_how(yard: Yard) -> None:
    job, = yard.submit(Point("aa01", argv=("sh", "-c", "exit 3")), training=Training(retry=Retry(1)))
    seen = yard.until(job, lambda seen: seen.state == "failed")
    assert (seen.attempt, seen.exit_code, seen.reason) == (2, 3, "exit 3")


def test_nothing_runs_before_all_that_it_needs_is_there(yard: Yard) -> None:
    yard.submit(Point("aa01", argv=("true",)))
    sent = [f"{method} {path.partition('?')[0].rpartition('/')[2]}" for method, path in yard.cluster.state.asked]
    assert sent.index("POST jobs") < sent.index("POST configmaps") < sent.index("PATCH unet-5ab000000000")
    job = next(e for e in yard.cluster.state.happened if e[2] == "jobs")[3]
    assert job["spec"]["suspend"] is True


def test_a_run_on_two_nodes_starts_again_on_both_when_it_fails_on_one(yard: Yard) -> None:
    said = ('echo "rank $NODE_RANK of $NNODES at $MASTER_ADDR:$MASTER_PORT attempt $BAREBOAT_ATTEMPT"; '
            '[ "$BAREBOAT_ATTEMPT" = 2 ] && exit 0; [ "$NODE_RANK" = 1 ] && exit 5; while :; do sleep 0.05; done')
    job, = yard.submit(Point("aa01", argv=("sh", "-c", said)),
                       training=Training(Need(nodes=2), Interrupt(grace=5.0, kill=2.0), Retry(1)))
    assert "services/unet-5ab000000000" in yard.cluster.names()
    seen = yard.until(job, lambda seen: seen.state in ("succeeded", "failed"))
    assert seen.state == "succeeded"
    lines = sorted(b"".join(yard.scheduler.logs(job)).decode().splitlines())
    at = "at unet-5ab000000000-0.unet-5ab000000000:29500"
    assert lines == [f"rank {rank} of 2 {at} attempt {attempt}" for rank in (0, 1) for attempt in (1, 2)]


def test_a_queue_of_kueue_lets_it_start_and_nobody_else(yard: Yard) -> None:
    job, = yard.submit(Point("aa01", argv=("true",)), training=Training(options=(("queue", "team-a"),)))
    seen = yard.until(job, lambda seen: True)
    assert (seen.state, seen.reason) == ("pending", "held by the queue team-a")
    with yard.cluster.changed:
        there = yard.cluster.state.objects["jobs", "team", parse_named(job).job]
        assert there["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
        there["spec"]["suspend"] = False
        yard.cluster.touch("jobs", there)
    yard.until(job, lambda seen: seen.state == "succeeded")


def test_a_run_that_is_still_ending_is_not_resumed_beside_itself(yard: Yard) -> None:
    sent = kit.submission(FOREVER, training=QUICK)
    job, = yard.scheduler.submit(sent)
    yard.until(job, running)
    with pytest.raises(EngineError) as raised:
        yard.scheduler.resume(sent, sent.points[0])
    assert raised.value.code == "kubernetes.ending"
    yard.scheduler.stop([job])
    yard.until(job, lambda seen: seen.state == "cancelled")
    second = yard.scheduler.resume(sent, sent.points[0])
    assert yard.until(second, running).attempt == 2
    yard.scheduler.stop([second])


def test_order_between_runs_is_refused_and_not_forgotten(yard: Yard) -> None:
    with pytest.raises(BareboatError) as raised:
        yard.submit(FOREVER, training=Training(after=("other",)))
    assert raised.value.code == "kubernetes.after" and yard.cluster.names() == []
    assert "bareboat wait other" in raised.value.hint


def test_a_pod_that_somebody_deleted_is_followed_by_another_and_uses_up_no_retry(yard: Yard) -> None:
    job, = yard.submit(FOREVER)
    yard.until(job, running)
    yard.cluster.delete(("pods", "team", yard.pod(job)))
    seen = yard.until(job, lambda seen: running(seen) and seen.attempt == 2)
    assert seen.state == "running"  # with no retry allowed at all
    yard.scheduler.stop([job])


def test_a_server_that_is_away_for_minutes_changes_no_run(yard: Yard) -> None:
    job, = yard.submit(FOREVER)
    yard.until(job, running)
    for _ in range(3):
        yard.cluster.fail("*", "", None, times=1000)
        before = yard.now
        with pytest.raises(EngineError) as raised:
            yard.scheduler.poll([job])
        assert raised.value.code == "kubernetes.unreachable" and yard.now - before <= api.PATIENCE
    yard.cluster.state.faults.clear()
    assert yard.until(job, running).attempt == 1
    yard.scheduler.stop([job])


def test_a_token_in_a_file_is_read_anew_for_each_request(yard: Yard) -> None:
    """As of a pod's own account, which is renewed in place."""
    token = yard.folder / "token"
    token.write_text("first")
    config = json.loads(Path(yard.env["KUBECONFIG"]).read_text())
    config["users"][0]["user"] = {"tokenFile": "token"}
    Path(yard.env["KUBECONFIG"]).write_text(json.dumps(config))
    yard.cluster.state.tokens = {"first"}
    job, = yard.submit(FOREVER)
    yard.until(job, running)
    lines = yard.scheduler.logs(job, follow=True)
    assert next(lines) == b"began\n"
    yard.cluster.state.tokens = {"second"}
    token.write_text("second\n")
    yard.scheduler.stop([job])
    assert list(lines) == []  # the same connection asks on, with the new one
    assert yard.until(job, lambda seen: seen.state != "running").state == "cancelled"


def test_a_watch_whose_version_is_forgotten_while_it_waits_is_begun_anew(yard: Yard) -> None:
    """410 as an event of the watch, and not as its answer."""
    yard.cluster.quota = 1  # the pod of the first attempt stays, so that there is none of a second
    job, = yard.submit(Point("aa01", argv=("sh", "-c", "echo one; exit $((75 * (2 - BAREBOAT_ATTEMPT)))")))
    found: list[bytes] = []
    follower = threading.Thread(target=lambda: found.extend(yard.scheduler.logs(job, follow=True)))
    follower.start()
    end = time.monotonic() + 60
    while not any("watch=1" in path for _, path in yard.cluster.state.asked):
        assert time.monotonic() < end
        time.sleep(0.01)
    yard.cluster.compact()
    yard.cluster.quota = 10
    follower.join(60)
    assert found == [b"one\n", b"one\n"]
