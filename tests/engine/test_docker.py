"""The engine over a docker that is a script: what it does when docker fails in each of its ways."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests import sandbox_kit as kit

from bareboat.engine import choice
from bareboat.engine.base import Check
from bareboat.engine.bubblewrap import doubtful, isolates
from bareboat.engine.docker import CommandLine, Loader
from bareboat.engine.memory import MemoryEngine
from bareboat.engine.oci_command import Client
from bareboat.engine.oci_facts import Facts
from bareboat.errors import BareboatError, EngineError, ProgramError
from bareboat.workload import Limits, Mount, Outcome, Workload

STATE = """'{"Status":"exited","ExitCode":%d,"OOMKilled":%s,
"StartedAt":"2026-01-01T00:00:00Z","FinishedAt":"2026-01-01T00:00:02Z"}'"""
WORKS = {"create": "echo c1", "start": "echo out; echo err >&2", "container": f"echo {STATE % (3, 'false')}",
         "diff": "true", "rm": "true", "ps": "true", "image": "true"}


class Given:
    """Images that are brought when asked."""

    def __init__(self) -> None:
        self.brought = 0

    def ids(self, workload: Workload) -> tuple[str, ...]:
        return ("sha256:first",)

    def bring(self, workload: Workload, engine: Loader) -> str:
        self.brought += 1
        return f"sha256:brought{self.brought}"


