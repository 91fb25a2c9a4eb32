"""What tells apt where to ask, to the letter; never with a password."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bareboat.lock import Deb
from bareboat.sessions.apt import files, united


def archive(*main: str, family: str = "debian", security: tuple[str, ...] = ()) -> object:
    bases = {"main": main, "security": security or tuple(f"{u}-security" for u in main)}
    return SimpleNamespace(family=family, settings=SimpleNamespace(components=()), bases=bases.__getitem__)


def sources(found: object, suite: str = "trixie") -> str:
    return {f.path: f.content for f in files(found, suite)}["etc/apt/sources.list.d/bareboat.list"]  # type: ignore[arg-type]


def test_sources_to_the_letter() -> None:
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert sources(archive("file:///mirror", "http://deb.example/debian")) == (
        f"deb {key} http://deb.example/debian trixie main\ndeb {key} http://deb.example/debian trixie-updates main\n"
        f"deb {key} http://deb.example/debian-security trixie-security main\n")


@pytest.mark.parametrize("base", ["http://user:secret@deb.example/debian", "file:///mirror", "ftp://deb.example/debian"])
def test_what_it_must_not_say_or_cannot_reach_is_left_out(base: str) -> None:
    assert sources(archive(base)) == ""


def test_ubuntu_has_its_own_key_and_components() -> None:
    found = archive("http://u/ubuntu", family="ubuntu", security=("http://u/ubuntu",))
    assert sources(found, "noble").splitlines()[2] \
        == "deb [signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] http://u/ubuntu noble-security main universe"


def test_locked_packages_stay_as_they_are() -> None:
    def deb(name: str, version: str, extra: bool = False) -> Deb:
        return Deb(name, version, "amd64", f"pool/{name}.deb", "0" * 64, 1, extra=extra)

    more = (deb("libc6", "2"), deb("apt", "3"))
    assert united((deb("libc6", "1"),), more) == (deb("libc6", "1"), deb("apt", "3", True))
