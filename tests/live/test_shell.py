"""A shell as people use it: a real terminal of 80 columns, the real index, and what is left when they leave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.notebook_kit import Place

pytestmark = pytest.mark.live
PATIENCE = 90.0


@pytest.fixture
def place(notebook_place: Place, tmp_path: Path) -> Place:
    """A small project on the common store."""
    made = Place(tmp_path)
    made.home = notebook_place.home
    (made.root / "requirements.txt").write_text("six\n")
    return made


class Terminal:
    """A terminal of 80 by 24 characters, as tmux has it."""

    def __init__(self, name: str, place: Place) -> None:
        self.name = name
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "env", "PS1=outside$ ",
                  f"BAREBOAT_HOME={place.home}", f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}", "sh",
                  cwd=place.root)

    def tmux(self, *words: str, cwd: Path | None = None) -> str:
        done = subprocess.run(["tmux", "-L", self.name, *words], capture_output=True, text=True, check=True, cwd=cwd)
        return done.stdout

    def type(self, text: str, *, enter: bool = True) -> None:
        self.tmux("send-keys", text, *(["Enter"] if enter else []))

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-S", "-200").rstrip()

    def wait(self, *texts: str) -> str:
        """The screen, once it has all of these."""
        end = time.monotonic() + PATIENCE
        while not all(text in (shown := self.screen()) for text in texts):
            assert time.monotonic() < end, shown
            time.sleep(0.1)
        return shown

    def prompt(self) -> None:
        """Wait until the shell asks for the next line."""
        end = time.monotonic() + PATIENCE
        while not (shown := self.screen()).endswith("/app$"):
            assert time.monotonic() < end, shown
            time.sleep(0.1)

    def close(self) -> None:
        self.tmux("kill-server")


@pytest.fixture
def terminal(place: Place) -> Iterator[Terminal]:
    if not shutil.which("tmux"):
        assert not os.environ.get("CI"), "CI has tmux"
        pytest.skip("needs tmux")
    made = Terminal(f"bareboat-test-{os.getpid()}", place)
    yield made
    made.close()


def test_a_terminal_from_prompt_to_question(place: Place, terminal: Terminal) -> None:
    terminal.wait("outside$")
    terminal.type(f"{sys.executable} -m bareboat shell")
    terminal.wait("kept are /app/src", "(project) /app$")
    terminal.type("pip install -q rich && stty size && echo \"in\"stalled")
    terminal.wait("24 80", "\ninstalled")
    terminal.type("sleep 9999; echo slept")
    terminal.wait("sleep 9999")
    for _ in range(3):  # to the program alone, and never the end of a shell
        terminal.type("C-c", enter=False)
        terminal.prompt()  # a terminal throws away what was typed before the signal came through
    terminal.type("echo still $BAREBOAT_PROJECT; echo new > src/new.py; exit 3")
    shown = terminal.wait("still project", "installed by hand: rich==", "[y/N]")
    assert "exit 3" in shown and "that they need" in shown
    terminal.type("y")
    terminal.wait("requirements.txt now has rich==", "outside$")
    terminal.type("echo the terminal is 'as before'")
    terminal.wait("the terminal is as before")
    assert (place.root / "requirements.txt").read_text().startswith("six\nrich==")
    assert (place.root / "src/new.py").stat().st_uid == os.getuid()
    done = place("run", "--", "python", "-c", "import rich, six")
    assert done.returncode == 0 and "+ rich" in done.stderr, done.stderr
    terminal.type(f"clear; {sys.executable} -m bareboat shell --no-keep")
    terminal.wait("(project) /app$")
    terminal.type("history | head -1")
    terminal.wait("1  pip install -q rich")


def test_what_is_kept_takes_the_place_of_what_was_asked_for(place: Place) -> None:
    (place.root / "requirements.txt").write_text("# mine\nidna==3.4  # old\nsix\n")
    done = place("shell", "--keep", "--", "sh", "-c", "pip install -q idna==3.7 && kill -9 $$")
    assert done.returncode == 137 and "installed by hand: idna==3.7" in done.stderr, done.stderr
    assert (place.root / "requirements.txt").read_text() == "# mine\nidna==3.7  # old\nsix\n"


def test_only_what_is_kept_is_there_the_next_time(place: Place) -> None:
    done = place("shell", "--", "sh", "-c", "pip install -q idna; touch ~/mine /app/lost /app/src/live")
    assert done.returncode == 0 and "gone with the session" in done.stderr, done.stderr
    assert "lost with the container: 1 files" in done.stderr and "/app/lost" in done.stderr
    done = place("shell", "--no-keep", "--", "sh", "-c", "ls ~/mine src/live; ls lost; python -c 'import idna'")
    assert done.stdout == "/home/user/mine\nsrc/live\n" and "No module named" in done.stderr
    assert place("shell", "--fresh-home", "--", "ls", "/home/user/mine").returncode == 2


def test_root_inside_has_apt_and_what_it_installs_can_be_kept(place: Place) -> None:
    done = place("shell", "--root", "--keep", "--", "sh", "-c",
                 "id -u; apt-get update -q >/dev/null && apt-get install -qy sl && ls /usr/games/sl && touch src/roots")
    assert done.returncode == 0 and done.stdout.startswith("0\n") and "/usr/games/sl\n" in done.stdout, done.stderr
    assert "installed by hand: sl (apt)" in done.stderr and "lost with" not in done.stderr, done.stderr
    assert (place.root / "apt.txt").read_text() == "sl\n" and (place.root / "src/roots").stat().st_uid == os.getuid()
    assert place("run", "--", "sh", "-c", "ls /usr/games/sl; ! command -v apt-get").returncode == 0


def test_data_and_image_are_not_changed_and_the_host_is_not_reached(place: Place) -> None:
    (place.root / "data").mkdir()
    (place.root / "data/n.txt").write_text("1\n")
    done = place("shell", "--", "sh", "-c", "echo 2 > data/n.txt; echo 2 > ../../../etc/hostname; ls requirements.txt")
    assert (place.root / "data/n.txt").read_text() == "1\n" and "Read-only" in done.stderr
    assert Path("/etc/hostname").read_text() != "2\n" and "requirements.txt" not in done.stdout
