"""Python 2.7, which uv does not resolve for: the last pip that runs under it does, inside the sandbox.

That pip is a wheel of the index, known by its digest (decision 0052 says why not the distribution's).
Only wheels are taken, and real Python 2.7 evaluates markers and tags, so nothing of the host's Python
leaks in.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bareboat.errors import ResolveError
from bareboat.lock import Wheel
from bareboat.project.values import Dependencies
from bareboat.resolve.python import pylock, requirements
from bareboat.resolve.python.building import BuildRoom, Errand
from bareboat.resolve.python.directories import file_digest
from bareboat.resolve.python.explain import readable
from bareboat.resolve.python.request import LockedPython, Request
from bareboat.resolve.python.requirements import Line, normalize
from bareboat.transport import ca_bundle

PIP = "pip==20.3.4"
PIP_SHA256 = "217ae5161a0e08c0fb873858806e3478c9775caffce5168b50ec885e358c199d"
_INDEXES = (
    ("PIP_INDEX_URL", ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")),
    ("PIP_EXTRA_INDEX_URL", ("UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL")),
)
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def lock_python27(request: Request, lines: tuple[Line, ...], room: BuildRoom) -> LockedPython:
    """Resolve by pip 20.3 under the image's own Python 2.7; the wheels are in the store afterwards.

    Raises ResolveError "python.unsatisfiable", "python.unknown-package", "python.source-27",
    "python.offline".
    """
    where = request.dependencies.files[0] if request.dependencies.files else "the project's packages"
    for line in lines:
        if line.kind in ("vcs", "archive", "directory") and not line.constraint:
            raise ResolveError(
                "python.source-27",
                f"{line.text!r} would have to be built, and for Python 2.7 only wheels are taken",
                where=f"{line.file}:{line.number}",
                hint="Put a wheel of it into the project and name that file.",
            )
    if request.offline:
        raise ResolveError(
            "python.offline", "packages for Python 2.7 cannot be resolved without the network", where=where
        )
    folder = request.scratch / "pip27"
    (folder / "wheels").mkdir(parents=True)
    shutil.copyfile(_pip(request, room), folder / "pip.whl")
    own = [_text(line) for line in lines if not line.constraint]
    (folder / "requirements.txt").write_text("".join(f"{t}\n" for t in own), "utf-8")
    limits = [line.text for line in lines if line.constraint]
    kept = [] if request.upgrade is True else _kept(request)
    code, log = 1, ""
    for pins in ([*limits, *kept], limits) if kept else (limits,):
        (folder / "constraints.txt").write_text("".join(f"{t}\n" for t in pins), "utf-8")
        code, log = room.errand(_errand(request, folder))
        if code == 0:
            break
    if code:
        raise _explained(log, where)
    rows = json.loads((folder / "report.json").read_bytes()) if own else []
    wheels = tuple(sorted((_wheel(row, folder, lines, room) for row in rows), key=lambda w: w.name))
    return LockedPython(wheels, written(wheels))


def _pip(request: Request, room: BuildRoom) -> Path:
    """pip's wheel in the store, found where the project's indexes have it, refused when it is another
    file."""
    found = room.blob(PIP_SHA256)
    if found is not None:
        return found
    from bareboat.resolve.python.locking import lock_wheels

    target = replace(request.target, python="3.8.0")  # any that uv resolves for and this pip supports
    scratch = request.scratch / "pip"
    scratch.mkdir()
    asked = replace(
        request,
        dependencies=Dependencies("inline", (), (PIP,)),
        target=target,
        scratch=scratch,
        previous="",
        built=(),
        upgrade=False,
    )
    wheel = lock_wheels(asked).wheels[0]
    if wheel.sha256 != PIP_SHA256:
        raise ResolveError(
            "python.hash-mismatch",
            f"the index has another {PIP}",
            where=wheel.url,
            hint="Python 2.7 needs the original file; check where the index has it from.",
        )
    return room.download(wheel.url, PIP_SHA256)


def _errand(request: Request, folder: Path) -> Errand:
    bundle = ca_bundle(request.env)
    if bundle is None:
        import ssl

        bundle = ssl.get_default_verify_paths().cafile
    at = "/bareboat/out"
    arguments = (
        f"{at}/pip.whl",
        f"{at}/report.json",
        "download",
        "--dest",
        f"{at}/wheels",
        "--requirement",
        f"{at}/requirements.txt",
        "--constraint",
        f"{at}/constraints.txt",
        "--only-binary",
        ":all:",
        "--use-feature=2020-resolver",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--no-python-version-warning",
        "--no-color",
        "--progress-bar",
        "off",
        "--quiet",
    )
    return Errand(
        Path(__file__).with_name("pip27_inside.py"),
        arguments,
        folder,
        environment(request.env),
        Path(bundle) if bundle else None,
    )


def environment(env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What pip sees of the caller's environment: indexes (uv's settings count here too) and proxies."""
    out = {name: env[name] for name in _PROXIES if env.get(name)}
    for name, candidates in _INDEXES:
        value = next((env[c] for c in candidates if env.get(c)), "")
        if value:
            out[name] = value
    return tuple(sorted({**out, "LC_ALL": "C.UTF-8", "PIP_NO_INPUT": "1"}.items()))


