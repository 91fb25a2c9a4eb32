from __future__ import annotations

from pathlib import Path

import pytest

from bareboat.errors import BareboatError
from bareboat.resolve.python import uv
from bareboat.resolve.python.explain import explain, needs_build, needs_network, readable
from bareboat.resolve.python.target import Target, marker_environment, tags, uv_platform

PLAIN = uv.Compile("/usr/bin/uv", ("requirements.txt", "-"), Path("/s/pylock.toml"), "3.13.5", "x86_64-manylinux_2_40")


def test_the_command_line_of_a_resolution() -> None:
    assert uv.compile_argv(PLAIN, "/host/python") == (
        "/usr/bin/uv",
        "pip",
        "compile",
        "requirements.txt",
        "-",
        "--format",
        "pylock.toml",
        "--output-file",
        "/s/pylock.toml",
        "--no-header",
        "--no-build",
        "--python",
        "/host/python",
        "--python-version",
        "3.13.5",
        "--python-platform",
        "x86_64-manylinux_2_40",
        "--color",
        "never",
        "--no-progress",
        "--quiet",
    )


def test_the_command_line_with_everything() -> None:
    full = uv.Compile(
        "uv",
        ("-odd.txt",),
        Path("/s/pylock.toml"),
        "3.11.2",
        "aarch64-manylinux_2_36",
        extras=("x",),
        groups=("dev",),
        constraints=(Path("/s/c.txt"),),
        find_links=(Path("/s/links"),),
        indexes=("http://a.example/", "http://b.example/"),
        upgrade=("numpy", "six"),
        offline=True,
    )
    assert uv.compile_argv(full, "py") == (
        "uv",
        "pip",
        "compile",
        "./-odd.txt",
        "--format",
        "pylock.toml",
        "--output-file",
        "/s/pylock.toml",
        "--no-header",
        "--no-build",
        "--python",
        "py",
        "--python-version",
        "3.11.2",
        "--python-platform",
        "aarch64-manylinux_2_36",
        "--extra",
        "x",
        "--group",
        "dev",
        "--constraints",
        "/s/c.txt",
        "--find-links",
        "/s/links",
        "--index",
        "http://a.example/",
        "--default-index",
        "http://b.example/",
        "--upgrade-package",
        "numpy",
        "--upgrade-package",
        "six",
        "--offline",
        "--color",
        "never",
        "--no-progress",
        "--quiet",
    )


def test_uv_never_gets_an_interpreter_or_environment_of_the_callers() -> None:
    env = uv.environment({"UV_PYTHON": "3.9", "VIRTUAL_ENV": "/v", "UV_INDEX": "https://index.example", "HOME": "/h",
                          "SSL_CERT_FILE": "/ca.pem"})
    assert env == {
        "UV_INDEX": "https://index.example",
        "SSL_CERT_FILE": "/ca.pem",
        "HOME": "/h",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_BUILD": "1",
        "LC_ALL": "C.UTF-8",
    }


def test_uv_trusts_what_the_host_trusts(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    assert uv.environment({"REQUESTS_CA_BUNDLE": str(bundle)})["SSL_CERT_FILE"] == str(bundle)
    assert "SSL_CERT_FILE" not in uv.environment({"SSL_CERT_DIR": "/certs"})


@pytest.mark.parametrize(
    ("libc", "platform", "expected"),
    [
        ("glibc 2.41", "linux/amd64", "x86_64-manylinux_2_40"),
        ("glibc 2.36", "linux/arm64", "aarch64-manylinux_2_36"),
        ("glibc 2.30", "linux/amd64", "x86_64-manylinux_2_28"),
        ("glibc 2.17", "linux/amd64", "x86_64-manylinux_2_17"),
    ],
)
def test_the_platform_is_never_newer_than_the_image(libc: str, platform: str, expected: str) -> None:
    assert uv_platform(Target("3.13.5", libc, platform)) == expected


@pytest.mark.parametrize(
    ("libc", "platform"),
    [("uclibc 1.0", "linux/amd64"), ("glibc 2.41", "linux/s390x"), ("glibc 2.12", "linux/amd64")],
)
def test_a_platform_without_wheels_is_an_error(libc: str, platform: str) -> None:
    with pytest.raises(BareboatError) as e:
        uv_platform(Target("3.13.5", libc, platform))
    assert e.value.code == "python.platform"


def test_every_marker_key_is_given() -> None:
    from packaging.markers import default_environment

    ours = marker_environment(Target("3.9.2", "glibc 2.31", "linux/arm64"))
    assert set(default_environment()) <= set(ours)
    assert (ours["python_version"], ours["platform_machine"]) == ("3.9", "aarch64")


def test_tags_of_python_27_and_of_new_pythons() -> None:
    old = [str(t) for t in tags(Target("2.7.18", "glibc 2.31", "linux/amd64"))]
    assert old[0] == "cp27-cp27mu-manylinux_2_31_x86_64"
    assert "cp27-cp27mu-manylinux1_x86_64" in old
    assert "py2-none-any" in old
    new = [str(t) for t in tags(Target("3.13.5", "glibc 2.41", "linux/amd64"))]
    assert "cp38-abi3-manylinux2014_x86_64" in new
    assert "cp313-cp313-manylinux_2_42_x86_64" not in new


OFFLINE = """error: No solution found when resolving dependencies
  cause: Because numpy was not found in the cache and you require numpy, \
we can conclude that your requirements are \
unsatisfiable.

hint: Packages were unavailable because the network was disabled. \
When the network is disabled, registry packages \
may only be read from the cache.
"""
NO_WHEEL = """error: No solution found when resolving dependencies
  cause: Because all versions of docopt have no usable wheels and you require docopt, \
we can conclude that your \
requirements are unsatisfiable.

hint: Wheels are required for `docopt` because building from source is disabled for all packages (i.e., with \
`--no-build`)
"""
CONNECT = """error: Request failed after 3 retries in 12.1s
  cause: Failed to fetch: http://user:canary@index.example/simple/six/
  cause: client error (Connect)
"""


def test_uvs_words_are_told_apart_and_passed_on() -> None:
    assert (needs_network(OFFLINE), needs_network(NO_WHEEL)) == (True, False)
    assert (needs_build(OFFLINE), needs_build(NO_WHEEL), needs_build(CONNECT)) == (False, True, False)
    assert explain(OFFLINE, "r.txt", True).code == "python.offline"
    assert explain(CONNECT, "r.txt", False).code == "python.network"
    assert readable(NO_WHEEL) == (
        "No solution found when resolving dependencies\n"
        "Because all versions of docopt have no usable wheels and you require docopt"
    )
    assert "canary" not in str(explain(CONNECT, "r.txt", False))


def test_an_index_that_refuses_is_told_from_a_package_that_is_not_there() -> None:
    said = (
        "  × No solution found when resolving dependencies:\n  ╰─▶ Because x was not found in the package registry and"
        " you require x.\n\n      hint: An index URL (https://bob:canary@index.example/) could not be queried due to a"
        " lack of valid authentication credentials (401 Unauthorized).\n"
    )
    error = explain(said, "r.txt", False)
    assert error.code == "python.denied" and "canary" not in str(error)
