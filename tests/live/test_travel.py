"""Runs that travel for real: pushed to a registry, taken in by another user, repeated in a network namespace with
nothing in it; from a file; and the same tag in the hands of other programs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.docker_registry import docker_registry
from tests.live.test_archive import PYTHON, alone, become, remove
from tests.live.test_save import bareboat, call, peer

pytestmark = pytest.mark.live
TRAIN = """\
import csv, json, pathlib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

table = np.loadtxt("data/points.csv", delimiter=",", skiprows=1)
x, y = table[:, :2], table[:, 2]
model = LogisticRegression(random_state=0).fit(x, y)
pathlib.Path("results/metrics.json").write_text(json.dumps({
    "accuracy": float(model.score(x, y)), "folds": cross_val_score(model, x, y, cv=3).tolist()}))
np.savetxt("results/coefficients.csv", model.coef_, delimiter=",")
print(f"accuracy {model.score(x, y):.3f}")
"""
RANDOM = """\
import pathlib
import numpy as np

pathlib.Path("results/draw.csv").write_text(f"x\\n{np.random.default_rng().normal()}\\n")
"""


@dataclass(frozen=True)
class Sent:
    """Two runs of one project, and where they were pushed: one that gives the same again, one that does not."""

    project: Path
    home: Path
    host: str
    same: str
    random: str

    @property
    def paper(self) -> str:
        return f"{self.host}/lab/points:paper"

    @property
    def draw(self) -> str:
        return f"{self.host}/lab/points:draw"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's docker-registry on the loopback."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def sent(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    project, home = tmp_path_factory.mktemp("points"), tmp_path_factory.mktemp("store") / "home"
    for name in ("src", "data", "results"):
        (project / name).mkdir()
    (project / "requirements.txt").write_text("numpy\nscikit-learn\n")
    (project / "src/train.py").write_text(TRAIN)
    (project / "src/draw.py").write_text(RANDOM)
    rows = [f"{i % 7}.5,{i * i % 11}.25,{int(i % 7 > 3)}" for i in range(60)]
    (project / "data/points.csv").write_text("\n".join(["a,b,label", *rows, ""]))
    secret = {"WANDB_API_KEY": "geheim-0123456789", "LR": "0.1"}
    runs = []
    for program, words in (("train.py", ("-e", "WANDB_API_KEY", "-e", "LR")), ("draw.py", ())):
        bareboat(home, "run", *words, "--", "python", f"src/{program}", cwd=project, env=secret)
        runs.append(json.loads(bareboat(home, "show", "last", "--json", cwd=project))["id"])
    made = Sent(project, home, registry, *runs)
    bareboat(home, "push", "--run", made.same, made.paper, "--data-from", "https://data.example/points", cwd=project)
    bareboat(home, "push", "--run", made.random, made.draw, cwd=project)
    return made


@pytest.fixture(params=[0, 1234], ids=["root", "another user"])
def elsewhere(request: pytest.FixtureRequest, sent: Sent) -> Iterator[tuple[int, Path]]:
    """A user and a folder of theirs, with a copy of the data."""
    user: int = request.param
    test = f"import subprocess; subprocess.run([{PYTHON!r}, '-c', 'import bareboat'], check=True)"
    if call(*become(user), PYTHON, "-c", test, cwd=Path("/")).returncode:
        pytest.skip("this Python cannot be started by other users: set BAREBOAT_TEST_PYTHON to one that can")
    base = Path("/var/tmp") / f"bareboat-travel-{os.getpid()}-{user}"
    base.mkdir(mode=0o755)
    try:
        shutil.copytree(sent.project / "data", base / "data", copy_function=shutil.copyfile)  # with times of their own
        shutil.copytree(sent.project / "data", base / "wrong")
        with open(base / "wrong/points.csv", "a") as file:
            file.write("0.5,0.25,1\n")
        if os.getuid() == 0:
            for path in (base, *base.rglob("*")):
                os.chown(path, user, user)
        yield user, base
    finally:
        remove(base)


def as_user(user: int, home: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """bareboat by that user, with the network there is."""
    env = {"BAREBOAT_HOME": str(home), "HOME": str(home.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return call(*become(user), PYTHON, "-m", "bareboat", *words, cwd=cwd, env=env)


def test_a_strangers_rerun_without_a_network(sent: Sent, elsewhere: tuple[int, Path]) -> None:
    user, base = elsewhere
    home = base / "home"
    for word, run in ((sent.paper, sent.same), (sent.draw, sent.random)):
        pulled = as_user(user, home, "pull", "--run", word, cwd=base)
        assert pulled.returncode == 0 and run in pulled.stdout + pulled.stderr, pulled.stderr

    nothing = alone(user, home, "rerun", sent.same, cwd=base)
    assert nothing.returncode == 125 and "[record.data-needed]" in nothing.stderr
    assert "https://data.example/points" in nothing.stderr
    wrong = alone(user, home, "rerun", sent.same, "--data", "wrong", cwd=base)
    assert wrong.returncode == 125 and "[record.data-differs]" in wrong.stderr
    assert "points.csv" in wrong.stderr and not list(base.glob("rerun-*"))

    same = alone(user, home, "rerun", sent.same, "--data", "data", "--in", "again", "--json", cwd=base)
    assert same.returncode == 0, same.stderr
    verdict = json.loads(same.stdout)
    assert verdict["verdict"] == "identical" and {f["path"] for f in verdict["files"]} == {
        "metrics.json", "coefficients.csv"}
    for name in ("metrics.json", "coefficients.csv"):
        assert (base / "again/results" / name).read_bytes() == (sent.project / "results" / name).read_bytes()
    record = json.loads(as_user(user, home, "show", verdict["new"], "--json", cwd=base).stdout)
    assert record["network"] == "none" and record["rerun_of"] == sent.same and record["withheld"] == []

    other = alone(user, home, "rerun", sent.random, "--data", "data", cwd=base)
    assert other.returncode == 1 and "not deterministic" in other.stdout, other.stdout + other.stderr
    changed = alone(user, home, "rerun", sent.same, "--data", "wrong", "--other-data", "--in", "changed", cwd=base)
    assert changed.returncode == 1 and "the data at /data changed" in changed.stdout, changed.stderr

    review = alone(user, home, "rerun", "--all", sent.same, sent.random, "--data", "data", "--html", "page.html",
                   cwd=base)
    assert review.returncode == 1 and "2 runs: 1 identical, 1 differs" in review.stdout, review.stderr
    assert "2 runs: 1 identical, 1 differs" in (base / "page.html").read_text()
    assert not any(b"geheim-0123456789" in path.read_bytes() for path in home.rglob("*")
                   if path.is_file() and not path.is_symlink() and "trees" not in path.parts)


def test_from_a_file_into_an_empty_store(sent: Sent, elsewhere: tuple[int, Path]) -> None:
    user, base = elsewhere
    bareboat(sent.home, "save", "--run", sent.same, "-o", str(base / "run.tar"), cwd=sent.project)
    os.chmod(base / "run.tar", 0o644)
    done = alone(user, base / "home", "rerun", "run.tar", "--data", "data", cwd=base)
    assert done.returncode == 0 and "identical" in done.stdout, done.stderr


def test_others_see_an_image_and_copy_the_run_along(sent: Sent, tmp_path: Path) -> None:
    plain = "--tls-verify=false"
    peer("skopeo", "copy", "--all", "--src-tls-verify=false", f"docker://{sent.paper}", f"oci:{tmp_path}/copy:paper")
    mine = json.loads(bareboat(sent.home, "show", sent.same, "--json", cwd=sent.project))
    reference = f"oci:{tmp_path}/copy:paper"
    data = str(sent.project / "data")
    done = call(sys.executable, "-m", "bareboat", "rerun", reference, "--data", data, cwd=tmp_path,
                env={"BAREBOAT_HOME": str(tmp_path / "home")})
    assert done.returncode == 0 and "identical" in done.stdout, done.stderr
    remove(tmp_path / "home")
    config = json.loads(peer("skopeo", "inspect", plain, "--config", f"docker://{sent.paper}"))
    assert config["config"]["Labels"]["bareboat.plan"] == mine["plan"]
    mount = f"{sent.project}/src:/app/src:ro"
    for engine, more in (("docker", []), ("podman", [plain])):
        peer(engine, "pull", "-q", *more, sent.paper)
        try:
            said = peer(engine, "run", "--rm", "--network", "none", "-v", mount, "-v", f"{data}:/app/data:ro",
                        "--tmpfs", "/app/results:mode=1777", sent.paper, "python", "src/train.py")
            assert said.startswith("accuracy ")
        finally:
            peer(engine, "rmi", sent.paper)


def test_docker_loads_the_image_of_a_saved_run(sent: Sent, tmp_path: Path) -> None:
    bareboat(sent.home, "save", "--run", sent.same, "-o", f"{tmp_path}/run.tar", cwd=sent.project)
    name = f"bareboat-run:{sent.same}"
    assert name in peer("docker", "load", "-i", f"{tmp_path}/run.tar")
    try:
        assert "1." in peer("docker", "run", "--rm", "--network", "none", name, "python", "-c",
                            "import sklearn; print(sklearn.__version__)")
    finally:
        peer("docker", "rmi", name)
    peer("skopeo", "copy", "--all", f"oci-archive:{tmp_path}/run.tar", f"oci:{tmp_path}/copy:again")
    digest = bareboat(sent.home, "save", "--run", sent.same, "-o", f"{tmp_path}/again.tar", cwd=sent.project)
    assert (tmp_path / "copy/blobs/sha256" / digest.removeprefix("sha256:")).is_file()


def at(kind: str, target: str):  # type: ignore[no-untyped-def]
    def change(document: dict) -> None:  # type: ignore[type-arg]
        next(m for m in document["mounts"] if m["kind"] == kind)["target"] = target

    return change


ODD = {
    "home is the root": lambda d: d.update(home="/"),
    "home is /proc/1": lambda d: d.update(home="/proc/1/x"),
    "nowhere to be": lambda d: d.update(cwd="/no\nwhere"),
    "an empty word": lambda d: d.update(argv=[""]),
    "an option for a program": lambda d: d.update(argv=["--help"]),
    "too many words": lambda d: d.update(argv=["true", *["x" * 1000] * 5000]),
    "a linker's variable": lambda d: d.update(env=[["LD_PRELOAD", "/x.so"], ["A B\n", "1"]]),
    "results are everything": at("results", "/"),
    "results are processes": at("results", "/proc"),
    "results are programs": at("results", "/usr"),
    "results are a file": at("results", "/etc/passwd"),
    "code is a process": at("code", "/proc/self/x"),
    "a name too long": at("results", "/" + "x" * 300),
    "hardly any machine": lambda d: d.update(limits={"memory": 1, "pids": 1, "shm_size": 1, "scratch_size": 1}),
    "more than any machine": lambda d: d.update(limits={"memory": 1 << 61, "cpus": 1e300, "scratch_size": 1 << 61}),
}


@pytest.fixture(scope="module")
def taken(sent: Sent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with a run from elsewhere."""
    home = tmp_path_factory.mktemp("taken") / "home"
    bareboat(home, "pull", "--run", sent.draw, cwd=sent.project)
    yield home
    remove(home)


