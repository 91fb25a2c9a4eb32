"""SECURITY.md's row 11: eleven operations on a registry, each with every fault of registry_faults.py in it. A cell
recovers or ends in an error that names what happened; it is never corrupt, never hangs, and gives no password away.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.kit import Figures
from tests.faults.registry_faults import CANARY, FAULTS, Cell, Elsewhere, Fault
from tests.registry_kit import Registry, Request, Switches
from tests.token_kit import self_signed

from bareboat.errors import BareboatError
from bareboat.image.manifest import Manifest, read_manifest
from bareboat.image.reference import Reference, parse_reference
from bareboat.image.spec import CONFIG, INDEX, LAYER, MANIFEST, canonical, describe
from bareboat.registry.ask import Answer, Ask
from bareboat.registry.base import Blob, Content, RegistryError, Repository
from bareboat.registry.client import RemoteRepository, open_remote
from bareboat.registry.hosts import RegistrySettings
from bareboat.registry.policy import Policy
from bareboat.registry.referrers import fallback_tag
from bareboat.registry.transfer import read_blob
from bareboat.registry.wire import Wire

POLICY = Policy(tries=4, backoff=0.01, longest=0.1, deadline=10, connect=2, read=1.0, floor=20_000, window=1.0,
                chunk=40_000, gain=30_000)
BOUND = 60.0  # seconds, after which a cell counts as hanging
DATA = hashlib.shake_256(b"row 11").digest(200_000)
AT = 60_000
NAME = "lab/seg"
Client = Callable[[Reference, RegistrySettings], RemoteRepository]


def _blob(data: bytes, media_type: str = LAYER) -> Blob:
    return Blob(describe(media_type, data), lambda at: (data[i:i + 10_000] for i in range(at, len(data), 10_000)))


LAYER_BLOB, CONFIG_BLOB = _blob(DATA), _blob(b'{"os":"linux","rootfs":{"diff_ids":[]}}', CONFIG)


def _manifest(**more: object) -> Content:
    data = canonical({"schemaVersion": 2, "mediaType": MANIFEST, "config": CONFIG_BLOB.descriptor.document(),
                      "layers": [LAYER_BLOB.descriptor.document()], **more})
    return Content(MANIFEST, describe(MANIFEST, data).digest, data)


IMAGE = _manifest()
SPEAKING = [_manifest(subject=IMAGE.descriptor.document(), artifactType="application/vnd.test",
                      annotations={"n": str(n)}) for n in range(3)]
NEW = _manifest(subject=IMAGE.descriptor.document(), artifactType="application/vnd.new")
TAGS = ["1", "2", "3", "4", "5"]


@dataclass(frozen=True)
class Operation:
    """main: the request it is about; run: raises what went wrong, or AssertionError for a result that is not right."""

    name: str
    main: Callable[[Request], bool]
    run: Callable[[Repository, Registry], None]
    switches: dict[str, Any] = field(default_factory=dict)
    has: bool = True  # whether the repository has the blob already


class Corrupt(AssertionError):
    """A result that is not right was taken for one that is."""


def same(found: object, expected: object) -> None:
    if found != expected:
        raise Corrupt(f"{str(found)[:200]} instead of {str(expected)[:200]}")


def by_tag(there: Repository, registry: Registry) -> None:
    content = there.manifest("1")
    manifest = read_manifest(content.data, content.media_type, "x")  # as whoever asks for one does
    if content != IMAGE and isinstance(manifest, Manifest):  # a tag may lead anywhere, but its layers are then had here
        same(content.digest, describe(MANIFEST, content.data).digest)
        for layer in manifest.layers:
            list(there.blob(layer.descriptor))
    same(content, IMAGE)


def by_digest(there: Repository, registry: Registry) -> None:
    same(there.manifest(IMAGE.digest), IMAGE)


def head(there: Repository, registry: Registry) -> None:
    found = there.head("1")
    if found is None:
        raise RegistryError("registry.not-found", "there is none", where="1")
    by_tag_and_digest = there.manifest(found.digest)  # what a descriptor is for
    read_manifest(by_tag_and_digest.data, by_tag_and_digest.media_type, "x")
    same((found, by_tag_and_digest), (IMAGE.descriptor, IMAGE))


def whole(there: Repository, registry: Registry) -> None:
    same(b"".join(read_blob(there, LAYER_BLOB.descriptor, POLICY)), DATA)


def rest(there: Repository, registry: Registry) -> None:
    """What was cut goes on where it was; the sum is verified, as the store does."""
    have = bytearray(DATA[:AT])
    for _ in range(12):
        try:
            for chunk in there.blob(LAYER_BLOB.descriptor, len(have)):
                have += chunk
            break
        except RegistryError as error:
            if error.code != "registry.cut":
                raise
            last = error
    else:
        raise last
    if describe(LAYER, bytes(have)).digest != LAYER_BLOB.descriptor.digest:
        raise RegistryError("blob.digest", "is not what its digest says", where=LAYER_BLOB.descriptor.digest)
    same(bytes(have), DATA)


def put(there: Repository, registry: Registry) -> None:
    there.put_blob(LAYER_BLOB)
    same(registry.repository(NAME).blobs.get(LAYER_BLOB.descriptor.digest), DATA)


def mount(there: Repository, registry: Registry) -> None:
    there.put_blob(LAYER_BLOB, mount="lab/base")
    same(registry.repository(NAME).blobs.get(LAYER_BLOB.descriptor.digest), DATA)


def put_manifest(there: Repository, registry: Registry) -> None:
    there.put_manifest(NEW, "new")
    repository = registry.repository(NAME)
    same(repository.manifests.get(NEW.digest), (MANIFEST, NEW.data))
    same(repository.tags.get("new"), NEW.digest)
    rows = json.loads(repository.manifests[repository.tags[fallback_tag(IMAGE.digest)]][1])["manifests"]
    same([row["digest"] for row in rows], [content.digest for content in (*SPEAKING, NEW)])


def tags(there: Repository, registry: Registry) -> None:
    same([t for t in there.tags() if not t.startswith("sha256-")], TAGS)


def referrers(there: Repository, registry: Registry) -> None:
    same(sorted(d.digest for d in there.referrers(IMAGE.digest)), sorted(c.digest for c in SPEAKING))


def _asks(kind: str, *methods: str) -> Callable[[Request], bool]:
    return lambda request: f"/{kind}/" in request.path and request.method in methods


def _tagged(request: Request) -> bool:
    return request.path.endswith("/manifests/new") and request.method == "PUT"


OPERATIONS = (
    Operation("manifest by tag", _asks("manifests", "GET"), by_tag),
    Operation("manifest by digest", _asks("manifests", "GET"), by_digest),
    Operation("head", _asks("manifests", "HEAD", "GET"), head),
    Operation("blob", _asks("blobs", "GET"), whole),
    Operation("rest of a blob", _asks("blobs", "GET"), rest),
    Operation("put blob", _asks("uploads", "PUT"), put, has=False),
    Operation("put blob in chunks", _asks("uploads", "PATCH"), put, {"put_most": 50_000}, has=False),
    Operation("mount", lambda r: r.method == "POST" and "mount" in r.query, mount, has=False),
    Operation("put manifest", _tagged, put_manifest, {"referrers": False}),
    Operation("tags", _asks("tags", "GET"), tags, {"page": 2}),
    Operation("referrers", _asks("referrers", "GET"), referrers, {"page": 2}),
)


@dataclass
class Outcome:
    """How a cell ended: "recovered", "error" (then its code), or what is bad about it. met: the fault took place."""

    fault: str
    operation: str
    how: str = "hang"
    code: str = ""
    met: bool = False
    bad: list[str] = field(default_factory=list)
    seconds: float = 0.0


def filled(registry: Registry, operation: Operation) -> None:
    """What lies there before an operation begins."""
    for name in (NAME, "lab/base"):
        there = registry.repository(name)
        there.blobs[CONFIG_BLOB.descriptor.digest] = b"".join(CONFIG_BLOB.open(0))
        if operation.has or name == "lab/base":
            there.blobs[LAYER_BLOB.descriptor.digest] = DATA
    there = registry.repository(NAME)
    for content in (IMAGE, *SPEAKING):
        there.manifests[content.digest] = MANIFEST, content.data
    for tag in TAGS:
        there.tags[tag] = IMAGE.digest
    rows = [{**c.descriptor.document(), "artifactType": "application/vnd.test"} for c in SPEAKING]
    data = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": rows})
    there.manifests[describe(INDEX, data).digest] = INDEX, data
    there.tags[fallback_tag(IMAGE.digest)] = describe(INDEX, data).digest


class Listener(logging.Handler):
    """Everything that anything logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def run_cell(operation: Operation, fault: Fault, client: Client, folder: Path, bound: float = BOUND,
             policy: Policy = POLICY) -> Outcome:
    """One cell, with servers of its own."""
    outcome = Outcome(fault.name, operation.name)
    certificate = str(folder / "both.pem") if fault.tls else ""
    registry = Registry(Switches(auth="bearer", password=CANARY, **operation.switches), certificate)
    elsewhere = Elsewhere(registry)
    filled(registry, operation)
    cell = Cell(registry, elsewhere, operation.main)
    fault.into(cell)
    home = folder / registry.host.replace(":", "-")
    (home / ".docker").mkdir(parents=True)
    file = home / ".docker/config.json"
    coded = base64.b64encode(f"user:{CANARY}".encode()).decode()
    file.write_text(json.dumps({"auths": {registry.host: {"auth": coded}}}))
    file.chmod(0o600)
    settings = RegistrySettings(env={"HOME": str(home)}, policy=policy, etc=folder / "none")
    there = client(parse_reference(f"{registry.host}/{NAME}:1"), settings)
    said: list[str] = []

    def work() -> None:
        try:
            operation.run(there, registry)
            outcome.how = "recovered"
        except BareboatError as error:
            outcome.how, outcome.code = "error", error.code
            said.extend((str(error), repr(error), error.where, error.hint, str(error.__cause__ or "")))
            if not (error.what and error.where and "." in error.code):
                outcome.bad.append(f"an error that does not say where: {error!r}")
        except Corrupt as error:
            outcome.how = "corrupt"
            outcome.bad.append(f"corrupt: {error}")
        except BaseException as error:
            outcome.how = "exception"
            outcome.bad.append(f"an exception instead of an error: {error!r}")

    began = time.monotonic()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(bound)
    outcome.seconds = time.monotonic() - began
    if thread.is_alive():
        outcome.bad.append(f"hangs for over {bound:.0f} s")
    registry.close()
    elsewhere.close()
    thread.join(5)
    there.close()
    outcome.met = bool(cell.fired) or fault.tls
    outcome.bad += leaks(registry, elsewhere, said, coded)
    if outcome.met and fault.recovers is not None and outcome.how in ("recovered", "error") \
            and fault.recovers != (outcome.how == "recovered"):
        outcome.bad.append(f"should have {'recovered' if fault.recovers else 'failed'}: {outcome.code} {said[:1]}")
    for digest, data in registry.repository(NAME).blobs.items():
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            outcome.bad.append(f"the registry now has wrong bytes under {digest}")
    shutil.rmtree(home)
    return outcome


