"""Which entries of a checkpoint folder are complete, and which of them is the newest: by name and form. Pure.

A file counts when it was renamed into place, which is told by its name: a temporary one is never one. A directory
counts when it has a marker in it, the file that its framework writes last. A file whose format says how long it must be
and is not that long was cut off by whatever killed its writer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from bareboat.values import dataclass

FOLDER = "checkpoints"  # below the results of a run
# The last file of a directory that is written in place: torch.distributed.checkpoint, Hugging Face's Trainer, Orbax,
# and what any program can write itself.
MARKERS = (".complete", ".metadata", "trainer_state.json", "_CHECKPOINT_METADATA", "commit_success.txt")
_TEMPORARY = re.compile(r"^[.#]|~$|\.(?:tmp|temp|part|partial|incomplete|crdownload|lock|swp)(?:[-._].*)?$"
                        r"|(?:^|[-._])(?:tmp|partial|incomplete)(?:[-._]|$)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+")
HEAD, TAIL = 1 << 20, 65557  # bytes that whole() looks at: a zip's end record has up to 64 KiB of comment behind it
_ZIP, _END = b"PK\x03\x04", b"PK\x05\x06"


@dataclass(frozen=True)
class Found:
    """An entry of the folder. modified: ns since the epoch; complete: as judged by these rules."""

    name: str
    modified: int
    complete: bool


def temporary(name: str) -> bool:
    """Whether a name says that its writer is not done."""
    return bool(_TEMPORARY.search(name))


def marked(names: Collection[str], marker: str = "") -> bool:
    """Whether a directory of these files is complete. marker: what --checkpoint-complete named, "" for those known."""
    return marker in names if marker else any(name in names for name in MARKERS)


def whole(size: int, head: bytes, tail: bytes) -> bool:
    """Whether a file's own format says that it is all there; True for a format that does not say, False when empty.

    head: its first HEAD bytes; tail: its last TAIL at most. Zip (PyTorch, Keras, NumPy): PKWARE's appnote 4.3.16;
    safetensors: the header says where the last tensor ends. Of HDF5 it cannot be told: rename it into place.
    """
    if not size:
        return False
    if head.startswith(_ZIP):
        at = tail.rfind(_END)
        comment = int.from_bytes(tail[at + 20:at + 22], "little")
        return at >= 0 and len(tail) - at >= 22 and at + 22 + comment == len(tail)
    if len(head) >= 9 and head[8:9] == b"{":
        return _tensors_end(head) <= size
    if head.startswith((b"\x80\x05", b"\x80\x04")):  # a pickle ends with STOP
        return tail.endswith(b".")
    return True


def _tensors_end(head: bytes) -> int:
    """Where a safetensors file must end: 8 bytes of length, a JSON header of that length, then the tensors."""
    import json

    length = int.from_bytes(head[:8], "little")
    try:
        header = json.loads(head[8:8 + length])
        ends = [int(row["data_offsets"][1]) for name, row in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return 8 + length  # too long to be looked at, cut off, or another format
    return 8 + length + max(ends, default=0)


def newest(found: Iterable[Found]) -> Found | None:
    """The newest that is complete: by the last number in its name, where all of them have one, else by its time."""
    return next(iter(ordered(found)), None)


def ordered(found: Iterable[Found]) -> list[Found]:
    """Those that are complete, the newest first."""
    entries = [entry for entry in found if entry.complete]
    numbers = {entry.name: _step(entry.name) for entry in entries}
    if all(number >= 0 for number in numbers.values()):
        return sorted(entries, key=lambda e: (numbers[e.name], e.modified, e.name), reverse=True)
    return sorted(entries, key=lambda e: (e.modified, e.name), reverse=True)


def _step(name: str) -> int:
    """The step in "epoch=3-step=1200.ckpt", "checkpoint-500", "model_0007.pt"; -1 without a number."""
    match = re.search(r"(?:step|iter)[^0-9]{0,2}([0-9]+)", name, re.IGNORECASE)
    if match:
        return int(match[1])
    numbers = _NUMBER.findall(name.rpartition(".")[0] or name)
    return int(numbers[-1]) if numbers else -1


def superfluous(found: Iterable[Found], keep: int) -> list[Found]:
    """The complete ones beyond the newest so many; none when keep is 0. The newest one is never among them."""
    return ordered(found)[max(keep, 1):] if keep else []
