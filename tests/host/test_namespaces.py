"""Every cause for which a machine refuses namespaces, and its remedy."""

from __future__ import annotations

import errno

import pytest

from bareboat.host.namespaces import Findings, blocked, diagnose, judge


def test_all_is_well() -> None:
    assert all(check.ok for check in judge(Findings(landlock=7)))


@pytest.mark.parametrize(("findings", "detail", "remedy"), [
    (Findings(errno.ENOSPC, max_user_namespaces=0), "switched off", "sysctl -w user.max_user_namespaces=15000"),
    (Findings(errno.EPERM, unprivileged_clone=0), "kept for root", "kernel.unprivileged_userns_clone=1"),
    (Findings(0, errno.EACCES, apparmor_restrict=1, python="/opt/py"), "AppArmor", "profile bareboat /opt/py"),
    (Findings(errno.EPERM, apparmor_restrict=1), "AppArmor", "apparmor_restrict_unprivileged_userns=0"),
    (Findings(errno.EPERM, container="docker"), "docker", "seccomp=unconfined"),
    (Findings(errno.EPERM, container="podman", root=True), "podman", "unmask=ALL"),
    (Findings(errno.EPERM, container="kubernetes"), "kubernetes", "procMount"),
    (Findings(errno.ENOSPC, max_user_namespaces=10), "as many", "Raise user.max_user_namespaces (now 10)"),
    (Findings(errno.EUSERS), "as many", "Raise"),
    (Findings(errno.EINVAL), "CONFIG_USER_NS", "Boot"),
    (Findings(errno.EPERM), "Operation not permitted", "security module"),
    (Findings(0, 0, 0, errno.EPERM, container="docker"), "/proc cannot be mounted", "systempaths=unconfined"),
])
def test_causes(findings: Findings, detail: str, remedy: str) -> None:
    check = next(check for check in judge(findings) if not check.ok and check.fatal)
    assert detail in check.detail and remedy in check.remedy
    error = blocked(errno.EPERM, "x", lambda: findings)
    assert error.code == "engine.namespaces" and remedy in error.hint and detail in error.what


def test_no_overlay_and_no_scopes_are_not_fatal() -> None:
    checks = judge(Findings(overlay_errno=errno.EPERM, release="5.4", landlock=0))
    assert {check.name for check in checks if not check.ok} == {"overlay", "landlock"}
    assert not any(check.fatal for check in checks)


def test_a_cause_that_is_not_known_says_what_the_kernel_said() -> None:
    assert "it was so" in blocked(errno.EIO, "it was so", Findings).what


def test_looking_at_this_machine_ends() -> None:
    assert diagnose()[0].name == "user namespaces"