def leaks(registry: Registry, elsewhere: Elsewhere, said: list[str], coded: str) -> list[str]:
    """Where a password or token is seen that should not be."""
    secrets = [CANARY, coded, *registry.tokens, "token-"]
    found = [f"a secret in an error: {text}" for text in said if any(s in text for s in secrets)]
    for request in elsewhere.log:
        text = f"{request.target} {request.headers} {request.body[:10_000]!r}"
        if any(s in text for s in secrets):
            found.append(f"a secret at another host: {request.method} {request.path}")
    for request in registry.log:
        if CANARY in request.target or coded in request.target or "token-" in request.target:
            found.append("a secret in the address of a request")
    return found


def table(client: Client = open_remote, *, faults: tuple[Fault, ...] = FAULTS, bound: float = BOUND,
          operations: tuple[Operation, ...] = OPERATIONS, policy: Policy = POLICY) -> tuple[Figures, list[Outcome]]:
    """Every cell; the figures of the row, and how each ended."""
    figures = Figures(11, "registry faults")
    folder = Path(tempfile.mkdtemp(prefix="bareboat-registry-"))
    listener = Listener()
    root = logging.getLogger()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        if any(fault.tls for fault in faults):
            certificate, key = self_signed(folder)
            (folder / "both.pem").write_text(certificate.read_text() + key.read_text())
        with ThreadPoolExecutor(6) as pool:
            outcomes = list(pool.map(lambda pair: run_cell(*pair, client, folder, bound, policy),
                                     [(o, f) for o in operations for f in faults]))
    finally:
        root.removeHandler(listener)
        root.setLevel(level)
        shutil.rmtree(folder, ignore_errors=True)
    logged = [line for line in listener.lines if CANARY in line or "token-" in line]
    figures.bad += [f"a secret in a log: {line[:200]}" for line in logged]
    figures.add("cells", len(outcomes))
    figures.add("fault met", sum(o.met for o in outcomes))
    for how, name in (("recovered", "recovered"), ("error", "clear errors"), ("corrupt", "corrupt"), ("hang", "hangs")):
        figures.add(name, sum(o.how == how for o in outcomes))
    figures.add("leaks", sum("secret" in line for o in outcomes for line in o.bad) + len(logged))
    figures.bad += [f"{o.operation} x {o.fault}: {line}" for o in outcomes for line in o.bad]
    return figures, outcomes


