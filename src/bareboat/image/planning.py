"""From a project and its lock to the plan of its image: which files bareboat writes itself, and the config."""

from __future__ import annotations

import os

from bareboat.image.plan import GeneratedFile, Interpreter, Plan, interpreter_of
from bareboat.lock import Base, BaseImage, PlatformLock
from bareboat.project.values import Package, Project
from bareboat.values import replace

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def plan_for(project: Project, locked: PlatformLock) -> Plan:
    """The plan of a project's image on one platform. Pure: the same project and lock give the same digest."""
    base = locked.base
    python = interpreter_of(base)
    generated = environment_files(python, system=base.image is not None and base.system)
    if base.image is not None:
        generated += bridges(base, python)
    if project.package is not None:
        generated += package_files(project.package, python)
    return Plan(
        platform=locked.platform,
        family=base.family,
        suite=base.suite,
        interpreter=python,
        debs=base.packages,
        wheels=locked.wheels,
        generated=tuple(sorted(generated, key=lambda g: g.path.encode())),
        env=image_env(python) if base.image is None else env_over(base.image, python),
        workdir=project.workdir,
        date=base.date,
        libc=base.libc,
        image=in_place(base, project).image,
        cpython=base.cpython,
    )


def in_place(base: Base, project: Project) -> Base:
    """The base with the layout it came from where that is on this machine: a lock names it from the project's
    folder."""
    image = base.image
    if image is None or not image.reference.startswith("oci:") or image.reference.startswith("oci:/"):
        return base
    path = os.path.normpath(f"{project.root}/{image.reference[4:]}")
    return replace(base, image=replace(image, reference=f"oci:{path}"))


def env_over(image: BaseImage, python: Interpreter) -> tuple[tuple[str, str], ...]:
    """The variables of an image that others made, with our environment in front of its PATH."""
    env = {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **dict(image.env)}
    env["PATH"] = f"{python.prefix}/bin:{env.get('PATH') or SYSTEM_PATH}"
    if "VIRTUAL_ENV" in env:
        env["VIRTUAL_ENV"] = python.prefix
    return tuple(sorted(env.items()))


def bridges(base: Base, python: Interpreter) -> list[GeneratedFile]:
    """What makes the base's packages and ours see each other: a .pth in the base's site directory, so that its own
    console scripts find ours; and where its Python is an environment's (which includes nobody), one in ours.

    A line of code, for a path alone would not have its .pth files read (site.py); said once, for they would go round.
    """
    name = f"_bareboat{python.prefix.replace('/', '_')}.pth"
    files = [GeneratedFile(f"{base.site.lstrip('/')}/{name}", _reach(python.site))]
    if base.environment:
        files.append(GeneratedFile(f"{python.site.lstrip('/')}/_bareboat_base.pth", _reach(base.site)))
    return files


def _reach(site: str) -> str:
    return f"import sys, site; p = {site!r}; p in sys.path or site.addsitedir(p)\n"


def image_plan(image: BaseImage, platform: str) -> Plan:
    """The plan of an image as others made it: that image, and nothing of ours."""
    env = dict(image.env)
    env.setdefault("PATH", SYSTEM_PATH)
    nothing = Interpreter("", "", "", "", "")
    return Plan(platform, "oci", image.reference, nothing, (), (), (), tuple(sorted(env.items())),
                image.workdir or "/", image=image)


def image_env(python: Interpreter) -> tuple[tuple[str, str], ...]:
    """The variables of the image's config, as Docker images carry them; a run's own come on top."""
    own = "" if python.prefix == "/usr/local" else f"{python.prefix}/bin:"
    return (("LANG", "C.UTF-8"), ("PATH", own + SYSTEM_PATH), ("PYTHONUNBUFFERED", "1"))


def environment_files(python: Interpreter, *, system: bool = False) -> list[GeneratedFile]:
    """What makes the prefix an environment of the interpreter (PEP 405 where it knows pyvenv.cfg).

    system: whether it sees the packages that the interpreter comes with.
    """
    prefix = python.prefix.lstrip("/")
    major = python.version.split(".")[0]
    names = ("python", f"python{major}", f"python{python.version}")
    files = [GeneratedFile(f"{prefix}/bin/{name}", mode=0o777, link=python.executable) for name in names]
    if major != "2":
        home = python.executable.rsplit("/", 1)[0]
        files.append(GeneratedFile(f"{prefix}/pyvenv.cfg",
                                   f"home = {home}\ninclude-system-site-packages = {str(system).lower()}\n"
                                   f"version = {python.full}\n"))
    return files


def package_files(package: Package, python: Interpreter) -> list[GeneratedFile]:
    """A packaged project as an editable install: a .pth to the mounted code, its metadata and its scripts.

    importlib.metadata finds name, version and entry points (core metadata specification 2.1); the code itself is
    the mount, so an edit shows at once.
    """
    from bareboat.image.entrypoints import script_text

    site, prefix = python.site.lstrip("/"), python.prefix.lstrip("/")
    info = f"{site}/{_distribution(package.name)}-{package.version}.dist-info"
    entries: dict[str, list[str]] = {}
    for group, name, value in package.entry_points:
        entries.setdefault(group, []).append(f"{name} = {value}")
    entries["console_scripts"] = [f"{name} = {value}" for name, value in package.scripts]
    points = "".join(f"[{group}]\n" + "\n".join(sorted(lines)) + "\n\n" for group, lines in sorted(entries.items())
                     if lines)
    files = [
        GeneratedFile(f"{site}/_{_distribution(package.name)}.pth", package.import_path + "\n"),
        GeneratedFile(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package.name}\n"
                                          f"Version: {package.version}\n"),
        GeneratedFile(f"{info}/INSTALLER", "bareboat\n"),
    ]
    if points:
        files.append(GeneratedFile(f"{info}/entry_points.txt", points))
    for name, target in package.scripts:
        files.append(GeneratedFile(f"{prefix}/bin/{name}", script_text(target, python.shebang), mode=0o755))
    return files


def _distribution(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name).lower()
