"""train --engine kubernetes from a folder to its log: a real image in a registry, a mock cluster, real processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.kubernetes_cluster import Cluster
from tests.live.test_save import bareboat
from tests.registry_kit import Registry

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "requirements.txt").touch()
    (root / "src").mkdir()
    (root / "src/train.py").write_text("print('trained')\n")
    (root / "results").mkdir()
    return root


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig(tmp_path)))
    yield made
    made.close()


@pytest.fixture(scope="module")
def home(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "home"


def test_a_dry_run_needs_no_cluster_and_says_the_same_twice(project: Path, home: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    words = ("train", "--engine", "kubernetes", "--dry-run", "--", "python", "src/train.py")
    first = bareboat(home, *words, cwd=project)
    job, script = yaml.safe_load_all(first)
    assert (job["kind"], script["kind"]) == ("Job", "ConfigMap")
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["python", "src/train.py"]
    assert bareboat(home, *words, cwd=project) == first


def test_from_a_folder_to_the_log_of_a_run(project: Path, home: Path, cluster: Cluster) -> None:
    registry = Registry()
    try:
        where = ("--engine", "kubernetes", "--repository", f"{registry.host}/lab/runs")
        bareboat(home, "train", *where, "--name", "one", "-e", "HF_TOKEN=hf_aaaaaaaaaaaaaaaaaaaa", "--",
                 "sh", "-c", "echo hello; test -n \"$HF_TOKEN\"", cwd=project)
        assert bareboat(home, "logs", "-f", "one", cwd=project).strip() == "hello"
        rows = json.loads(bareboat(home, "queue", "--all", "--json", cwd=project))
        assert "succeeded" in json.dumps(rows)
        job, = cluster.all("jobs")
        image = job["spec"]["template"]["spec"]["containers"][0]["image"]
        reference, _, digest = image.partition("@")
        assert reference == f"{registry.host}/lab/runs"
        manifest = json.loads(registry.repository("lab/runs").manifests[digest][1])
        assert len(manifest["layers"]) > 1
        assert "hf_aaaa" not in json.dumps(job)
        bareboat(home, "train", *where, "--name", "many", "--sweep", "x=1,2,3", "--",
                 "sh", "-c", "echo {x}; while :; do sleep 0.1; done", cwd=project)
        end = time.monotonic() + 60
        while not any(pod["status"]["phase"] == "Running" for pod in cluster.all("pods")):
            assert time.monotonic() < end
            time.sleep(0.05)
        pod = next(pod for pod in cluster.all("pods") if pod["status"]["phase"] == "Running")
        index = int(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"])
        run = json.loads(bareboat(home, "queue", "many", "--json", cwd=project))["runs"][index]["id"]
        assert bareboat(home, "exec", run, "sh", "-c", "echo inside", cwd=project) == "inside"
        bareboat(home, "stop", "many", cwd=project)
        rows = json.loads(bareboat(home, "queue", "--all", "--json", cwd=project))
        assert json.dumps(rows).count("cancelled") >= 3
    finally:
        registry.close()


def test_kubectl_understands_what_is_shown(project: Path, home: Path, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    (tmp_path / "kustomization.yaml").write_text("resources: [runs.yaml]\n")
    shown = bareboat(home, "train", "--engine", "kubernetes", "--dry-run", "--sweep", "x=1,2", "--", "python", "{x}",
                     cwd=project)
    (tmp_path / "runs.yaml").write_text(shown)
    built = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, check=True)

    def by_name(text: str) -> dict[tuple[str, str], object]:
        return {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(text)}

    assert by_name(built.stdout) == by_name(shown)
