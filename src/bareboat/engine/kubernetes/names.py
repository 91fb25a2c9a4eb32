"""Names and labels that Kubernetes accepts, and what a job is called in the ledger. Pure."""

from __future__ import annotations

from bareboat.errors import EngineError, UsageError
from bareboat.values import dataclass

MANAGED, NAME = "app.kubernetes.io/managed-by", "app.kubernetes.io/name"
SUBMISSION, RUN, JOB, STOPPED = "bareboat/submission", "bareboat/run", "bareboat/job", "bareboat/stopped"
SELECTOR = f"{MANAGED}=bareboat"
SLUG_MOST = 30  # with an id, an index and a number behind it a name stays below 63 characters
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


@dataclass(frozen=True)
class Named:
    """One run on a cluster, as the ledger keeps it: "NAMESPACE/JOB", "NAMESPACE/JOB/INDEX" for one of many, and
    "@CONTEXT" of the kubeconfig behind it, where one was named.
    """

    namespace: str
    job: str
    index: int = -1
    context: str = ""

    def __str__(self) -> str:
        index = f"/{self.index}" if self.index >= 0 else ""
        return f"{self.namespace}/{self.job}{index}" + (f"@{self.context}" if self.context else "")


def parse_named(text: str) -> Named:
    """A job of the ledger. Raises EngineError "kubernetes.job"."""
    path, _, context = text.partition("@")  # a context may have anything in its name, the others no @
    parts = path.split("/")
    index = parts[2] if len(parts) == 3 else ""
    if len(parts) not in (2, 3) or not all(parts) or (index and not (index.isascii() and index.isdigit())):
        raise EngineError("kubernetes.job", f"{text[:200]!r} is no job on a Kubernetes cluster")
    return Named(parts[0], parts[1], int(index) if index else -1, context)


def slug(text: str) -> str:
    """The part of a name that may begin a DNS label (RFC 1035: a letter first), "" where there is none of it."""
    plain = "".join(c if c in _PLAIN else "-" for c in text.lower())
    parts = [part for part in plain.split("-") if part]
    found = "-".join(parts)[:SLUG_MOST].strip("-")
    return found if not found or found[0].isalpha() else f"run-{found}"[:SLUG_MOST].strip("-")


def job_name(name: str, id: str, *more: str) -> str:
    """A DNS label of at most 63 characters with room for an index of five digits: unique, since the id is in it."""
    return "-".join(part for part in (slug(name) or "run", slug_of_id(id), *more) if part)


def slug_of_id(id: str) -> str:
    """An id in a name; ids are hex digits, and whatever else is there must not break the name."""
    return "".join(c for c in id.lower() if c in _PLAIN)[:16]


def label(text: str) -> str:
    """A label's value: at most 63 of letters, digits, - _ ., ends of letters and digits."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in text)[:63]
    return kept.strip("-_.")


def checked_name(text: str, what: str) -> str:
    """The name of something of the cluster's (DNS subdomain, RFC 1123). Raises UsageError "kubernetes.name"."""
    good = 0 < len(text) <= 253 and all(
        part and _PLAIN.issuperset(part.replace("-", "")) and part[0] != "-" and part[-1] != "-"
        for part in text.split("."))
    if not good:
        raise UsageError("kubernetes.name", f"{text[:80]!r} is no name on a Kubernetes cluster", where=what,
                         hint="lower-case letters, digits and -, as in team-a")
    return text
