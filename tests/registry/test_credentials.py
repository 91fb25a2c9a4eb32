"""Logins from the files and helpers of Docker and Podman."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from bareboat.registry.auth import Credential
from bareboat.registry.base import RegistryError
from bareboat.registry.credentials import canonical_key, find_credential
from bareboat.registry.hosts import RegistrySettings
from bareboat.registry.secret import Secret

CANARY = "canary-pAssw0rd-7f3c"


def auth(user: str = "user", password: str = CANARY) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(file: Path, document: object, mode: int = 0o600) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    file.chmod(mode)


def settings(home: Path, **env: str) -> RegistrySettings:
    return RegistrySettings(env={"HOME": str(home), "PATH": str(home / "bin"), **env}, run=home / "var/run")


def helper(home: Path, name: str, script: str) -> None:
    file = home / "bin" / f"docker-credential-{name}"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("ghcr.io", "ghcr.io/lab/seg"),
        ("https://ghcr.io", "ghcr.io/lab/seg"),
        ("https://ghcr.io/v2/", "ghcr.io/lab/seg"),
        ("GHCR.io", "ghcr.io/lab/seg"),
        ("https://index.docker.io/v1/", "docker.io/library/python"),
        ("registry-1.docker.io", "docker.io/library/python"),
        ("localhost:5000", "localhost:5000/x"),
        ("quay.io/lab", "quay.io/lab/seg"),
        ("quay.io/lab/seg", "quay.io/lab/seg"),
    ],
)
def test_a_key_of_auths(tmp_path: Path, key: str, name: str) -> None:
    write(tmp_path / ".docker/config.json", {"auths": {key: auth()}})
    assert find_credential(name, settings(tmp_path)) == Credential("user", Secret(CANARY))


@pytest.mark.parametrize("name", ["ghcr.io.evil.example/x", "evil.example/ghcr.io", "ghcr.io:444/x", "quay.io/labs/x"])
def test_another_host_gets_nothing(tmp_path: Path, name: str) -> None:
    write(tmp_path / ".docker/config.json", {"auths": {"ghcr.io": auth(), "quay.io/lab": auth()}})
    assert find_credential(name, settings(tmp_path)) is None


def test_the_longest_path_wins(tmp_path: Path) -> None:
    write(tmp_path / ".config/containers/auth.json", {"auths": {"q.io": auth("a"), "q.io/lab": auth("b")}})
    found = [find_credential(n, settings(tmp_path)) for n in ("q.io/lab/x", "q.io/other/x")]
    assert [c.user for c in found if c] == ["b", "a"]


def test_the_order_of_files(tmp_path: Path) -> None:
    run = tmp_path / "run"
    files = [(tmp_path / ".docker/config.json", "docker"), (tmp_path / ".config/containers/auth.json", "podman"),
             (run / "containers/auth.json", "run"), (tmp_path / "d/config.json", "said"), (tmp_path / "file", "file")]
    for file, user in files:
        write(file, {"auths": {"h.io": auth(user)}})
    environments: list[tuple[dict[str, str], str]] = [
        ({}, "podman"), ({"XDG_RUNTIME_DIR": str(run)}, "run"), ({"DOCKER_CONFIG": str(tmp_path / "d")}, "said"),
        ({"REGISTRY_AUTH_FILE": str(tmp_path / "file"), "DOCKER_CONFIG": str(tmp_path / "d")}, "file"),
        ({"XDG_CONFIG_HOME": "/nonexistent"}, "docker"),
    ]  # fmt: skip
    for env, user in environments:
        found = find_credential("h.io/x", settings(tmp_path, **env))
        assert found is not None and found.user == user, env
    write(tmp_path / f"var/run/containers/{os.getuid()}/auth.json", {"auths": {"h.io": auth("root")}})
    found = find_credential("h.io/x", settings(tmp_path))
    assert found is not None and found.user == "root", "where Podman keeps it without XDG_RUNTIME_DIR"


def test_identity_and_registry_tokens_and_plain_fields(tmp_path: Path) -> None:
    rows = {"a.io": {**auth("u", ""), "identitytoken": CANARY}, "b.io": {"registrytoken": CANARY},
            "c.io": {"username": "u", "password": CANARY}, "d.io": {}, "e.io": auth("$oauthtoken")}
    write(tmp_path / ".docker/config.json", {"auths": rows})
    a, b, c, d, e = (find_credential(f"{h}.io/x", settings(tmp_path)) for h in "abcde")
    assert a is not None and a.identity.reveal() == CANARY
    assert b is not None and b.bearer.reveal() == CANARY
    assert (c, d) == (Credential("u", Secret(CANARY)), None)
    assert e is not None and e.user == "$oauthtoken"


def test_a_password_may_be_a_document(tmp_path: Path) -> None:
    key = '{\n  "type": "service_account"\n}\n'
    write(tmp_path / ".docker/config.json", {"auths": {"gcr.io": auth("_json_key", key)}})
    assert find_credential("gcr.io/x", settings(tmp_path)) == Credential("_json_key", Secret(key))


def test_a_helper_gets_the_server_on_stdin(tmp_path: Path) -> None:
    helper(tmp_path, "one", 'test "$1" = get && read s; echo "{\\"ServerURL\\":\\"$s\\",\\"Username\\":\\"u\\",'
                            '\\"Secret\\":\\"$s!\\"}"')
    write(tmp_path / ".docker/config.json", {"credHelpers": {"h.io": "one"}, "credsStore": "two",
                                             "auths": {"h.io": auth("file")}})
    found = find_credential("h.io/x", settings(tmp_path))
    assert found == Credential("u", Secret("h.io!"))
    write(tmp_path / ".docker/config.json", {"credsStore": "one"})
    found = find_credential("docker.io/library/x", settings(tmp_path))
    assert found is not None and found.password.reveal() == "https://index.docker.io/v1/!"


def test_a_helper_may_have_an_identity_token_or_nothing(tmp_path: Path) -> None:
    helper(tmp_path, "one", """echo '{"Username":"<token>","Secret":"t"}'""")
    helper(tmp_path, "none", "echo credentials not found in native keychain; exit 1")
    write(tmp_path / ".docker/config.json", {"credHelpers": {"a.io": "one", "b.io": "none", "c.io": "none"},
                                             "auths": {"c.io": auth("file")}})
    a, b, c = (find_credential(f"{h}.io/x", settings(tmp_path)) for h in "abc")
    assert a == Credential(identity=Secret("t")) and b is None and c is not None and c.user == "file"


@pytest.mark.parametrize("script", [
    f"echo {CANARY}; exit 1", f"echo {CANARY}", f"echo {CANARY} >&2; exit 3", "head -c 400000 /dev/zero",
    f"""echo '{{"Username":["{CANARY}"],"Secret":"{CANARY}"}}'""",
])  # fmt: skip
def test_a_helper_that_fails_is_an_error_without_its_words(tmp_path: Path, script: str) -> None:
    helper(tmp_path, "one", script)
    write(tmp_path / ".docker/config.json", {"credsStore": "one"})
    with pytest.raises(RegistryError) as caught:
        find_credential("h.io/x", settings(tmp_path, PATH=f"{tmp_path}/bin:/usr/bin:/bin"))
    assert caught.value.code == "registry.helper" and CANARY not in str(caught.value) + repr(caught.value)


def test_a_helper_is_only_found_where_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, "one", "echo x > ran")
    write(tmp_path / ".docker/config.json", {"credsStore": "one"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegistryError) as caught:
        find_credential("h.io/x", settings(tmp_path, PATH="bin::."))
    assert caught.value.code == "registry.helper" and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["../../bin/sh", "a/b", "", "-x", 3, "a" * 80])
def test_a_helpers_name_is_a_name(tmp_path: Path, name: object) -> None:
    write(tmp_path / ".docker/config.json", {"credHelpers": {"h.io": name}})
    with pytest.raises(RegistryError) as caught:
        find_credential("h.io/x", settings(tmp_path))
    assert caught.value.code == "registry.login-file"


@pytest.mark.parametrize("document", [
    "{", "[]", '{"auths": {"h.io": {"auth": "%%%"}}}', '{"auths": {"h.io": {"auth": "bm9jb2xvbg=="}}}',
    json.dumps({"auths": {"h.io": auth("user\r\nX-Evil: 1")}}), "[" * 100_000, " " * (2 << 20),
    json.dumps({"auths": {"h.io": {"registrytoken": CANARY + "\r\nX-Evil: 1"}}}),
])  # fmt: skip
def test_a_file_that_is_wrong(tmp_path: Path, document: str) -> None:
    write(tmp_path / ".docker/config.json", document)
    with pytest.raises(RegistryError) as caught:
        find_credential("h.io/x", settings(tmp_path))
    assert caught.value.code == "registry.login-file" and CANARY not in str(caught.value)
    assert "config.json" in caught.value.where


@pytest.mark.parametrize("document", ["", "{}", '{"auths": null}', '{"auths": {"h.io": null}}', '{"auths": []}'])
def test_a_file_that_says_nothing(tmp_path: Path, document: str) -> None:
    write(tmp_path / ".docker/config.json", document)
    assert find_credential("h.io/x", settings(tmp_path)) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_password_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / ".docker/config.json"
    write(file, {"auths": {"h.io": auth()}}, mode)
    with pytest.raises(RegistryError) as caught:
        find_credential("h.io/x", settings(tmp_path))
    assert f"chmod 600 {file}" in caught.value.hint
    assert find_credential("other.io/x", settings(tmp_path)) is None, "only where a password would be taken from it"


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    os.mkfifo(tmp_path / ".docker/config.json")
    with pytest.raises(RegistryError):
        find_credential("h.io/x", settings(tmp_path))
    assert stat.S_ISFIFO(os.stat(tmp_path / ".docker/config.json").st_mode)


def test_keys() -> None:
    assert canonical_key("http://Host:5000/v2/") == "host:5000"
    assert canonical_key("https://index.docker.io/v1/") == "docker.io" == canonical_key("index.docker.io")
