from __future__ import annotations

import os
import sys

import pytest

from bareboat.errors import BareboatError
from bareboat.host.process import Command, run
from bareboat.resolve.python import uv
from bareboat.resolve.python.locking import lock_wheels
from bareboat.resolve.python.pylock import is_ours
from bareboat.resolve.python.target import Target

from .conftest import Folder, HostRoom, Index, sdist_bytes, source_files, wheel_bytes


def names(locked) -> list[str]:
    return [f"{w.name}=={w.version}" for w in locked.wheels]


def test_wheels_of_an_index_are_locked_by_digest(project: Folder, index: Index) -> None:
    index.wheel("lib", "1.0")
    sha256 = index.wheel("app", "2.0", ("lib>=1",))
    project.write("requirements.txt", "app\n")
    locked = lock_wheels(project.request())
    assert names(locked) == ["app==2.0", "lib==1.0"]
    assert locked.wheels[0].sha256 == sha256
    assert locked.wheels[0].url == index.url.replace("/simple/", "/files/app-2.0-py3-none-any.whl")
    assert [w.requested for w in locked.wheels] == [True, False]
    assert is_ours(locked.pylock_text)


def test_a_standing_lock_is_kept_and_upgrade_moves_it(project: Folder, index: Index) -> None:
    index.wheel("lib", "1.0")
    project.write("requirements.txt", "lib\n")
    first = lock_wheels(project.request())
    index.wheel("lib", "1.1")
    assert names(lock_wheels(project.request(previous=first.pylock_text))) == ["lib==1.0"]
    assert names(lock_wheels(project.request(previous=first.pylock_text, upgrade=("lib",)))) == ["lib==1.1"]
    assert names(lock_wheels(project.request())) == ["lib==1.1"]


def test_with_a_lock_and_a_warm_cache_the_index_is_not_asked(project: Folder, index: Index) -> None:
    index.wheel("lib", "1.0")
    index.wheel("more", "1.0")
    project.write("requirements.txt", "lib\nmore\n")
    lock_wheels(project.request())
    project.write("requirements.txt", "lib\n")
    first = lock_wheels(project.request())
    project.write("requirements.txt", "lib\nmore\n")
    index.asked.clear()
    assert len(lock_wheels(project.request(previous=first.pylock_text)).wheels) == 2
    assert index.asked == []


def test_a_new_package_whose_index_page_is_old_sends_us_online(project: Folder, index: Index) -> None:
    index.wheel("lib", "1.0")
    project.write("requirements.txt", "lib\n")
    request = project.request(previous='lock-version = "1.0"\ncreated-by = "x"\npackages = []\n')
    text = lock_wheels(request).pylock_text
    assert uv.fresh(request, text)
    for page in uv.cache_dir(request.env).glob("simple-v*/**/lib.rkyv"):
        os.utime(page, (1, 1))
    assert not uv.fresh(request, text)
    assert uv.fresh(project.request(previous=text), text)  # nothing new: its age does not matter


def test_wheels_are_chosen_for_the_image_and_never_for_the_host(project: Folder, index: Index) -> None:
    for tag in (
        "cp313-cp313-manylinux_2_17_x86_64",
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp313-cp313-manylinux_2_17_aarch64",
        "cp313-cp313-manylinux_2_42_x86_64",
    ):
        index.wheel("fast", "1.0", ("old; python_version < '3.12'", "arm; platform_machine == 'aarch64'"), tag)
    index.wheel("old", "1.0")
    index.wheel("arm", "1.0")
    project.write("requirements.txt", "fast\n")

    def chosen(python: str, platform: str) -> list[str]:
        target = Target(python, "glibc 2.36", platform)
        return [w.filename for w in lock_wheels(project.request(target=target)).wheels]

    assert chosen("3.13.5", "linux/amd64") == ["fast-1.0-cp313-cp313-manylinux_2_17_x86_64.whl"]
    assert chosen("3.11.2", "linux/amd64") == [
        "fast-1.0-cp311-cp311-manylinux_2_17_x86_64.whl",
        "old-1.0-py3-none-any.whl",
    ]
    assert chosen("3.13.5", "linux/arm64") == [
        "arm-1.0-py3-none-any.whl",
        "fast-1.0-cp313-cp313-manylinux_2_17_aarch64.whl",
    ]


