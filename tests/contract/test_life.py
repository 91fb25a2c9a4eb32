"""A container's life from create to rm, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import tarfile
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from tests.life_kit import Fleet, quick, until

from bareboat.errors import BareboatError, EngineError, UsageError
from bareboat.host import copying, processes
from bareboat.supervisor import wire
from bareboat.supervisor.rules import Health
from bareboat.verbs import containers, enter, launch
from bareboat.verbs.cp import copy
from bareboat.verbs.runs import load
from bareboat.workload import Port


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    yield made
    made.close()


def code_of(error: pytest.ExceptionInfo[BareboatError]) -> str:
    return error.value.code


def test_created_started_stopped_started_again_removed(fleet: Fleet) -> None:
    container, _ = fleet.create("sh", "-c", "echo began; sleep 60", name="one")
    assert fleet.seen("one").state == "created" and fleet.seen("one").record.state == "pending"
    launch.start(fleet.seen("one"), fleet.work)
    until(lambda: fleet.log("one") == b"began\n")
    assert fleet.seen("one").state == "running"
    assert enter.stop("one", fleet.store) == 143
    seen = fleet.seen("one")
    assert (seen.state, seen.record.state, seen.record.reason, seen.record.exit_code) == (
        "exited", "cancelled", "stopped", 143)
    launch.start(fleet.seen("one"), fleet.work)
    record = fleet.seen("one").record
    assert (record.attempt, record.attempts[0].exit_code, record.attempts[0].reason) == (2, 143, "stopped")
    until(lambda: fleet.log("one") == b"began\n" * 2)
    assert enter.remove("one", fleet.store, force=True) == "one"
    with pytest.raises(UsageError) as error:
        fleet.seen("one")
    assert code_of(error) == "container.unknown"
    assert load(fleet.store, container.id).state == "cancelled"  # the record stays
    assert fleet.store.runs.path(container.id).joinpath("log").read_bytes() == b"began\nbegan\n"


def test_stop_of_one_that_does_not_run_is_no_error(fleet: Fleet) -> None:
    fleet.run("true", name="done")
    assert enter.wait("done", fleet.store) == 0
    assert enter.stop("done", fleet.store) is None


@pytest.mark.parametrize(("argv", "code"), [(("sh", "-c", "exit 7"), 7), (("true",), 0),
                                            (("sh", "-c", "kill -KILL $$"), 137)])
def test_wait_gives_the_programs_own_code_during_and_after(fleet: Fleet, argv: tuple[str, ...], code: int) -> None:
    fleet.run(*argv, name="w")
    assert enter.wait("w", fleet.store) == code
    until(lambda: fleet.seen("w").state == "exited")
    assert enter.wait("w", fleet.store) == code


def test_a_program_that_cannot_start_is_told_and_stays_listed(fleet: Fleet) -> None:
    with pytest.raises(BareboatError) as error:
        fleet.run("no-such-program", name="bad")
    assert (code_of(error), error.value.exit_code) == ("program.not-found", 127)
    assert fleet.seen("bad").record.state == "failed"


def test_names_clash_and_are_free_again_after_rm(fleet: Fleet) -> None:
    fleet.create("true", name="n")
    with pytest.raises(UsageError) as error:
        fleet.create("true", name="n")
    assert code_of(error) == "container.name-taken"
    enter.remove("n", fleet.store)
    fleet.create("true", name="n")


def test_a_name_is_made_up_and_never_twice(fleet: Fleet) -> None:
    names = {fleet.create("true")[0].name for _ in range(3)}
    assert names == {"skeleton-1", "skeleton-2", "skeleton-3"}


def test_two_that_claim_one_name_at_once(fleet: Fleet) -> None:
    made: list[str] = []

    def claim() -> None:
        try:
            made.append(fleet.create("true", name="same")[0].id)
        except UsageError:
            pass

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a b", "ü", "x" * 129, "../x", "a\nb"])
def test_no_name_of_a_container(name: str) -> None:
    with pytest.raises(UsageError):
        containers.check_name(name)


def test_found_by_the_beginning_of_an_id_and_a_near_name_is_offered(fleet: Fleet) -> None:
    container, _ = fleet.create("true", name="training")
    assert fleet.seen(container.id[:5]).container.id == container.id
    with pytest.raises(UsageError) as error:
        fleet.seen("trainng")
    assert "did you mean training?" in error.value.hint


def test_rename(fleet: Fleet) -> None:
    container, _ = fleet.create("true", name="old")
    fleet.create("true", name="taken")
    enter.rename("old", "new", fleet.store)
    assert fleet.seen("new").container.id == container.id
    with pytest.raises(UsageError) as error:
        enter.rename("new", "taken", fleet.store)
    assert code_of(error) == "container.name-taken"


def test_removal_while_running_needs_force(fleet: Fleet) -> None:
    fleet.run("sleep", "60", name="r")
    with pytest.raises(UsageError) as error:
        enter.remove("r", fleet.store)
    assert code_of(error) == "container.running"
    enter.remove("r", fleet.store, force=True)


def test_removal_between_two_starts_is_no_start_more(fleet: Fleet) -> None:
    for number in range(3):
        fleet.run("sh", "-c", "exit 1", name=f"b{number}", rules=quick(restart=1000))
        until(lambda n=number: fleet.seen(f"b{n}").record.attempt > 2)  # type: ignore[misc]
        container = fleet.seen(f"b{number}").container
        enter.remove(f"b{number}", fleet.store, force=True)
        assert not fleet.store.runs.is_alive(container.id)


def test_remove_at_the_end(fleet: Fleet) -> None:
    container = fleet.run("true", name="gone", remove=True)
    until(lambda: container.id not in dict(containers.known(fleet.store)))
    assert load(fleet.store, container.id).state == "succeeded"


def test_logs_are_every_byte_in_order_on_its_stream(fleet: Fleet) -> None:
    from bareboat.store import runlog

    fleet.run("sh", "-c", r"printf 'a\000b\n'; printf 'e\n' >&2; printf '\377'", name="l")
    enter.wait("l", fleet.store)
    until(lambda: fleet.seen("l").state == "exited")
    found = list(runlog.pieces(fleet.store.runs.path(fleet.seen("l").container.id)))
    assert b"".join(p.data for p in found if p.stream == runlog.OUT) == b"a\0b\n\377"
    assert b"".join(p.data for p in found if p.stream == runlog.ERR) == b"e\n"


def test_exec_code_streams_environment_and_directory(fleet: Fleet) -> None:
    fleet.run("sleep", "60", name="x", env=(("MINE", "1"),), cwd="/etc")
    heard = fleet.exec("x", "sh", "-c", "echo $MINE $MORE $(pwd); echo err >&2; exit 9", env=(("MORE", "2"),))
    assert (heard.text, bytes(heard.err), heard.outcome.code) == ("1 2 /etc\n", b"err\n", 9)


@pytest.mark.parametrize("state", ["created", "exited"])
def test_exec_into_one_that_does_not_run(fleet: Fleet, state: str) -> None:
    if state == "created":
        fleet.create("true", name="x")
    else:
        fleet.run("true", name="x")
        enter.wait("x", fleet.store)
        until(lambda: fleet.seen("x").state == "exited")
    with pytest.raises(UsageError) as error:
        fleet.exec("x", "true")
    assert code_of(error) == "container.not-running"


def test_pause_stops_and_unpause_goes_on(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "while :; do echo x; sleep 0.01; done", name="p")
    until(lambda: fleet.log("p"))
    assert enter.tell("p", fleet.store, do="pause")["memory"] > 0
    assert fleet.seen("p").state == "paused"
    size = len(fleet.log("p"))
    with pytest.raises(EngineError) as error:
        fleet.exec("p", "true")
    assert code_of(error) == "container.paused"
    with pytest.raises(EngineError) as error:
        enter.tell("p", fleet.store, do="pause")
    assert code_of(error) == "container.paused"
    assert len(fleet.log("p")) <= size + 2  # what was in the pipe
    enter.tell("p", fleet.store, do="unpause")
    until(lambda: len(fleet.log("p")) > size + 10)
    assert fleet.seen("p").state == "running"


def test_a_paused_one_can_be_stopped(fleet: Fleet) -> None:
    fleet.run("sleep", "60", name="p")
    enter.tell("p", fleet.store, do="pause")
    assert enter.stop("p", fleet.store) == 143


def test_one_that_ignores_sigterm_is_killed_after_its_time(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done", name="deaf")
    until(lambda: fleet.log("deaf"))
    assert enter.stop("deaf", fleet.store, 0.2) == 137


def test_double_forked_daemons_end_with_the_container(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "(setsid sleep 7654 >/dev/null 2>&1 &); (setsid sh -c 'sleep 7654 & sleep 7654' &); sleep 60",
              name="d")
    until(lambda: len(enter.processes("d", fleet.store)) >= 6)
    pids = [p.pid for p in enter.processes("d", fleet.store)]
    enter.remove("d", fleet.store, force=True)
    assert [pid for pid in pids if "sleep" in (processes.told(pid) or (0, 0, ""))[2]] == []


def test_kill_sends_any_signal(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "trap 'echo usr' USR1; echo up; while :; do sleep 0.02; done", name="k")
    until(lambda: fleet.log("k") == b"up\n")
    enter.kill("k", fleet.store, signal.SIGUSR1)
    until(lambda: fleet.log("k") == b"up\nusr\n")
    enter.kill("k", fleet.store)
    assert fleet.seen("k").record.exit_code == 137
    assert fleet.seen("k").record.reason == "killed"


def test_restart_on_failure_so_often_and_then_no_more(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "echo try; exit 3", name="again", rules=quick(restart=2))
    assert enter.wait("again", fleet.store) == 3
    until(lambda: fleet.seen("again").state == "exited")
    record = fleet.seen("again").record
    assert (record.attempt, len(record.attempts), record.state) == (3, 2, "failed")
    assert fleet.log("again") == b"try\n" * 3


def test_success_is_not_started_again_nor_one_that_was_stopped(fleet: Fleet) -> None:
    fleet.run("true", name="ok", rules=quick(restart=5))
    enter.wait("ok", fleet.store)
    until(lambda: fleet.seen("ok").state == "exited")
    assert fleet.seen("ok").record.attempt == 1
    fleet.run("sleep", "60", name="halt", rules=quick(restart=5))
    enter.stop("halt", fleet.store)
    until(lambda: fleet.seen("halt").state == "exited")
    assert fleet.seen("halt").record.attempt == 1


def test_stop_while_it_waits_to_be_started_again(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "exit 1", name="wait", rules=quick(restart=1000))
    until(lambda: fleet.seen("wait").record.attempt >= 4)
    enter.stop("wait", fleet.store)
    until(lambda: fleet.seen("wait").state == "exited")
    assert fleet.seen("wait").record.state == "cancelled"


def test_health_goes_from_starting_to_healthy_to_unhealthy(fleet: Fleet) -> None:
    health = Health(("sh", "-c", "test ! -e /results/sick"), interval=0.05, timeout=5, retries=2)
    fleet.run("sleep", "60", name="h", rules=quick(health=health))
    until(lambda: fleet.seen("h").told.get("health") == "healthy")
    (fleet.results / "sick").touch()
    until(lambda: fleet.seen("h").told.get("health") == "unhealthy")
    assert fleet.log("h") == b"bareboat: health: healthy\nbareboat: health: unhealthy\n"


def test_a_health_command_that_hangs_counts_as_failed(fleet: Fleet) -> None:
    health = Health(("sleep", "60"), interval=0.02, timeout=0.1, retries=1)
    fleet.run("sleep", "60", name="h", rules=quick(health=health))
    until(lambda: fleet.seen("h").told.get("health") == "unhealthy")


def test_time_is_over(fleet: Fleet) -> None:
    fleet.run("sleep", "60", name="t", rules=quick(max_time=0.2))
    assert enter.wait("t", fleet.store) == 143
    until(lambda: fleet.seen("t").state == "exited")
    assert (fleet.seen("t").record.state, fleet.seen("t").record.reason) == ("cancelled", "time limit")


def test_idle_is_stopped_and_busy_is_not(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "while :; do :; done", name="busy", rules=quick(idle_stop=0.3))
    fleet.run("sleep", "60", name="idle", rules=quick(idle_stop=0.3))
    assert enter.wait("idle", fleet.store) == 143
    until(lambda: fleet.seen("idle").state == "exited")
    assert fleet.seen("idle").record.reason == "idle"
    assert fleet.seen("busy").state == "running"


def test_attach_gets_what_comes_and_gives_what_is_typed(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "while read line; do echo got $line; done; exit 4", name="a", interactive=True)
    line = enter.Attached("a", fleet.store, stdin=True)
    out, err = bytearray(), bytearray()
    line.send(wire.IN, b"one\ntwo\n")
    while out.count(b"\n") < 2:
        assert line.read(out.extend, err.extend)
    assert out == b"got one\ngot two\n"
    line.send(wire.EOF, b"")
    while line.read(out.extend, err.extend):
        pass
    assert line.ended == 4
    line.close()


def test_what_is_typed_faster_than_it_is_read_arrives_whole_and_so_does_its_end(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "sleep 0.5; wc -c", name="a", interactive=True)
    line = enter.Attached("a", fleet.store, stdin=True)
    for _ in range(30):
        line.send(wire.IN, b"x" * 100_000)
    line.send(wire.EOF, b"")
    out = bytearray()
    while line.read(out.extend, out.extend):
        pass
    assert (out.strip(), line.ended) == (b"3000000", 0)
    line.close()


def test_one_that_is_being_made_is_not_taken_for_one_that_died(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    real = launch.write_record

    def looked_at(*words: object, **more: object) -> None:
        containers.listed(fleet.store)  # somebody else's ps, at the worst moment
        real(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(launch, "write_record", looked_at)
    container, _ = fleet.create("true", remove=True)
    assert fleet.seen(container.id).state == "created"


def test_a_terminal_that_is_attached_to(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "read x; stty size; echo typed $x; sleep 60", name="t", interactive=True, tty=True)
    line = enter.Attached("t", fleet.store, stdin=True, window=(33, 77))
    line.send(wire.IN, b"hello\n")
    out = bytearray()
    while b"typed hello" not in out:
        assert line.read(out.extend, out.extend)
    assert b"33 77" in out
    line.close()
    assert fleet.seen("t").state == "running"  # who leaves leaves it running


def test_one_who_is_attached_and_does_not_read_does_not_stop_the_program(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "head -c 30000000 /dev/zero; echo end >&2", name="slow")
    line = enter.Attached("slow", fleet.store, stdin=False)
    assert enter.wait("slow", fleet.store) == 0
    line.close()
    assert fleet.log("slow").endswith(b"end\n")


def test_top_and_stats(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "sleep 61 & sleep 60", name="s")
    until(lambda: len(enter.processes("s", fleet.store)) == 3)
    assert [p.argv for p in enter.processes("s", fleet.store)][1:] == ["sleep 61", "sleep 60"]
    stats = enter.tell("s", fleet.store, do="stats")
    assert stats["pids"] == 3 and stats["memory"] > 0


def test_cp_both_ways_with_modes_links_and_odd_names(fleet: Fleet, tmp_path: Path) -> None:
    fleet.run("sleep", "60", name="c")
    source = tmp_path / "src"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "ä\nb").write_bytes(b"x" * 100_000)
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("run")
    copy(str(source), "c:/tmp/", lambda _: fleet.work)
    listing = fleet.exec("c", "sh", "-c", "cd /tmp/src; ls -l run | cut -c1-10; readlink link; cat sub/* | wc -c")
    assert listing.text.split() == ["-rwxr-xr-x", "run", "100000"]
    copy("c:/tmp/src", str(tmp_path / "back"), lambda _: fleet.work)
    assert (tmp_path / "back/sub/ä\nb").read_bytes() == b"x" * 100_000
    assert (tmp_path / "back/link").is_symlink() and (tmp_path / "back/run").stat().st_mode & 0o111


def test_cp_of_what_is_not_there_and_of_one_that_does_not_run(fleet: Fleet, tmp_path: Path) -> None:
    fleet.run("sleep", "60", name="c")
    with pytest.raises(EngineError) as error:
        copy("c:/nowhere", str(tmp_path), lambda _: fleet.work)
    assert code_of(error) == "engine.no-file"
    enter.stop("c", fleet.store)
    with pytest.raises(UsageError) as usage:
        copy("c:/etc/passwd", str(tmp_path), lambda _: fleet.work)
    assert code_of(usage) == "container.not-running"


def test_cp_reads_a_link_inside_as_what_it_is_inside(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the host's")
    fleet.run("sh", "-c", f"ln -s {tmp_path} /tmp/out; ln -s /etc /tmp/etc; echo ready; sleep 60", name="c")
    until(lambda: fleet.log("c"))
    with pytest.raises(EngineError):
        copy("c:/tmp/out/secret", str(tmp_path / "stolen"), lambda _: fleet.work)
    copy("c:/tmp/etc/passwd", str(tmp_path / "passwd"), lambda _: fleet.work)
    assert "root:x:0:0" in (tmp_path / "passwd").read_text()
    assert not (tmp_path / "stolen").exists()


def test_a_tar_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to("..")
    for name in ("../evil", "link/evil"):
        made = BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(name), BytesIO())
        folder = os.open(tmp_path / "in", os.O_RDONLY)
        with pytest.raises(BareboatError):
            copying.unpack(folder, [made.getvalue()], "test")
        os.close(folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def _served(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(b"ping\n")
        sock.shutdown(socket.SHUT_WR)
        found = b""
        while data := sock.recv(65536):
            found += data
        return found


ECHO = ("import socket;s=socket.socket();s.setsockopt(1,2,1);s.bind(('127.0.0.1',{port}));s.listen()\n"
        "print('up',flush=True)\nwhile 1:\n c,_=s.accept();d=c.recv(9);c.sendall(d+b'x'*300000);c.close()")


@pytest.mark.parametrize("network", ["none", "host"])
def test_a_port_leads_inside(fleet: Fleet, network: str) -> None:
    inside = 47431
    fleet.run("python3", "-c", ECHO.format(port=inside), name="e", network=network, ports=(Port(0, inside),))
    until(lambda: fleet.log("e") == b"up\n")
    [shown] = fleet.seen("e").told["ports"]
    port = int(shown.split("->")[0].rpartition(":")[2])
    assert port != inside
    for _ in range(3):
        assert _served(port) == b"ping\n" + b"x" * 300_000
    enter.remove("e", fleet.store, force=True)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_port_in_use_hinders_the_start(fleet: Fleet) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(BareboatError) as error:
            fleet.run("sleep", "60", name="p", ports=(Port(number, 1),))
    assert code_of(error) == "ports.in-use"


def test_the_supervisor_killed_takes_the_container_along_and_the_state_is_told(fleet: Fleet) -> None:
    fleet.run("sh", "-c", "sleep 8765 & sleep 8765", name="v", rules=quick(restart=9))
    until(lambda: len(enter.processes("v", fleet.store)) == 3)
    pids = [p.pid for p in enter.processes("v", fleet.store)]
    os.kill(fleet.supervisor("v"), signal.SIGKILL)
    until(lambda: fleet.seen("v").state == "dead")
    until(lambda: not any("sleep" in (processes.told(pid) or (0, 0, ""))[2] for pid in pids))
    seen = fleet.seen("v")
    assert (seen.record.state, seen.record.reason) == ("failed", "bareboat was killed")
    launch.start(seen, fleet.work)  # and it can be started again
    assert fleet.seen("v").state == "running" and fleet.seen("v").record.attempt == 2


def test_after_a_restart_of_the_machine_that_is_told(fleet: Fleet) -> None:
    fleet.run("sleep", "60", name="b")
    os.kill(fleet.supervisor("b"), signal.SIGKILL)
    until(lambda: fleet.seen("b").state == "dead")
    containers.write(fleet.store, containers.replace(fleet.seen("b").container, boot="another"))
    assert fleet.seen("b").record.reason == "the machine was started again meanwhile"


def test_who_waits_is_answered_when_the_supervisor_is_killed(fleet: Fleet) -> None:
    fleet.run("sleep", "60", name="v")
    codes: list[int] = []
    waiting = threading.Thread(target=lambda: codes.append(enter.wait("v", fleet.store)))
    waiting.start()
    os.kill(fleet.supervisor("v"), signal.SIGKILL)
    waiting.join(20)
    assert codes == [125]


def test_two_starts_at_once_are_one_start(fleet: Fleet) -> None:
    fleet.create("sleep", "60", name="two")
    failed: list[str] = []

    def start() -> None:
        try:
            launch.start(fleet.seen("two"), fleet.work)
        except BareboatError as error:
            failed.append(error.code)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 2 and set(failed) <= {"record.alive", "container.running"}
    assert fleet.seen("two").state == "running"


def test_a_supervisor_leaves_nothing_behind_but_its_record(fleet: Fleet) -> None:
    container = fleet.run("true", name="clean")
    enter.wait("clean", fleet.store)
    until(lambda: not fleet.store.runs.is_alive(container.id))
    until(lambda: "control" not in os.listdir(fleet.store.runs.path(container.id)))
    enter.remove("clean", fleet.store)
    assert sorted(os.listdir(fleet.store.runs.path(container.id))) == [
        "lock", "log", "log.index", "record.json", "results", "supervisor.log"]
    assert fleet.store.keys("starts") == fleet.store.keys("containers") == []


def test_many_short_ones(fleet: Fleet) -> None:
    for number in range(int(os.environ.get("BAREBOAT_TEST_CONTAINERS", "20"))):
        fleet.run("sh", "-c", f"exit {number % 200}", name=f"n{number}")
        assert enter.wait(f"n{number}", fleet.store) == number % 200
        enter.remove(f"n{number}", fleet.store, force=True)
    assert containers.listed(fleet.store) == []
