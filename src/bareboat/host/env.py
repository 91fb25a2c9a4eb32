"""What of the host's environment may enter a sandbox: an allow-list, proxies, and the bundle of trusted CAs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bareboat.workload import Mount

PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
# How a terminal looks; nothing that names a file, a socket or a secret.
# Language and time zone stay the image's, so that a run does not depend on who starts it.
COLOURS = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE")
TERMINAL = ("TERM", "COLORTERM")
# Each is a path of the host's; inside, all of those a tool may ask are set to the one mounted bundle.
_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO",
                     "NODE_EXTRA_CA_CERTS")
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",  # Alpine
)
INSIDE = "/run/bareboat/ca-bundle.crt"


def ca_bundle(environment: Mapping[str, str]) -> Path | None:
    """The host's bundle: what its variables say, else where distributions keep it; None when there is none.

    A variable that names a missing or unreadable file is passed over, as it would be useless inside as well.
    """
    for name in _BUNDLE_VARIABLES:
        value = environment.get(name)
        if value and os.path.isfile(value) and os.access(value, os.R_OK):
            return Path(value).resolve()
    for path in _BUNDLES:
        if os.access(path, os.R_OK) and os.path.isfile(path):
            return Path(path).resolve()
    return None


def bundle_variables(inside: str = INSIDE) -> dict[str, str]:
    """The variables that make the tools inside trust the mounted bundle."""
    return dict.fromkeys(_BUNDLE_VARIABLES, inside)


def proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The proxy variables, each in both spellings; lower case wins, as in curl and urllib."""
    found: dict[str, str] = {}
    for name in PROXIES:
        value = environment.get(name) or environment.get(name.upper())
        if value:
            found[name] = found[name.upper()] = value
    return found


def inherited(environment: Mapping[str, str], *, tty: bool) -> tuple[dict[str, str], tuple[Mount, ...]]:
    """All of the host's that enters by itself: variables, and the CA bundle as a mount they point to.

    The bundle is mounted and never baked in, so an image behind a company's proxy is the same image.
    """
    allowed = (*COLOURS, *TERMINAL) if tty else COLOURS
    variables = {name: environment[name] for name in allowed if name in environment} | proxies(environment)
    bundle = ca_bundle(environment)
    if bundle is None:
        return variables, ()
    return variables | bundle_variables(), (Mount(bundle, INSIDE, read_only=True),)