def test_includes_constraints_markers_and_extras(project: Folder, index: Index) -> None:
    index.wheel("lib", "1.0")
    index.wheel("lib", "2.0")
    index.wheel("gone", "1.0")
    index.wheel("app", "1.0", ("lib; extra == 'x'",))
    project.write("requirements.txt", "-r more/base.txt\n-c limits.txt\ngone; sys_platform == 'win32'\n")
    project.write("more/base.txt", "app[x]  # with an extra\n")
    project.write("limits.txt", "lib<2\n")
    request = project.request("requirements.txt", "more/base.txt", "limits.txt")
    locked = lock_wheels(request)
    assert names(locked) == ["app==1.0", "lib==1.0"]
    assert [w.requested for w in locked.wheels] == [True, False]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("nothere\n", "python.unknown-package", "nothere"),
        ("lib==9\n", "python.unsatisfiable", "lib==9"),
        ("lib>>>1\n", "python.requirements", "comparison operator"),
        ("lib==1.0 --hash=sha256:" + "0" * 64 + "\n", "python.hash-mismatch", "lib 1.0"),
    ],
)
def test_what_cannot_be_locked_is_explained(project: Folder, index: Index, text: str, code: str, says: str) -> None:
    index.wheel("lib", "1.0")
    project.write("requirements.txt", text)
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request())
    assert e.value.code == code
    assert says in e.value.what


def test_offline_says_what_is_missing(project: Folder) -> None:
    project.write("requirements.txt", "lib\n")
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request(offline=True))
    assert e.value.code == "python.offline"
    assert "lib" in e.value.what


def test_an_empty_file_locks_nothing(project: Folder) -> None:
    project.write("requirements.txt", "# nothing yet\n")
    assert lock_wheels(project.request()).wheels == ()


def test_secrets_of_an_index_reach_neither_lock_nor_error(project: Folder, index: Index) -> None:
    index.wheel("lib", "1.0")
    secret = index.url.replace("http://", "http://user:canary@")
    project.write("requirements.txt", f"--index-url {secret}\nlib\n")
    locked = lock_wheels(project.request())
    assert "canary" not in locked.pylock_text + repr(locked.wheels)
    project.write("requirements.txt", f"--index-url {secret}\nlib==7\n")
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request())
    assert "canary" not in str(e.value)


def test_pyproject_with_groups_and_extras(project: Folder, index: Index) -> None:
    for name in ("lib", "tests", "plots"):
        index.wheel(name, "1.0")
    project.write(
        "pyproject.toml",
        '[project]\nname = "x"\nversion = "1"\ndependencies = ["lib"]\n'
        '[project.optional-dependencies]\nplot = ["plots"]\n[dependency-groups]\ndev = ["tests"]\n',
    )
    assert names(lock_wheels(project.request("pyproject.toml", source="pyproject"))) == ["lib==1.0"]
    both = project.request("pyproject.toml", source="pyproject", groups=("dev",), extras=("plot",))
    assert names(lock_wheels(both)) == ["lib==1.0", "plots==1.0", "tests==1.0"]


def test_packages_of_the_project_file_are_added(project: Folder, index: Index) -> None:
    index.wheel("lib", "1.0")
    index.wheel("extra", "1.0")
    project.write("requirements.txt", "lib\n")
    assert names(lock_wheels(project.request(requirements=("extra",)))) == ["extra==1.0", "lib==1.0"]


def test_the_users_own_pylock_is_taken_as_it_is(project: Folder, index: Index) -> None:
    index.wheel("lib", "1.0")
    project.write("requirements.txt", "lib\n")
    text = lock_wheels(project.request()).pylock_text
    index.wheel("lib", "2.0")
    project.write("pylock.toml", text)
    locked = lock_wheels(project.request("pylock.toml", source="pylock"))
    assert (names(locked), locked.pylock_text) == (["lib==1.0"], text)
    project.write("pylock.toml", text.replace("lock-version", "lock-versio"))
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request("pylock.toml", source="pylock"))
    assert e.value.code == "pylock.malformed"


def test_an_sdist_of_the_index_is_built_when_there_is_no_wheel(project: Folder, index: Index, room: HostRoom) -> None:
    index.wheel("lib", "1.0")
    sha256 = index.sdist("old", "1.5", ("lib",))
    project.write("requirements.txt", "old\n")
    locked = lock_wheels(project.request(), room)
    assert names(locked) == ["lib==1.0", "old==1.5"]
    built = locked.wheels[1]
    assert built.built_from == index.url.replace("/simple/", "/files/old-1.5.tar.gz") + f"#sha256={sha256}"
    assert (built.url, built.requested, built.direct_url) == ("", True, "")
    assert room.blob(built.sha256) is not None
    assert "127.0.0.1" not in locked.pylock_text.replace(index.url.partition("/simple")[0], "")
    assert f'sdist = {{ url = "{built.built_from.partition("#")[0]}"' in locked.pylock_text
    # again, with the lock: nothing is built, and uv needs one start
    runs = len(room.runs)
    again = lock_wheels(project.request(previous=locked.pylock_text, built=(built,)), room)
    assert again == locked
    assert len(room.runs) == runs


