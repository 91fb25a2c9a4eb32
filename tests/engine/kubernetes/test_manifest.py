"""Manifests, to the letter and against the schemas of every version that has what they use."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests import kubernetes_kit as kit
from tests.kubernetes_server import schemas

from bareboat.engine.kubernetes import manifest, names, options, pod, points, shown
from bareboat.errors import BareboatError
from bareboat.training.rules import follow
from bareboat.training.values import Checkpoints, Ending, Interrupt, Need, Point, Retry, Training
from bareboat.workload import Device, Limits, Mount, Tmpfs

GOLDEN = Path(__file__).with_name("golden")
VERSIONS = ("1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
EVERYTHING = options.parse_options((
    ("namespace", "team-a"), ("results-claim", "lab-results:team-a"), ("data-claim", "imagenet:v2"),
    ("priority-class", "batch-low"), ("queue", "team-a"), ("service-account", "trainer"),
    ("image-pull-secret", "registry"), ("node-selector", "example.com/pool=a100"), ("toleration", "gpu=yes:NoSchedule"),
    ("toleration", "spot"), ("architecture", "amd64")))
ASKED = Training(
    Need(gpus=2, cpus=3.5, memory=16 << 30, seconds=28800), Interrupt(warning=12, grace=90, kill=20),
    Retry(3, (1, 137), (2,), (75,), at_limit=True), Checkpoints("DONE", 3), parallel=4, scheduler="kubernetes")
SECRET = (("HF_TOKEN", "hf_verysecretverysecret"), ("PATH", "/usr/bin"), ("PRICE", "5$ $$ $(HOME)"))
CASES = {
    "plain": (kit.submission(), options.Options()),
    "everything": (kit.submission(training=ASKED, workload=kit.load(
        "python", "/app/src/train.py", "--note", "it's $(HOME) \"5$\"\n$$ ü", env=SECRET,
        mounts=(Mount(Path("/p/results"), "/results"), Mount(Path("/p/data"), "/data", True)),
        limits=Limits(shm_size=4 << 30, scratch_size=1 << 30), tmpfs=(Tmpfs("/fast", 1 << 20),))), EVERYTHING),
    "sweep": (kit.submission(*kit.sweep(5), training=ASKED), options.Options()),
    "nodes": (kit.submission(training=Training(Need(gpus=8, nodes=2), retry=Retry(1))), options.Options()),
}


def documents(case: str) -> list[dict[str, object]]:
    """All that is sent for a case."""
    return [document for bundle in manifest.bundles(*CASES[case]) for document in (bundle.job, *bundle.others)]


@pytest.mark.parametrize("case", CASES)
def test_a_manifest_is_this_to_the_letter(case: str) -> None:
    found = shown.to_yaml([{**d, "data": {**d["data"], "start": "…\n"}} if "start" in (d.get("data") or {}) else d
                           for d in map(manifest.withheld, documents(case))])
    golden = GOLDEN / f"{case}.yaml"
    if os.environ.get("BAREBOAT_GOLDEN"):
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_knows_every_field(version: str) -> None:
    from kubernetes_validate import ValidationError, latest_version

    validate = schemas()
    assert VERSIONS[-1] == latest_version().rpartition(".")[0]  # and every one from the oldest that has our fields
    for case in CASES:
        for document in documents(case):
            validate(document, version, strict=True)
    wrong = json.loads(json.dumps(documents("plain")[0]))
    wrong["spec"]["podReplacement"] = "Failed"
    with pytest.raises(ValidationError):
        validate(wrong, version, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_a_pod_is_what_the_restricted_profile_admits(case: str) -> None:
    """kubernetes.io/docs/concepts/security/pod-security-standards: every control of "restricted", baseline included."""
    spec = documents(case)[0]["spec"]["template"]["spec"]  # type: ignore[index]
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers", "ephemeralContainers"} & set(spec)
    pod_wide = spec["securityContext"]
    assert pod_wide["runAsNonRoot"] is True and pod_wide["runAsUser"] != 0 and "sysctls" not in pod_wide
    assert pod_wide["seccompProfile"] == {"type": "RuntimeDefault"}
    for volume in spec["volumes"]:
        kind, = set(volume) - {"name"}
        assert kind in ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
                        "projected", "secret")
    for container in spec["containers"]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False and own["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "procMount", "seccompProfile", "runAsUser", "seLinuxOptions"} & set(own)
        assert "ports" not in container and own["readOnlyRootFilesystem"] is True
    assert spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize(("size", "text"), [
    (16 << 30, "16Gi"), (1536 << 20, "1536Mi"), (1 << 40, "1Ti"), (1000, "1000"), (1025, "1025"), (0, "0")])
def test_sizes_are_exact_and_readable(size: int, text: str) -> None:
    assert pod.quantity(size) == text


def test_yaml_for_people_is_the_same_values() -> None:
    for case in CASES:
        assert list(yaml.safe_load_all(shown.to_yaml(documents(case)))) == documents(case)


def test_what_is_shown_has_no_secret() -> None:
    text = shown.to_yaml(map(manifest.withheld, documents("everything")))
    assert "hf_very" not in text and "aGZfdmVye" not in text and "HF_TOKEN" in text
    job = json.dumps(documents("everything")[0])
    assert "hf_very" not in job


def test_a_password_in_a_url_is_a_secret_too() -> None:
    from base64 import b64decode

    url = "postgres://me:very-secret@db/x"
    bundle, = manifest.bundles(kit.submission(workload=kit.load(env=(("DATABASE", url), ("PATH", "/bin")))),
                               options.Options())
    secret = next(document for document in bundle.others if document["kind"] == "Secret")
    assert b64decode(secret["data"]["DATABASE"]).decode() == url
    assert "very-secret" not in json.dumps([bundle.job, *(d for d in bundle.others if d is not secret)])


def expanded(word: str, known: dict[str, str]) -> str:
    """What a kubelet makes of a word of args: k8s.io/kubernetes/third_party/forked/golang/expansion, followed here."""
    out, at = "", 0
    while at < len(word):
        if word[at] == "$" and at + 1 < len(word):
            following = word[at + 1]
            if following == "$":
                out, at = out + "$", at + 2
                continue
            end = word.find(")", at)
            if following == "(" and end > 0:
                name = word[at + 2:end]
                out, at = out + known.get(name, f"$({name})"), end + 1
                continue
        out, at = out + word[at], at + 1
    return out


@given(st.text(alphabet="$()ab\n '\"é\\", max_size=12))
def test_any_argument_arrives_as_it_was(word: str) -> None:
    assert expanded(pod.escaped(word), {"a": "X", "b": "Y", "": "Z"}) == word


def test_the_expansion_that_is_met_is_the_real_one() -> None:
    assert expanded("$(a) $$(a) $a $(c)", {"a": "X"}) == "X $(a) $a $(c)"


@given(st.text(max_size=80), st.text(alphabet="0123456789abcdef", min_size=12, max_size=12))
def test_any_name_is_a_dns_label(name: str, id: str) -> None:
    import re

    found = names.job_name(name, id, "99999")
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", found) and len(found) + len("-99999") <= 63
    value = names.label(name)
    assert re.fullmatch(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", value) and len(value) < 64


def test_two_submissions_of_one_name_are_two_jobs() -> None:
    one, two = (manifest.bundles(kit.submission(id=id), options.Options())[0].name for id in ("5ab0", "5ab1"))
    assert one != two


@pytest.mark.parametrize("text", ["team/unet-1", "team/unet-1/7", "team/unet-1/7@arn:aws:eks:x:cluster/a@b", "a/b@c"])
def test_a_job_is_its_name_in_the_ledger(text: str) -> None:
    assert str(names.parse_named(text)) == text


@pytest.mark.parametrize("text", ["", "unet", "/unet", "a/b/c", "a/b/1/2", "a//1"])
def test_what_is_no_job_is_refused(text: str) -> None:
    with pytest.raises(BareboatError) as raised:
        names.parse_named(text)
    assert raised.value.code == "kubernetes.job"


REFUSED = [
    ("kubernetes.gpu-share", Training(Need(gpus=0.5)), {}),
    ("kubernetes.root", Training(), {"uid": 0}),
    ("kubernetes.network", Training(), {"network": "none"}),
    ("kubernetes.device", Training(), {"devices": (Device(Path("/dev/fuse"), "/dev/fuse"),)}),
    ("kubernetes.mount", Training(), {"mounts": (Mount(Path("/srv/x"), "/x"),)}),
    ("kubernetes.data", Training(), {"mounts": (Mount(Path("/p/data"), "/data", True),)}),
    ("kubernetes.text", Training(), {"env": (("WORD", "\udcff"),)}),
    ("kubernetes.variable", Training(), {"env": (("A B", "1"),)}),
    ("kubernetes.too-large", Training(), {"argv": ("python", "x" * 1_100_000)}),
]


@pytest.mark.parametrize(("code", "training", "changes"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_a_pod_cannot_have_is_refused(code: str, training: Training, changes: dict[str, object]) -> None:
    said = dict(changes)
    workload = kit.load(*said.pop("argv", ()), **said)
    with pytest.raises(BareboatError) as raised:
        manifest.bundles(kit.submission(training=training, workload=workload), options.Options())
    assert raised.value.code == code
    assert raised.value.hint or code in ("kubernetes.device", "kubernetes.text")


def decided(rules: list[dict[str, object]], code: int, disrupted: bool = False) -> str:
    """What the Job's controller does after an exit: the first rule that matches, else it counts against the limit."""
    for rule in rules:
        if "onPodConditions" in rule and disrupted:
            return str(rule["action"])
        on = rule.get("onExitCodes")
        if isinstance(on, dict) and (code in on["values"]) == (on["operator"] == "In"):
            return str(rule["action"])
    return "Count"


