"""why: in a whole small world, for wheels, system packages, and what no lock names."""

from __future__ import annotations

import json
import os
import sys

import pytest
from tests.world_kit import World, carrying

from bareboat.cli import main
from bareboat.errors import UsageError
from bareboat.verbs.subject import Subject, subject
from bareboat.verbs.why import why


def of(world: World) -> Subject:
    return subject(None, world.root, world.work)


def test_the_ways_to_a_wheel(world: World) -> None:
    world.publish("delta", "1.0")
    world.publish("gamma", "3.0", "beta>=2", 'delta; extra == "fast"', 'nowhere; sys_platform == "win32"')
    world.require("alpha", "gamma[fast]>=1")
    [found] = why("alpha", of(world), world.work)
    assert found.kind == "pypi" and found.version == "1.0" and found.unpacked > 0
    assert found.chains == (("requirements.txt:1", "alpha 1.0"),
                            ("requirements.txt:2", "gamma[fast] 3.0 (>=1)", "beta 2.0 (>=2)", "alpha 1.0"))
    assert found.needed_by == ("beta",) and found.source.startswith("http") and found.layer == "a layer of its own"
    assert why("delta", of(world), world.work)[0].chains[0][-1] == "delta 1.0"


def test_extras_that_nobody_asked_for_are_no_way(world: World) -> None:
    world.publish("gamma", "3.0", 'alpha; extra == "fast"')
    world.require("alpha", "gamma")
    assert why("alpha", of(world), world.work)[0].chains == (("requirements.txt:1", "alpha 1.0"),)


def test_the_ways_to_a_system_package(world: World) -> None:
    world.require("alpha")
    made = of(world)
    name = next(d.name for d in made.plan.debs if d.name.startswith("libpython3"))
    [found] = why(name, made, world.work)
    assert found.kind == "deb" and found.chains and found.chains[0][0].startswith("Python 3.")
    assert found.layer == "the base, debian trixie" and found.source.startswith("main: pool/")


def test_what_another_package_carries(world: World) -> None:
    world.index.add("gamma-1.0-py3-none-any.whl", carrying("gamma", "inner_part"))
    world.require("gamma")
    [found] = why("Inner.Part", of(world), world.work)
    assert (found.version, found.chains) == ("7", (("gamma 1.0", "inner_part 7"),))


def test_a_uv_lock_is_explained_by_the_file_beside_it(world: World) -> None:
    from bareboat.host.process import Command, run
    from bareboat.resolve.python.uv import find_uv

    world.publish("delta", "1.0")
    world.publish("gamma", "3.0", 'delta; extra == "fast"')
    (world.root / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.10"\n'
                                               'dependencies = ["gamma[fast]"]\n')
    done = run(Command((find_uv(), "lock", "-q", "--python", sys.executable), env=dict(os.environ), cwd=world.root))
    assert done.code == 0, done.stderr
    [found] = why("delta", of(world), world.work)
    assert found.chains == (("pyproject.toml", "gamma[fast] 3.0", "delta 1.0"),)


def test_what_a_base_of_others_brings(world: World) -> None:
    from dataclasses import replace

    from tests.builder.test_sbom import foreign

    base = foreign(world.store)
    world.publish("torch", "2.1")
    world.publish("gamma", "1.0", "torch>=2")
    world.require("gamma")
    ours = of(world)
    rest = tuple(w for w in ours.plan.wheels if w.name != "torch")  # as when the base's own is kept
    mixed = replace(ours, plan=replace(ours.plan, image=base.image, debs=(), wheels=rest))
    [found] = why("numpy", mixed, world.work)
    assert found.chains == (("requirements.txt:1", "gamma 1.0", "torch 2.1 (>=2)", "numpy 1.26"),
                            ("ghcr.io/lab/base:1", "numpy 1.26"))
    assert found.source.startswith("ghcr.io/lab/base:1@sha256:") and found.needed_by == ("torch",)
    [found] = why("numpy", Subject("base", base, ours.made), world.work)  # where no interpreter is known
    assert found.chains == (("ghcr.io/lab/base:1", "numpy 1.26"),) and found.needed_by == ("torch",)
    [found] = why("libc6", Subject("base", base, ours.made), world.work)
    assert found.chains == (("ghcr.io/lab/base:1", "libc6 2.36"),) and found.needed_by == ("libb",)


def test_an_unknown_package_and_the_nearest(world: World, capsys: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    world.require("alpha")
    with pytest.raises(UsageError) as caught:
        why("alpah", of(world), world.work)
    assert caught.value.code == "why.unknown" and caught.value.exit_code == 125 and "alpha" in caught.value.hint


def test_the_command_line(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bareboat.wiring.work", lambda tell, **said: world.work)
    world.require("beta")
    assert main(["why", "alpha", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["packages"][0]["chains"] == [["requirements.txt:1", "beta 2.0", "alpha 1.0"]]
    assert main(["why", "alpha"]) == 0
    assert "because requirements.txt:1 → beta 2.0 → alpha 1.0" in capsys.readouterr().out
    assert main(["why", "gamma"]) == 125
    assert "[why.unknown]" in capsys.readouterr().err
    assert main(["sbom", "-o", "sbom.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["media_type"] == "application/spdx+json"
    assert json.loads((world.root / "sbom.json").read_bytes())["spdxVersion"] == "SPDX-2.3"
    assert main(["sbom", "--format", "cyclonedx"]) == 0
    assert json.loads(capsys.readouterr().out)["specVersion"] == "1.6"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "never")
    assert main(["sbom"]) == 125 and "[sbom.epoch]" in capsys.readouterr().err
    assert main(["sbom", "--json"]) == 125
