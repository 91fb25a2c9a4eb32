"""The notebook server as values: its command and its configuration to the letter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bareboat.errors import UsageError
from bareboat.image.plan import Plan, interpreter
from bareboat.lock import Wheel
from bareboat.sessions import notebook as lab
from bareboat.sessions.ports import free_port
from bareboat.sessions.tools import PIP, tool_key, tool_plan

WHEEL = Wheel("numpy", "2.2", "numpy-2.2-py3-none-any.whl", "0" * 64, 1, "https://h/numpy-2.2-py3-none-any.whl")
PLAN = Plan("linux/amd64", "debian", "trixie", interpreter("3.13", "3.13.5"), (), (WHEEL,), (), (), libc="glibc 2.41")


def test_the_command_to_the_letter() -> None:
    assert lab.argv(lab.Served(8888, "/app", "/app/src", 0, "/bin/bash")) == (
        "/opt/bareboat/lab/bin/python", "-I", "-W", "ignore", "/opt/bareboat/lab/bin/jupyter-lab",
        "--config=/opt/bareboat/lab/etc/bareboat/config.json", "--ServerApp.port=8888", "--ServerApp.root_dir=/app",
        "--FileContentsManager.preferred_dir=/app/src", "--ServerApp.terminado_settings=shell_command=['/bin/bash']")


def test_what_guards_the_server() -> None:
    server = lab.config()["ServerApp"]
    assert isinstance(server, dict)
    assert {k: server[k] for k in (
        "ip", "allow_remote_access", "local_hostnames", "allow_origin", "allow_origin_pat", "allow_credentials",
        "disable_check_xsrf", "allow_unauthenticated_access", "identity_provider_class")} == {
        "ip": "127.0.0.1", "allow_remote_access": False, "local_hostnames": ["localhost"], "allow_origin": "",
        "allow_origin_pat": "", "allow_credentials": False, "disable_check_xsrf": False,
        "allow_unauthenticated_access": False, "identity_provider_class": "bareboat_lab.Identity"}
    assert lab.config()["KernelManager"] == {"transport": "ipc"}
    env = lab.environment(lab.Served(1, idle=60))
    assert env["JUPYTER_NO_CONFIG"] == "1" and env["JUPYTER_RUNTIME_DIR"].startswith("/tmp/")
    assert env["JUPYTER_TOKEN_FILE"] == "/run/bareboat/notebook-token" and "JUPYTER_TOKEN" not in env


def test_the_kernel_is_the_projects_python() -> None:
    assert lab.kernelspec(PLAN.interpreter, "iris") == {
        "argv": ["/opt/venv/bin/python", "/opt/bareboat/kernel/launch.py",
                 "/opt/bareboat/kernel/lib/python3.13/site-packages", "-f", "{connection_file}"],
        "display_name": "Python 3.13 (iris)", "language": "python", "metadata": {"debugger": True}}


def test_a_tool_has_a_prefix_of_its_own_and_nothing_of_the_projects() -> None:
    tool = lab.lab_tool(PLAN, "iris")
    made = tool_plan(tool, (), PLAN)
    assert made.interpreter.prefix == "/opt/bareboat/lab" and made.interpreter.executable == "/usr/bin/python3.13"
    assert made.wheels == () and all(f.path.startswith("opt/bareboat/lab/") for f in made.generated)
    files = {f.path: f.content for f in made.generated}
    assert json.loads(files["opt/bareboat/lab/etc/bareboat/config.json"]) == lab.config()
    assert "opt/bareboat/lab/pyvenv.cfg" in files
    for content in files.values():
        if "import" in content and "def " in content:
            compile(content, "inside", "exec")


def test_the_kernels_lock_goes_with_the_projects_packages() -> None:
    kernel = lab.kernel_tool(PLAN)
    assert kernel.constraints == ("numpy==2.2",)
    other = replace(PLAN, wheels=(replace(WHEEL, version="2.3"),))
    assert tool_key(kernel, PLAN) != tool_key(lab.kernel_tool(other), other)
    assert tool_key(PIP, PLAN) == tool_key(PIP, other)  # pip's does not depend on them


def test_a_port_that_is_taken_is_refused_and_another_found() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as caught:
            free_port(port)
        assert caught.value.code == "usage.port-taken"
    assert free_port() > 0
    with pytest.raises(UsageError):
        free_port(70000)


def test_what_runs_inside_is_python_of_any_age() -> None:
    import ast

    for name in ("kernel_inside.py", "lab_inside.py"):
        ast.parse((Path(lab.__file__).parent / name).read_text(), feature_version=(3, 8))
