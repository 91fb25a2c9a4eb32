"""Which environment variables look like secrets, and what of them a record may hold: the name, never the
value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from re import Pattern

# Ends of the words of a name: API_KEY, PGPASSWORD, githubToken. Words, so that TOKENIZERS_PARALLELISM stays.
_SECRET_WORD = (
    r"(?:TOKEN|TOKENS|SECRET|SECRETS|PASSWORD|PASSWORDS|PASSWD|PASSPHRASE|PASSCODE|KEY|KEYS|CREDENTIAL|CREDENTIALS"
    r"|CREDS|AUTHORIZATION|COOKIE|COOKIES)\Z"
)
_SECRET_ALONE = frozenset(
    {"AUTH", "PASS", "PAT", "PWD", "PIN", "SAS", "DSN", "JWT", "BEARER", "PRIVATE", "SIGNATURE"}
)
_HARMLESS = frozenset({"PWD", "OLDPWD", "SSH_AUTH_SOCK", "XAUTHORITY"})
_CAMEL = r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+"
_USERINFO = r"(://)[^/\s@?#]+@"
_SECRET_VALUE = (
    r"gh[pousr]_[A-Za-z0-9]{20}|github_pat_|glpat-|sk-[A-Za-z0-9_-]{16}|hf_[A-Za-z0-9]{16}|AKIA[0-9A-Z]{16}"
    r"|xox[abprs]-|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|[Bb]earer [A-Za-z0-9._-]{12}"
)
MASK = "***"
# What every run has, and is never a secret: the expressions below are only compiled for what people add.
_USUAL = frozenset({"HOME", "LANG", "PATH", "PYTHONUNBUFFERED", "TERM", "USER", "COLORTERM", "NO_COLOR",
                    "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE",
                    "SSL_CERT_FILE"})  # fmt: skip


@lru_cache(maxsize=8)
def _compiled(expression: str) -> Pattern[str]:
    import re

    return re.compile(expression)


def looks_secret(name: str, value: str = "") -> bool:
    """Whether a variable is kept out: by a word of its name, or by a value shaped like a known token."""
    if name in _USUAL:
        return False
    if _compiled(_SECRET_VALUE).search(value):
        return True
    if name.upper() in _HARMLESS:
        return False
    for word in _compiled(_CAMEL).split(name):
        upper = word.upper()
        if upper in _SECRET_ALONE:
            return True
        if _compiled(_SECRET_WORD).search(upper):
            # MAX_TOKENS=2048 is a parameter of a language model.
            return not (upper == "TOKENS" and value.isdigit() and len(value) < 8)
    return False


def without_userinfo(text: str) -> str:
    """The text with user and password of every URL in it masked."""
    return _compiled(_USERINFO).sub(rf"\1{MASK}@", text) if "://" in text and "@" in text else text


def is_withheld(name: str, value: str) -> bool:
    """Whether a record keeps this value out, or a part of it."""
    return looks_secret(name, value) or without_userinfo(value) != value


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for processes that need nobody's secrets and live longer than who starts them."""
    return {name: value for name, value in environ.items() if not looks_secret(name, value)}


def withhold(env: Iterable[tuple[str, str]]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """What a record may hold of an environment, and the names whose value was kept out or masked; sorted."""
    kept: list[tuple[str, str]] = []
    withheld: list[str] = []
    for name, value in sorted(env):
        if looks_secret(name, value):
            withheld.append(name)
            continue
        masked = without_userinfo(value)
        if masked != value:
            withheld.append(name)
        kept.append((name, masked))
    return tuple(kept), tuple(withheld)
