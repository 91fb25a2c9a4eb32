"""--code: a project in a git repository, by reference. Pure: nobody is asked."""

from __future__ import annotations

from bareboat.errors import ProjectError
from bareboat.values import dataclass, field

GRAMMAR = "git+https://HOST/PATH[@BRANCH, TAG or COMMIT][#subdir=FOLDER], or git+ssh://…, git+file:///…"
SCHEMES = ("https", "ssh", "file")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NOT_IN_REFS = frozenset(" ~^:?*[\\\x7f") | frozenset(map(chr, range(32)))  # git-check-ref-format(1)
MOST = 2000  # characters


@dataclass(frozen=True)
class CodeRef:
    """Where a project is. remote: the URL for git, without a password; ref: branch, tag or commit, "" for the remote's
    own choice; subdir: relative, "" for the top; name: of the repository. login: "user:password" as it stood in the
    URL, percent-encoded; it is in no command line and no record.
    """

    remote: str
    ref: str = ""
    subdir: str = ""
    name: str = ""
    login: str = field(default="", repr=False)

    def __str__(self) -> str:
        """The reference as it may be shown."""
        return f"git+{self.remote}" + (f"@{self.ref}" if self.ref else "") + (
            f"#subdir={self.subdir}" if self.subdir else "")

    @property
    def is_commit(self) -> bool:
        """Whether ref is a whole commit, which never becomes another."""
        return is_commit(self.ref)


def is_commit(text: str) -> bool:
    """Whether a text is the whole name of a commit: 40 or 64 lower-case hex digits."""
    return len(text) in (40, 64) and frozenset("0123456789abcdef").issuperset(text)


def parse_code(text: str, where: str = "--code") -> CodeRef:
    """The reference of a --code value. Raises ProjectError "project.code"."""
    if not text.startswith("git+"):
        hint = ("For code of this machine name its folder with --project DIR." if "://" not in text and ":" not in text
                else f"Write {GRAMMAR}.")
        raise _wrong(text, where, "does not begin with git+", hint)
    if len(text) > MOST or not text.isprintable() or " " in text or "\\" in text:
        raise _wrong(text, where, "has a space, a backslash or a control character in it, or is too long")
    from urllib.parse import urlsplit

    body, _, fragment = text.removeprefix("git+").partition("#")
    try:
        parts = urlsplit(body)
        host, _ = parts.hostname, parts.port
    except ValueError as wrong:
        raise _wrong(text, where, str(wrong)) from None
    path, at, ref = parts.path.rpartition("@") if "@" in parts.path else (parts.path, "", "")
    userinfo, _, address = parts.netloc.rpartition("@")
    _check_place(text, where, (parts.scheme, host or "", address, path))
    if parts.query:
        raise _wrong(text, where, "has a query in it")
    if at:
        _check_ref(ref, text, where)
    user, colon, _ = userinfo.partition(":")
    if parts.scheme == "ssh" and colon:
        raise _wrong(text, where, "has a password in it, which ssh takes from nobody but you", "Use a key.")
    shown = f"{user}@{address}" if parts.scheme == "ssh" and user else address
    name = path.rstrip("/").rpartition("/")[2].removesuffix(".git")
    return CodeRef(f"{parts.scheme}://{shown}{path}", ref, _subdir(fragment, text, where), name or host or "code",
                   userinfo if parts.scheme != "ssh" else "")


def _check_place(text: str, where: str, place: tuple[str, str, str, str]) -> None:
    scheme, host, address, path = place
    # between this machine and itself nobody listens
    if scheme not in SCHEMES and not (scheme == "http" and host in _LOOPBACK):
        raise _wrong(text, where, f"{scheme or 'no scheme'}: is not to be had"
                     + (", since anybody on the way could change the code" if scheme in ("http", "git") else ""))
    if scheme == "file":
        if host not in ("", "localhost"):
            raise _wrong(text, where, "names a host, and file: is of this machine", "Write git+file:///PATH.")
    elif not host or host.startswith("-") or address.startswith("-"):
        raise _wrong(text, where, "names no host")
    if not path.strip("/") or path.startswith("/-"):
        raise _wrong(text, where, "names no repository")


def _check_ref(ref: str, text: str, where: str) -> None:
    if not ref or len(ref) > 255 or _NOT_IN_REFS & frozenset(ref) or ref.startswith(("-", "/", ".")) or \
            ref.endswith(("/", ".", ".lock")) or ".." in ref or "//" in ref or "@{" in ref:
        raise _wrong(text, where, f"{ref!r} is no name of a branch, a tag or a commit")


def _subdir(fragment: str, text: str, where: str) -> str:
    if not fragment:
        return ""
    key, equals, value = fragment.partition("=")
    if not equals:
        key, value = "subdir", fragment
    parts = value.strip("/").split("/")
    if key not in ("subdir", "subdirectory") or any(p in ("", ".", "..") or p.lower() == ".git" for p in parts):
        raise _wrong(text, where, f"#{fragment} names no folder of the repository")
    return "/".join(parts)


def _wrong(text: str, where: str, why: str, hint: str = "") -> ProjectError:
    scheme, slashes, rest = text.partition("://")
    shown = scheme + slashes + rest[rest.rfind("@", 0, (rest + "/").index("/")) + 1:]  # no password in a message
    return ProjectError("project.code", f"{shown[:200]!r} {why}", where=where,
                        hint=hint or f"Write {GRAMMAR}.")
