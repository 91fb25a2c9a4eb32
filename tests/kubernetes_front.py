"""A proxy and the TLS of an API server behind it, in one thread, before a mock that has neither."""

from __future__ import annotations

import datetime
import select
import socket
import ssl
import threading
from pathlib import Path


class Front:
    """Takes CONNECT, then TLS as NAME, then carries bytes. asked: what CONNECT was for."""

    NAME = "k8s.example.invalid"

    def __init__(self, folder: Path, behind: int) -> None:
        self.behind, self.asked, self.ca = behind, list[str](), folder / "ca.pem"
        key = certificate(self.NAME, self.ca)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.ca, key)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        self.asked.append(head.split()[1].decode())
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            inner = self.context.wrap_socket(client, server_side=True)
        except OSError:
            client.close()  # who asked does not trust us
            return
        with inner, socket.create_connection(("127.0.0.1", self.behind)) as plain:
            while True:
                ready = [inner] if inner.pending() else select.select([inner, plain], [], [])[0]
                try:
                    data = ready[0].recv(65536)
                    if not data:
                        return
                    (plain if ready[0] is inner else inner).sendall(data)
                except OSError:
                    return


def certificate(name: str, path: Path) -> Path:
    """A certificate that signs itself, at path; where its key is."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
            .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256()))
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    where = path.with_suffix(".key")
    where.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                        serialization.NoEncryption()))
    return where
