"""Authorization for one registry: Basic, or Bearer with a token for each scope (distribution-spec refers to Docker's
token authentication; RFC 6750, RFC 6749 section 6 for identity tokens).

A password goes to the registry's own token server only: over TLS, or in the clear where the registry itself, on the
same host, is spoken to in the clear.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from bareboat.registry.base import RegistryError
from bareboat.registry.challenge import Challenge, parse_challenges
from bareboat.registry.secret import NOTHING, Secret, masked
from bareboat.transport import redacted

TOKEN_MOST = 1 << 17  # bytes of a token server's answer
_EXPIRES = 60.0  # seconds, where the token server does not say
_MARGIN = 10.0  # a token this close to its end, or a quarter of its life, is not used for a new request
_TOKEN = re.compile(r"[!-~]{1,65536}")
_SCOPE = re.compile(r"[!-~]{1,1024}")


@dataclass(frozen=True)
class Credential:
    """What logs in: user and password, or an identity token, or a bearer token that is used as it is."""

    user: str = ""
    password: Secret = NOTHING
    identity: Secret = NOTHING
    bearer: Secret = NOTHING


@dataclass(frozen=True)
class Exchange:
    """A request to a token server. body: a form, None for GET."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True)
class _Token:
    value: Secret
    until: float


class Authenticator:
    """What to put into Authorization. Safe to use from several threads, which then share one token.

    base: the URL that credentials are for; find: the credential, asked for once and only when the registry wants one;
    exchange: sends a request without authorization of its own, and gives status and body.
    """

    def __init__(self, base: str, find: Callable[[], Credential | None],
                 exchange: Callable[[Exchange], tuple[int, bytes]], where: str) -> None:
        self._base, self._find, self._exchange, self._where = base, find, exchange, where
        self._lock = threading.RLock()  # an exchange that fails masks its error's text
        self._challenge: Challenge | None = None
        self._found: list[Credential | None] = []
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._secrets: set[Secret] = set()

    def header(self, scopes: tuple[str, ...]) -> str:
        """For a request that needs these scopes; "" as long as the registry has not asked for anything."""
        with self._lock:
            if self._challenge is None:
                return ""
            return self._make(self._challenge, scopes)

    def challenged(self, headers: Iterable[str], scopes: tuple[str, ...], used: str) -> bool:
        """After 401: whether another try has something new to say. used: the header that was refused.

        Raises RegistryError "registry.realm", "registry.token", "registry.answer".
        """
        challenge = self._choose(headers)
        with self._lock:
            before = self._challenge
            self._challenge = challenge
            wanted = tuple(sorted({*scopes, *_extra(challenge, scopes)}))
            token = self._tokens.get(wanted)
            if token is not None and used == f"Bearer {token.value.reveal()}":
                del self._tokens[wanted]
            if not used:
                return bool(self._make(challenge, scopes))
            if challenge.scheme == "basic":
                return before is not None and before.scheme != "basic" and bool(self._make(challenge, scopes))
            made = self._make(challenge, scopes)
            return bool(made) and made != used

    def masked(self, text: str) -> str:
        """The text without anything that was sent or received as a secret."""
        with self._lock:
            return masked(text, self._secrets)

    @property
    def known(self) -> bool:
        """Whether there is a credential at all."""
        with self._lock:
            return self._credential() is not None

    def _choose(self, headers: Iterable[str]) -> Challenge:
        try:
            challenges = parse_challenges(headers)
        except ValueError as error:
            raise RegistryError("registry.answer", str(error), where=self._where) from None
        for scheme in ("bearer", "basic"):
            for challenge in challenges:
                if challenge.scheme == scheme and (scheme == "basic" or challenge.get("realm")):
                    return challenge
        raise RegistryError("registry.auth", "the registry asks for a way to log in that bareboat does not know",
                            where=self._where)

    def _make(self, challenge: Challenge, scopes: tuple[str, ...]) -> str:
        credential = self._credential()
        if credential is not None and credential.bearer:
            return f"Bearer {credential.bearer.reveal()}"
        if challenge.scheme == "basic":
            return self._basic(credential) if credential is not None and credential.user else ""
        wanted = tuple(sorted({*scopes, *_extra(challenge, scopes)}))
        token = self._tokens.get(wanted)
        if token is None or time.monotonic() >= token.until:
            token = self._tokens[wanted] = self._fetch(challenge, wanted, credential)
        return f"Bearer {token.value.reveal()}"

    def _credential(self) -> Credential | None:
        if not self._found:
            found = self._find()
            self._found.append(found)
            if found is not None:
                self._remember(found.password, found.identity, found.bearer)
        return self._found[0]

    def _remember(self, *secrets: Secret) -> None:
        self._secrets.update(secret for secret in secrets if secret)

    def _basic(self, credential: Credential) -> str:
        pair = f"{credential.user}:{credential.password.reveal()}"
        coded = base64.b64encode(pair.encode()).decode()
        self._remember(Secret(coded))
        return f"Basic {coded}"

    def _fetch(self, challenge: Challenge, scopes: tuple[str, ...], credential: Credential | None) -> _Token:
        realm = self._realm(challenge.get("realm"))
        service = challenge.get("service")
        began = time.monotonic()
        if credential is not None and credential.identity:
            form = {"grant_type": "refresh_token", "service": service, "client_id": "bareboat",
                    "refresh_token": credential.identity.reveal(), "scope": " ".join(scopes)}
            body = urlencode({k: v for k, v in form.items() if v}).encode()
            request = Exchange(realm, {"Content-Type": "application/x-www-form-urlencoded"}, body)
        else:
            query = [("service", service)] if service else []
            query += [("scope", scope) for scope in scopes]
            headers = {}
            if credential is not None and credential.user:
                query.append(("account", credential.user))
                headers["Authorization"] = self._basic(credential)
            parts = urlsplit(realm)
            joined = "&".join(x for x in (parts.query, urlencode(query)) if x)
            request = Exchange(urlunsplit((parts.scheme, parts.netloc, parts.path or "/", joined, "")), headers)
        status, answer = self._exchange(request)
        if status != 200:
            raise self._refused(status, realm, credential)
        return self._read(answer, realm, began)

    def _realm(self, realm: str) -> str:
        """Where a token may be asked for. Raises RegistryError "registry.realm"."""
        try:
            parts = urlsplit(realm)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise self._strange("the registry names a token server whose address cannot be read") from None
        if not host or "@" in parts.netloc or not realm.isascii() or any(c <= " " for c in realm):
            raise self._strange("the registry names a token server whose address cannot be read")
        if parts.scheme == "https":
            return realm
        own = urlsplit(self._base)
        if parts.scheme == "http" and own.scheme == "http" and host.lower() == (own.hostname or "").lower():
            return realm
        raise self._strange(f"the registry names the token server {redacted(realm)}, which is not asked without TLS")

    def _strange(self, what: str) -> RegistryError:
        return RegistryError("registry.realm", what, where=self._where,
                             hint="nothing was sent there; ask whoever runs the registry")

    def _refused(self, status: int, realm: str, credential: Credential | None) -> RegistryError:
        host = urlsplit(self._base).netloc
        if status in (400, 401, 403):
            if credential is None:
                return RegistryError("registry.denied", "the registry gives no anonymous access", where=self._where,
                                     hint=f"log in: bareboat login {host}")
            return RegistryError("registry.denied", "the registry does not accept the login", where=self._where,
                                 hint=f"log in again: bareboat login {host}")
        return RegistryError("registry.token", f"the token server {redacted(realm)} answers with HTTP status {status}",
                             where=self._where, hint="try again later")

    def _read(self, answer: bytes, realm: str, began: float) -> _Token:
        try:
            doc: Any = json.loads(answer.decode("utf-8"))
            text = doc.get("token") or doc.get("access_token")
            life = doc.get("expires_in", _EXPIRES)
        except (ValueError, AttributeError, RecursionError):
            text, life = None, _EXPIRES
        if not isinstance(text, str) or not _TOKEN.fullmatch(text):
            raise RegistryError("registry.token", f"the token server {redacted(realm)} answers without a token",
                                where=self._where, hint="try again later, or ask whoever runs the registry")
        if isinstance(life, bool) or not isinstance(life, int | float) or not 0 < life < 1 << 31:
            life = _EXPIRES
        token = Secret(text)
        self._remember(token)
        return _Token(token, began + life - min(_MARGIN, life / 4))


def _extra(challenge: Challenge, scopes: tuple[str, ...]) -> list[str]:
    """Scopes of the registry's own making that are asked for as well; never more rights than the work needs."""
    ours = {action for scope in scopes for action in scope.rpartition(":")[2].split(",")}
    found = []
    for scope in challenge.get("scope").split():
        kind, colon, rest = scope.partition(":")
        actions = set(rest.rpartition(":")[2].split(","))
        if _SCOPE.fullmatch(scope) and (not colon or (kind == "repository" and actions <= ours)):
            found.append(scope)
    return [scope for scope in found if not any(_covers(mine, scope) for mine in scopes)]


def _covers(mine: str, theirs: str) -> bool:
    """Whether one scope says all that the other does: "repository:a:pull,push" covers "repository:a:pull"."""
    name, _, actions = mine.rpartition(":")
    other, _, wanted = theirs.rpartition(":")
    return name == other and set(wanted.split(",")) <= set(actions.split(","))
