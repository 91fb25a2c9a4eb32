"""Runs inside the sandbox, with the image's Python: builds one wheel by PEP 517. Standard library only.

argv: SOURCE (a directory or an sdist, read-only), SUBDIRECTORY, WORK (writable), OUT (writable), WANT
("wheel" or "metadata"). Writes OUT/report.json: {"requires": [...]} when the backend asks for more than
it was given, else {"wheel": NAME} or {"metadata": TEXT}; {"error": TEXT} when it failed. Each hook runs
in a process of its own, as the specification asks. Must run on every Python from 3.7 on.
"""

# ruff: noqa: PTH118, UP031 - plain os.path and % run on every Python an image may have
from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
import zipfile
from typing import Any

HOOK = """
import importlib, json, os, sys
root, backend, paths, hook, args, answer = json.loads(sys.argv[1])
os.chdir(root)
sys.path[:] = [p for p in sys.path if p]  # the source itself only where backend-path says so
sys.path[:0] = paths
name, _, attributes = backend.partition(":")
target = importlib.import_module(name)
for attribute in filter(None, attributes.split(".")):
    target = getattr(target, attribute)
function = getattr(target, hook, None)
value = [] if function is None and hook.startswith("get_requires") else function(*args)
with open(answer, "w") as f:
    json.dump(value, f)
"""


def main(argv: list[str]) -> int:
    os.umask(0o022)
    source, subdirectory, work, out, want = argv
    report: dict[str, Any] = {}
    try:
        root = unpack(source, os.path.join(work, "source"))
        if subdirectory:
            root = os.path.join(root, subdirectory)
        backend, paths, given = build_system(root)
        extra = [
            r
            for r in hook(root, work, backend, paths, "get_requires_for_build_wheel", [None])
            if r.replace(" ", "") not in given
        ]
        if extra and not want.endswith("-now"):
            report["requires"] = extra
        elif want.startswith("metadata"):
            report["metadata"] = metadata(root, work, out, backend, paths)
        else:
            report["wheel"] = hook(root, work, backend, paths, "build_wheel", [out, None, None])
    except Exception as e:  # whatever a backend does ends as a report, not as a lost traceback
        report["error"] = "%s: %s" % (type(e).__name__, e)
    with open(os.path.join(out, "report.json"), "w") as f:
        json.dump(report, f)
    return 1 if "error" in report else 0


def metadata(root: str, work: str, out: str, backend: str, paths: list[str]) -> str:
    """METADATA of the wheel: from prepare_metadata where the backend has it, else from the wheel itself."""
    try:
        name = hook(root, work, backend, paths, "prepare_metadata_for_build_wheel", [out, None])
        with open(os.path.join(out, name, "METADATA"), encoding="utf-8") as f:
            return f.read()
    except Exception:
        name = hook(root, work, backend, paths, "build_wheel", [out, None, None])
        with zipfile.ZipFile(os.path.join(out, name)) as wheel:
            inner = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
            return wheel.read(inner[0]).decode("utf-8")


def unpack(source: str, target: str) -> str:
    """A writable copy of the source. The sandbox is what contains a malicious archive."""
    if os.path.isdir(source):
        shutil.copytree(source, target, symlinks=True)
        return settle(target)
    os.makedirs(target)
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as z:
            z.extractall(target)
    else:
        with tarfile.open(source) as t:
            if hasattr(tarfile, "data_filter"):
                t.extractall(target, filter="data")
            else:
                t.extractall(target)
    inner = os.listdir(target)
    if len(inner) == 1 and os.path.isdir(os.path.join(target, inner[0])):
        return settle(os.path.join(target, inner[0]))
    return settle(target)


def settle(root: str) -> str:
    """Modes and times that do not depend on who unpacked or cloned: backends copy them into the wheel's
    bytes."""
    when = int(os.environ["SOURCE_DATE_EPOCH"])
    for base, folders, files in os.walk(root, topdown=False):
        for name in files + folders:
            path = os.path.join(base, name)
            if not os.path.islink(path):
                executable = os.path.isdir(path) or os.stat(path).st_mode & 0o111
                os.chmod(path, 0o755 if executable else 0o644)
                os.utime(path, (when, when))
    return root


def build_system(root: str) -> tuple[str, list[str], set[str]]:
    """Backend, backend-path and what build-system.requires gave: BAREBOAT_BUILD_SYSTEM says it, the host
    read it."""
    said = json.loads(os.environ["BAREBOAT_BUILD_SYSTEM"])
    paths = [os.path.join(root, p) for p in said["path"]]
    for path in paths:
        if os.path.commonpath([os.path.realpath(path), os.path.realpath(root)]) != os.path.realpath(root):
            raise ValueError("backend-path leaves the source tree")
    given = {r.replace(" ", "") for r in said["requires"]}
    return said["backend"], paths, given


def hook(root: str, work: str, backend: str, paths: list[str], name: str, args: list[Any]) -> Any:
    answer = os.path.join(work, "answer.json")
    if os.path.exists(answer):
        os.unlink(answer)
    call = json.dumps([root, backend, paths, name, args, answer])
    code = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", HOOK, call])
    if code or not os.path.exists(answer):
        raise RuntimeError("%s.%s failed with exit code %s" % (backend, name, code))
    with open(answer) as f:
        return json.load(f)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
