"""The other nodes of an attempt: one step of Slurm's that carries the same program out on each of them."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

from bareboat.engine.slurm import answers
from bareboat.engine.slurm.allocation import Allocation
from bareboat.engine.slurm.script import followers
from bareboat.host.process import Child, Command, ProcessError, run, start
from bareboat.training.values import Training

ASK = 8.0  # seconds that Slurm has to say what it is asked


class Others:
    """failed: the exit code of a program there, which ends the attempt; 0 while none has failed."""

    def __init__(self, folder: Path, run: str, place: Allocation, training: Training) -> None:
        self._argv = (sys.executable, "-m", "bareboat.entry.node", os.fspath(folder), run)
        self._place, self._training = place, training
        self._patience = patience(training)
        self._step: Child | None = None
        self.failed = 0

    def begin(self) -> str:
        """Start them; the address by which they find this node."""
        address = self._address()
        self._step = start(Command(followers(self._place.nodes, self._training.need.cpus, (*self._argv, address))),
                           (-1, 2, 2))
        return address

    def look(self) -> bool:
        """Whether a program there has failed since: the others wait for it in vain."""
        if self._step is not None and self._step.ended() and not self.failed:
            self.failed = self._step.wait()
            return self.failed != 0
        return False

    def end(self, *, hurry: bool) -> int:
        """Wait for them; the exit code, 0 where there are none. hurry: not for longer than it takes to end them."""
        step, self._step = self._step, None
        if step is None:
            return 0
        until = time.monotonic() + (0.0 if hurry or self.failed else self._patience)
        while not step.ended() and time.monotonic() < until:
            time.sleep(0.05)
        if not step.ended():
            step.signal(signal.SIGTERM)
            until = time.monotonic() + self._training.interrupt.kill + 5.0
            while not step.ended() and time.monotonic() < until:
                time.sleep(0.05)
        step.kill()
        code = step.wait()
        return self.failed or code

    def _address(self) -> str:
        """Where the others find this node: its name where that is known, else what Slurm has for it."""
        try:
            socket.getaddrinfo(self._place.node, None)
            return self._place.node
        except OSError:
            pass
        try:
            done = run(Command(("scontrol", "show", "node", "--oneliner", self._place.node), timeout=ASK))
        except ProcessError:
            return os.uname().nodename
        return answers.job_fields(done.stdout).get("NodeAddr", os.uname().nodename)


def patience(training: Training) -> float:
    """Seconds in which what was interrupted has ended, whatever it does."""
    return training.interrupt.grace + training.interrupt.kill + 30.0
