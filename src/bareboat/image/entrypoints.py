"""Console scripts: entry_points.txt in, the text of the small programs that call them out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_SHEBANG_LIMIT = 127  # of the whole line, in bytes: older kernels cut the rest off


@dataclass(frozen=True)
class Script:
    """A console or gui script: its name, the module to import and the attribute path to call."""

    name: str
    module: str
    attribute: str

    @property
    def reference(self) -> str:
        return f"{self.module}:{self.attribute}"


def console_scripts(text: str) -> tuple[Script, ...]:
    """The scripts that entry_points.txt declares, sorted by name.

    Raises ValueError, with a sentence, for names that leave the directory or shadow the interpreter, for
    references that are not module:attribute, and for a name given twice with different references.
    """
    scripts: dict[str, Script] = {}
    section = ""
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            section = line[1:-1].strip()
            continue
        if section not in ("console_scripts", "gui_scripts"):
            continue
        name, equals, reference = (part.strip() for part in line.partition("="))
        if not equals or not name:
            raise ValueError(f"{line!r} is not NAME = MODULE:ATTRIBUTE")
        if "/" in name or "\\" in name or "\0" in name or name in (".", "..") or not name.isprintable():
            raise ValueError(f"the script name {name!r} is not a plain file name")
        if reserved(name):
            raise ValueError(f"the script name {name!r} belongs to the interpreter")
        script = _script(name, reference)
        if scripts.setdefault(name, script) != script:
            raise ValueError(f"the script {name!r} is declared twice")
    return tuple(scripts[name] for name in sorted(scripts, key=str.encode))


def reserved(name: str) -> bool:
    """Whether a program of this name would stand in for the interpreter: python, python3.13, pythonw,
    python3t.

    Names that only begin so stay allowed: argcomplete ships python-argcomplete-check-easy-install-script.
    """
    if not name.startswith("python"):
        return False
    rest = name[6:].removesuffix(".exe").removeprefix("w").lstrip("0123456789.")
    return rest in ("", "t", "d", "m", "u", "w", "-config")


def script_text(reference: str, interpreter: str) -> str:
    """The program that imports MODULE and calls ATTRIBUTE of a reference "MODULE:ATTRIBUTE", for any Python.

    Raises ValueError for a reference of another form. interpreter: an absolute path inside the image.
    """
    script = _script("script", reference)
    first = script.attribute.partition(".")[0]
    return (
        f"{interpreter_line(interpreter)}# -*- coding: utf-8 -*-\n"
        "import sys\n\n"
        f"from {script.module} import {first}\n\n"
        'if __name__ == "__main__":\n'
        f"    sys.exit({script.attribute}())\n"
    )


def interpreter_line(interpreter: str, arguments: str = "") -> str:
    """The first line(s) of a script that start the interpreter.

    Where the kernel could not read the first line (longer than 127 bytes, or a space in the path) /bin/sh
    starts the interpreter: the quoted line is a string to Python and a command to the shell.
    """
    plain = f"#!{interpreter} {arguments}".rstrip()
    if " " not in interpreter and len(plain.encode("utf-8", "surrogateescape")) <= _SHEBANG_LIMIT:
        return plain + "\n"
    middle = f" {arguments}" if arguments else ""
    return f"#!/bin/sh\n'''exec' \"{interpreter}\"{middle} \"$0\" \"$@\"\n' '''\n"


def _script(name: str, reference: str) -> Script:
    target = reference.partition("[")[0].strip()
    module, colon, attribute = (part.strip() for part in target.partition(":"))
    if not colon or not all(p.isidentifier() for p in [*module.split("."), *attribute.split(".")]):
        raise ValueError(f"{name} = {reference} is not MODULE:ATTRIBUTE")
    return Script(name, module, attribute)