codes = st.integers(1, 119)
some = st.lists(codes, max_size=3, unique=True).map(tuple)


@given(st.builds(Retry, st.integers(0, 3), some, some, some, st.booleans()), codes, st.booleans())
def test_a_policy_decides_as_the_rules_do(retry: Retry, code: int, disrupted: bool) -> None:
    """failures: 0, so that what counts is retried as long as any retries are allowed."""
    action = decided(manifest.failure_rules(retry, "FailJob"), code, disrupted)
    step = follow(Ending("preempted" if disrupted else "exit", code), retry)
    follows = {"Ignore": ("pending", 0), "FailJob": ("failed", 0),
               "Count": ("pending", 1) if retry.retries else ("failed", 1)}[action]
    assert (step.state, step.failures) == follows


def test_a_sweep_of_ten_thousand_is_one_job_and_parts_that_fit() -> None:
    one, = manifest.bundles(kit.submission(*kit.sweep(10_000)), options.Options())
    maps = [d for d in one.others if d["kind"] == "ConfigMap"]
    assert one.job["spec"]["completions"] == 10_000 and len(maps) > 1
    assert all(len(json.dumps(d["data"]).encode()) < 1 << 20 for d in maps)
    assert len(json.dumps(one.job).encode()) < 100_000
    assert sum(text.count("found=1") for d in maps for text in d["data"].values() if "case" in text) >= 10_000


