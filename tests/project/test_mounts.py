"""--mount and --tmpfs: what Docker takes is taken, and means the same; the rest is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import ProjectError
from bareboat.project.mounts import _KEYS, parse_mount, parse_tmpfs
from bareboat.project.values import ProjectMount
from bareboat.project.volumes import NOWHERE, target_path

HERE = Path("/here")


def bind(source: str, target: str, read_only: bool = False) -> ProjectMount:
    return ProjectMount(Path(source), target, read_only, "mount")


def volume(name: str, target: str, read_only: bool = False, copy: bool = True) -> ProjectMount:
    return ProjectMount(NOWHERE, target, read_only, "volume" if name else "anonymous", name, copy)


def tmpfs(target: str, size: int | None = None, mode: int = 0o1777, **more: bool) -> ProjectMount:
    return ProjectMount(NOWHERE, target, more.get("read_only", False), "tmpfs", size=size, mode=mode,
                        programs=more.get("programs", False))


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("type=bind,source=/a,target=/b", bind("/a", "/b")),
        ("type=bind,src=/a,dst=/b", bind("/a", "/b")),
        ("type=bind,source=/a,destination=/b", bind("/a", "/b")),
        ("destination=/b,type=bind,source=/a", bind("/a", "/b")),
        ("Type=Bind,SRC=/a,dst=/b", bind("/a", "/b")),
        ("type=bind,source=./a,target=/b", bind("/here/a", "/b")),
        ("type=bind,source=.,target=/b", bind("/here", "/b")),
        ("type=bind,source=/a:b,target=/b", bind("/a:b", "/b")),
        ('type=bind,"source=/a,b",target=/b', bind("/a,b", "/b")),
        ('type=bind,"source=/a""b",target=/b', bind('/a"b', "/b")),
        ("type=bind,source=/a=b,target=/b", bind("/a=b", "/b")),
        ("type=bind,source=/a,target=/b,readonly", bind("/a", "/b", True)),
        ("type=bind,source=/a,target=/b,ro", bind("/a", "/b", True)),
        ("type=bind,source=/a,target=/b,readonly=true", bind("/a", "/b", True)),
        ("type=bind,source=/a,target=/b,ro=1", bind("/a", "/b", True)),
        ("type=bind,source=/a,target=/b,readonly=false", bind("/a", "/b")),
        ("type=bind,source=/a,target=/b,bind-propagation=rprivate", bind("/a", "/b")),
        ("type=bind,source=/a,target=/b,bind-recursive=enabled", bind("/a", "/b")),
        ("type=bind,source=/a,target=/b,consistency=cached", bind("/a", "/b")),
        ("type=bind,source=/x,target=/b,source=/a", bind("/a", "/b")),
        ("type=volume,source=v,target=/b", volume("v", "/b")),
        ("source=v,target=/b,ro", volume("v", "/b", True)),
        ("type=volume,source=v,target=/b,volume-nocopy", volume("v", "/b", copy=False)),
        ("type=volume,source=v,target=/b,volume-nocopy=true", volume("v", "/b", copy=False)),
        ("type=volume,source=v,target=/b,volume-driver=local", volume("v", "/b")),
        ("target=/b", volume("", "/b")),
        ("type=volume,target=/b", volume("", "/b")),
        ("type=tmpfs,target=/b", tmpfs("/b")),
        ("type=tmpfs,dst=/b,tmpfs-size=64m,tmpfs-mode=0700", tmpfs("/b", 64 << 20, 0o700)),
        ("type=tmpfs,dst=/b,tmpfs-size=1000,tmpfs-mode=1770,readonly", tmpfs("/b", 1000, 0o1770, read_only=True)),
        ("type=tmpfs,dst=/b,tmpfs-size=0", tmpfs("/b")),
    ],
)
def test_a_mount_means_what_it_means_to_docker(text: str, mount: ProjectMount) -> None:
    assert parse_mount(text, HERE) == mount


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "project.mount", "no target"),
        ("/a:/b", "project.mount", "KEY=VALUE"),
        ("type=bind,source=/a", "project.mount", "no target"),
        ("type=bind,target=/b", "project.mount", "no source"),
        ("type=bind,source=v,target=/b", "project.mount", "no path"),
        ("type=nfs,source=/a,target=/b", "project.mount", "'nfs'"),
        ("type=image,source=a,target=/b", "project.mount", "'image'"),
        ("type=bind,source=/a,target=/b,readonly=yes", "project.mount", "readonly"),
        ("type=bind,source=/a,target=/b,rw", "project.mount", "'rw'"),
        ("type=bind,source=/a,target=/b,targt=/c", "project.mount", "'targt'"),
        ('type=bind,"source=/a,target=/b', "project.mount", "comma-separated"),
        ("type=bind\nsource=/a", "project.mount", "one line"),
        ("type=bind,source=/a,target=/b,tmpfs-size=1g", "project.mount", "tmpfs-size"),
        ("type=tmpfs,target=/b,volume-nocopy", "project.mount", "volume-nocopy"),
        ("type=tmpfs,target=/b,source=/a", "project.mount", "no source"),
        ("type=volume,target=/b,readonly", "project.mount", "read-only"),
        ("type=volume,source=a/b,target=/b", "project.volume-name", "'a/b'"),
        ("type=volume,source=v,target=/b,volume-opt=type=nfs", "project.mount-option", "volume-opt"),
        ("type=volume,source=v,target=/b,volume-driver=nfs", "project.mount-option", "no driver"),
        ("type=volume,source=v,target=/b,volume-label=a=b", "project.mount-option", "volume create"),
        ("type=volume,source=v,target=/b,volume-subpath=x", "project.mount-option", "as a whole"),
        ("type=bind,source=/a,target=/b,bind-propagation=rshared", "project.propagation", "rshared"),
        ("type=bind,source=/a,target=/b,bind-propagation=x", "project.mount", "'x'"),
        ("type=bind,source=/a,target=/b,bind-recursive=disabled", "project.mount-option", "disabled"),
        ("type=bind,source=/a,target=/b,bind-nonrecursive", "project.mount-option", "comes along"),
        ("type=bind,source=/a,target=b", "project.mount-target", "absolute"),
        ("type=tmpfs,target=/dev/shm", "project.mount-target", "makes itself"),
        ("type=tmpfs,target=/b,tmpfs-size=x", "project.tmpfs", "not a size"),
        ("type=tmpfs,target=/b,tmpfs-mode=9", "project.tmpfs", "no mode"),
        ("type=tmpfs,target=/b,tmpfs-mode=4777", "project.tmpfs", "no mode"),
        ("type=bind,source=/a\0,target=/b", "project.path", "NUL"),
    ],
)
def test_what_is_not_kept_is_refused_with_the_reason(text: str, code: str, words: str) -> None:
    with pytest.raises(ProjectError) as caught:
        parse_mount(text, HERE)
    assert (caught.value.code, caught.value.where) == (code, "--mount")
    assert words in caught.value.what and caught.value.hint


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/b", tmpfs("/b")),
        ("/b:size=65536k,mode=700", tmpfs("/b", 1 << 26, 0o700)),
        ("/b:rw,noexec,nosuid,size=1g", tmpfs("/b", 1 << 30)),
        ("/b:ro", tmpfs("/b", read_only=True)),
        ("/b:exec", tmpfs("/b", programs=True)),
        ("/b:exec,noexec", tmpfs("/b")),
        ("/b:", tmpfs("/b")),
    ],
)
def test_a_tmpfs_means_what_it_means_to_docker(text: str, mount: ProjectMount) -> None:
    assert parse_tmpfs(text) == mount


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "project.mount-target"),
        ("b", "project.mount-target"),
        ("/", "project.mount-target"),
        ("/b:suid", "project.tmpfs"),
        ("/b:dev", "project.tmpfs"),
        ("/b:uid=0", "project.tmpfs"),
        ("/b:size", "project.tmpfs"),
        ("/b:size=1:2", "project.tmpfs"),
        ("/b:mode=1778", "project.tmpfs"),
        ("/b:rw,,ro", "project.tmpfs"),
    ],
)
def test_what_is_no_tmpfs_is_refused(text: str, code: str) -> None:
    with pytest.raises(ProjectError) as caught:
        parse_tmpfs(text)
    assert caught.value.code == code and caught.value.hint


WORDS = st.sampled_from([*_KEYS, "src", "dst", "ro", "type=bind", "type=tmpfs", "source=/a", "target=/b", "=", ",", '"',
                         "true", "/..", "1g", ":", "/b", "size=", "mode=", "exec"])


@given(st.lists(st.one_of(WORDS, st.text(max_size=6)), max_size=8).map(",".join) | st.text(max_size=30))
def test_any_text_is_a_canonical_mount_or_a_project_error(text: str) -> None:
    for parse in (lambda: parse_mount(text, HERE), lambda: parse_tmpfs(text)):
        try:
            mount = parse()
        except ProjectError as error:
            assert error.code.startswith("project.") and error.hint
            continue
        assert mount.target == target_path(mount.target, "again") and ".." not in mount.target.split("/")
        assert (mount.kind == "mount") == mount.source.is_absolute()
        assert 0 <= mount.mode <= 0o1777