def test_only_the_version_uv_takes_is_built(project: Folder, index: Index, room: HostRoom) -> None:
    index.sdist("old", "1.0")
    index.sdist("old", "2.0")
    index.sdist("old", "3.0")
    project.write("requirements.txt", "old<3\n")
    assert names(lock_wheels(project.request(), room)) == ["old==2.0"]
    assert len(room.runs) == 1


def test_a_wheel_is_taken_before_an_sdist_is_built(project: Folder, index: Index, room: HostRoom) -> None:
    index.wheel("lib", "1.0")
    index.sdist("lib", "1.0")
    project.write("requirements.txt", "lib\n")
    assert lock_wheels(project.request(), room).wheels[0].url.endswith(".whl")
    assert room.runs == []


def test_a_build_that_fails_shows_the_backends_words(project: Folder, index: Index, room: HostRoom) -> None:
    index.sdist("bad", "1.0", **{"backend.py": "def build_wheel(*a):\n    raise SystemExit('no Fortran here')\n"})
    project.write("requirements.txt", "bad\n")
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request(), room)
    assert e.value.code == "python.build-failed"
    assert "no Fortran here" in e.value.what


def test_a_directory_is_built_and_its_dependencies_are_resolved(project: Folder, index: Index, room: HostRoom) -> None:
    index.wheel("lib", "1.0")
    for name, text in source_files("mine", "0.1", ("lib",)).items():
        project.write(f"vendor/mine/{name}", text)
    project.write("requirements.txt", "-e ./vendor/mine\n")
    locked = lock_wheels(project.request(), room)
    assert names(locked) == ["lib==1.0", "mine==0.1"]
    assert locked.wheels[1].built_from.startswith("./vendor/mine/#sha256=")
    assert 'directory = { path = "vendor/mine" }' in locked.pylock_text
    project.write("vendor/mine/code.py", "X = 2\n")
    changed = lock_wheels(project.request(previous=locked.pylock_text, built=locked.wheels), room)
    assert changed.wheels[1].sha256 != locked.wheels[1].sha256


def test_the_same_source_gives_the_same_wheel(project: Folder, room: HostRoom) -> None:
    for name, text in source_files("mine", "0.1").items():
        project.write(f"mine/{name}", text).chmod(0o664)
    project.write("requirements.txt", "./mine\n")
    first = lock_wheels(project.request(), room)
    room.memory.clear()
    assert lock_wheels(project.request(), room) == first
    assert len(room.runs) == 2


def test_archives_and_wheels_of_the_project(project: Folder, index: Index, room: HostRoom) -> None:
    (project.root / "one-1.0-py3-none-any.whl").write_bytes(wheel_bytes("one", "1.0"))
    (project.root / "two-2.0.tar.gz").write_bytes(sdist_bytes("two", "2.0"))
    project.write("requirements.txt", "./one-1.0-py3-none-any.whl\ntwo @ ./two-2.0.tar.gz ; python_version > '3'\n")
    locked = lock_wheels(project.request(), room)
    assert names(locked) == ["one==1.0", "two==2.0"]
    assert [w.built_from.partition("#")[0] for w in locked.wheels] == [
        "./one-1.0-py3-none-any.whl",
        "./two-2.0.tar.gz",
    ]
    assert all(room.blob(w.sha256) for w in locked.wheels)


def test_a_missing_directory_is_named(project: Folder, room: HostRoom) -> None:
    project.write("requirements.txt", "./nowhere\n")
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request(), room)
    assert e.value.code == "python.source-missing"


def test_a_git_reference_is_pinned_to_its_commit(project: Folder, room: HostRoom, git_repository) -> None:
    url, commit = git_repository("inrepo", "1.0")
    project.write("requirements.txt", f"inrepo @ git+{url}@main\n")
    locked = lock_wheels(project.request(), room)
    assert locked.wheels[0].built_from == f"git+{url}@{commit}"
    assert f'commit-id = "{commit}"' in locked.pylock_text
    _, later = git_repository("inrepo", "1.1")
    kept = lock_wheels(project.request(previous=locked.pylock_text, built=locked.wheels), room)
    assert names(kept) == ["inrepo==1.0"]
    moved = lock_wheels(project.request(previous=kept.pylock_text, built=kept.wheels, upgrade=True), room)
    assert names(moved) == ["inrepo==1.1"]
    assert later in moved.pylock_text