# Clients that are broken on purpose: the table must catch each.


class _Leaky(Wire):
    """Sends Authorization wherever it is redirected to."""

    def _send(self, ask: Ask, url: str, authorization: str) -> Answer:
        return super()._send(ask, url, authorization or self.auth.header(ask.scopes))


class _Trusting(RemoteRepository):
    """Verifies nothing."""

    def _verified(self, wire: Wire, reference: str, answer: Answer, data: bytes) -> Content:
        return Content(MANIFEST, IMAGE.digest, data)

    def _bytes(self, answer: Answer, skip: int, descriptor: Any, at: int) -> Iterator[bytes]:
        yield from answer.chunks()


def leaky(reference: Reference, settings: RegistrySettings) -> RemoteRepository:
    there = open_remote(reference, settings)
    there._wires = tuple(_Leaky(w.endpoint, settings, w._find, w.where) for w in there._wires)
    return there


def trusting(reference: Reference, settings: RegistrySettings) -> RemoteRepository:
    there = open_remote(reference, settings)
    return _Trusting(reference, there._wires, settings)


PATIENT = Policy(tries=4, backoff=0.01, longest=0.1, deadline=10, connect=2, read=1000, floor=0, window=1000)


def controls() -> list[tuple[str, int, str]]:
    """Each broken client, how many bad findings the table has of it, and the first."""
    def some(*names: str) -> tuple[Fault, ...]:
        return tuple(fault for fault in FAULTS if fault.name in names)

    elsewhere, _ = table(leaky, faults=some("redirect to another host", "an upload that goes on elsewhere"))
    unverified, _ = table(trusting, faults=some("another byte in the body", "a bomb as Content-Encoding"),
                          operations=OPERATIONS[:3])
    endless, _ = table(faults=some("silence, once"), operations=OPERATIONS[:2], bound=5.0, policy=PATIENT)
    return [(name, len(found.bad), (found.bad or [""])[0]) for name, found in (
        ("Authorization goes along with a redirect", elsewhere), ("nothing is verified", unverified),
        ("waits for ever", endless))]
