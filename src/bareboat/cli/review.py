"""A review of several runs as a table, as JSON, and as one HTML page that needs nothing else. Pure.

All that comes from runs is a stranger's: for a terminal it goes through plain(), for a page through escape(), which
writes control characters out and leaves no way to mark-up. The page has no script, and forbids itself any.
"""

from __future__ import annotations

import base64
import hashlib
import html
from typing import TYPE_CHECKING

from bareboat.cli.plain import clip, moment, plain, took
from bareboat.cli.term import style, table
from bareboat.cli.verdict import COLOURS, verdict_document

if TYPE_CHECKING:
    from bareboat.verbs.review import Review, Row

SHOWN = 200  # files of a run that the page lists
_STYLE = """
:root{color-scheme:light dark;--line:#8884;--same:#1a7f37;--other:#c62828;--none:#9a6700}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}
h1{font-size:1.4rem;margin:0 0 .2rem}p{margin:.2rem 0 1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.45rem .7rem .45rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td:nth-child(6){min-width:10rem}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{font:13px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}
.identical,.within{color:var(--same)}.differs{color:var(--other)}.could{color:var(--none)}
.word{font-weight:600;white-space:nowrap}td a code{overflow-wrap:normal}details{margin:.8rem 0}summary{cursor:pointer}
section{border-top:1px solid var(--line);padding-top:.6rem;margin-top:1.6rem}h2{font-size:1.05rem;margin:.2rem 0}
ul{margin:.2rem 0 .6rem;padding-left:1.2rem}footer{margin-top:2rem;font-size:13px;opacity:.7}
"""


def table_of(review: Review) -> str:
    """The table for a terminal: verdict, times, run, what it was asked by."""
    rows: list[tuple[str, ...]] = [("VERDICT", "THEN", "NOW", "RUN", "PROJECT", "WHAT")]
    for row in review.rows:
        then, now = _times(row)
        rows.append((row.word, then, now, row.run.id[:8] if row.run else "", clip(plain(_project(row)), 16),
                     clip(plain(row.what), 60)))
    lines = table(rows).splitlines()
    for number, row in enumerate(review.rows, 1):
        lines[number] = lines[number].replace(row.word, style(row.word, COLOURS.get(row.word, "yellow"), 1), 1)
        why = _why(row)
        if why:
            lines[number] += f"\n  {clip(plain(why), 200)}"
    return "\n".join(lines)


def summary(review: Review) -> str:
    """How many of each, in words."""
    count = {word: sum(row.word == word for row in review.rows) for word in (
        "identical", "within tolerance", "differs", "could not")}
    words = {"could not": "could not be repeated"}
    said = [f"{number} {'differ' if word == 'differs' and number > 1 else words.get(word, word)}"
            for word, number in count.items() if number]
    return f"{len(review.rows)} run{'s' if len(review.rows) != 1 else ''}: {', '.join(said)}"


def document(review: Review) -> dict[str, object]:
    """The review for programs."""
    return {"same": review.exit_code == 0, "exit_code": review.exit_code, "runs": [_row(row) for row in review.rows]}


def _row(row: Row) -> dict[str, object]:
    run, done, error = row.run, row.done, row.error
    return {
        "what": row.what, "run": run.id if run else None, "project": run.project if run else None,
        "command": list(run.argv) if run else None, "origin": run.origin if run else None,
        "then": run.seconds if run else None, "now": done.new.seconds if done else None, "seconds": row.seconds,
        "new": done.new.id if done else None, "folder": str(done.folder) if done else None,
        "exit_code": done.new.exit_code if done else None,
        "error": None if error is None else {"code": error.code, "what": error.what, "where": error.where,
                                             "hint": error.hint},
        **(verdict_document(done.verdict) if done else {"verdict": None}),
    }  # fmt: skip