class Scripted:
    """An engine whose docker does as it is told; said: the lines it was started with."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.images = folder, Given()
        self.tree = kit.skeleton(folder / "tree")
        self.engine = CommandLine("docker", folder / "store", self.images, program=str(folder / "docker"))
        self.engine._facts = Facts(Client("docker", str(folder / "docker"), (os.getuid(), os.getgid())), "28",
                                   platform="linux/amd64")

    def does(self, **changes: str) -> None:
        cases = "".join(f"{name}) {text} ;;\n" for name, text in {**WORKS, **changes}.items())
        (self.folder / "docker").write_text(
            f'#!/bin/sh\necho "$@" >>{self.folder}/said\ncd {self.folder}\ncase "$1" in\n{cases}esac\n')
        (self.folder / "docker").chmod(0o755)

    def run(self, *argv: str, **more: object) -> tuple[Outcome, kit.Heard]:
        heard = kit.Heard()
        load = kit.workload(self.tree, *(argv or ("sh",)), **more)
        return self.engine.run(load, heard.streams()), heard

    @property
    def said(self) -> list[str]:
        return [line.split()[0] for line in (self.folder / "said").read_text().splitlines()]


@pytest.fixture
def docker(tmp_path: Path) -> Scripted:
    made = Scripted(tmp_path)
    made.does()
    return made


def test_a_run(docker: Scripted) -> None:
    outcome, heard = docker.run()
    assert (outcome.code, outcome.reason, outcome.seconds) == (3, "", 2.0)
    assert (heard.out, heard.err, heard.started) == (b"out\n", b"err\n", 1)
    assert docker.said[0] == "create" and docker.said[-1] == "rm" and docker.said.count("rm") == 1
    assert docker.images.brought == 0


def test_out_of_memory_is_docker_s_own_word(docker: Scripted) -> None:
    docker.does(container=f"echo {STATE % (137, 'true')}")
    assert docker.run()[0].reason == "out of memory"
    docker.does(container=f"echo {STATE % (0, 'true')}")  # a child was killed, and the program went on
    assert docker.run()[0].reason == ""


def test_what_is_lost_is_counted(docker: Scripted) -> None:
    docker.does(diff="printf 'A /var/x\\nA /tmp/y\\n'",
                container=f'case "$*" in *SizeRw*) echo 77;; *) echo {STATE % (0, "false")};; esac')
    lost = docker.run()[0].lost
    assert (lost.count, lost.bytes, lost.first) == (1, 77, ("/var/x",))


def test_an_image_that_went_is_brought_again(docker: Scripted) -> None:
    docker.does(create='case "$*" in *sha256:brought2*) echo c1;; *) exit 1;; esac', image="exit 1")
    assert docker.run()[0].code == 3 and docker.images.brought == 2


def test_an_image_that_goes_as_soon_as_it_is_there(docker: Scripted) -> None:
    docker.does(create="exit 1", image="exit 1")
    with pytest.raises(EngineError) as caught:
        docker.run()
    assert caught.value.code == "docker.image"


def test_a_name_that_is_taken_is_another_the_next_time(docker: Scripted) -> None:
    docker.does(create="[ -e once ] && echo c1 || { touch once; echo Conflict >&2; exit 125; }")
    assert docker.run()[0].code == 3
    names = [word for line in (docker.folder / "said").read_text().splitlines() for word in line.split()
             if word.startswith("--name=")]
    assert len(set(names)) == 2


def test_a_container_that_cannot_be_made(docker: Scripted) -> None:
    docker.does(create="echo 'Error response from daemon: invalid mount config' >&2; exit 125", container="exit 1")
    with pytest.raises(EngineError) as caught:
        docker.run()
    assert caught.value.code == "docker.create" and "invalid mount config" in caught.value.what


NEVER = """echo '{"Status":"created","ExitCode":128,"Error":"%s","StartedAt":"0001-01-01T00:00:00Z"}'"""


def test_a_container_that_cannot_be_started(docker: Scripted) -> None:
    docker.does(container=NEVER % "cgroups: no space left", start="exit 1")
    with pytest.raises(EngineError) as caught:
        docker.run()
    assert caught.value.code == "docker.start" and "no space left" in caught.value.what
    assert docker.said[-1] == "rm"


def test_a_container_that_was_taken_away_while_it_ran(docker: Scripted) -> None:
    docker.does(container="echo 'Error: No such container: c1' >&2; exit 1")
    with pytest.raises(EngineError) as caught:
        docker.run()
    assert caught.value.code == "docker.gone" and "No such container" in caught.value.what


def test_a_container_that_cannot_be_removed(docker: Scripted) -> None:
    docker.does(rm="echo 'device or resource busy' >&2; exit 1")
    with pytest.raises(EngineError) as caught:
        docker.run()
    assert caught.value.code == "docker.remove" and "busy" in caught.value.what


def test_a_full_disk_when_the_image_is_given(docker: Scripted) -> None:
    full = "echo 'write /layer.tar: no space left on device' >&2; exit 1"
    docker.does(pull=full, load=f"cat >/dev/null; {full}")
    engine = docker.engine
    for take in (lambda: engine.take_archive([b"x" * 100]), lambda: engine.take_layout(docker.folder, "x:1")):
        with pytest.raises(EngineError) as caught:
            take()
        assert caught.value.code == "docker.load" and "no space left" in caught.value.what
        assert "docker system prune" in caught.value.hint


def test_the_layers_that_are_there(docker: Scripted) -> None:
    docker.does(image='case "$2" in ls) echo i1; echo i1; echo i2;; *) echo \'["a","b"]\'; echo null;; esac')
    assert docker.engine.layers() == [("a", "b")]
    docker.does(image="true")
    assert docker.engine.layers() == []


def test_leavings_are_taken_away_by_the_next_run(docker: Scripted) -> None:
    docker.does(ps="echo dead; echo alive", container=f"""case "$*" in
        *bareboat.owner*) echo 'dead boot:1:2'; echo "alive $(cat mine)";; *) echo {STATE % (0, 'false')};; esac""")
    from bareboat.engine.oci_leavings import owner

    (docker.folder / "mine").write_text(owner(os.getpid()))
    assert docker.engine.leftovers() == ("dead",)
    docker.run()
    assert (docker.folder / "said").read_text().splitlines()[-1].split() == ["rm", "--force", "--volumes", "c1", "dead"]


@pytest.mark.parametrize(("more", "code"), [
    ({"limits": Limits(scratch_size=1)}, "engine.limits"), ({"platform": "linux/arm64"}, "engine.platform"),
    ({"code_overlays": (("/app", Path("/")),)}, "engine.code-overlay"),
    ({"env": (("A", "\udcff"),)}, "engine.encoding"),
    ({"mounts": (Mount(Path("/nonexistent/none"), "/x"),)}, "engine.source")])
def test_what_it_cannot_do_is_refused_before_docker_is_asked(
        docker: Scripted, more: dict[str, object], code: str) -> None:
    with pytest.raises(EngineError) as caught:
        docker.run(**more)
    assert caught.value.code == code and not (docker.folder / "said").exists()


def test_a_user_whose_files_would_be_anothers(docker: Scripted) -> None:
    with pytest.raises(EngineError) as caught:
        docker.run(uid=54321, mounts=(Mount(docker.folder, "/x"),))
    assert caught.value.code == "engine.user" and "54321" in caught.value.what


def test_explain_has_the_line_and_no_value(docker: Scripted) -> None:
    text = docker.engine.explain(kit.workload(docker.tree, "sh", env=(("KEY", "se\ncret"), ("HOME", "x\ny"))))
    assert "--cap-drop=ALL" in text and "KEY" in text and "cret" not in text


def test_a_copy_of_what_is_not_there(docker: Scripted) -> None:
    from bareboat.workload import Handle

    docker.does(container="""echo '{"Running":true}'""", cp="echo 'no such file' >&2; exit 1")
    with pytest.raises(EngineError) as caught:
        list(docker.engine.copy_out(Handle("c1"), "/x"))
    assert caught.value.code == "engine.no-file"
    docker.does(container="""echo '{"Running":false}'""")
    with pytest.raises(EngineError) as caught:
        list(docker.engine.copy_out(Handle("c1"), "/x"))
    assert caught.value.code == "engine.gone"


# --- which engine ---


class Lacking(MemoryEngine):
    """A fake that cannot be used, or can."""

    def __init__(self, name: str, *found: Check | BareboatError) -> None:
        super().__init__({})
        self.name, self.found = name, found  # type: ignore[misc]

    def checks(self) -> list[Check]:
        for one in self.found:
            if isinstance(one, BareboatError):
                raise one
        return [one for one in self.found if isinstance(one, Check)]


GOOD, BAD, FATAL = Check("x", True, ""), Check("x", False, "why"), Check("x", False, "why", fatal=True)


@pytest.mark.parametrize(("podman", "docker", "wanted"), [
    ([GOOD], [GOOD], "podman"), ([BAD], [GOOD], "docker"), ([EngineError("e.e", "x")], [GOOD], "docker"),
    ([BAD], [BAD], "own")])
def test_the_next_engine(podman: Iterable[Check], docker: Iterable[Check], wanted: str) -> None:
    made = {"podman": Lacking("podman", *podman), "docker": Lacking("docker", *docker)}
    assert choice.instead(lambda name: made[name], Lacking("own"), "why").name == wanted
    if wanted == "own":
        with pytest.raises(EngineError) as caught:
            choice.instead(lambda name: made[name], None, "it needs Linux")
        assert caught.value.code == "engine.none" and "it needs Linux" in caught.value.what


def test_the_obstacle_is_the_first_that_is_fatal() -> None:
    assert choice.obstacle([GOOD, BAD, FATAL]) is FATAL
    assert choice.obstacle([GOOD, BAD]) is None


def test_trying_is_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    if kit.obstacle():
        assert not isolates()
    else:
        assert isolates()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "1")
    assert doubtful()


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A machine without user namespaces, on which one other engine can be used, or none."""
    from bareboat.engine import bubblewrap, docker

    def choose(usable: str) -> None:
        monkeypatch.setattr(bubblewrap, "doubtful", lambda: True)
        monkeypatch.setattr(bubblewrap, "isolates", lambda: False)
        monkeypatch.setattr(bubblewrap.Bubblewrap, "checks",
                            lambda self: [Check("user namespaces", False, "switched off", "sysctl", fatal=True)])
        monkeypatch.setattr(docker.CommandLine, "checks", lambda self: [Check(self.name, self.name == usable, "")])

    return choose


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    detail = say

    def progress(self, what: str, done: int, total: int) -> None:
        """Nothing."""


