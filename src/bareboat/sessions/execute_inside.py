# mypy: ignore-errors
"""Runs a notebook from top to bottom, inside, by nbclient: argv = notebook, output, its folder, parameters (JSON).

What cells print goes to standard output and error as it comes; the output notebook is written anew after each cell, so
that one that is killed has what it did until then. Ends with 1 when a cell failed, its traceback on standard error, and
with 2 when there is nothing that can be executed. No times are recorded: the same outputs are the same file.
"""

import asyncio
import json
import os
import re
import signal
import sys

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

KERNEL, INJECTED = "python3", "injected-parameters"


class Client(NotebookClient):
    """A client that lets everybody hear what cells print."""

    def output(self, outs, msg, display_id, cell_index):
        """See NotebookClient; streams are passed on."""
        if msg["msg_type"] == "stream":
            stream = sys.stderr if msg["content"]["name"] == "stderr" else sys.stdout
            stream.write(msg["content"]["text"])
            stream.flush()
        return super().output(outs, msg, display_id, cell_index)


def with_parameters(notebook, parameters):
    """A cell that sets them behind the one tagged "parameters", or in front; one that was put in before is replaced."""
    cells = [cell for cell in notebook.cells if INJECTED not in cell.metadata.get("tags", [])]
    if parameters:
        source = "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in parameters.items())
        cell = nbformat.v4.new_code_cell(source.rstrip("\n"), metadata={"tags": [INJECTED]})
        if (notebook.nbformat, notebook.nbformat_minor) >= (4, 5):
            cell["id"] = INJECTED
        else:
            cell.pop("id", None)
        at = next((n + 1 for n, c in enumerate(cells) if "parameters" in c.metadata.get("tags", [])), 0)
        cells.insert(at, cell)
    notebook.cells = cells


def main(path, output, folder, parameters):
    """The exit code."""
    try:
        notebook = nbformat.read(path, as_version=4)
        language = notebook.metadata.get("kernelspec", {}).get("language") or "python"
    except Exception as error:
        return fail(f"{path}: is no notebook: {error}")
    if language.lower() != "python":
        return fail(f"{path}: is a notebook for {language}, and the project's environment is Python")
    with_parameters(notebook, json.loads(parameters))

    def save(**_):
        draft = f"{output}.part"
        with open(draft, "w", encoding="utf-8") as file:
            nbformat.write(notebook, file)
        os.replace(draft, output)

    runtime = os.environ["JUPYTER_RUNTIME_DIR"]
    os.makedirs(runtime, 0o700, exist_ok=True)
    manager = AsyncKernelManager(kernel_name=KERNEL, transport="ipc", ip=f"{runtime}/kernel",
                                 kernel_spec_manager=KernelSpecManager(ensure_native_kernel=False))
    client = Client(notebook, km=manager, timeout=None, record_timing=False, resources={"metadata": {"path": folder}},
                    on_cell_complete=save)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    save()
    try:
        asyncio.run(client.async_execute())
    except CellExecutionError as error:
        sys.stderr.write(re.sub("\x1b\\[[0-9;]*m", "", f"{error}\n"))
        return 1
    except (DeadKernelError, RuntimeError) as error:
        return fail(f"the kernel died: {error}", 1)
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    finally:
        save()
    return 0


def fail(text, code=2):
    """A line on standard error, and the code."""
    sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    code = main(*sys.argv[1:5])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # what libraries do at an exit fails where a kernel never was; the container ends with us