def _text(line: Line) -> str:
    return " ".join([line.text, *(f"--hash={h}" for h in line.hashes)])


def _kept(request: Request) -> list[str]:
    """The standing versions as constraints, less what is to be upgraded; pip has no softer preference."""
    upgrade = request.upgrade if isinstance(request.upgrade, tuple) else ()
    again = {normalize(name) for name in upgrade}
    return [f"{name}=={version}" for name, version in pylock.versions(request.previous) if name not in again]


def _wheel(row: Mapping[str, Any], folder: Path, lines: tuple[Line, ...], room: BuildRoom) -> Wheel:
    name, filename = normalize(str(row["name"])), str(row["filename"])
    path = folder / "wheels" / filename
    if "/" in filename or not path.is_file() or path.is_symlink():
        raise ResolveError("python.uv-failed", f"pip said it took {filename!r}, and it is not there")
    sha256, size = file_digest(path), path.stat().st_size
    room.keep(path)
    url = pylock.without_secrets(str(row["url"]))
    direct = any(line.kind == "wheel" and requirements.name_of(line.text) == name for line in lines)
    return Wheel(
        name,
        filename.split("-")[1],
        filename,
        url,
        sha256,
        size,
        pylock.direct_url(url, sha256) if direct else "",
        requested=bool(row["requested"]),
    )


def written(wheels: tuple[Wheel, ...]) -> str:
    """pylock.toml (PEP 751) of wheels that are chosen already."""
    out = [pylock.HEADER, 'lock-version = "1.0"\ncreated-by = "bareboat"\nrequires-python = "==2.7.*"\n']
    if not wheels:
        out.append("packages = []\n")
    for w in wheels:
        source = f"url = {json.dumps(w.url)}, size = {w.size}, hashes = {{ sha256 = {json.dumps(w.sha256)} }}"
        kind = f"archive = {{ {source} }}" if w.direct_url else f"wheels = [{{ {source} }}]"
        out.append(f"\n[[packages]]\nname = {json.dumps(w.name)}\nversion = {json.dumps(w.version)}\n{kind}\n")
    return "".join(out)


def _explained(log: str, where: str) -> ResolveError:
    text = readable(
        "\n".join(
            line.removeprefix("ERROR: ") for line in log.splitlines() if not line.startswith(("WARNING", "DEPRECATION"))
        )
    )[-3000:].strip()
    if "Retrying" in log or "NewConnectionError" in log or "SSLError" in log:
        return ResolveError(
            "python.network",
            text or "the index does not answer",
            where=where,
            hint="Check the network, proxy (HTTPS_PROXY) and certificates (SSL_CERT_FILE).",
        )
    if "(from versions: none)" in log:
        return ResolveError(
            "python.unknown-package",
            f"{text} (with a wheel for Python 2.7)",
            where=where,
            hint="Check the spelling; for Python 2.7 only packages with wheels can be taken.",
        )
    return ResolveError(
        "python.unsatisfiable",
        text or "pip failed without a word",
        where=where,
        hint="Loosen one of the pins named above; take versions that still had Python 2.7 wheels.",
    )
