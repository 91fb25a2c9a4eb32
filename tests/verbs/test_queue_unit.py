"""The user unit, to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from bareboat.errors import UsageError
from bareboat.verbs.queue_unit import quoted, unit_text, write

TEXT = """\
[Unit]
Description=bareboat: carries out this user's queued runs

[Service]
Type=exec
ExecStart="/opt/my env/bin/python" -m bareboat.entry.worker
KillMode=process
Restart=on-failure
RestartSec=10
Environment="BAREBOAT_HOME=/data/of me"
Environment=PATH=/usr/bin:/bin

[Install]
WantedBy=default.target
"""


def test_the_unit() -> None:
    env = {"PATH": "/usr/bin:/bin", "BAREBOAT_HOME": "/data/of me", "SECRET": "x"}
    assert unit_text(("/opt/my env/bin/python", "-m", "bareboat.entry.worker"), env) == TEXT


@pytest.mark.parametrize(("word", "text"), [
    ("plain", "plain"), ("a b", '"a b"'), ("", '""'), ("100%", "100%%"), ("$HOME", "$$HOME"),
    ('say "x"', '"say \\"x\\""'),
    ("back\\slash", '"back\\\\slash"'),
])
def test_words(word: str, text: str) -> None:
    assert quoted(word) == text


def test_a_line_break_is_refused() -> None:
    with pytest.raises(UsageError):
        quoted("a\nExecStartPre=/bin/sh")


def test_it_is_written_where_systemd_looks(tmp_path: Path) -> None:
    written = write(tmp_path)
    assert written.path == tmp_path / ".config/systemd/user/bareboat-queue.service"
    assert "bareboat.entry.worker" in write(tmp_path).path.read_text() and len(written.commands) == 3
