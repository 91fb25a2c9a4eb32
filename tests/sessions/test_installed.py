"""What is read from a session's layer, however it was written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bareboat.sessions.installed import Distribution, Installed, debian_files, debian_installed, python_installed

SITE = "/opt/venv/lib/python3.13/site-packages"


class Layer:
    def __init__(self, top: Path) -> None:
        self.top, self.site = top, top / SITE.lstrip("/")
        self.site.mkdir(parents=True)
        self.fd = os.open(top, os.O_PATH | os.O_DIRECTORY)

    def add(self, name: str, version: str, *, requested: bool = False, direct: object = None) -> Path:
        info = self.site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: other\n")
        (info / "RECORD").write_text(f"{name}.py,sha256=x,1\n../../../bin/{name},,\n{info.name}/RECORD,,\n")
        if requested:
            (info / "REQUESTED").touch()
        if direct is not None:
            (info / "direct_url.json").write_text(json.dumps(direct))
        return info

    def read(self, **before: str) -> Installed:
        return python_installed(self.fd, SITE, before)


@pytest.fixture
def layer(tmp_path: Path) -> Iterator[Layer]:
    made = Layer(tmp_path / "layer")
    yield made
    os.close(made.fd)


def test_what_was_asked_for_and_what_came_with_it(layer: Layer) -> None:
    layer.add("rich", "13.9.4", requested=True)
    layer.add("Pygments", "2.0")
    layer.add("numpy", "2.2")
    found = layer.read(numpy="2.2", rich="13.0")
    assert [d.name for d in found.python] == ["Pygments", "rich"]  # numpy is as the image has it
    assert [d.requirement for d in found.asked] == ["rich==13.9.4"]
    assert {SITE.encode() + b"/rich.py", b"/opt/venv/bin/rich"} <= found.files


def test_without_marks_all_were_asked_for(layer: Layer) -> None:
    layer.add("a", "1")
    assert layer.read().asked == (Distribution("a", "1"),)


@pytest.mark.parametrize(("direct", "requirement", "editable"), [
    ({"url": "https://h/x.git", "vcs_info": {"vcs": "git", "commit_id": "a" * 40}},
     f"a @ git+https://h/x.git@{'a' * 40}", False),
    ({"url": "https://h/a-1.whl", "archive_info": {}}, "a @ https://h/a-1.whl", False),
    ({"url": "file:///app/src", "dir_info": {"editable": True}}, "a==1", True),
    ({"url": "file:///tmp/a-1.whl", "archive_info": {}}, "a==1", True),
    ({"url": "https://h/x\n--index-url=http://evil", "archive_info": {}}, "a==1", False),
    ({"url": "https://h/x.git", "vcs_info": {"vcs": "git", "commit_id": "main; x"}}, "a @ https://h/x.git", False),
    ({"url": 7, "dir_info": []}, "a==1", False), ([], "a==1", False), ("no", "a==1", False)])
def test_where_it_came_from(layer: Layer, direct: object, requirement: str, editable: bool) -> None:
    layer.add("a", "1", direct=direct)
    assert [(d.requirement, d.editable) for d in layer.read().python] == [(requirement, editable)]


@pytest.mark.parametrize(("name", "version"), [
    ("a\n--extra-index-url http://evil", "1"), ("a", "1\n-e ."), ("", "1"), ("-r x", "1"), ("a", ""), ("a b", "1"),
    ("a", "1 # x"), ("a", "1;x")])
def test_what_is_no_name_or_version_is_left_out(layer: Layer, name: str, version: str) -> None:
    info = layer.add("ok", "1")
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    assert all(d.requirement.isprintable() and " " not in d.requirement and ";" not in d.requirement
               for d in layer.read().python)
    if "\n" not in name + version:
        assert layer.read().python == ()


def test_links_lead_nowhere_outside(layer: Layer, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "METADATA").write_text("Name: stolen\nVersion: 1\n")
    (layer.site / "stolen-1.dist-info").symlink_to(outside)
    info = layer.add("b", "1")
    (info / "METADATA").unlink()
    (info / "METADATA").symlink_to(outside / "METADATA")
    os.mkfifo(layer.add("c", "1") / "REQUESTED")
    fifo = layer.add("d", "1")
    (fifo / "METADATA").unlink()
    os.mkfifo(fifo / "METADATA")
    assert layer.read().python == (Distribution("c", "1"),)


def test_no_site_directory_is_nothing(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    assert python_installed(fd, SITE, {}) == Installed() and debian_installed(fd, ()) == ()
    os.close(fd)


def test_debian_packages_that_are_new_and_installed(tmp_path: Path) -> None:
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text("Package: bash\nStatus: install ok installed\nVersion: 5\n\n"
                      "Package: sl\nStatus: install ok installed\nVersion: 5.02-1\n\n"
                      "Package: half\nStatus: install ok half-configured\nVersion: 1\n\n"
                      "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n")
    fd = os.open(tmp_path, os.O_PATH)
    assert debian_installed(fd, ["bash"]) == (("sl", "5.02-1"),)
    (tmp_path / "var/lib/apt").mkdir()
    (tmp_path / "var/lib/apt/extended_states").write_text("Package: sl\nArchitecture: amd64\nAuto-Installed: 1\n")
    assert debian_installed(fd, ["bash"]) == ()  # came with another
    (tmp_path / "var/lib/dpkg/info").mkdir()
    (tmp_path / "var/lib/dpkg/info/sl.list").write_text("/.\n/usr/games/sl\n/lib/x\n")
    assert {b"/usr/games/sl", b"/usr/lib/x", b"/var/lib/dpkg/info/sl.list"} <= debian_files(fd)
    os.close(fd)