@pytest.mark.parametrize("what", ODD)
def test_an_odd_record_runs_in_its_sandbox_or_says_why_not(what: str, sent: Sent, taken: Path, tmp_path: Path) -> None:
    """With the real engine: never a bug, never another exit code than those of a verdict, and nothing outside."""
    from bareboat.store import Store

    store = Store.open(taken)
    good = store.runs.read(sent.random)
    changed = json.loads(json.dumps(good))
    ODD[what](changed)
    try:
        store.runs.write(sent.random, changed)
        done = call(sys.executable, "-m", "bareboat", "rerun", sent.random, "--data", str(sent.project / "data"),
                    "--in", str(tmp_path / "again"), cwd=tmp_path, env={"BAREBOAT_HOME": str(taken)})
    finally:
        store.runs.write(sent.random, good)
        store.close()
    assert done.returncode in (0, 1, 125) and "[bug]" not in done.stderr, done.stderr
    assert done.returncode != 125 or done.stderr.count("bareboat: error:") == 1, done.stderr
    assert {p.name for p in tmp_path.iterdir()} <= {"again"}


def test_a_run_in_an_image_of_dockers_own_kind(sent: Sent, tmp_path: Path) -> None:
    """Schema 2, as Docker pushes: the run's subject is that manifest, byte for byte, and it goes on as it came."""
    bareboat(sent.home, "build", "-t", "bareboat-test/points:1", cwd=sent.project)
    bareboat(sent.home, "save", "bareboat-test/points:1", "-o", f"{tmp_path}/image/", cwd=sent.project)
    image = f"{sent.host}/lab/docker:1"
    peer("skopeo", "copy", "--format", "v2s2", "--dest-tls-verify=false", f"oci:{tmp_path}/image:1", f"docker://{image}")
    home, other = tmp_path / "home", tmp_path / "other"
    bareboat(home, "pull", image, cwd=tmp_path)
    assert bareboat(home, "run", image, "python", "-c", "import sklearn; print('here')", cwd=tmp_path) == "here"
    bareboat(home, "push", "--run", "last", f"{sent.host}/lab/docker:run", cwd=tmp_path)
    for word in (f"{sent.host}/lab/docker:run", image):  # by its own tag, and attached to the image's
        said = bareboat(other, "rerun", word, cwd=tmp_path)
        assert said.startswith("here") and "identical" in said
    raw = peer("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{image}")
    record = json.loads(bareboat(other, "runs", "--json", cwd=tmp_path))[-1]
    assert record["manifest"] == "sha256:" + hashlib.sha256(raw.encode()).hexdigest()
    remove(home)
    remove(other)


