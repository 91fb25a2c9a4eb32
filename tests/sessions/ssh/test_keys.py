"""Whose keys open the gateway, and how our own are made."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bareboat.errors import BareboatError
from bareboat.sessions.ssh import keys

ED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG00Gr0ySIAnuBdIEnq9gUEJ9eFPwAbk3FHFKf9dfP6b"
RSA = "ssh-rsa AAAAB3NzaC1yc2E"


@pytest.mark.parametrize(("line", "found"), [
    (f"{ED} me@laptop", ED),
    (f"  {RSA}", RSA),
    ("# a comment", ""),
    ("", ""),
    ("ssh-ed25519", ""),
    (f"restrict {ED}", ""),  # given less than everything: nothing here
    (f'command="backup" {ED}', ""),
    (f'from="10.0.0.1",no-pty {ED} me', ""),
    (f"cert-authority {ED}", ""),
    ("ssh-dss AAAA me", ""),
])
def test_a_line_is_a_key_without_options_or_nothing(line: str, found: str) -> None:
    assert keys.public_key(line) == found


def home(tmp_path: Path) -> Path:
    folder = tmp_path / ".ssh"
    folder.mkdir(mode=0o700)
    (folder / "id_ed25519.pub").write_text(f"{ED} me\n")
    (folder / "id_ed25519").write_text("private")
    (folder / "id-cert.pub").write_text("ssh-ed25519-cert-v01@openssh.com AAAA\n")
    (folder / "authorized_keys").write_text(f"# mine\n{RSA} laptop\nrestrict {ED}x\n")
    return folder


def test_public_keys_and_authorized_keys_of_the_user_are_taken(tmp_path: Path) -> None:
    said: list[str] = []
    assert keys.of_user(home(tmp_path), said.append) == (ED, RSA)
    assert said == []
    assert keys.of_user(tmp_path / "nothing", said.append) == ()


def test_what_others_could_have_written_is_left_out(tmp_path: Path) -> None:
    folder, said = home(tmp_path), []  # type: ignore[var-annotated]
    (folder / "authorized_keys").chmod(0o664)
    assert keys.of_user(folder, said.append) == (ED,)
    assert "others can write" in said[0] and "chmod go-w" in said[0]
    folder.chmod(0o777)
    assert keys.of_user(folder, said.append) == ()
    assert "others can write" in said[1]


def test_what_is_no_file_holds_nothing_up(tmp_path: Path) -> None:
    folder, said = home(tmp_path), []  # type: ignore[var-annotated]
    os.mkfifo(folder / "pipe.pub")
    (folder / "gone.pub").symlink_to("nowhere")
    assert keys.of_user(folder, said.append) == (ED, RSA)
    assert len(said) == 2


def test_a_key_is_made_once_whoever_asks(tmp_path: Path) -> None:
    file = tmp_path / "ssh/hosts/one"
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: keys.make(file), range(16)))
    assert len(made) == 1
    pair = made.pop()
    assert pair.public.startswith("ssh-ed25519 ") and keys.public_key(pair.public) == pair.public
    assert pair.private.read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert pair.private.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(file.parent)) == ["one", "one.pub"]


def test_what_is_no_key_is_said(tmp_path: Path) -> None:
    (tmp_path / "id.pub").write_text("hello\n")
    with pytest.raises(BareboatError) as error:
        keys.make(tmp_path / "id")
    assert error.value.code == "ssh.key"
