"""What a user does first, with the real index, mirror and sandbox: `run`, again, edited, repeated, copied, cut off."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests import sandbox_kit

pytestmark = pytest.mark.live
ROOT = Path(__file__).parents[2]
TRAIN = """\
import pathlib, six
pathlib.Path("results/sums.csv").write_text("n,sum\\n3,%d\\n" % sum(map(int, open("data/n.txt"))))
"""
NOISY = 'import os; open("results/x.csv", "w").write("a\\n%r\\n" % int.from_bytes(os.urandom(4), "big"))\n'


class User:
    """A folder, a store of its own, and the command line in a process of its own."""

    def __init__(self, base: Path) -> None:
        self.root, self.home = base / "pro ject, of: a 'user'", base / "store"
        for name in ("src", "data"):
            (self.root / name).mkdir(parents=True)
        (self.root / "src/run.py").write_text(TRAIN)
        (self.root / "src/noisy.py").write_text(NOISY)
        (self.root / "data/n.txt").write_text("1\n2\n3\n")
        (self.root / "requirements.txt").write_text("six\n")

    def __call__(self, *words: str, stdin: int = subprocess.DEVNULL, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "bareboat", *words], cwd=self.root, text=True, stdin=stdin,
                              capture_output=True, check=False, timeout=300,
                              env={**os.environ, "BAREBOAT_HOME": str(self.home), **env})

    def last(self) -> str:
        return str(json.loads(self("runs", "--json").stdout)[0]["id"])


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> User:
    sandbox_kit.need_sandbox()
    made = User(tmp_path_factory.mktemp("user"))
    done = made("run", "--", "python", "/app/src/run.py")
    if done.returncode and any(c in done.stderr for c in ("unreachable", "network")) and not os.environ.get("CI"):
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return made


def test_results_are_the_callers(user: User) -> None:
    file = user.root / "results/sums.csv"
    assert file.read_text() == "n,sum\n3,6\n" and file.stat().st_uid == os.getuid()


def test_again_fetches_and_locks_nothing(user: User) -> None:
    done = user("run", "--locked", "--offline", "--", "true")
    assert done.returncode == 0 and "locked" not in done.stderr and "fetched" not in done.stderr


@pytest.mark.parametrize(("program", "code"), [
    (("sh", "-c", "exit 3"), 3), (("sh", "-c", "kill -9 $$"), 137), (("nothing-of-this-name",), 127),
    (("/app/src/run.py",), 126), (("/app/src",), 126)])
def test_exit_codes(user: User, program: tuple[str, ...], code: int) -> None:
    assert user("run", "--", *program).returncode == code


def test_standard_input_ends(user: User) -> None:
    assert user("run", "--", "cat").stdout == ""  # from /dev/null: it hung, a second process kept the pipe open
    with open(user.root / "data/n.txt") as file:
        assert user("run", "--", "cat", stdin=file.fileno()).stdout == "1\n2\n3\n"


def test_repeated_though_the_folder_was_edited_and_the_store_copied(user: User, tmp_path: Path) -> None:
    user("run", "--", "python", "/app/src/run.py")
    run = user.last()
    (user.root / "src/run.py").write_text("raise SystemExit(9)\n")
    try:
        for home in (user.home, Path(shutil.copytree(user.home, tmp_path / "copied", symlinks=True))):
            done = user("rerun", run, "--in", str(tmp_path / f"in-{home.name}"), BAREBOAT_HOME=str(home))
            assert (done.returncode, "identical" in done.stdout + done.stderr) == (0, True), done.stderr
    finally:
        (user.root / "src/run.py").write_text(TRAIN)


def test_a_program_that_is_not_deterministic_differs_with_the_reason(user: User, tmp_path: Path) -> None:
    assert user("run", "--", "python", "src/noisy.py").returncode == 0
    done = user("rerun", user.last(), "--in", str(tmp_path / "in"))
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "differs" in said and "not deterministic" in said


@pytest.mark.parametrize(("lines", "said"), [
    ("no-such-package-of-bareboat-xyz\n", "no-such-package"), ("six==99\n", "six==99"), ("six=>1\n", "six=>1")])
def test_bad_requirements_change_nothing(user: User, lines: str, said: str) -> None:
    file, before = user.root / "requirements.txt", (user.root / "bareboat.lock").read_bytes()
    file.write_text(lines)
    try:
        done = user("run", "--", "true")
        assert done.returncode == 125 and said in done.stderr
        assert (user.root / "bareboat.lock").read_bytes() == before
    finally:
        file.write_text("six\n")


def test_two_at_once_make_one_new_environment(user: User) -> None:
    (user.root / "requirements.txt").write_text("six\nidna\n")
    command = [sys.executable, "-m", "bareboat", "run", "--results"]
    env = {**os.environ, "BAREBOAT_HOME": str(user.home)}
    try:
        both = [subprocess.Popen([*command, f"at-once-{n}", "--", "python", "-c", "import idna"], cwd=user.root,
                                 env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) for n in range(2)]
        for process in both:
            said = process.communicate(timeout=300)[1]
            assert process.returncode == 0, said
    finally:
        (user.root / "requirements.txt").write_text("six\n")
        user("lock")


def test_without_network_what_is_there_runs(user: User) -> None:
    command = ["unshare", "-Urn", sys.executable, "-m", "bareboat", "run", "--", "true"]
    done = subprocess.run(command, cwd=user.root, env={**os.environ, "BAREBOAT_HOME": str(user.home)},
                          stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr


def test_killed_it_leaves_nothing_and_the_record_says_so(user: User) -> None:
    process = subprocess.Popen([sys.executable, "-m", "bareboat", "run", "--", "sh", "-c", "echo up; exec sleep 9753"],
                               cwd=user.root, env={**os.environ, "BAREBOAT_HOME": str(user.home)},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.kill()
    assert process.stdout.read() == b""  # ends only when nobody holds it any more
    process.wait()
    process.stdout.close()
    newest = json.loads(user("runs", "--json", "--state", "failed").stdout)
    assert any("killed" in str(run) for run in newest)
