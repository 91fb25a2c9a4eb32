"""What docker and podman say, read: processes, times, errors, changes, owners."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bareboat.engine.oci_leavings import abandoned, lost, owner
from bareboat.engine.oci_session import account, ended, rows, said, seconds
from bareboat.host.process import Completed
from bareboat.workload import Mount, Process, Rootfs, Workload


@pytest.mark.parametrize(("text", "value"), [
    ("00:00:03", 3.0), ("01:02:03", 3723.0), ("2-01:00:00", 176400.0), ("1m2.5s", 62.5), ("12ms", 0.012),
    ("2h0m1s", 7201.0), ("?", 0.0), ("", 0.0)])
def test_cpu_time(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


def test_processes() -> None:
    table = b"PID  UID  TIME      RSS  COMMAND\n  12 1000 00:00:01 2048 python -c  x y\nodd line\n9 root 0s 1 sh\n"
    assert rows(table) == [Process(12, 1000, 1.0, 2048 * 1024, "python -c  x y"), Process(9, 0, 0.0, 1024, "sh")]


def test_how_it_ended() -> None:
    state = {"Status": "exited", "ExitCode": 137, "OOMKilled": True, "Error": "",
             "StartedAt": "2026-01-01T00:00:00.5Z", "FinishedAt": "2026-01-01T00:00:02.123456789Z"}
    found = ended(state)
    assert (found.code, found.out_of_memory, found.ran) == (137, True, True)
    assert found.seconds == pytest.approx(1.623456789)
    never = {"Status": "created", "ExitCode": 127, "Error": "no such file", "StartedAt": "0001-01-01T00:00:00Z"}
    assert (ended(never).ran, ended(never).error, ended({}).ran) == (False, "no such file", False)


@pytest.mark.parametrize("done", [Completed(1, b"{}", b""), Completed(0, b"", b""), Completed(0, b"[1]", b"")])
def test_no_account(done: Completed) -> None:
    assert account(done) == {}


def test_the_words_of_a_failure() -> None:
    for text, words in ((b"Error response from daemon: no space\n\n", "no space"), (b"Error: bad\n", "bad"),
                        (b"", "exit code 3"), (b"warning\ndocker: why\n", "why")):
        assert said(Completed(3, b"", text)) == words


def test_what_is_lost() -> None:
    changes = "\n".join((
        "C /var", "C /var/lib", "A /var/lib/a", "A /var/lib/deep", "A /var/lib/deep/b", "D /etc/gone", "C /etc/passwd",
        "A /tmp/t", "C /home/user", "A /home/user/h", "A /app/data", "A /app/x.pyc", "A /opt/__pycache__/y", "A /app",
        "A /app/out.txt", "A /mounted", "C /etc", "A /root/.cache"))
    mounts = (Mount(Path("/d"), "/app/data"), Mount(Path("/m"), "/mounted/x"))
    load = Workload(Rootfs(()), ("x",), (), "/app", mounts=mounts)
    assert lost(changes, load) == ("/app/out.txt", "/var/lib/a", "/var/lib/deep/b")


def test_whose_bareboat_lives() -> None:
    me = owner(os.getpid())
    assert me and not abandoned(me)
    boot, pid, began = me.split(":")
    assert abandoned(f"{boot}:{pid}:{int(began) + 1}")  # the number is somebody else's by now
    assert abandoned(f"other-boot:{pid}:{began}")
    assert not abandoned("") and not abandoned("a:b:c") and not abandoned("nobody")
