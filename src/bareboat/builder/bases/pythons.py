"""The Python of a base: which one, where, of exactly which version, for which C library. Nothing is executed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bareboat.builder.bases.elf import glibc_version, musl_version, read_program
from bareboat.builder.bases.inside import Inside
from bareboat.errors import LockError
from bareboat.resolve.debian.lockbase import accepts

OLDEST = (3, 6)  # what uv resolves for
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MORE = ("/usr/local/bin", "/usr/bin", "/opt/conda/bin", "/opt/venv/bin", "/opt/python/bin", "/root/miniconda3/bin",
         "/usr/libexec")
_NAME = re.compile(r"(?:platform-)?python[23](?:\.\d{1,2})?")
_VERSION = re.compile(r"python(\d\.\d{1,2})$")
_EXECUTABLE_MOST = 128 << 20


@dataclass(frozen=True)
class Python:
    """version "3.12", full "3.12.7". executable: real. site: where a .pth reaches it; sites: all it looks in, in order.

    environment: the root of the environment (PEP 405) it belongs to, or ""; system: whether that one sees the system's
    packages. prefix: of the interpreter itself. libc: "glibc 2.36", "musl 1.2".
    """

    version: str
    full: str
    executable: str
    prefix: str
    environment: str
    system: bool
    sites: tuple[str, ...]
    site: str
    libc: str


@dataclass(frozen=True)
class Wanted:
    """platform: whose machine code is meant; specifier: of the project, "" for any; source: who says so; where: the
    base, for errors. env: of the image's config. ask: runs a program inside and returns what it prints, or None."""

    platform: str
    specifier: str = ""
    source: str = ""
    where: str = ""
    env: tuple[tuple[str, str], ...] = ()
    ask: Callable[[tuple[str, ...]], str] | None = None


def find_python(inside: Inside, wanted: Wanted) -> Python:
    """The first Python on the base's own PATH that the project takes, then in the usual places.

    Raises LockError "base.no-python", "base.python-version", "base.architecture", "base.libc".
    """
    seen: dict[str, str] = {}
    elsewhere = ""
    for path in _candidates(inside, dict(wanted.env).get("PATH", "") or _PATH):
        real = inside.real(path)
        data = inside.read(path, _EXECUTABLE_MOST) if real is not None and real not in seen else None
        program = read_program(data) if data is not None else None
        if real is None or data is None or program is None:
            continue  # a script in front of the real one (pyenv's), or the same again
        if program.platform != wanted.platform:
            elsewhere = elsewhere or program.platform or "another machine"
            continue
        version, prefix = _version(inside, real)
        if not version:
            continue
        seen[real] = version
        if tuple(map(int, version.split("."))) < OLDEST:
            continue
        full = _full(inside, version, prefix, data, wanted, real)
        seen[real] = full
        if accepts(wanted.specifier, full):
            return _described(inside, path, (version, full, real, prefix), program.loader, wanted)
    raise _none(seen, elsewhere, wanted)


def _none(seen: dict[str, str], elsewhere: str, wanted: Wanted) -> LockError:
    found = ", ".join(f"{path} ({version})" for path, version in seen.items())
    if elsewhere and not seen:
        return LockError("base.architecture", f"its Python is for {elsewhere}, not {wanted.platform}",
                         where=wanted.where, hint="whoever made the image gave it the wrong platform")
    if not seen:
        return LockError("base.no-python", "there is no Python in it", where=wanted.where,
                         hint="take a base with Python, or leave base out: Debian's is assembled then")
    if all(tuple(map(int, v.split(".")[:2])) < OLDEST for v in seen.values()):
        return LockError("base.python-version", f"its Python is too old: {found}", where=wanted.where,
                         hint="packages are resolved for Python 3.6 and newer; the image itself runs as it is: "
                              "bareboat run IMAGE CMD")
    return LockError("base.python-version", f"no Python {wanted.specifier} in it, but {found}", where=wanted.where,
                     hint=f"{wanted.source or 'the project'} asks for {wanted.specifier}; change one of the two")


def _candidates(inside: Inside, path: str) -> Iterator[str]:
    """Programs that may be a Python, as they would be found: by PATH, and in it by name."""
    folders = [f for f in path.split(":") if f.startswith("/")]
    folders += [f for f in _MORE if f not in folders]
    folders += [f"/opt/{name}/bin" for name in inside.names("/opt") if f"/opt/{name}/bin" not in folders]
    for folder in folders:
        names = set(inside.names(folder))
        versioned = sorted((n for n in names if _NAME.fullmatch(n) and "." in n), key=_by_version, reverse=True)
        for name in ("python3", "python", *versioned, "platform-python", "python2"):
            if name in names:
                yield f"{folder}/{name}"


def _by_version(name: str) -> tuple[int, int]:
    major, _, minor = name.rpartition("python")[2].partition(".")
    return int(major), int(minor)


def _version(inside: Inside, executable: str) -> tuple[str, str]:
    """"3.12" and the prefix whose library goes with it; ("", "") where there is none (getpath.py's landmark)."""
    named = _VERSION.search(executable)
    folder = executable.rpartition("/")[0]
    while True:
        found = [n[6:] for lib in ("lib", "lib64") for n in inside.names(f"{folder}/{lib}")
                 if _VERSION.fullmatch(n) and inside.is_file(f"{folder}/{lib}/{n}/os.py")]
        versions = [v for v in dict.fromkeys(found) if named is None or v == named[1]]
        if len(versions) == 1:
            return versions[0], folder
        if not folder:
            return "", ""
        folder = folder.rpartition("/")[0]


