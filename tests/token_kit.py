"""A token server (Docker's token authentication) for docker-registry: tokens signed by a key that openssl made."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.registry_kit import Reply, Request, Server, problem


def self_signed(folder: Path, name: str = "127.0.0.1") -> tuple[Path, Path]:
    """A certificate for the loopback, and its key."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", str(key), "-out", str(certificate), "-days", "30", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=IP:{name}" if name[0].isdigit() else f"subjectAltName=DNS:{name}"],
                   check=True, capture_output=True)
    return certificate, key


class TokenServer(Server):
    """Gives every scope that is asked for to the one user."""

    def __init__(self, folder: Path, user: str, password: str) -> None:
        self.certificate, self.key = self_signed(folder, "tokens")
        self.good = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        super().__init__()

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != self.good:
            return problem(401, "UNAUTHORIZED")
        access = []
        for scope in parse_qs(urlsplit(request.target).query).get("scope", []):
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        certificate = "".join(self.certificate.read_text().split("\n")[1:-2])
        head = {"typ": "JWT", "alg": "ES256", "x5c": [certificate]}
        claims = {"iss": "ours", "sub": "user", "aud": "ours", "exp": now + 60, "nbf": now - 5, "iat": now,
                  "jti": str(len(self.log)), "access": access}
        text = f"{_coded(json.dumps(head).encode())}.{_coded(json.dumps(claims).encode())}"
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=text.encode(), check=True,
                                capture_output=True).stdout
        return Reply(200, {"Content-Type": "application/json"},
                     json.dumps({"token": f"{text}.{_coded(_raw(signed))}", "expires_in": 60}).encode())


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _raw(signature: bytes) -> bytes:
    """The two numbers of a DER signature, 32 bytes each (RFC 7518 3.4)."""
    found, at = b"", 2
    for _ in range(2):
        length = signature[at + 1]
        found += signature[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + length
    return found
