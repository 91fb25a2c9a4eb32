from __future__ import annotations

import pytest
from tests.record_kit import Lab, plan

from bareboat.verbs.diff import diff


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "home", tmp_path / "iris")


def test_the_same(lab):
    a, b = (lab.run("(results / 'a').write_text('1')") for _ in range(2))
    (lab.root / "results/a").unlink()
    found = diff(lab.store, a.id, a.id)
    assert found.same and found.code == () and found.packages == ()
    assert not diff(lab.store, a.id, b.id).packages


def test_packages_code_variables_command_and_results(lab):
    a = lab.run(
        "(results / 'm.csv').write_text('x\\n1.0\\n')\n",
        plan(("numpy", "2.0"), ("old", "1")),
        env=(("LR", "1"), ("API_KEY", "x")),
    )
    b = lab.run(
        "(results / 'm.csv').write_text('x\\n2.0\\n')\n",
        plan(("numpy", "2.1"), ("new", "1"), python="3.13.6"),
        env=(("LR", "2"),),
        argv=("run.py", "--fast"),
    )
    found = diff(lab.store, a.id, b.id)
    assert not found.same
    assert found.packages == (
        ("python", "3.13.5", "3.13.6"),
        ("python new", "", "1"),
        ("python numpy", "2.0", "2.1"),
        ("python old", "1", ""),
    )
    assert "-(results / 'm.csv').write_text('x\\n1.0\\n')" in found.code
    assert found.env == (("API_KEY", "(withheld)", ""), ("LR", "1", "2"))
    assert found.settings == (("command", "run.py", "run.py --fast"),)
    assert found.results.files[0].detail == "row 2, column x: 1 became 2"
    assert found.machine == ()


def test_another_build_of_a_version_is_a_difference(lab):
    from dataclasses import replace

    one = plan(("numpy", "2.0"))
    two = replace(one, wheels=(replace(one.wheels[0], sha256="f" * 64),))
    found = diff(lab.store, lab.run("pass", one).id, lab.run("pass", two).id)
    assert found.packages[0][0] == "python numpy" and "(ffffffff)" in found.packages[0][2]


def test_what_cannot_be_compared_is_said(lab):
    a, b = lab.run("x = 1"), lab.run("x = 2", plan(("numpy", "3")))
    lab.store.remove_blob(a.code.index)
    lab.store.remove_blob(b.plan_blob)
    found = diff(lab.store, a.id, b.id)
    assert not found.same and len(found.problems) == 2


def test_data(lab):
    a = lab.run("pass")
    (lab.root / "data/d.txt").write_text("more than before")
    found = diff(lab.store, a.id, lab.run("pass").id)
    assert found.data[0][1].answer == "differs" and not found.same