def _full(inside: Inside, version: str, prefix: str, data: bytes, wanted: Wanted, executable: str) -> str:
    """"3.12.7": from its headers, its own code, conda's records; at last by running it."""
    header = inside.text(f"{prefix}/include/python{version}/patchlevel.h", 1 << 20)
    stated = re.search(r'^#define\s+PY_VERSION\s+"([0-9a-z.]+)\+?"', header, re.MULTILINE)
    if stated and stated[1].startswith(f"{version}."):
        return stated[1]
    word = re.compile(rb"\0(" + re.escape(version).encode() + rb"\.\d{1,3}(?:(?:a|b|rc)\d{1,2})?)\+?\0")
    library = [f"{folder}/{name}" for folder in (f"{prefix}/lib", f"{prefix}/lib64", *_multiarch(inside, prefix))
               for name in inside.names(folder) if name.startswith(f"libpython{version}.so")]
    for content in (data, *(inside.read(path, _EXECUTABLE_MOST) or b"" for path in library)):
        found = set(word.findall(content))
        if len(found) == 1:
            return str(found.pop().decode())
    for name in inside.names(f"{prefix}/conda-meta"):
        if match := re.fullmatch(rf"python-({re.escape(version)}\.\d+)-.*\.json", name):
            return match[1]
    if wanted.ask is not None:
        said = wanted.ask((executable, "-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"))
        if re.fullmatch(rf"{re.escape(version)}\.\d+", said.strip()):
            return said.strip()
    return f"{version}.0"


def _multiarch(inside: Inside, prefix: str) -> list[str]:
    return [f"{prefix}/lib/{name}" for name in inside.names(f"{prefix}/lib") if name.endswith("-linux-gnu")]


def _described(inside: Inside, path: str, found: tuple[str, str, str, str], loader: str, wanted: Wanted) -> Python:
    version, full, executable, prefix = found
    own, site = _system_sites(inside, version, prefix)
    environment, system = _environment(inside, path)
    sites = own
    if environment:
        site = f"{environment}/lib/python{version}/site-packages"
        sites = (site, f"{environment}/lib64/python{version}/site-packages", *(own if system else ()))
    before = tuple(p for p in dict(wanted.env).get("PYTHONPATH", "").split(":") if p.startswith("/"))
    reached = [r for s in (*before, *sites) if (r := inside.real(s)) is not None]
    for folder in list(reached):
        reached += _pth_paths(inside, folder)
    return Python(version, full, executable, prefix or "/", environment, system, tuple(dict.fromkeys(reached)),
                  inside.real(site) or site, _libc(inside, loader, wanted))


def _system_sites(inside: Inside, version: str, prefix: str) -> tuple[tuple[str, ...], str]:
    """Where an interpreter looks for packages, in order, and where a .pth of ours goes."""
    text = inside.text(f"{prefix}/lib/python{version}/site.py", 1 << 20)
    if "dist-packages" in text:  # Debian's, which keeps its own packages and the administrator's apart
        local = f"/usr/local/lib/python{version}/dist-packages"
        shared = "/usr/lib/python3/dist-packages"
        return (local, shared, f"/usr/lib/python{version}/dist-packages"), \
            shared if inside.real(shared) or not inside.real(local) else local
    folders = tuple(f"{prefix}/{lib}/python{version}/site-packages" for lib in ("lib64", "lib"))
    if prefix == "/usr" and inside.is_file(f"/usr/lib64/python{version}/os.py"):  # Fedora's and its kin
        folders = (*(f"/usr/local/{lib}/python{version}/site-packages" for lib in ("lib64", "lib")), *folders)
    return folders, f"{prefix}/lib/python{version}/site-packages"


def _environment(inside: Inside, path: str) -> tuple[str, bool]:
    """The environment that a program's path lies in (PEP 405), and whether it sees the system's packages."""
    folder = inside.real_parent(path) or ""
    for root in (folder.rpartition("/")[0], folder):
        text = inside.text(f"{root}/pyvenv.cfg", 1 << 16)
        if not text:
            continue
        pairs = {k.strip().lower(): v.strip() for k, _, v in (line.partition("=") for line in text.splitlines())}
        if "home" in pairs:
            return root, pairs.get("include-system-site-packages", "").lower() == "true"
    return "", True


def _pth_paths(inside: Inside, site: str) -> list[str]:
    """Directories that .pth files of a site directory add; lines of code are not run."""
    found = []
    for name in inside.names(site):
        if name.endswith(".pth"):
            for line in inside.text(f"{site}/{name}", 1 << 20).splitlines()[:1000]:
                line = line.strip()
                if line and not line.startswith(("#", "import ", "import\t")):
                    real = inside.real(line if line.startswith("/") else f"{site}/{line}")
                    if real is not None and inside.is_folder_at(real) and real != "/":
                        found.append(real)
    return found


def _libc(inside: Inside, loader: str, wanted: Wanted) -> str:
    name = loader.rpartition("/")[2]
    if name.startswith("ld-musl-"):
        return f"musl {musl_version(inside.read(loader, _EXECUTABLE_MOST) or b'') or '1.2'}"
    beside = (inside.real(loader) or "").rpartition("/")[0]
    folders = [beside, "/lib64", "/usr/lib64", "/lib", "/usr/lib", *_multiarch(inside, ""), *_multiarch(inside, "/usr")]
    for folder in folders:
        version = glibc_version(inside.read(f"{folder}/libc.so.6", _EXECUTABLE_MOST) or b"")
        if version:
            return f"glibc {version}"
    raise LockError("base.libc", f"its Python is linked with {loader or 'no C library'}, of no known version",
                    where=wanted.where, hint="bases with glibc or musl are supported")