def page(review: Review, when: str, version: str) -> str:
    """The whole page, UTF-8. when: as values.timestamp writes it."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    rows = "".join(_html_row(number, row) for number, row in enumerate(review.rows, 1))
    parts = "".join(_html_section(number, row) for number, row in enumerate(review.rows, 1))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{digest}'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">
<title>{escape(summary(review))}</title><style>{_STYLE}</style></head>
<body><h1>{escape(summary(review))}</h1><p>repeated {escape(moment(when))} UTC</p>
<div class="wide"><table><thead><tr><th>verdict<th class="n">then<th class="n">now<th>run<th>project<th>what
<th>because</tr></thead><tbody>{rows}</tbody></table></div>{parts}
<footer>bareboat {escape(version)}. Numbers in CSV, JSON and NumPy files are compared by value, all else by its bytes.
</footer></body></html>
"""


def _html_row(number: int, row: Row) -> str:
    then, now = _times(row)
    run = f'<a href="#run-{number}"><code>{escape(row.run.id[:8])}</code></a>' if row.run else ""
    return (f'<tr><td class="word {row.word.split()[0]}">{escape(row.word)}<td class="n">{escape(then)}'
            f'<td class="n">{escape(now)}<td>{run}<td>{escape(_project(row))}<td><code>{escape(row.what)}</code>'
            f"<td>{escape(_why(row))}</tr>\n")


def _html_section(number: int, row: Row) -> str:
    if row.run is None:
        return ""
    from bareboat.verbs.show import command_line

    run, done = row.run, row.done
    head = (f'<section id="run-{number}"><h2>{escape(run.id)} <span class="word {row.word.split()[0]}">'
            f"{escape(row.word)}</span></h2><p><code>{escape(command_line(run))}</code><br>"
            f"image <code>{escape(run.manifest or run.plan)}</code>")
    if run.code:
        head += f"<br>code <code>{escape(run.code.digest)}</code>"
    if run.git and run.git.commit:
        head += f", commit <code>{escape(run.git.commit)}</code>{' with changes' if run.git.dirty else ''}"
    for data in run.data:
        f = data.fingerprint
        head += f"<br>data at <code>{escape(data.target)}</code>: {_many(f.count, 'file')}, {_many(f.bytes, 'byte')}"
    if row.error is not None:
        return f"{head}</p>{_list([str(row.error)])}</section>"
    assert done is not None
    head += f"<br>repeated as <code>{escape(done.new.id)}</code>, results in <code>{escape(str(done.folder))}</code>"
    files = "".join(
        f'<tr><td class="word {f.verdict.split()[0]}">{escape(f.verdict)}<td><code>{escape(f.path)}</code>'
        f"<td>{escape(f.detail)}</tr>" for f in done.verdict.files[:SHOWN])
    more = len(done.verdict.files) - SHOWN
    body = _list([*done.verdict.notes, *(f"likely cause: {cause}" for cause in done.verdict.causes)])
    if files:
        body += (f"<details{'' if row.same else ' open'}><summary>{_many(len(done.verdict.files), 'result')}</summary>"
                 f'<div class="wide"><table>{files}</table></div>'
                 f"{f'<p>and {more} more</p>' if more > 0 else ''}</details>")
    return f"{head}</p>{body}</section>\n"


def _list(items: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}' for item in items)}</ul>" if items else ""


def escape(text: str) -> str:
    """Text for anywhere in the page: nothing in it is mark-up, moves, or hides what stands beside it."""
    return html.escape(" ".join(plain(line) for line in text.splitlines()), quote=True)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _times(row: Row) -> tuple[str, str]:
    return took(row.run.seconds) if row.run else "", took(row.done.new.seconds) if row.done else ""


def _project(row: Row) -> str:
    return row.run.project if row.run else ""


def _why(row: Row) -> str:
    if row.error is not None:
        return f"{row.error.what} [{row.error.code}]"
    if row.done is None or row.done.verdict.verdict == "identical":
        return ""
    verdict = row.done.verdict
    other = [f"{f.path}: {f.detail}" if f.detail else f.path for f in verdict.files if f.verdict == verdict.verdict]
    return "; ".join([*verdict.notes[:1], *other[:1], *verdict.causes[:1]])
