"""The -v grammar and what a target may be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import ProjectError
from bareboat.project.values import ProjectMount
from bareboat.project.volumes import NOWHERE, parse_volume, stacked, target_path

HERE = Path("/here")


@pytest.mark.parametrize(
    ("text", "source", "target", "read_only"),
    [
        ("/a:/b", "/a", "/b", False),
        ("/a:/b:ro", "/a", "/b", True),
        ("/a:/b:rw", "/a", "/b", False),
        ("/a:/b:ro,Z", "/a", "/b", True),
        ("./a:/b", "/here/a", "/b", False),
        ("../a:/b", "/a", "/b", False),
        (".:/b", "/here", "/b", False),
        ("/a b:/c d", "/a b", "/c d", False),
        ("/a,b:/c,d", "/a,b", "/c,d", False),
        ("/a\nb:/c\nd", "/a\nb", "/c\nd", False),
        ("/a/:/b//c/", "/a", "/b/c", False),
        ("/a:///b/./c", "/a", "/b/c", False),
        ("/a:/b:cached", "/a", "/b", False),
    ],
)
def test_a_volume_means_what_it_means_to_docker(text: str, source: str, target: str, read_only: bool) -> None:
    assert parse_volume(text, HERE) == ProjectMount(Path(source), target, read_only, "mount")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a", "project.volume"),
        ("/a:ro", "project.volume"),
        ("/a:/b:nocopy", "project.volume"),
        ("", "project.volume"),
        (":", "project.volume"),
        ("/a:", "project.volume"),
        (":/b", "project.volume"),
        ("/a:/b:", "project.volume"),
        ("/a:/b:ro,rw", "project.volume"),
        ("/a:/b:exec", "project.volume"),
        ("/a:/b:rshared", "project.propagation"),
        ("/a:/b:ro:x", "project.volume"),
        ("data/sub:/b", "project.volume-name"),
        ("-a:/b", "project.volume-name"),
        ("..a:/b", "project.volume-name"),
        ("a\n:/b", "project.volume-name"),
        (f"{'a' * 64}:/b", "project.volume-name"),
        ("name:b", "project.mount-target"),
        ("/", "project.mount-target"),
        ("/a/../b", "project.mount-target"),
        ("/a:b", "project.mount-target"),
        ("/a:/", "project.mount-target"),
        ("/a://", "project.mount-target"),
        ("/a:/b/../..", "project.mount-target"),
        ("/a:/proc", "project.mount-target"),
        ("/a:/proc/self", "project.mount-target"),
        ("/a://dev/shm", "project.mount-target"),
        ("/a:/sys/./fs", "project.mount-target"),
        ("/a\0:/b", "project.path"),
    ],
)
def test_what_is_no_volume_is_refused_with_a_hint(text: str, code: str) -> None:
    with pytest.raises(ProjectError) as caught:
        parse_volume(text, HERE)
    assert caught.value.code == code
    assert caught.value.where == "-v"


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("models:/m", ProjectMount(NOWHERE, "/m", False, "volume", "models")),
        ("m:/m:ro", ProjectMount(NOWHERE, "/m", True, "volume", "m")),
        ("a.b-c_1:/m:rw,z", ProjectMount(NOWHERE, "/m", False, "volume", "a.b-c_1")),
        ("models:/m:nocopy", ProjectMount(NOWHERE, "/m", False, "volume", "models", copy=False)),
        ("/m", ProjectMount(NOWHERE, "/m", False, "anonymous")),
        ("//m/./n/", ProjectMount(NOWHERE, "/m/n", False, "anonymous")),
    ],
)
def test_volumes_with_a_name_and_without(text: str, mount: ProjectMount) -> None:
    assert parse_volume(text, HERE) == mount


def test_a_target_beside_a_reserved_one_is_free() -> None:
    assert target_path("/process", "x") == "/process"


@given(st.text(max_size=40))
def test_any_text_is_a_canonical_mount_or_a_project_error(text: str) -> None:
    try:
        mount = parse_volume(text, HERE)
    except ProjectError:
        return
    assert mount.source.is_absolute() or mount.kind in ("volume", "anonymous")
    assert mount.target.startswith("/")
    assert mount.target == target_path(mount.target, "again"), "a canonical target is its own canonical form"
    assert ".." not in mount.target.split("/") and not mount.target.startswith(("/proc/", "/dev/", "/sys/"))


def test_parents_are_mounted_before_what_is_inside_them() -> None:
    deep, top = ProjectMount(HERE, "/a/b/c", True, "mount"), ProjectMount(HERE, "/a", True, "code")
    assert stacked([deep, top, deep], "x") == (top, deep)


def test_two_mounts_at_one_target_clash_and_both_are_named() -> None:
    one = ProjectMount(Path("/one"), "/a", True, "data")
    for other in (
        ProjectMount(Path("/two"), "/a", True, "mount"),
        ProjectMount(Path("/one"), "/a", False, "mount"),
    ):
        with pytest.raises(ProjectError) as caught:
            stacked([one, other], "bareboat.toml: mounts")
        assert caught.value.code == "project.mount-clash"
        assert str(other.source) in caught.value.what and "/one" in caught.value.what
