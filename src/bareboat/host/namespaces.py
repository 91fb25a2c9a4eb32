"""Whether this machine lets an ordinary user make namespaces, and if not, why and what to do.

Looking (probe) and judging (judge) are apart, so that every cause is tested on a machine that has none of them.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

from bareboat.errors import EngineError
from bareboat.host import kernel


@dataclass(frozen=True)
class Check:
    """One line for doctor; engine.base.Check seen from below."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    fatal: bool = False


@dataclass(frozen=True)
class Findings:
    """What was seen. The *_errno are 0 when the step worked, None when it could not be tried."""

    userns_errno: int = 0
    mount_errno: int | None = 0  # a tmpfs in the new namespaces: what AppArmor refuses
    overlay_errno: int | None = 0
    proc_errno: int | None = 0  # a new /proc in a new pid namespace: what a container's masks refuse
    max_user_namespaces: int | None = None
    unprivileged_clone: int | None = None  # Debian's switch
    apparmor_restrict: int | None = None  # Ubuntu's, since 23.10
    container: str = ""
    root: bool = False
    release: str = ""
    landlock: int = 0
    python: str = "python3"


def probe(user: int | None = None) -> Findings:
    """Look at this machine; tries each step in a child that ends at once. user: as whom, for root to ask."""
    return Findings(
        *_try_all(user),
        max_user_namespaces=_integer("/proc/sys/user/max_user_namespaces"),
        unprivileged_clone=_integer("/proc/sys/kernel/unprivileged_userns_clone"),
        apparmor_restrict=_integer("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        container=_container(),
        root=os.geteuid() == 0 and not user,
        release=os.uname().release,
        landlock=kernel.landlock_abi(),
        python=os.path.realpath(sys.executable or "python3"),
    )


def diagnose(look: Callable[[], Findings] = probe) -> list[Check]:
    """Every line of doctor about namespaces, the first fatal one being the cause of a failure."""
    return judge(look())


def judge(f: Findings) -> list[Check]:
    """Findings to checks. Pure."""
    checks = [_user(f)]
    if not checks[0].ok:
        return checks
    if f.overlay_errno:
        checks.append(Check(
            "overlay", False, f"overlay in a user namespace: {os.strerror(f.overlay_errno)} (Linux {f.release})",
            "Linux 5.11 or newer can stack the layers of an image; until then one merged tree is made for each image."))
    else:
        checks.append(Check("overlay", True, "overlay in a user namespace works"))
    if f.proc_errno:
        checks.append(Check("proc", False, f"a new /proc cannot be mounted: {os.strerror(f.proc_errno)}",
                            _container_remedy(f.container) if f.container else
                            "Something is mounted over parts of /proc: unmount it, or start bareboat outside of it.",
                            fatal=True))
    else:
        checks.append(Check("proc", True, "a new /proc can be mounted"))
    if f.landlock >= 6:
        checks.append(Check("landlock", True, f"Landlock ABI {f.landlock}: abstract sockets and signals are closed"))
    else:
        checks.append(Check("landlock", False,
                            "no Landlock scopes: abstract unix sockets of the host stay reachable from a run",
                            "Linux 6.12 has them; --network none closes them everywhere."))
    return checks


def _user(f: Findings) -> Check:
    number = f.userns_errno or f.mount_errno or 0
    name = "user namespaces"
    if not number:
        return Check(name, True, "an ordinary user can make them")

    def wrong(detail: str, remedy: str) -> Check:
        return Check(name, False, detail, remedy, fatal=True)

    if f.max_user_namespaces == 0:
        return wrong("they are switched off (user.max_user_namespaces = 0)",
                     "sudo sysctl -w user.max_user_namespaces=15000, and the same line in"
                     " /etc/sysctl.d/90-bareboat.conf to keep it.")
    if f.unprivileged_clone == 0 and not f.root:
        return wrong("they are kept for root (kernel.unprivileged_userns_clone = 0)",
                     "sudo sysctl -w kernel.unprivileged_userns_clone=1, and the same line in"
                     " /etc/sysctl.d/90-bareboat.conf to keep it.")
    if f.container:
        return wrong(f"{f.container} does not allow them in its containers ({os.strerror(number)})",
                     _container_remedy(f.container))
    if f.apparmor_restrict and not f.root:
        return wrong("AppArmor keeps them from ordinary programs (kernel.apparmor_restrict_unprivileged_userns = 1,"
                     " as in Ubuntu 23.10 and newer)",
                     "Allow it for this Python: write into /etc/apparmor.d/bareboat (as root)\n"
                     f"    abi <abi/4.0>,\n    profile bareboat {f.python} flags=(unconfined) {{ userns, }}\n"
                     "  and run sudo systemctl reload apparmor; or for all programs:"
                     " sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0.")
    if number in (errno.ENOSPC, errno.EUSERS):
        return wrong("there are already as many as the machine or the nesting allows",
                     f"Raise user.max_user_namespaces (now {f.max_user_namespaces}), or start fewer at a time.")
    if number == errno.EINVAL:
        return wrong("this kernel has none (CONFIG_USER_NS)", "Boot a kernel of the distribution that has them.")
    return wrong(f"making one failed: {os.strerror(number)}",
                 "A seccomp filter or a security module around this shell forbids it: start bareboat outside of it.")


def _container_remedy(container: str) -> str:
    if container == "podman":
        return "Start the outer container with --security-opt seccomp=unconfined --security-opt unmask=ALL."
    if container == "kubernetes":
        return "In the pod: securityContext with seccompProfile: Unconfined and procMount: Unmasked, hostUsers: false."
    return ("Start the outer container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
            " --security-opt systempaths=unconfined.")


def blocked(number: int, text: str, look: Callable[[], Findings] = probe) -> EngineError:
    """The error for a sandbox that could not be made: the first fatal check, else what the kernel said."""
    for check in diagnose(look):
        if check.fatal and not check.ok:
            return EngineError("engine.namespaces", f"{check.name}: {check.detail}", hint=check.remedy)
    return EngineError("engine.namespaces", f"the namespaces cannot be made: {text}",
                       hint="bareboat doctor shows what this machine allows.")


def _integer(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _container() -> str:
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    for path, name in (("/run/.containerenv", "podman"), ("/.dockerenv", "docker")):
        if os.path.exists(path):
            return name
    return ""


def _try_all(user: int | None) -> tuple[int, int | None, int | None, int | None]:
    """userns, tmpfs, overlay and proc, in this order, in a child; each by the errno it got."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if user is not None:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
                kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # or its own /proc files stay root's
            _steps(write)
        finally:
            os._exit(0)
    os.close(write)
    text = b""
    while chunk := os.read(read, 64):
        text += chunk
    os.close(read)
    os.waitpid(pid, 0)
    numbers: list[int | None] = [*map(int, text.split())]
    numbers += [None] * (4 - len(numbers))
    first = numbers[0]
    return (errno.EPERM if first is None else first), numbers[1], numbers[2], numbers[3]


def _steps(out: int) -> None:
    uid, gid = os.geteuid(), os.getegid()

    def step(do: Callable[[], None]) -> bool:
        try:
            do()
        except OSError as error:
            os.write(out, b"%d " % (error.errno or errno.EPERM))
            return False
        os.write(out, b"0 ")
        return True

    def user() -> None:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)

    def tmpfs() -> None:
        kernel.mount(None, b"/", None, kernel.MS_REC | kernel.MS_SLAVE)
        kernel.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, b"size=65536")
        for name in ("lower", "upper", "work", "root", "proc"):
            os.mkdir(f"/tmp/{name}")

    def overlay() -> None:
        kernel.mount(b"overlay", b"/tmp/root", b"overlay", 0,
                     b"lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work,userxattr")

    def proc() -> None:
        pid = os.fork()
        if pid == 0:
            number = 0
            try:
                kernel.mount(b"proc", b"/tmp/proc", b"proc", 0)
            except OSError as error:
                number = error.errno or errno.EPERM
            finally:
                os._exit(number & 0xFF)
        _, status = os.waitpid(pid, 0)
        if os.waitstatus_to_exitcode(status):
            raise OSError(abs(os.waitstatus_to_exitcode(status)), "proc")

    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if step(user) and step(tmpfs):
        step(overlay)
        step(proc)
