"""A folder becomes a Project: by convention, the project file, and what lies beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bareboat.errors import ProjectError
from bareboat.project import Overrides, find_root, inputs, load, request
from bareboat.project.values import Resources

PACKAGED = (
    '[build-system]\nrequires = ["hatchling"]\n[project]\nname = "digits"\nversion = "1"\ndependencies = []\n'
)


def error(root: Path, code: str, overrides: Overrides | None = None) -> ProjectError:
    with pytest.raises(ProjectError) as caught:
        load(root, overrides)
    assert caught.value.code == code, str(caught.value)
    return caught.value


def mounts(root: Path, overrides: Overrides | None = None) -> list[tuple[str, str, str, bool]]:
    project = load(root, overrides)
    return sorted((m.kind, os.path.relpath(m.source, root), m.target, m.read_only) for m in project.mounts)


def test_the_classic_layout_by_convention(make) -> None:
    root = make(
        {"src/run.py": "", "data/": "", "requirements.txt": "numpy\n", "apt.txt": "ffmpeg # for video\n\n"}
    )
    assert mounts(root) == [
        ("code", "src", "/app/src", True),
        ("data", "data", "/app/data", True),
        ("data", "data", "/data", True),
        ("results", "results", "/app/results", False),
        ("results", "results", "/results", False),
    ]
    project = load(root)
    assert (project.name, project.file, project.workdir, project.network) == ("digits", None, "/app", "host")
    assert (project.apt, project.apt_source) == (("ffmpeg",), "apt.txt")
    assert not (root / "results").exists(), "load makes nothing"


def test_without_src_the_folder_is_the_code_and_missing_data_is_fine(make) -> None:
    assert mounts(make({"run.py": ""})) == [
        ("code", ".", "/app", True),
        ("results", "results", "/app/results", False),
        ("results", "results", "/results", False),
    ]


def test_parents_come_before_what_is_inside_them(make) -> None:
    targets = [mount.target for mount in load(make({"run.py": "", "data/": ""})).mounts]
    assert targets.index("/app") < targets.index("/app/data")


def test_an_empty_folder_is_plain_python(make) -> None:
    project = load(make())
    assert project.dependencies.source == "none" and "plain Python" in project.notes[0]


def test_places_of_other_names_keep_them_below_app(make) -> None:
    root = make(
        {"lib/": "", "corpus/": "", "bareboat.toml": 'code = "lib"\ndata = "corpus"\nresults = "out/now"\n'}
    )
    assert mounts(root) == [
        ("code", "lib", "/app/lib", True),
        ("data", "corpus", "/app/corpus", True),
        ("data", "corpus", "/data", True),
        ("results", "out/now", "/app/out/now", False),
        ("results", "out/now", "/results", False),
    ]


def test_places_from_elsewhere_tables_and_false(make, tmp_path: Path) -> None:
    root = make({"src/": "", "bareboat.toml": 'data = "/datasets/a"\nresults = false\n'})
    assert [(k, t) for k, _, t, _ in mounts(root)] == [
        ("code", "/app/src"),
        ("data", "/app/data"),
        ("data", "/data"),
    ]
    root = make(
        {"bareboat.toml": 'data = {source = "/d", target = "/corpus"}\ncode = false\nresults = false\n'}
    )
    assert [(m.kind, m.target, str(m.source)) for m in load(root).mounts] == [("data", "/corpus", "/d")]


def test_data_from_elsewhere_under_a_whole_folder_is_at_data_alone(make) -> None:
    root = make({"run.py": "", "bareboat.toml": 'data = "/datasets/a"\n'})
    assert [t for k, _, t, _ in mounts(root) if k == "data"] == ["/data"]


def test_the_command_line_wins(make, tmp_path: Path) -> None:
    root = make({"src/": "", "bareboat.toml": 'results = "out"\nbase = "debian:bookworm"\npython = "3.11"\n'})
    project = load(root, Overrides(python="3.13", base="debian:trixie", results=tmp_path / "else"))
    assert (project.python.specifier, project.python.source, project.base) == (
        "3.13",
        "--python",
        "debian:trixie",
    )
    assert {m.source for m in project.mounts if m.kind == "results"} == {tmp_path / "else"}


def test_a_volume_takes_the_place_of_a_project_mount(make, tmp_path: Path) -> None:
    from bareboat.project import parse_volume

    given_ = parse_volume("/elsewhere:/data", tmp_path)
    project = load(make({"src/": "", "data/": ""}), Overrides(mounts=(given_,)))
    assert [m for m in project.mounts if m.target == "/data"] == [given_]


def test_the_file_says_the_rest(make) -> None:
    text = """
