"""The run record as an immutable value; the record on disk is this value's JSON document.

For those who write records (verbs/run.py and, later, supervisor and queue):

    run_id(entropy: bytes) -> str                       12 hex digits; entropy: os.urandom(6)
    timestamp(seconds: float) -> str                    "2026-05-01T12:00:00Z"
    RunRecord(id=…, argv=…, …)                          every field but id has a default
    RunRecord.document() -> dict[str, object]           what store.runs.write(id, …) takes
    RunRecord.from_document(object) -> RunRecord        RecordError record.malformed / record.format
    RunRecord.blobs -> tuple[str, ...]                  sha256 of every blob the record needs: gc keeps these
    states.move(record, state, at=…, reason=…, exit_code=…) -> RunRecord      (record/states.py)
    secrets.withhold(env) -> (env without secrets, names withheld)            (record/secrets.py)
    codec.encode_bytes(plan) -> bytes; codec.decode_bytes(Plan, bytes, where) (record/codec.py), for plan_blob

What is gathered later (git, host, data, results) is in record/gathered.py. Paths on the host and names in
listings are str with surrogateescape, so that names which are not UTF-8 survive.
"""

from __future__ import annotations

import time

from bareboat.values import dataclass, fields, replace
from bareboat.workload import Limits, Lost, Tmpfs

TYPE_CHECKING = False  # typing itself costs 3 ms at every start
if TYPE_CHECKING:
    from bareboat.record.gathered import Attempt, DataSource, GitFacts, HostFacts, ResultFile, Used

RECORD_FORMAT = 1
SESSION = "session"  # the kind of a run that people typed into


@dataclass(frozen=True)
class CodeSnapshot:
    """The code as it ran. digest: identity, sha256 of the canonical manifest (paths, modes, contents).

    index: sha256 of the blob that says where each content is; packs: sha256 of the blobs with the contents.
    left_out: first names of what was neither data nor ignored and yet is not in it (unreadable, beyond the
    bound).
    """

    digest: str
    index: str = ""
    packs: tuple[str, ...] = ()
    files: int = 0
    bytes: int = 0
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecordedMount:
    """A mount of the run. kind: "code", "data", "results", "mount"; "volume", whose source is its name; "anonymous",
    which had none and is gone; "cache" of the user, a volume or a directory, which a repetition can do without.

    "startup": a script from outside the project, run before the command; within: its sha256.
    within: for code, the source relative to the snapshot's root ("" the root itself, "src"), so that a
    repetition mounts it from the snapshot.
    """

    source: str
    target: str
    read_only: bool = False
    kind: str = "mount"
    within: str = ""


@dataclass(frozen=True)
class Results:
    """What the run left. folder: on the host. more: how many files beyond the bound were not listed.

    pack: sha256 of the blob with the contents that were kept, "" when none was.
    """

    folder: str = ""
    files: tuple[ResultFile, ...] = ()
    more: int = 0
    pack: str = ""


@dataclass(frozen=True)
class RunRecord:
    """One run: enough to repeat it. Times: ISO 8601 UTC. The record only grows: see states.move.

    name: what --name gave. env: without secrets; withheld: names whose value was kept out or masked. plan:
    the plan digest; plan_blob: sha256 of the blob with the whole plan (record.codec), so that the image can
    be remade elsewhere. manifest: the manifest digest once known. locks: file name → sha256 of the blob
    with its text. log: the log's path relative to the run's directory. seconds, lost: as workload.Outcome; used:
    None where nobody looked; peak_memory: its peak, in bytes. origin: where a run of somebody else's came from,
    written here by who took it in and never taken from its sender; "" for this store's own. data_from: where its
    sender says that the data can be had.
    platform: "linux/arm64", when the run was emulated on a machine of another architecture. kind: "session" for what
    people typed into; "" for a program that was run. attempt: which start this is, and resumed the checkpoint that it
    went on from, "" for none; attempts: those before it. labels: what --label said.
    """

    id: str
    state: str = "pending"
    reason: str = ""
    name: str = ""
    created: str = ""
    started: str = ""
    ended: str = ""
    exit_code: int | None = None
    argv: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    withheld: tuple[str, ...] = ()
    cwd: str = ""
    plan: str = ""
    plan_blob: str = ""
    manifest: str = ""
    locks: tuple[tuple[str, str], ...] = ()
    project: str = ""
    root: str = ""
    code: CodeSnapshot | None = None
    overlays: tuple[tuple[str, str], ...] = ()
    git: GitFacts | None = None
    mounts: tuple[RecordedMount, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    data: tuple[DataSource, ...] = ()
    limits: Limits = Limits()
    gpus: str = ""
    network: str = "host"
    uid: int = 1000
    gid: int = 1000
    home: str = "/home/user"
    tty: bool = False
    engine: str = ""
    host: HostFacts | None = None
    seconds: float = 0.0
    lost: Lost = Lost()
    peak_memory: int | None = None
    used: Used | None = None
    results: Results = Results()
    log: str = ""
    version: str = ""
    rerun_of: str = ""
    origin: str = ""
    data_from: str = ""
    platform: str = ""
    kind: str = ""
    attempt: int = 1
    resumed: str = ""
    attempts: tuple[Attempt, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    format: int = RECORD_FORMAT

    def document(self) -> dict[str, object]:
        """The JSON document: plain dicts, lists, strings and numbers; from_document gives this value back."""
        from bareboat.record.codec import encode

        return {f.name: encode(getattr(self, f.name)) for f in fields(self)}

    @staticmethod
    def from_document(document: object, where: str = "run record") -> RunRecord:
        """The value of a document. Unknown keys are ignored (a newer bareboat's); RecordError when it is
        broken.
        """
        from bareboat.errors import RecordError
        from bareboat.record.codec import decode
        from bareboat.record.states import STATES

        if (
            isinstance(document, dict)
            and isinstance(document.get("format"), int)
            and document["format"] > RECORD_FORMAT
        ):
            raise RecordError(
                "record.format",
                f"the record has format {document['format']}, newer than this bareboat's",
                where=where,
                hint="use a newer bareboat",
            )
        record = decode(RunRecord, document, where)
        if record.state not in STATES:
            raise RecordError("record.malformed", f"unknown state {record.state!r}", where=f"{where}: state")
        return record

    @property
    def blobs(self) -> tuple[str, ...]:
        """sha256 of every blob that the record needs; what gc must keep while the record lives."""
        code = (self.code.index, *self.code.packs) if self.code else ()
        scripts = (mount.within for mount in self.mounts if mount.kind == "startup")
        wanted = (
            self.plan_blob,
            *(digest for _, digest in self.locks),
            *code,
            *scripts,
            self.results.pack if self.results else "",
        )
        return tuple(dict.fromkeys(digest for digest in wanted if digest))

    def with_(self, **changes: object) -> RunRecord:
        """A copy with fields replaced; state is moved by states.move alone."""
        if "state" in changes or "id" in changes:
            raise TypeError("state moves by states.move; an id never changes")
        return replace(self, **changes)  # type: ignore[arg-type]


def run_id(entropy: bytes) -> str:
    """The id of a new run: 12 hex digits of six random bytes."""
    return entropy[:6].hex()


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 UTC, to the second, whatever the time zone or the locale."""
    year, month, day, hour, minute, second, *_ = time.gmtime(max(seconds, 0))
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
