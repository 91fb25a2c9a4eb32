"""Where requests go: settings, registries.conf, certs.d."""

from __future__ import annotations

from pathlib import Path

import pytest

from bareboat.image.reference import parse_reference
from bareboat.registry.base import RegistryError
from bareboat.registry.hosts import Endpoint, RegistrySettings, endpoints, is_loopback
from bareboat.settings import load


def where(tmp_path: Path, name: str, conf: str = "", user: str = "", **more: object) -> list[tuple[str, str, str]]:
    """(first base, repository, pulls) of each endpoint."""
    return [(e.bases[0], e.repository, e.pulls) for e in found(tmp_path, name, conf, user, **more)]


def found(tmp_path: Path, name: str, conf: str = "", user: str = "", **more: object) -> tuple[Endpoint, ...]:
    etc, home = tmp_path / "etc", tmp_path / "home"
    for file, text in ((etc / "containers/registries.conf", conf), (home / ".config/containers/registries.conf", user)):
        if text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    settings = RegistrySettings(env={"HOME": str(home)}, etc=etc, **more)  # type: ignore[arg-type]
    return endpoints(parse_reference(name), settings)


def test_by_itself(tmp_path: Path) -> None:
    assert where(tmp_path, "python:3.12") == [("https://registry-1.docker.io", "library/python", "all")]
    assert where(tmp_path, "ghcr.io/lab/seg") == [("https://ghcr.io", "lab/seg", "all")]
    assert found(tmp_path, "python")[0].registry == "docker.io"


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]",
                                  "registry.localhost:1"])
def test_this_machine_may_speak_without_tls(tmp_path: Path, host: str) -> None:
    assert is_loopback(host)
    [one] = found(tmp_path, f"{host}/x")
    assert one.bases == (f"https://{host}", f"http://{host}") and one.tls.verify


@pytest.mark.parametrize("host", ["localhost.example", "127.0.0.1.example:5000", "10.0.0.1:5000", "ghcr.io", "h:5000"])
def test_others_may_not(tmp_path: Path, host: str) -> None:
    assert not is_loopback(host)
    assert found(tmp_path, f"{host}/x")[0].bases == (f"https://{host}",)


def test_settings(tmp_path: Path) -> None:
    got = found(tmp_path, "python", insecure=("h:1",), mirrors=(("docker.io", "https://m.example/hub"),
                                                              ("docker.io", "http://n.example:5000")))
    assert [(e.bases, e.repository, e.registry) for e in got] == [
        (("https://m.example",), "hub/library/python", "m.example"),
        (("http://n.example:5000",), "library/python", "n.example:5000"),
        (("https://registry-1.docker.io",), "library/python", "docker.io")]
    [one] = found(tmp_path, "h:1/x", insecure=("h:1",))
    assert one.bases == ("https://h:1", "http://h:1") and not one.tls.verify
    [one] = found(tmp_path, "h:1/x", insecure=("h:1",), ca=(("h:1", "/ca.crt"),))
    assert one.tls.ca == ("/ca.crt",) and one.tls.verify, "whoever names a CA wants it looked at"


def test_settings_from_the_table() -> None:
    env = {"HOME": "/h", "BAREBOAT_REGISTRY_INSECURE": "a:5000, B", "BAREBOAT_REGISTRY_MIRRORS":
           "docker.io=https://m.example docker.io=https://n.example/x", "BAREBOAT_REGISTRY_CA": "a:5000=/ca.crt"}
    got = RegistrySettings.of(load(env, system_file=Path("/none")), env)
    assert got.insecure == ("a:5000", "b")
    assert got.mirrors == (("docker.io", "https://m.example"), ("docker.io", "https://n.example/x"))
    assert got.ca == (("a:5000", "/ca.crt"),)


CONF = """
unqualified-search-registries = ["elsewhere.example"]
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.example/hub"
[[registry.mirror]]
location = "insecure.example:5000"
insecure = true
pull-from-mirror = "digest-only"
[[registry]]
prefix = "old.example/lab"
location = "new.example/x/lab"
[[registry]]
prefix = "*.wild.example"
location = "wild.example/all"
[[registry]]
location = "blocked.example/secret"
blocked = true
[[registry]]
location = "plain.example"
insecure = true
mirror-by-digest-only = true
[[registry.mirror]]
location = "m.example"
"""


