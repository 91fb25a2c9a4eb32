"""Why two runs may differ, as far as their records know: data, code, packages, machine; and how data compare.
Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from bareboat.record.gathered import DataFingerprint
from bareboat.record.values import RunRecord

SAME = "same"
CHANGED = "differs"
UNKNOWN = "unknown"
NAMED = 5  # files that are named
STOPPED = {130: "interrupted", 137: "killed, by somebody or for its memory", 143: "terminated"}  # exit codes
# What the machine decides and no record should: how to reach the network from here.
HERE = frozenset({
    "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT",
    "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS",
})  # fmt: skip


@dataclass(frozen=True)
class DataAnswer:
    """Whether data are the same: "same", "differs" or "unknown", with what says so."""

    answer: str
    detail: str = ""


def same_data(old: DataFingerprint, new: DataFingerprint) -> DataAnswer:
    """Two fingerprints of the same place inside. Contents decide where both have them, else names and sizes.
    """
    if old.content and new.content:
        if old.content == new.content:
            return DataAnswer(SAME, "every byte")
        return DataAnswer(CHANGED, _which(old, new) or "contents differ")
    if not old.sizes or not new.sizes:
        return DataAnswer(UNKNOWN, "the data were not listed to the end in time")
    if old.sizes != new.sizes:
        counts = f"{old.count} files, {old.bytes} bytes became {new.count} files, {new.bytes} bytes"
        return DataAnswer(CHANGED, _which(old, new) or counts)
    if old.listing == new.listing:
        return DataAnswer(SAME, "names, sizes and times; contents were not all read")
    return DataAnswer(UNKNOWN, "same names and sizes, other times; contents were not all read")


def _which(old: DataFingerprint, new: DataFingerprint) -> str:
    before, after = {f.path: f for f in old.files}, {f.path: f for f in new.files}
    changed = []
    if old.count == len(old.files) and new.count == len(new.files):  # both name every file
        changed += [f"{path} gone" for path in before if path not in after]
        changed += [f"{path} new" for path in after if path not in before]
    for path, a in before.items():
        b = after.get(path)
        if b is None:
            continue
        if a.size != b.size:
            changed.append(f"{path} {a.size} bytes became {b.size}")
        elif a.sha256 and b.sha256 and a.sha256 != b.sha256:
            changed.append(f"{path} has other contents")
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    return ", ".join(changed[:NAMED]) + more


def data_answers(old: RunRecord, new: RunRecord) -> tuple[tuple[str, DataAnswer], ...]:
    """For each place inside that has data in either run: the same or not."""
    a = {d.target: d.fingerprint for d in old.data}
    b = {d.target: d.fingerprint for d in new.data}
    found = []
    for target in sorted({*a, *b}):
        if target in a and target in b:
            found.append((target, same_data(a[target], b[target])))
        else:
            found.append(
                (target, DataAnswer(CHANGED, "only in the first" if target in a else "only in the second"))
            )
    return tuple(found)


def same_image(old: RunRecord, new: RunRecord) -> bool:
    """Whether two runs had the same image: by plan, or by manifest where one of them ran in what was pulled."""
    return old.plan == new.plan or bool(old.manifest and old.manifest == new.manifest)


def causes(old: RunRecord, new: RunRecord) -> tuple[str, ...]:
    """Likely causes of other results, most likely first; never empty."""
    if new.exit_code in STOPPED and old.exit_code != new.exit_code:
        return (f"the repetition was stopped ({STOPPED[new.exit_code]}) before its end: repeat it again",)
    found = []
    answers = data_answers(old, new)
    found += [f"the data at {target} changed: {a.detail}" for target, a in answers if a.answer == CHANGED]
    if old.code and new.code and old.code.digest != new.code.digest:
        found.append("the code is not the same")
    if not same_image(old, new):
        found.append("the image is not the same: other packages")
    if old.argv != new.argv:
        found.append("the command is not the same")
    if len(old.attempts) != len(new.attempts):
        first, second = len(old.attempts) + 1, len(new.attempts) + 1
        found.append(f"the first took {first} attempts, the second {second}: what was not saved when it was "
                     "interrupted was done again, or left out")
    missing = sorted({*old.withheld} - {*new.withheld} - HERE)
    if missing:
        found.append(f"variables that the record withholds were not set: {', '.join(missing)}")
    elif _own(old) != _own(new):
        found.append("the environment variables are not the same")
    found += _machine(old, new)
    found += [
        f"the data at {target} may have changed: {a.detail}" for target, a in answers if a.answer == UNKNOWN
    ]
    if not found:
        known = ", ".join(["image", *(["code"] if old.code else []), *(["data"] if answers else [])])
        machine = " and CPU" if old.host and new.host else ""
        found.append(
            f"same {known}{machine}: the program itself is not deterministic "
            "(random numbers without a seed, times, order of threads)"
        )
    return tuple(found)


def _own(record: RunRecord) -> tuple[list[tuple[str, str]], list[str]]:
    """The variables that are the run's, not the machine's."""
    return ([pair for pair in record.env if pair[0] not in HERE],
            [name for name in record.withheld if name not in HERE])


def _machine(old: RunRecord, new: RunRecord) -> list[str]:
    a, b = old.host, new.host
    if a is None or b is None:
        return []
    found = []
    if (a.cpu, a.level, a.flags) != (b.cpu, b.level, b.flags):
        other = f"{a.cpu} ({a.level}) became {b.cpu} ({b.level})"
        if (a.cpu, a.level) == (b.cpu, b.level):
            other = f"{a.cpu} with other instructions"
        found.append(f"another CPU: {other}; numeric libraries choose other code on it")
    if a.gpus != b.gpus:
        found.append(f"another GPU: {', '.join(a.gpus) or 'none'} became {', '.join(b.gpus) or 'none'}")
    elif a.driver != b.driver:
        found.append(f"another GPU driver: {a.driver} became {b.driver}")
    if a.cores != b.cores:
        found.append(f"{a.cores} CPUs became {b.cores}: sums over threads are taken in another order")
    return found
