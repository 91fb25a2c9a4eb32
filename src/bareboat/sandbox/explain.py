"""The exact sandbox as text: what run --explain prints. Pure."""

from __future__ import annotations

import os

from bareboat.sandbox import box as boxes
from bareboat.sandbox.driver import Made
from bareboat.sandbox.limits import Plan
from bareboat.sandbox.session import Settings

_STAGE = b"$STAGE"


def explain(box: boxes.Box, settings: Settings, digest: str, plan: Plan) -> str:
    """Every wall and every hole of the sandbox, a line each; digest: of the system call filter."""
    me, us = os.geteuid(), os.getegid()
    lines = [
        ("program", " ".join(_show(part) for part in box.argv)),
        ("directory", _show(box.cwd)),
        ("namespaces", "user pid ipc uts cgroup mount" + ("" if box.host_network else " net")),
        ("user", f"{box.uid}:{box.gid} inside is {me}:{us} outside; no other ids, no further user namespaces"),
        ("capabilities", "none; no_new_privs"),
        ("seccomp", f"deny list {digest}"),
        ("landlock", "abstract unix sockets and signals of the host are closed" if settings.scopes
         else "no scopes in this kernel"),
        *((("emulation", f"{box.emulation.platform} by {_show(box.emulation.interpreter)}, registered in this sandbox "
            "alone; its system calls go through the same filter"),) if box.emulation else ()),
        ("image", f"{len(box.trees)} trees, read-only, in an overlay"),
        *(("", _show(tree)) for tree in box.trees),
        ("thin layer", f"{_size(box.scratch)}, thrown away, " + (_show(box.disk) if box.disk else "in memory")),
        ("scratch", f"/tmp and {_show(box.home)} in the thin layer; /dev/shm {_size(box.shm)}"),
        *(("mount", _bind(bind)) for bind in box.binds),
        *(("tmpfs", _memory(memory)) for memory in box.memory),
        ("mount", "/sys/devices/system read-only: processors and memory nodes"),
        ("devices", "null zero full random urandom tty" + (" and a pty made inside" if box.tty else "")
         + "".join(f" {_show(bind.target[5:])}" for bind in box.binds if bind.device)),
        *((("driver", _driver(box.driver)),) if box.driver else ()),
        ("network", _network(box, settings)),
        ("descriptors", "0, 1 and 2 only"),
        ("environment", " ".join(_show(name) for name, _ in box.env)),
        ("limits", plan.sentence or "none asked for"),
        ("bwrap", _show(settings.bwrap)),
        ("", " ".join(_show(part) for part in _without_values(boxes.options(box, _STAGE)))),
        ("", " ".join(_show(part) for part in boxes.command(box))),
    ]
    return "\n".join(f"{name:<13} {text}".rstrip() for name, text in lines) + "\n"


def _network(box: boxes.Box, settings: Settings) -> str:
    if not box.host_network:
        return "none: a loopback of its own, nothing of the host's is reachable"
    text = "the host's: the outside, every service on the host's loopback"
    if not settings.scopes:
        text += ", and abstract unix sockets (X11, D-Bus)"
    return text + "; unix sockets with a path only where they are mounted"


def _driver(made: Made) -> str:
    names = " ".join(dict.fromkeys(name for name, _ in made.libraries))
    return f"{len(made.links)} links made, and the loader's cache names {names} first; no hook is run"


def _bind(bind: boxes.Bind) -> str:
    mode = "read-only" if bind.read_only or bind.over else "read-write"
    over = f", under {_show(bind.over)}" if bind.over else ""
    return f"{_show(bind.target)} is {_show(bind.source)}, {mode}{over}"


def _memory(memory: boxes.Memory) -> str:
    mode = "read-only" if memory.read_only else "read-write"
    return (f"{_show(memory.target)}, {_size(memory.size)} in memory, mode {memory.mode:04o}, {mode}"
            + ("" if memory.programs else ", no programs"))


def _without_values(options: tuple[bytes, ...]) -> list[bytes]:
    """The environment's values may be secrets: only names are shown."""
    shown, rest = [], list(options)
    while rest:
        part = rest.pop(0)
        shown.append(part)
        if part == b"--setenv":
            shown += [rest.pop(0), b"..."]
            rest.pop(0)
    return shown


def _show(text: bytes) -> str:
    """As a shell would read it back; control characters escaped, so that no name can write on the terminal."""
    plain = os.fsdecode(text).encode("utf-8", "backslashreplace").decode()
    if plain and all(c.isalnum() or c in "-_./:=+,@%$" for c in plain):
        return plain
    if plain.isprintable():
        return "'" + plain.replace("'", "'\\''") + "'"
    return "$'" + plain.encode("unicode_escape").decode().replace("'", "\\'") + "'"


def _size(number: int) -> str:
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min((max(number, 1).bit_length() - 1) // 10, len(units) - 1)
    return f"{round(number / (1 << 10 * power), 1):g} {units[power]}"
