# mypy: ignore-errors
# ruff: noqa: UP031, UP036 - this file runs on Python 2.7 too
"""Runs inside the image, by the image's own Python (2.7 and 3.x): compiles sources to bytecode files.

Arguments: a JSON file of jobs (a list of lists of absolute paths), the directory for results, the number of
processes. Job N writes below RESULTS/N/ and RESULTS/N.done says that it has ended. What marshal writes
depends on what was compiled before, so each job is a fresh fork of a parent that has compiled nothing.
"""

import json
import os
import py_compile
import sys


def target(source, results):
    """Where the bytecode of a source goes, below the results."""
    if sys.version_info[0] == 2:
        return results + source + "c"
    folder, name = os.path.split(source)
    return "%s%s/__pycache__/%s.%s.pyc" % (results, folder, name[:-3], sys.implementation.cache_tag)


def compile_one(source, results):
    """Compile one file; one that is broken, or for another Python, is left out."""
    path = target(source, results)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        os.makedirs(folder)
    try:
        if hasattr(py_compile, "PycInvalidationMode"):
            py_compile.compile(
                source,
                path,
                source,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        else:
            py_compile.compile(source, path, source, doraise=True)
    except Exception:  # any: SyntaxError, ValueError for a NUL, RecursionError, UnicodeError
        try:
            os.unlink(path)
        except OSError:
            pass


def main(jobs, results, processes):
    """Compile every job, as many at a time as asked for."""
    with open(jobs) as file:
        todo = list(enumerate(json.load(file)))
    todo.reverse()
    running = {}
    while todo or running:
        while todo and len(running) < processes:
            number, sources = todo.pop()
            pid = os.fork()
            if pid == 0:
                try:
                    for source in sources:
                        compile_one(
                            source if isinstance(source, str) else source.encode("utf-8"),
                            "%s/%d" % (results, number),
                        )
                finally:
                    os._exit(0)
            running[pid] = number
        pid, _ = os.wait()
        if pid in running:
            open("%s/%d.done" % (results, running.pop(pid)), "w").close()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    os.nice(10)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
