"""What a session brings besides the project's environment: locked apart, in trees of its own. Pure.

A tool's wheels are not the project's requirements: they are laid over its image for the session alone, and its lock
is bareboat's own. With a prefix of its own a tool shares nothing but the interpreter with the project.
"""

from __future__ import annotations

import json

from bareboat.digests import sha256
from bareboat.image.plan import GeneratedFile, Interpreter, Plan
from bareboat.image.planning import environment_files
from bareboat.lock import Wheel
from bareboat.values import dataclass, replace


@dataclass(frozen=True)
class Tool:
    """requirements: PEP 508 lines; constraints: NAME==VERSION lines that a solution must keep to; prefix: where it is
    installed, "" for the project's own environment; generated: files that go with it.
    """

    name: str
    requirements: tuple[str, ...]
    prefix: str = ""
    constraints: tuple[str, ...] = ()
    generated: tuple[GeneratedFile, ...] = ()


PIP = Tool("pip", ("pip",))


def interpreter_for(tool: Tool, python: Interpreter) -> Interpreter:
    """The image's interpreter as the tool's environment has it."""
    if not tool.prefix:
        return python
    return replace(python, prefix=tool.prefix, site=f"{tool.prefix}/lib/python{python.version}/site-packages")


def lock_key(tool: Tool, plan: Plan) -> str:
    """What a tool's lock is a function of, besides what the index had when it was made."""
    about = [tool.requirements, tool.constraints, plan.interpreter.full, plan.libc, plan.platform]
    return "toollock-" + sha256(json.dumps(about).encode()).hexdigest()


def tool_key(tool: Tool, plan: Plan) -> str:
    """What a tool's trees are a function of, besides its lock."""
    python = interpreter_for(tool, plan.interpreter)
    about = [lock_key(tool, plan), python.executable, python.prefix, python.site,
             [(f.path, f.content, f.mode, f.link) for f in tool.generated]]
    return "tool-" + sha256(json.dumps(about).encode()).hexdigest()


def tool_plan(tool: Tool, wheels: tuple[Wheel, ...], plan: Plan) -> Plan:
    """The plan of an image with the base of `plan` and the tool instead of the project's packages."""
    python = interpreter_for(tool, plan.interpreter)
    files = (*environment_files(python), *tool.generated) if tool.prefix else tool.generated
    return replace(plan, interpreter=python, wheels=wheels, code=None, entrypoint=(), cmd=(), labels=(),
                   generated=tuple(sorted(files, key=lambda f: f.path.encode())))