def test_the_project_itself_gives_its_dependencies_and_no_wheel(project: Folder, index: Index, room: HostRoom) -> None:
    index.wheel("lib", "1.0")
    index.wheel("deep", "1.0")
    project.write("requirements.txt", "-e .[more]\n")
    project.write(
        "pyproject.toml",
        '[project]\nname = "me"\nversion = "1"\ndependencies = ["lib"]\n'
        '[project.optional-dependencies]\nmore = ["deep"]\n',
    )
    assert names(lock_wheels(project.request(), room)) == ["deep==1.0", "lib==1.0"]


def test_dynamic_dependencies_are_asked_of_the_backend(project: Folder, index: Index, room: HostRoom) -> None:
    index.wheel("lib", "1.0")
    for name, text in source_files("me", "0.1", ("lib",)).items():
        project.write(name, text)
    project.write(
        "pyproject.toml",
        (project.root / "pyproject.toml").read_text()
        + '[project]\nname = "me"\ndynamic = ["version", "dependencies"]\n',
    )
    project.write("data/big.bin", "not copied")
    locked = lock_wheels(project.request("pyproject.toml", source="pyproject"), room)
    assert names(locked) == ["lib==1.0"]
    assert not (room.runs[0].source / "data").exists()


def test_a_wheel_of_find_links_is_locked_without_its_place_on_this_machine(
    project: Folder, index: Index, room: HostRoom
) -> None:
    (project.root / "whe els").mkdir()
    (project.root / "whe els/one-1.0-py3-none-any.whl").write_bytes(wheel_bytes("one", "1.0"))
    index.wheel("lib", "1.0")
    project.write("requirements.txt", '--find-links "./whe els"\none\nlib\n')
    locked = lock_wheels(project.request(), room)
    one = next(w for w in locked.wheels if w.name == "one")
    assert (one.url, one.direct_url, one.requested) == ("", "", True)
    assert one.built_from == f"./whe els/one-1.0-py3-none-any.whl#sha256={one.sha256}"
    assert room.blob(one.sha256)
    assert 'path = "whe els/one-1.0-py3-none-any.whl"' in locked.pylock_text
    assert "file:" not in locked.pylock_text and str(project.root) not in locked.pylock_text
    again = lock_wheels(project.request(previous=locked.pylock_text, built=locked.wheels), room)
    assert again == locked


def test_a_revision_that_is_not_there_is_named(project: Folder, room: HostRoom, git_repository) -> None:
    url, _ = git_repository("inrepo", "1.0")
    project.write("requirements.txt", f"inrepo @ git+{url}@nonesuch\n")
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request(), room)
    assert e.value.code == "python.revision" and "nonesuch" in e.value.what


def test_require_hashes_refuses_what_has_none(project: Folder, index: Index) -> None:
    lib = index.wheel("lib", "1.0")
    app = index.wheel("app", "1.0", ("lib",))
    project.write("requirements.txt", f"--require-hashes\napp==1.0 --hash=sha256:{app}\n")
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request())
    assert (e.value.code, e.value.where) == ("python.hash-missing", "requirements.txt") and lib in e.value.hint
    project.write("requirements.txt", f"--require-hashes\napp==1.0 --hash=sha256:{app}\nlib==1.0 --hash=sha256:{lib}\n")
    assert len(lock_wheels(project.request()).wheels) == 2


def test_resolving_wheels_imports_no_web_server() -> None:
    code = "import sys, bareboat.resolve.python.rewriting as r; print('http.server' in sys.modules, r.DEEPEST)"
    done = run(Command((sys.executable, "-c", code)))
    assert done.stdout.split()[:1] == [b"False"]


def test_a_commit_that_a_built_package_asks_for_is_built_too(project: Folder, room: HostRoom, git_repository) -> None:
    url, commit = git_repository("inrepo", "1.0")
    for name, text in source_files("top", "1.0", (f"inrepo @ git+{url}@{commit}",)).items():
        project.write(f"top/{name}", text)
    project.write("requirements.txt", "./top\n")
    locked = lock_wheels(project.request(), room)
    assert [(w.name, w.requested) for w in locked.wheels] == [("inrepo", False), ("top", True)]
    assert locked.wheels[0].built_from == f"git+{url}@{commit}"
