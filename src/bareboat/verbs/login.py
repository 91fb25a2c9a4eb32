"""login and logout: a registry's user and password, kept where Docker and Podman find them too."""

from __future__ import annotations

from bareboat.registry import login as logins
from bareboat.registry.hosts import RegistrySettings
from bareboat.registry.secret import Secret
from bareboat.verbs.collaborators import Tell


def login(registry: str, user: str, password: Secret, settings: RegistrySettings, tell: Tell) -> None:
    """Check with the registry, then keep. Raises UsageError "login.*", RegistryError "registry.*"."""
    host = logins.registry_name(registry)
    kept = logins.login(host, user, password, settings)
    tell.say(f"logged in to {host} as {user}; kept in {kept}")
    if not kept.helper:
        tell.detail("the password lies in that file as it is, readable by you alone; a credential helper hides it")


def logout(registry: str, settings: RegistrySettings, tell: Tell) -> None:
    """Forget. No error where nobody was logged in."""
    host = logins.registry_name(registry)
    found = logins.logout(host, settings)
    for kept in found:
        tell.say(f"logged out of {host}: removed from {kept}")
    if not found:
        tell.say(f"there is no login for {host}")
