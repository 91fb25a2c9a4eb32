"""From a project and its lock to the plan of its image: which files bareboat writes itself, and the config."""

from __future__ import annotations

from bareboat.image.plan import GeneratedFile, Interpreter, Plan, interpreter
from bareboat.lock import BaseImage, PlatformLock
from bareboat.project.values import Package, Project

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def plan_for(project: Project, locked: PlatformLock) -> Plan:
    """The plan of a project's image on one platform. Pure: the same project and lock give the same digest."""
    python = interpreter(locked.base.python, locked.base.python_full)
    generated = environment_files(python)
    if project.package is not None:
        generated += package_files(project.package, python)
    return Plan(
        platform=locked.platform,
        family=locked.base.family,
        suite=locked.base.suite,
        interpreter=python,
        debs=locked.base.packages,
        wheels=locked.wheels,
        generated=tuple(sorted(generated, key=lambda g: g.path.encode())),
        env=image_env(python),
        workdir=project.workdir,
        date=locked.base.date,
        libc=locked.base.libc,
    )


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


def environment_files(python: Interpreter) -> list[GeneratedFile]:
    """What makes the prefix an environment of the interpreter (PEP 405 where it knows pyvenv.cfg)."""
    prefix = python.prefix.lstrip("/")
    major = python.version.split(".")[0]
    names = ("python", f"python{major}", f"python{python.version}")
    files = [GeneratedFile(f"{prefix}/bin/{name}", mode=0o777, link=python.executable) for name in names]
    if major != "2":
        home = python.executable.rsplit("/", 1)[0]
        files.append(GeneratedFile(f"{prefix}/pyvenv.cfg",
                                   f"home = {home}\ninclude-system-site-packages = false\n"
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
