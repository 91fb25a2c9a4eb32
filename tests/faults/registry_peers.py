"""Another client on row 11's fault server, for comparison only: skopeo copies an image out or in, with a fault in the
request for the manifest, for the blob, or in the blob's upload.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.faults.registry_faults import CANARY, FAULTS, Cell, Elsewhere, Fault
from tests.faults.registry_table import (
    CONFIG_BLOB,
    DATA,
    IMAGE,
    LAYER_BLOB,
    NAME,
    OPERATIONS,
    Operation,
    filled,
    leaks,
)
from tests.registry_kit import Registry, Switches
from tests.token_kit import self_signed

BOUND = 60.0


def skopeo(program: str = "skopeo") -> tuple[Counter[str], list[str]]:
    """Counts of how its cells ended, and a line for each that is bad."""
    folder = Path(tempfile.mkdtemp(prefix="bareboat-peers-"))
    try:
        certificate, key = self_signed(folder)
        (folder / "both.pem").write_text(certificate.read_text() + key.read_text())
        for name, data in (("manifest.json", IMAGE.data), (_hex(LAYER_BLOB.descriptor.digest), DATA),
                           (_hex(CONFIG_BLOB.descriptor.digest), b"".join(CONFIG_BLOB.open(0))),
                           ("version", b"Directory Transport Version: 1.1\n")):
            (folder / "image").mkdir(exist_ok=True)
            (folder / "image" / name).write_bytes(data)
        by_name = {operation.name: operation for operation in OPERATIONS}
        chosen = [by_name["manifest by tag"], by_name["blob"], replace(by_name["put blob"], switches={})]
        with ThreadPoolExecutor(6) as pool:
            cells = list(pool.map(lambda pair: _cell(program, *pair, folder), [(o, f) for o in chosen for f in FAULTS]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Counter(how for how, _ in cells), [line for _, bad in cells for line in bad]


def _cell(program: str, operation: Operation, fault: Fault, folder: Path) -> tuple[str, list[str]]:
    registry = Registry(Switches(auth="bearer", password=CANARY), str(folder / "both.pem") if fault.tls else "")
    elsewhere = Elsewhere(registry)
    filled(registry, operation)
    fault.into(Cell(registry, elsewhere, operation.main))
    work = folder / registry.host.replace(":", "-")
    work.mkdir()
    coded = base64.b64encode(f"user:{CANARY}".encode()).decode()
    (work / "auth.json").write_text(json.dumps({"auths": {registry.host: {"auth": coded}}}))
    there = f"docker://{registry.host}/{NAME}:1"
    verify = "true" if fault.tls else "false"
    argv = ["copy", f"--src-tls-verify={verify}", there, f"dir:{work}/out"]
    if operation.name == "put blob":
        argv = ["copy", f"--dest-tls-verify={verify}", f"dir:{folder}/image", f"docker://{registry.host}/{NAME}:x"]
    began = time.monotonic()
    try:
        done = subprocess.run([program, *argv, "--authfile", str(work / "auth.json")], capture_output=True, check=False,
                              timeout=BOUND)
        how = "error" if done.returncode else "recovered" if _right(operation, registry, work) else "corrupt"
        said = [(done.stdout + done.stderr).decode("utf-8", "replace")]
    except subprocess.TimeoutExpired:
        how, said = "no end within a minute", []
    registry.close()
    elsewhere.close()
    shutil.rmtree(work)
    bad = leaks(registry, elsewhere, said, coded)
    where = f"{operation.name} x {fault.name} ({time.monotonic() - began:.0f} s)"
    return how, [f"{where}: {line[:200]}" for line in (bad if how in ("error", "recovered") else [how, *bad])]


def _right(operation: Operation, registry: Registry, work: Path) -> bool:
    if operation.name == "put blob":
        return registry.repository(NAME).blobs.get(LAYER_BLOB.descriptor.digest) == DATA
    layer, manifest = work / "out" / _hex(LAYER_BLOB.descriptor.digest), work / "out/manifest.json"
    return layer.exists() and layer.read_bytes() == DATA and manifest.read_bytes() == IMAGE.data


def _hex(digest: str) -> str:
    return digest.partition(":")[2]