name = "mine"
python = ">=3.10"
base = "debian:trixie"
apt = ["ffmpeg", "ffmpeg"]
platforms = ["linux/amd64", "linux/arm64"]
mounts = ["./m:/models:ro", {source = "a b,c:d\\n'e\\"", target = "/x:y", read-only = true}]
env-file = ".env"
workdir = "/app//src/"
startup = "start.sh"
command = ["python", "src/run.py"]
network = "none"
[env]
A = 1
B = ""
[commands]
shell = "a | b"
[resources]
memory = "8g"
cpus = 2
pids = 100
shm-size = 0
gpus = 2
"""
    root = make({"bareboat.toml": text, ".env": "", "start.sh": ""})
    p = load(root)
    assert (p.name, p.file, p.base, p.apt, p.workdir) == (
        "mine",
        "bareboat.toml",
        "debian:trixie",
        ("ffmpeg",),
        "/app/src",
    )
    assert (p.python.specifier, p.python.source) == (">=3.10", "bareboat.toml: python.version")
    assert p.apt_source == "bareboat.toml: apt"
    assert [(m.source, m.target, m.read_only) for m in p.mounts if m.kind == "mount"] == [
        (root / "m", "/models", True),
        (root / "a b,c:d\n'e\"", "/x:y", True),
    ]
    assert p.env == (("A", "1"), ("B", ""))
    assert (p.command, p.commands) == (("python", "src/run.py"), (("shell", ("/bin/sh", "-c", "a | b")),))
    assert p.resources == Resources(8 << 30, 2.0, 100, None, "2")
    assert (p.env_file, p.startup, p.network) == (".env", "start.sh", "none")


def test_tool_bareboat_is_the_same_and_both_are_an_error(make) -> None:
    root = make({"pyproject.toml": '[tool.bareboat]\nname = "tool"\n'})
    assert (load(root).name, load(root).file) == ("tool", "pyproject.toml")
    wrong = error(make({"pyproject.toml": "[tool.bareboat]\nnme = 1\n"}), "project.unknown-key")
    assert wrong.where == "pyproject.toml: tool.bareboat.nme"
    error(make({"pyproject.toml": "[tool.bareboat]\n", "bareboat.toml": ""}), "project.two-files")
    error(make({"pyproject.toml": "[tool]\nbareboat = 1\n", "bareboat.toml": ""}), "project.type")


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ('mounts = ["./a:/data"]', "project.mount-clash", "bareboat.toml: mounts"),
        ('mounts = ["./a:/x", "./b:/x/"]', "project.mount-clash", "bareboat.toml: mounts"),
        ('mounts = ["./a:x"]', "project.mount-target", "bareboat.toml: mounts[0]"),
        (
            'mounts = [{source = "a", target = "/proc/x"}]',
            "project.mount-target",
            "bareboat.toml: mounts[0].target",
        ),
        ('data = {source = "a", target = "/"}', "project.mount-target", "bareboat.toml: data.target"),
        ('results = "data"', "project.contradiction", "bareboat.toml: results"),
        ('results = "."', "project.contradiction", "bareboat.toml: results"),
        ('startup = "none.sh"', "project.missing-file", "bareboat.toml: startup"),
        ('env-file = "none"', "project.missing-file", "bareboat.toml: env-file"),
        ('python = "three"', "project.python-version", "bareboat.toml: python.version"),
        ('python = "3.x"', "project.python-version", "bareboat.toml: python.version"),
        ('resources.memory = "9999999999t"', "project.value", "bareboat.toml: resources.memory"),
    ],
)
def test_contradictions_are_errors_with_their_key(make, text: str, code: str, where: str) -> None:
    assert error(make({"bareboat.toml": text + "\n", "data/": ""}), code).where == where


def test_a_folder_that_only_a_dockerfile_describes_says_what_to_write(make) -> None:
    root = make({"Dockerfile": "FROM python\n", "src/run.py": ""})
    wrong = error(root, "project.dockerfile-only")
    assert "requirements.txt" in wrong.hint and "apt.txt" in wrong.hint
    make({"requirements.txt": ""})
    assert load(root).dependencies.source == "requirements"


def test_apt_txt_names_are_checked_with_their_line(make) -> None:
    assert error(make({"apt.txt": "ffmpeg\nlibFoo\n"}), "project.value").where == "apt.txt:2"
    error(make({"apt.txt": "ffmpeg=1.0\n"}), "project.value")
    error(make({"apt.txt": b"\xff\n"}), "project.encoding")
    assert load(make({"apt.txt": "g++ libstdc++6\n# no\n", "bareboat.toml": ""})).apt == ("g++", "libstdc++6")


@pytest.mark.parametrize(
    "name", ["sp ace", "quo'te\"", "co:lon", "com,ma", "new\nline", "\udcff\udcfe", "ünï", "--", "#"]
)
def test_any_folder_name_is_fine(make, name: str) -> None:
    root = make({"src/run.py": "", "requirements.txt": "-c c.txt", "c.txt": ""}, name=name)
    project = load(root)
    assert project.root == root and project.name.isascii() and project.name
    assert len(inputs(project)) == 2


def test_the_root_is_the_nearest_folder_with_a_project_file(make) -> None:
    root = make(
        {
            "bareboat.toml": "",
            "src/deep/": "",
            "sub/pyproject.toml": "[tool.bareboat]\n",
            "sub/x/": "",
            "other/pyproject.toml": "[project]\nname='bareboat'\n",
            "bad/pyproject.toml": "bareboat [",
        }
    )
    assert find_root(root / "src/deep") == root
    assert find_root(root / "sub/x") == root / "sub"
    assert find_root(root / "other") == root and find_root(root / "bad") == root
    assert find_root(root.parent) == root.parent


def test_a_strangers_file_above_is_passed_over(make) -> None:
    root = make({"bareboat.toml": "", "src/": ""})
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(root / "bareboat.toml", 12345, 12345)
    assert find_root(root / "src") == root / "src"
    assert find_root(root) == root, "where one stands, the file counts"


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    error(tmp_path / "none", "project.no-folder")


def test_unreadable_files_are_errors(make) -> None:
    error(make({"bareboat.toml/": ""}), "project.unreadable")


def test_inputs_are_all_files_that_decide_and_appear_with_them(make) -> None:
    root = make(
        {
            "bareboat.toml": "",
            "requirements.txt": "-r sub/more.txt\n",
            "sub/more.txt": "-c ../../c.txt",
            "../c.txt": "",
            "pylock.toml": "# made by bareboat\n",
            "src/run.py": "",
        }
    )
    before = inputs(load(root))
    assert [name for name, _ in before] == ["../c.txt", "bareboat.toml", "requirements.txt", "sub/more.txt"]
    make({".python-version": "3.12\n"})
    assert set(before) < set(inputs(load(root)))
    make({"sub/more.txt": "-c ../../c.txt\nnumpy"})
    assert dict(before)["sub/more.txt"] != dict(inputs(load(root)))["sub/more.txt"]


def test_the_request_changes_with_what_is_asked_and_not_with_a_command(make) -> None:
    before = request(load(make({"bareboat.toml": 'apt = ["b1", "a1"]\n'})))
    assert request(load(make({"bareboat.toml": 'apt = ["a1", "b1"]\ncommand = "x"\n'}))) == before
    assert request(load(make({"bareboat.toml": 'apt = ["a1"]\n'}))) != before


def test_convention_alone_imports_nothing_heavy(make) -> None:
    root = make(
        {"src/run.py": "", "requirements.txt": "numpy", "apt.txt": "ffmpeg", ".python-version": "3.12"}
    )
    code = (
        "import sys; from pathlib import Path; from bareboat.project import load, inputs, check\n"
        f"p = load(Path({str(root)!r})); inputs(p); check(p)\n"
        "heavy = ('tomllib', 'tomli', 'packaging', 'difflib', 'json', 'argparse', 'subprocess')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        [".python-version", "runtime.txt", "requirements.txt", "apt.txt", "pyproject.toml", "bareboat.toml"]
    ),
    st.binary(max_size=40) | st.text(alphabet="-rc ./x=\n\\#3.1><,[]\"'", max_size=30).map(str.encode),
)
def test_any_bytes_in_any_file_are_a_project_or_a_project_error(make, name, content) -> None:
    root = make(name="any")
    for old in root.iterdir():
        old.unlink()
    make({name: content}, name="any")
    try:
        load(root)
    except ProjectError:
        pass


def test_results_for_one_run_are_where_the_program_writes(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    project = load(tmp_path, Overrides(results=tmp_path / "out" / "a"))
    assert {m.target for m in project.mounts if m.kind == "results"} == {"/results", "/app/results"}
    assert {m.source for m in project.mounts if m.kind == "results"} == {tmp_path / "out" / "a"}


def test_a_project_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "bareboat.toml")
    with pytest.raises(ProjectError) as caught:
        load(tmp_path)
    assert caught.value.code == "project.unreadable"
