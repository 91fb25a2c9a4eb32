"""What of the host's environment may enter."""

from __future__ import annotations

from pathlib import Path

import pytest

from bareboat.host import env


def test_only_the_allow_list_enters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "_BUNDLES", ())
    host = {"SECRET_TOKEN": "x", "SSH_AUTH_SOCK": "/s", "LD_PRELOAD": "/l", "PYTHONPATH": "/p", "TERM": "xterm",
            "NO_COLOR": "1", "HOME": "/root", "PATH": "/x", "LANG": "de_DE", "https_proxy": "http://proxy.example"}
    assert env.inherited(host, tty=False) == ({"NO_COLOR": "1", "https_proxy": "http://proxy.example",
                                               "HTTPS_PROXY": "http://proxy.example"}, ())
    assert env.inherited(host, tty=True)[0]["TERM"] == "xterm"


def test_lower_case_proxies_win() -> None:
    assert env.proxies({"HTTP_PROXY": "http://a.example", "http_proxy": "http://b.example"})["HTTP_PROXY"] == \
        "http://b.example"


def test_the_bundle_somebody_chose(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("x")
    variables, mounts = env.inherited({"SSL_CERT_FILE": "/missing", "REQUESTS_CA_BUNDLE": str(bundle)}, tty=False)
    assert (mounts[0].source, mounts[0].target, mounts[0].read_only) == (bundle.resolve(), env.INSIDE, True)
    assert set(variables.values()) == {env.INSIDE} and "PIP_CERT" in variables


def test_no_bundle_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "_BUNDLES", ("/no/such",))
    assert env.ca_bundle({}) is None
