from __future__ import annotations

import pytest
from tests.record_kit import Lab


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "home", tmp_path / "iris")


@pytest.mark.parametrize("how", ["a link", "another folder", "nothing"])
def test_a_results_folder_that_was_exchanged_is_not_listed(lab, tmp_path, how):
    """With the project mounted writable a program could have any folder of the host read and kept in its record."""
    secret = tmp_path / "private"
    secret.mkdir()
    (secret / "key").write_text("secret-of-the-host")
    code = (f"import os; r = '{lab.root}/results'; (results / 'mine').write_text('1'); os.rename(r, r + '2')\n"
            + {"a link": f"os.symlink('{secret}', r)", "another folder": f"os.rename('{secret}', r)",
               "nothing": ""}[how])
    record = lab.run(code)
    assert record.state == "succeeded" and record.results.files == ()
    assert any("another folder" in line for line in lab.tell.lines)
    kept = [p for p in lab.store.home.rglob("*") if p.is_file() and b"secret-of-the-host" in p.read_bytes()]
    assert kept == []


def test_the_control_lists_what_the_run_left(lab):
    record = lab.run("(results / 'mine').write_text('1')")
    assert [f.path for f in record.results.files] == ["mine"]
