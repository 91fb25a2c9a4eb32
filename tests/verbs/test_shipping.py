"""The project's code in the image that travels."""

from __future__ import annotations

import os

import pytest
from tests.world_kit import World

from bareboat.project import load
from bareboat.verbs.environment import assemble, environment
from bareboat.verbs.lock_mode import LockMode
from bareboat.verbs.shipping import STARTUP, travelling


@pytest.fixture
def project(world: World) -> World:
    world.require("alpha")
    (world.root / "src/run.py").write_text("print(1)\n")
    (world.root / "src/pkg").mkdir()
    (world.root / "src/pkg/__init__.py").write_text("")
    (world.root / "data").mkdir()
    (world.root / "data/secret.csv").write_text("1\n")
    return world


def test_code_lies_where_runs_mount_it_and_nothing_else_comes(project: World) -> None:
    loaded = load(project.root)
    made = environment(loaded, LockMode(), project.work)
    plan = travelling(loaded, made, project.work)
    image = assemble(plan, project.work)
    assert image.trees[:-1] == made.trees and image.plan != made.plan
    tree = project.store.tree(image.trees[-1])
    assert tree is not None
    found = sorted(os.fspath(p.relative_to(tree)) for p in tree.rglob("*"))
    assert found == ["app", "app/data", "app/results", "app/src", "app/src/pkg", "app/src/pkg/__init__.py",
                     "app/src/run.py", "data", "results"]
    assert (tree / "results").stat().st_mode & 0o7777 == 0o1777
    assert os.readlink(tree / "app/results") == "/results"


def test_the_same_code_gives_the_same_plan_and_an_edit_another(project: World) -> None:
    loaded = load(project.root)
    made = environment(loaded, LockMode(), project.work)
    first = travelling(loaded, made, project.work)
    os.utime(project.root / "src/run.py", (1, 1))
    assert travelling(loaded, made, project.work).digest == first.digest
    moved = project.root.rename(project.root.with_name("another name"))
    assert travelling(load(moved), made, project.work).digest == first.digest
    moved.rename(project.root)
    (project.root / "src/run.py").write_text("print(2)\n")
    assert travelling(loaded, made, project.work).digest != first.digest


def test_command_startup_and_variables_go_along_but_no_secret(project: World) -> None:
    (project.root / "bareboat.toml").write_text(
        'name = "iris"\ncommand = ["python", "src/run.py"]\nstartup = "start.sh"\n'
        'env = { THREADS = "4", API_TOKEN = "ghp_0123456789abcdef0123456789abcdef0123" }\n')
    (project.root / "start.sh").write_text("export A=1\n")
    loaded = load(project.root)
    plan = travelling(loaded, environment(loaded, LockMode(), project.work), project.work)
    assert plan.cmd == ("python", "src/run.py") and plan.entrypoint[-1] == STARTUP
    assert dict(plan.env)["THREADS"] == "4" and "API_TOKEN" not in dict(plan.env)
    assert "API_TOKEN" in project.tell.text  # type: ignore[attr-defined]
    tree = project.store.tree(assemble(plan, project.work).trees[-1])
    assert tree is not None and (tree / STARTUP.lstrip("/")).read_text() == "export A=1\n"
    assert dict(plan.labels)["org.opencontainers.image.title"] == "iris"


def test_a_folder_without_src_is_the_code(project: World) -> None:
    for name in ("src/pkg/__init__.py", "src/run.py"):
        (project.root / name).unlink()
    (project.root / "src/pkg").rmdir()
    (project.root / "src").rmdir()
    (project.root / "train.py").write_text("1\n")
    loaded = load(project.root)
    image = assemble(travelling(loaded, environment(loaded, LockMode(), project.work), project.work), project.work)
    tree = project.store.tree(image.trees[-1])
    assert tree is not None and (tree / "app/train.py").exists() and not (tree / "app/data/secret.csv").exists()


def test_code_on_an_image_keeps_the_image_s_blobs_as_well(project: World) -> None:
    from dataclasses import replace

    from tests.image_kit import Made, registry

    from bareboat.builder.pulling import pull
    from bareboat.image.plan import PlanCode
    from bareboat.registry.places import parse_place
    from bareboat.store.gc import Policy
    from bareboat.verbs.images import inspect

    loaded = load(project.root)
    code = travelling(loaded, environment(loaded, LockMode(), project.work), project.work).code
    assert isinstance(code, PlanCode)
    overlay = project.store.make_tree("overlay-test", lambda tree: tree.file("x.so", 0o644, [b"1"]))
    code = replace(code, overlays=(("/app/src", "overlay-test"),))
    _, repository = registry()
    Made().put(repository, "1")
    base = pull(project.store, repository, parse_place("host.example/lab/seg:1"), "linux/amd64", lambda *_: None).image
    from bareboat.image.planning import image_plan

    made = assemble(replace(image_plan(base, "linux/amd64"), code=code), project.work)
    project.store.tag("seg:1", made.plan)
    project.store.settle()
    project.store.close()
    project.store.gc(Policy(older_than=0, grace=0, now=4e9))
    needed = [base.manifest, base.config, *(x.digest for x in base.layers), code.index, *code.packs]
    assert all(project.store.blob(d.removeprefix("sha256:")) for d in needed)
    assert overlay.exists()
    assert [row.what for row in inspect("seg:1", project.work)[1]][-1] == "code"
