"""Keys: those of the user that may come in, one of bareboat's own, and host keys that are known in advance."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from bareboat.errors import BareboatError
from bareboat.values import dataclass

MOST = 1 << 20  # bytes of a file of keys
KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa",
         "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")


@dataclass(frozen=True)
class Pair:
    """A key made here: the private one's file, and the public one's line (kind and base64, no comment)."""

    private: Path
    public: str


def public_key(line: str) -> str:
    """The key of a line of authorized_keys or of a .pub file, without comment; "" where it is none, or has options.

    A key with options (command=, from=, restrict …) was given less than everything, so it gets nothing here.
    """
    words = line.split()
    return " ".join(words[:2]) if len(words) >= 2 and words[0] in KINDS else ""


def of_user(folder: Path, skipped: Callable[[str], None]) -> tuple[str, ...]:
    """The user's public keys in ~/.ssh: *.pub and authorized_keys, sorted. skipped: told why a file is left out, which
    it is when others could have written it, as by sshd's StrictModes.
    """
    found: set[str] = set()
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return ()
    why = others_write(folder)
    if why:
        skipped(why)
        return ()
    for name in names:
        if name == "authorized_keys" or (name.endswith(".pub") and not name.endswith("-cert.pub")):
            try:
                lines = list(_lines(folder / name))
            except BareboatError as error:
                skipped(str(error))
                continue
            found.update(key for line in lines if (key := public_key(line)))
    return tuple(sorted(found))


def _lines(file: Path) -> Iterator[str]:
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BareboatError("ssh.keys", f"cannot be read: {error.strerror}", where=str(file)) from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST:
            raise BareboatError("ssh.keys", "is no file of keys", where=str(file))
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
            raise BareboatError("ssh.keys", "others can write to it, so its keys are left out", where=str(file),
                                hint=f"check it, then: chmod go-w {file}")
        text = os.read(fd, MOST)
    finally:
        os.close(fd)
    yield from text.decode("utf-8", "replace").splitlines()


def others_write(folder: Path) -> str:
    """Why a directory is not trusted: another's, or writable by others; "" when it is."""
    status = os.stat(folder)
    if status.st_uid not in (os.geteuid(), 0):
        return f"{folder} belongs to another user, so its keys are left out"
    if status.st_mode & 0o022:
        return f"others can write to {folder}, so its keys are left out; check it, then: chmod go-w {folder}"
    return ""


def make(file: Path) -> Pair:
    """A key pair of Ed25519 at file (0600) and file.pub; the one that is there already. Safe beside another maker.

    Raises BareboatError "ssh.key" where what is there is no key.
    """
    public = file.with_name(f"{file.name}.pub")
    try:
        return Pair(file, _read_public(public))
    except FileNotFoundError:
        pass
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from bareboat.host.files import replace_file

    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH,
                                serialization.NoEncryption())
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    lock = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return Pair(file, _read_public(public))
        except FileNotFoundError:
            replace_file(file, private, 0o600)
            replace_file(public, line + b"\n", 0o644)  # last: where it is, the private key is
    finally:
        os.close(lock)
    return Pair(file, line.decode())


def _read_public(file: Path) -> str:
    found = public_key(file.read_text("utf-8"))
    if not found:
        raise BareboatError("ssh.key", "is no public key", where=str(file),
                            hint="remove it and the file beside it: both are made anew")
    return found
