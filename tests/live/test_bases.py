"""Projects on a real image: one that bareboat saved, with a compiled package and a pure one in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.live.test_save import bareboat, call, peer

pytestmark = pytest.mark.live
SEEN = ("import importlib.metadata as m, json, sys; print(json.dumps([sys.prefix, "
        "{d.name.lower(): d.version for d in m.distributions()}]))")
NAME = "bareboat-test/bases:1"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def layout(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base: Debian with MarkupSafe 3.0.2, click 8.1.7 and colorama in an environment of its own."""
    root = tmp_path_factory.mktemp("base")
    (root / "requirements.txt").write_text("markupsafe==3.0.2\nclick==8.1.7\ncolorama\n")
    bareboat(home, "build", "-t", "bareboat-test/base:1", str(root))
    bareboat(home, "save", "bareboat-test/base:1", "-o", f"{root}/layout/")
    return root / "layout"


def project(layout: Path, at: Path, *lines: str) -> Path:
    (at / "src").mkdir(parents=True)
    (at / "requirements.txt").write_text("".join(f"{line}\n" for line in lines))
    (at / "bareboat.toml").write_text(f'base = "oci:{layout}"\n')
    return at


def seen(home: Path, root: Path, python: str, *options: str) -> tuple[str, dict[str, str]]:
    prefix, packages = json.loads(bareboat(home, "run", *options, "--", python, "-c", SEEN, cwd=root).splitlines()[-1])
    return prefix, packages


def test_what_is_there_is_kept_and_both_pythons_see_what_is_new(home: Path, layout: Path, tmp_path: Path) -> None:
    root = project(layout, tmp_path / "p", "jinja2", "click>=8")
    prefix, packages = seen(home, root, "python")
    assert prefix == "/opt/venv-2"
    assert (packages["markupsafe"], packages["click"]) == ("3.0.2", "8.1.7") and "jinja2" in packages
    assert seen(home, root, "/opt/venv/bin/python") == ("/opt/venv", packages)
    lock = (root / "pylock.toml").read_text()
    assert 'name = "jinja2"' in lock and "markupsafe" not in lock


def test_pure_packages_give_way_and_compiled_ones_by_name(home: Path, layout: Path, tmp_path: Path) -> None:
    root = project(layout, tmp_path / "p", "markupsafe==3.0.3", "click==8.2.1")
    done = call(sys.executable, "-m", "bareboat", "lock", cwd=root, env={"BAREBOAT_HOME": str(home)})
    refused = done.stderr
    assert done.returncode == 125
    assert "lock.replaces-base" in refused and "--replace markupsafe" in refused
    assert not (root / "bareboat.lock").exists()
    _, packages = seen(home, root, "python", "--replace", "markupsafe")
    assert (packages["markupsafe"], packages["click"]) == ("3.0.3", "8.2.1") and "colorama" in packages
    listed = bareboat(home, "run", "--", "sh", "-c", "ls /opt/venv/lib/*/site-packages", cwd=root).split()
    assert not [n for n in listed if n.lower().startswith(("markupsafe", "click"))]
    assert [n for n in listed if n.startswith("colorama")]


def test_with_everything_here_it_runs_without_a_network(home: Path, layout: Path, tmp_path: Path) -> None:
    root = project(layout, tmp_path / "p", "click")
    seen(home, root, "python")
    assert seen(home, root, "python", "--offline", "--locked")[1]["click"] == "8.1.7"


def test_docker_runs_the_image_with_what_was_replaced_gone(home: Path, layout: Path, tmp_path: Path) -> None:
    root = project(layout, tmp_path / "p", "click==8.2.1")
    bareboat(home, "build", "-t", NAME, str(root))
    bareboat(home, "save", NAME, "-o", f"{tmp_path}/image.tar")
    peer("docker", "load", "-i", f"{tmp_path}/image.tar")
    try:
        for python, prefix in (("python", "/opt/venv-2"), ("/opt/venv/bin/python", "/opt/venv")):
            found, packages = json.loads(peer("docker", "run", "--rm", NAME, python, "-c", SEEN))
            assert (found, packages["click"], packages["markupsafe"]) == (prefix, "8.2.1", "3.0.2")
        assert "click-8.1.7" not in peer("docker", "run", "--rm", NAME, "sh", "-c", "ls /opt/venv/lib/*/site-packages")
    finally:
        peer("docker", "rmi", NAME)
