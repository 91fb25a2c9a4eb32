"""kubeconfig, held against the official client where that reads the same files."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from bareboat.engine.kubernetes.kubeconfig import Access, access, login
from bareboat.errors import EngineError

PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def config(folder: Path, *, user: dict[str, object] | None = None, cluster: dict[str, object] | None = None,
           context: dict[str, object] | None = None, name: str = "config") -> dict[str, str]:
    file = folder / name
    file.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u", **(context or {})}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://k8s.example.com:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}]}))
    return {"KUBECONFIG": str(file), "HOME": str(folder)}


CASES = [
    {"user": {"token": "t0ken"}, "context": {"namespace": "team"}},
    {"user": {"username": "ann", "password": "p"}},
    {"user": {"client-certificate-data": base64.b64encode(PEM).decode(),
              "client-key-data": base64.b64encode(b"KEY").decode()}},
    {"user": {"client-certificate": "cert.pem", "client-key": "key.pem"},
     "cluster": {"certificate-authority": "ca.pem"}},
    {"cluster": {"insecure-skip-tls-verify": True, "tls-server-name": "inner", "proxy-url": "http://proxy:3128"}},
]


@pytest.mark.parametrize("case", CASES)
def test_what_is_read_is_what_the_official_client_reads(case: dict[str, dict[str, object]], tmp_path: Path) -> None:
    from kubernetes.client import Configuration
    from kubernetes.config import kube_config

    for name, content in (("ca.pem", PEM), ("cert.pem", PEM), ("key.pem", b"KEY")):
        (tmp_path / name).write_bytes(content)
    env = config(tmp_path, **case)  # type: ignore[arg-type]
    theirs = Configuration()
    kube_config.load_kube_config(env["KUBECONFIG"], client_configuration=theirs)
    ours = access("", env)
    found = login(ours)

    def content_of(path: str | None) -> bytes:
        return Path(path).read_bytes() if path else b""

    assert ours.server == theirs.host and ours.verify == theirs.verify_ssl
    assert (ours.certificate, ours.key) == (content_of(theirs.cert_file), content_of(theirs.key_file))
    assert ours.ca == content_of(theirs.ssl_ca_cert)
    assert ours.server_name == (theirs.tls_server_name or "")
    if case.get("cluster", {}).get("proxy-url"):
        assert ours.proxy == theirs.proxy
    header = theirs.api_key.get("authorization") or theirs.api_key.get("BearerToken") or ""
    assert found.token == header.removeprefix("Bearer ") or ours.basic[0]
    context = case.get("context", {})
    assert ours.namespace == context.get("namespace", "default")


def test_files_are_merged_and_what_comes_first_counts(tmp_path: Path) -> None:
    one = config(tmp_path, user={"token": "first"}, name="one")["KUBECONFIG"]
    two = config(tmp_path, user={"token": "second"}, cluster={"server": "https://other"}, name="two")["KUBECONFIG"]
    missing = str(tmp_path / "missing")
    found = access("", {"KUBECONFIG": os.pathsep.join((missing, one, two))})
    assert (found.token, found.server) == ("first", "https://k8s.example.com:6443")


def test_in_a_pod_it_is_the_pods_account(tmp_path: Path) -> None:
    for name, content in (("token", "old"), ("ca.crt", "CA"), ("namespace", "team\n")):
        (tmp_path / name).write_text(content)
    found = access("", {"HOME": str(tmp_path), "BAREBOAT_SERVICE_ACCOUNT": str(tmp_path),
                        "KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"})
    assert (found.server, found.namespace, found.ca) == ("https://[fd00::1]:443", "team", b"CA")
    (tmp_path / "token").write_text("new")
    assert login(found).token == "new"


@pytest.mark.parametrize("case", [
    {"user": {"auth-provider": {"name": "gcp"}}}, {"context": {"cluster": "none"}}, {"cluster": {"server": "ftp://x"}},
    {"cluster": {"certificate-authority": "missing.pem"}}, {"cluster": {"server": "http://k8s.example.com"}},
    {"user": {"client-certificate-data": "%"}},
])
def test_what_cannot_be_used_says_why(case: dict[str, dict[str, object]], tmp_path: Path) -> None:
    with pytest.raises(EngineError) as raised:
        access("", config(tmp_path, **case))  # type: ignore[arg-type]
    assert raised.value.code == "kubernetes.config" and raised.value.where


@pytest.mark.parametrize("text", ["[", "a: [", "- 1", "\x00", "current-context: a\ncontexts: 5"])
def test_a_broken_file_is_no_crash(text: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(EngineError) as raised:
        access("", {"KUBECONFIG": str(tmp_path / "config"), "HOME": str(tmp_path)})
    assert raised.value.code == "kubernetes.config"


@pytest.mark.parametrize(("script", "words"), [
    ("exit 3", "exit 3"), ("echo no", "does not answer"), ("echo '{\"status\": 5}'", "does not answer"),
])
def test_a_program_that_gives_no_login(script: str, words: str, tmp_path: Path) -> None:
    env = config(tmp_path, user={"exec": {"command": "sh", "args": ["-c", script]}})
    with pytest.raises(EngineError) as raised:
        login(access("", env))
    assert raised.value.code == "kubernetes.login" and words in raised.value.what


def test_a_program_is_told_what_it_may_know(tmp_path: Path) -> None:
    script = ("printf '{\"status\": {\"token\": \"%s\"}}' "
              "$(printf '%s' \"$KUBERNETES_EXEC_INFO$EXTRA\" | grep -o 'https[^\"]*6443\\|more' | tr '\\n' '+')")
    env = config(tmp_path, user={"exec": {"command": "sh", "args": ["-c", script], "provideClusterInfo": True,
                                          "env": [{"name": "EXTRA", "value": "more"}]}})
    assert login(access("", env)).token == "https://k8s.example.com:6443+more+"
    assert Access("https://x").plugin is None