def test_registries_conf(tmp_path: Path) -> None:
    assert where(tmp_path, "python", CONF) == [
        ("https://mirror.example", "hub/library/python", "all"),
        ("https://insecure.example:5000", "library/python", "digest"),
        ("https://registry-1.docker.io", "library/python", "all")]
    assert where(tmp_path, "old.example/lab/seg") == [("https://new.example", "x/lab/seg", "all")]
    assert where(tmp_path, "old.example/labs/seg") == [("https://old.example", "labs/seg", "all")]
    assert where(tmp_path, "a.wild.example/seg") == [("https://wild.example", "all/seg", "all")]
    assert where(tmp_path, "plain.example/x") == [("https://m.example", "x", "digest"),
                                                  ("https://plain.example", "x", "all")]
    assert found(tmp_path, "plain.example/x")[1].bases[1] == "http://plain.example"
    with pytest.raises(RegistryError) as caught:
        found(tmp_path, "blocked.example/secret/x")
    assert caught.value.code == "registry.blocked" and "registries.conf" in caught.value.hint


def test_the_users_file_replaces_and_drop_ins_add(tmp_path: Path) -> None:
    user = '[[registry]]\nlocation = "ghcr.io"\n[[registry.mirror]]\nlocation = "mine.example"\n'
    assert where(tmp_path, "python", CONF, user) == [("https://registry-1.docker.io", "library/python", "all")]
    assert where(tmp_path, "ghcr.io/x")[0][0] == "https://mine.example"
    drop_in = tmp_path / "etc/containers/registries.conf.d/90-x.conf"
    drop_in.parent.mkdir()
    drop_in.write_text('[[registry]]\nlocation = "ghcr.io"\nblocked = true\n')
    with pytest.raises(RegistryError):
        where(tmp_path, "ghcr.io/x")


@pytest.mark.parametrize("conf", [
    "registry = 1", "[[registry]]\n", '[[registry]]\nlocation = 3', '[[registry]]\nlocation = "https://x"',
    '[[registry]]\nlocation = "x"\ninsecure = "yes"', '[[registry]]\nlocation = "x"\nmirror = 3', "[[registry",
    '[[registry]]\nlocation = "x"\n[[registry.mirror]]\npull-from-mirror = "never"\nlocation = "y"',
    '[[registry]]\nlocation = "x"\n[[registry.mirror]]\n',
])  # fmt: skip
def test_a_file_that_cannot_be_understood_is_an_error(tmp_path: Path, conf: str) -> None:
    with pytest.raises(RegistryError) as caught:
        where(tmp_path, "x.example/y", conf)
    assert "registries.conf" in caught.value.where


def test_version_1_says_nothing(tmp_path: Path) -> None:
    conf = "[registries.search]\nregistries = ['docker.io']\n[registries.insecure]\nregistries = []\n"
    assert where(tmp_path, "x.example/y", conf) == [("https://x.example", "y", "all")]


def test_certs_d(tmp_path: Path) -> None:
    for root in ("etc/docker/certs.d", "home/.config/containers/certs.d"):
        folder = tmp_path / root / "h.example:5000"
        folder.mkdir(parents=True)
        for name in ("ca.crt", "client.cert", "client.key", "lone.cert", "README"):
            (folder / name).write_text("")
    [one] = found(tmp_path, "h.example:5000/x")
    home, etc = tmp_path / "home/.config/containers/certs.d", tmp_path / "etc/docker/certs.d"
    assert one.tls.ca == (f"{home}/h.example:5000/ca.crt", f"{etc}/h.example:5000/ca.crt")
    assert one.tls.certificate == f"{home}/h.example:5000/client.cert" and one.tls.key.endswith("client.key")
    assert found(tmp_path, "other.example/x")[0].tls.ca == ()
