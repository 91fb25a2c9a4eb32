from __future__ import annotations

import json

from bareboat.cli import main
from bareboat.verbs import doctor


def test_a_store_that_cannot_be_opened_is_one_line_of_all(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(doctor, "CHECKS", (doctor._store, doctor._proxy))  # the others ask the network
    assert main(["doctor", "--json"]) == 1
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert not found["store"]["ok"] and found["store"]["fatal"] and found["store"]["remedy"]
    assert {"user namespaces", "bwrap", "proxy"} <= set(found)
    assert main(["doctor"]) == 1
    assert "FAIL store" in capsys.readouterr().out


def test_a_shared_store_that_is_not_in_order_is_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BAREBOAT_SHARED_STORE_PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(doctor, "CHECKS", (doctor._store, doctor._shared))
    main(["doctor", "--json"])
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert not found["shared store"]["ok"] and str(tmp_path / "nowhere") in found["shared store"]["detail"]