def test_a_sweep_beyond_what_a_cluster_keeps_is_refused() -> None:
    big = tuple(Point(f"{n:012}", index=n, argv=("python", "x" * 60_000)) for n in range(400))
    for many in (big, kit.sweep(points.POINTS_MOST + 1)):
        with pytest.raises(BareboatError) as raised:
            manifest.bundles(kit.submission(*many), options.Options())
        assert raised.value.code == "kubernetes.too-large"


def test_runs_that_need_several_nodes_are_jobs_of_their_own() -> None:
    found = manifest.bundles(kit.submission(*kit.sweep(3), training=Training(Need(nodes=2))), options.Options())
    assert len({bundle.name for bundle in found}) == 3 and all(len(bundle.points) == 1 for bundle in found)


def test_all_jobs_of_a_run_write_to_one_folder() -> None:
    sent = kit.submission(*kit.sweep(3), training=Training(retry=Retry(1)))
    job = manifest.bundles(sent, options.Options())[0].job
    mounts = job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    second = manifest.again(sent, sent.points[2], 2, options.Options())
    again = second.job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    path = next(m["subPathExpr"] for m in mounts if m["name"] == "results")
    assert path.replace("$(JOB_COMPLETION_INDEX)", "2") == next(m["subPath"] for m in again if m["name"] == "results")


@pytest.mark.parametrize("words", [
    ("toleration", "gpu:Never"), ("node-selector", "pool"), ("results-claim", "a:../b"), ("results-claim", "a:/b"),
    ("namespace", "Team"), ("namespace", ""), ("partition", "gpu"), ("node-selector", "a b=c"), ("toleration", "=x"),
])
def test_words_that_mean_nothing_to_a_cluster_are_refused(words: tuple[str, str]) -> None:
    with pytest.raises(BareboatError) as raised:
        options.parse_options((words,))
    assert raised.value.code in ("kubernetes.option", "kubernetes.name")
