"""login and logout against a registry of ours: checked, kept where others look, and gone again."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.registry.test_credentials import CANARY, auth, helper, settings, write
from tests.registry_kit import Registry, Switches

from bareboat.cli.dispatch import call
from bareboat.errors import UsageError
from bareboat.registry.base import RegistryError
from bareboat.registry.credentials import find_credential
from bareboat.registry.login import login, logout, registry_name
from bareboat.registry.secret import Secret


@pytest.fixture(params=["basic", "bearer"])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    ours = Registry(Switches(auth=request.param, password=CANARY))
    yield ours
    ours.close()


def document(file: Path) -> Any:
    return json.loads(file.read_text())


def test_in_and_out(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / ".docker/config.json"
    kept = login(registry.host, "user", Secret(CANARY), settings(tmp_path))
    assert kept.file == file and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    found = find_credential(f"{registry.host}/x", settings(tmp_path))
    assert found is not None and found.user == "user" and found.password.reveal() == CANARY
    assert [k.file for k in logout(registry.host, settings(tmp_path))] == [file]
    assert document(file) == {"auths": {}} and logout(registry.host, settings(tmp_path)) == ()


def test_what_the_registry_refuses_is_not_kept(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(RegistryError) as caught:
        login(registry.host, "user", Secret("wrong-" + CANARY[:6]), settings(tmp_path))
    assert caught.value.code == "registry.denied" and CANARY[:6] not in str(caught.value)
    assert not (tmp_path / ".docker").exists()


def test_everything_else_in_the_file_stays(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / ".docker/config.json"
    before = {"HttpHeaders": {"X": "y"}, "auths": {"ghcr.io": auth(), f"https://{registry.host}/v2/": auth("old")},
              "zeta": [1, 2]}
    write(file, before)
    login(registry.host, "user", Secret(CANARY), settings(tmp_path))
    after = document(file)
    assert after == {**before, "auths": {"ghcr.io": auth(), registry.host: auth()}} and list(after) == list(before)


def test_the_file_that_knows_the_registry_is_the_one(tmp_path: Path, registry: Registry) -> None:
    podman = tmp_path / ".config/containers/auth.json"
    write(podman, {"auths": {registry.host: auth("old")}})
    write(tmp_path / ".docker/config.json", {})
    assert login(registry.host, "user", Secret(CANARY), settings(tmp_path)).file == podman
    said = tmp_path / "said.json"
    assert login(registry.host, "user", Secret(CANARY), settings(tmp_path, REGISTRY_AUTH_FILE=str(said))).file == said
    assert document(said) == {"auths": {registry.host: auth()}}


def test_a_helper_keeps_it(tmp_path: Path, registry: Registry) -> None:
    helper(tmp_path, "one", f'cd {tmp_path}; echo "$1" >> calls; case "$1" in store) /bin/cat > stored;; '
                            'get) test -f stored && /bin/cat stored || { echo credentials not found; exit 1; };; '
                            'erase) /bin/rm stored;; esac')
    write(tmp_path / ".docker/config.json", {"credsStore": "one"})
    kept = login(registry.host, "user", Secret(CANARY), settings(tmp_path))
    assert kept.helper == "one" and document(tmp_path / "stored")["Secret"] == CANARY
    assert CANARY not in (tmp_path / ".docker/config.json").read_text()
    assert document(tmp_path / ".docker/config.json")["auths"] == {registry.host: {}}
    assert find_credential(f"{registry.host}/x", settings(tmp_path)) is not None
    assert [k.helper for k in logout(registry.host, settings(tmp_path))] == ["one"]
    assert not (tmp_path / "stored").exists() and document(tmp_path / ".docker/config.json")["auths"] == {}


def test_on_the_command_line(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch,
                             capfd: pytest.CaptureFixture[str]) -> None:
    import io

    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.StringIO(CANARY + "\n"))
    assert call("login", [registry.host, "-u", "user", "--password-stdin"], 1) == 0
    kept = document(tmp_path / ".docker/config.json")["auths"][registry.host]["auth"]
    assert base64.b64decode(kept).decode() == f"user:{CANARY}"
    assert call("logout", [registry.host], 1) == 0
    assert call("logout", [registry.host], 1) == 0
    assert call("login", [registry.host, "-u", "user", "-p", CANARY], 1) == 125
    assert call("login", [registry.host, "-u", "user"], 1) == 125
    out = capfd.readouterr()
    assert "login.argv" in out.err and "login.terminal" in out.err and "there is no login" in out.err
    assert CANARY not in out.err + out.out


@pytest.mark.parametrize(("text", "name"), [
    ("ghcr.io", "ghcr.io"), ("https://index.docker.io/v1/", "docker.io"), ("docker.io", "docker.io"),
    ("LOCALHOST:5000", "localhost:5000"), ("http://h.example:1/", "h.example:1"),
])  # fmt: skip
def test_names_of_registries(text: str, name: str) -> None:
    assert registry_name(text) == name


@pytest.mark.parametrize("text", ["", "ghcr.io/lab", "seg", "a b", "-", "x:y:z"])
def test_what_is_no_registry(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        registry_name(text)
    assert caught.value.code == "login.registry"


@pytest.mark.parametrize(("user", "password"), [("", "x"), ("u", ""), ("u:v", "x"), ("u\n", "x"), ("u", "x\0y")])
def test_what_cannot_be_sent(tmp_path: Path, user: str, password: str) -> None:
    with pytest.raises(UsageError):
        login("127.0.0.1:1", user, Secret(password), settings(tmp_path))