def test_a_run_of_a_project_that_stands_on_an_image(sent: Sent, tmp_path: Path) -> None:
    """The base's layers below, wheels above: one image to the receiver, who needs neither the base nor an index."""
    bareboat(sent.home, "build", "-t", "bareboat-test/base:1", cwd=sent.project)
    bareboat(sent.home, "save", "bareboat-test/base:1", "-o", f"{tmp_path}/base/", cwd=sent.project)
    project, other = tmp_path / "project", tmp_path / "other"
    for name in ("src", "results"):
        (project / name).mkdir(parents=True)
    (project / "bareboat.toml").write_text(f'base = "oci:{tmp_path}/base"\n')
    (project / "requirements.txt").write_text("tabulate\n")
    (project / "src/run.py").write_text("import numpy, pathlib, tabulate\n"
                                        "pathlib.Path('results/t').write_text(tabulate.tabulate([[numpy.pi]]))\n")
    bareboat(tmp_path / "home", "run", "--", "python", "src/run.py", cwd=project)
    bareboat(tmp_path / "home", "save", "--run", "last", "-o", f"{tmp_path}/run.tar", cwd=project)
    remove(tmp_path / "home")
    shutil.rmtree(tmp_path / "base")
    done = alone(0, other, "rerun", f"{tmp_path}/run.tar", cwd=tmp_path)
    assert done.returncode == 0 and "identical" in done.stdout, done.stderr
    remove(other)
