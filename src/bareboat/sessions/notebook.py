"""JupyterLab and its kernel as values: tools with prefixes of their own, what configures them, and the command. Pure.

The server runs in an environment of bareboat's with the image's interpreter; its one kernel is the project's
environment, with ipykernel from a third place behind it. What is set here is the session's security: decision 0144.
"""

from __future__ import annotations

import json
from pathlib import Path

from bareboat.image.plan import GeneratedFile, Interpreter, Plan
from bareboat.sessions.tools import Tool
from bareboat.values import dataclass

LAB, KERNEL = "/opt/bareboat/lab", "/opt/bareboat/kernel"
CONFIG = f"{LAB}/etc/bareboat/config.json"
EXECUTE = f"{LAB}/share/bareboat/execute.py"
LAUNCH = f"{KERNEL}/launch.py"
TOKEN_FILE = "/run/bareboat/notebook-token"
RUNTIME = "/tmp/jupyter"
KERNEL_NAME = "python3"  # what notebooks from anywhere ask for
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Served:
    """How a notebook server is started. port: inside; folder: where its files begin, in which `first` is shown; idle:
    seconds without activity until it ends, 0 for never; shell: of its terminals.
    """

    port: int
    folder: str = "/app"
    first: str = "/app"
    idle: int = 0
    shell: str = "/bin/sh"


def kernel_tool(plan: Plan) -> Tool:
    """ipykernel for a project: of versions that go with the project's own packages, whose places it shares."""
    constraints = tuple(sorted(f"{w.name}=={w.version}" for w in plan.wheels))
    launch = GeneratedFile(LAUNCH.lstrip("/"), (HERE / "kernel_inside.py").read_text(encoding="utf-8"))
    return Tool("ipykernel", ("ipykernel",), KERNEL, constraints, (launch,))


def lab_tool(plan: Plan, project: str) -> Tool:
    """JupyterLab, with the configuration of the session and the kernel that starts the project's Python."""
    python = plan.interpreter
    site = f"{LAB}/lib/python{python.version}/site-packages".lstrip("/")
    calm = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    spec = json.dumps(kernelspec(python, project), indent=1)
    files = (
        GeneratedFile(CONFIG.lstrip("/"), json.dumps(config(), indent=1)),
        GeneratedFile(EXECUTE.lstrip("/"), (HERE / "execute_inside.py").read_text(encoding="utf-8")),
        GeneratedFile(f"{site}/bareboat_lab.py", (HERE / "lab_inside.py").read_text(encoding="utf-8")),
        GeneratedFile(f"{LAB}/share/jupyter/kernels/{KERNEL_NAME}/kernel.json".lstrip("/"), spec),
        GeneratedFile(f"{LAB}/share/jupyter/lab/settings/overrides.json".lstrip("/"), json.dumps(calm, indent=1)),
    )
    return Tool("JupyterLab", ("jupyterlab", "nbclient"), LAB, (), files)


def kernelspec(python: Interpreter, project: str) -> dict[str, object]:
    """The kernel.json of the project's environment."""
    behind = f"{KERNEL}/lib/python{python.version}/site-packages"
    return {"argv": [f"{python.prefix}/bin/python", LAUNCH, behind, "-f", "{connection_file}"],
            "display_name": f"Python {python.version} ({project})", "language": "python",
            "metadata": {"debugger": True}}


def config() -> dict[str, object]:
    """The server's configuration; what differs from session to session is on its command line."""
    return {
        "ServerApp": {
            "ip": "127.0.0.1", "port_retries": 0, "open_browser": False, "allow_root": True, "answer_yes": True,
            "allow_remote_access": False, "local_hostnames": ["localhost"], "allow_origin": "", "allow_origin_pat": "",
            "allow_credentials": False, "disable_check_xsrf": False, "allow_unauthenticated_access": False,
            "identity_provider_class": "bareboat_lab.Identity", "max_body_size": 512 << 20,
            "jpserver_extensions": {"bareboat_lab": True, "jupyterlab": True, "jupyter_server_terminals": True},
            "tornado_settings": {"xsrf_cookie_kwargs": {"samesite": "Strict"}},
        },
        "IdentityProvider": {"cookie_options": {"samesite": "Strict"}},
        "KernelSpecManager": {"ensure_native_kernel": False},
        "KernelManager": {"transport": "ipc"},  # sockets in the sandbox's own /tmp: the loopback is everybody's
        "LabApp": {"check_for_updates_class": "jupyterlab.NeverCheckForUpdate", "news_url": None,
                   "extension_manager": "readonly"},
        "Application": {"log_level": 40},
    }


def argv(served: Served) -> tuple[str, ...]:
    """The command of a notebook server. Isolated (-I): the project's PYTHONPATH is its kernel's, not the server's."""
    return (f"{LAB}/bin/python", "-I", "-W", "ignore", f"{LAB}/bin/jupyter-lab", f"--config={CONFIG}",
            f"--ServerApp.port={served.port}", f"--ServerApp.root_dir={served.folder}",
            f"--FileContentsManager.preferred_dir={served.first}",
            f"--ServerApp.terminado_settings=shell_command=['{served.shell}']")


def execute_argv(notebook: str, output: str, folder: str, parameters: dict[str, object]) -> tuple[str, ...]:
    """The command that executes a notebook; all paths inside."""
    return (f"{LAB}/bin/python", "-I", "-W", "ignore", EXECUTE, notebook, output, folder,
            json.dumps(parameters, sort_keys=True))


def execute_environment() -> dict[str, str]:
    """The variables of a notebook that is executed; as environment."""
    return {"JUPYTER_NO_CONFIG": "1", "JUPYTER_RUNTIME_DIR": RUNTIME, "JUPYTER_PATH": f"{LAB}/share/jupyter"}


def environment(served: Served) -> dict[str, str]:
    """The variables of a notebook server. No configuration of the home or the image is read: a session before this one
    could have written it. The runtime files, with the token in them, are gone with the session.
    """
    home = "/home/user/.jupyter"
    return {**execute_environment(), "JUPYTER_TOKEN_FILE": TOKEN_FILE,
            "JUPYTERLAB_SETTINGS_DIR": f"{home}/lab/user-settings",
            "JUPYTERLAB_WORKSPACES_DIR": f"{home}/lab/workspaces", "BAREBOAT_IDLE_STOP": str(served.idle)}