def test_where_namespaces_are_blocked_the_next_engine_takes_over_and_says_so_once(
        blocked: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bareboat import wiring

    for name in [name for name in os.environ if name.startswith("BAREBOAT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    heard = Heard()
    blocked("docker")
    assert [wiring.work(heard).engine.name for _ in range(2)] == ["docker", "docker"]
    assert len(heard.lines) == 1 and "switched off" in heard.lines[0] and "docker" in heard.lines[0]
    assert wiring.work(heard, engine="bubblewrap").engine.name == "bubblewrap"  # who chose is obeyed
    blocked("podman")
    assert wiring.work(heard).engine.name == "podman" and len(heard.lines) == 2
    blocked("")
    assert wiring.work(heard).engine.name == "bubblewrap"  # whose run says what is wrong
    monkeypatch.setenv("BAREBOAT_ENGINE", "podman")
    assert wiring.work(heard).engine.name == "podman" and len(heard.lines) == 2


def test_doctor_says_of_each_engine_whether_it_can_be_used(
        blocked: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bareboat import wiring
    from bareboat.verbs import doctor

    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(doctor, "CHECKS", ())
    blocked("docker")
    found = {check.name: check for check in doctor.checks(wiring.work(Heard(), engine="docker"))}
    assert found["docker"].ok and found["docker"].fatal
    assert not found["podman"].ok and not found["podman"].fatal
    assert not found["bubblewrap"].ok and found["bubblewrap"].remedy == "sysctl" and not found["bubblewrap"].fatal
    assert found["engine"].detail.startswith("docker")


def test_the_projects_engine(tmp_path: Path) -> None:
    from bareboat.verbs.run import engine_of_project

    assert engine_of_project(tmp_path, {}) is None
    (tmp_path / "bareboat.toml").write_text('engine = "podman"\n')
    assert engine_of_project(tmp_path, {}) == "podman"
    assert engine_of_project(tmp_path, {"BAREBOAT_ENGINE": "docker"}) is None
    (tmp_path / "bareboat.toml").write_text('engine = "lxc"\n')
    assert engine_of_project(tmp_path, {}) is None  # who loads the project says what is wrong


# --- programs in trees ---


def test_programs_are_found_as_the_kernel_would(tmp_path: Path) -> None:
    from bareboat.engine.oci_program import find, program

    tree = kit.skeleton(tmp_path / "low")
    kit.script(tree, "tool", "#!/bin/sh\n")
    upper = tmp_path / "up"
    (upper / "opt").mkdir(parents=True)
    (upper / "opt/alias").symlink_to("bin/tool")
    (upper / "opt/out").symlink_to("../../../../../etc/passwd")
    load = kit.workload(tree, "tool", trees=(upper,))
    assert program(load, "linux/amd64") == "/opt/bin/tool"
    assert find(load, "/opt/alias") == tree / "opt/bin/tool"
    assert find(load, "/opt/out") == tree / "etc/passwd"  # inside, however many times it goes up
    assert find(load, "/usr/bin/env") == Path("/usr/bin/env") and find(load, "/opt/none") is None
    (upper / "opt/loop").symlink_to("loop")
    assert find(load, "/opt/loop") is None
    with pytest.raises(ProgramError) as caught:
        program(kit.workload(tree, "tol"), "linux/amd64")
    assert "tool" in caught.value.hint
