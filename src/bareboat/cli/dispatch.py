"""Parsing and calling one verb, and turning every failure into a message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module

from bareboat.errors import BAREBOAT_FAILED, SIGNALLED, BareboatError

SIGINT = 2


def call(verb: str, words: list[str], level: int) -> int:
    """Parse the words of a verb and run it. Errors end as text on standard error and the error's exit code."""
    try:
        module = import_module(f"bareboat.cli.{verb}")
        options = module.parse(words) if hasattr(module, "parse") else parser_of(verb).parse_args(words)
        if getattr(options, "level", None) is None:
            options.level = level
        code: int = module.command(options)
        sys.stdout.flush()
        return code
    except BareboatError as e:
        report(e)
        return e.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\nbareboat: interrupted\n")
        return SIGNALLED + SIGINT
    except BrokenPipeError:
        # the reader of our output went away (| head): not an error, and nothing more can be said there
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return SIGNALLED + 13
    except OSError as e:
        report(_of_the_system(e))
        return BAREBOAT_FAILED
    except Exception:  # our own mistake: never with an exit code that a program could have given
        import traceback

        sys.stderr.write(f"{traceback.format_exc()}bareboat: error: this is a bug of bareboat's [bug]\n"
                         "  please report it with the lines above\n")
        return BAREBOAT_FAILED


def _of_the_system(error: OSError) -> BareboatError:
    """What the system refused outside the store's own files, where no room has a better word for it."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return BareboatError("io.full", error.strerror or str(error), where=where,
                             hint="free some space there, or set BAREBOAT_HOME to another disk")
    if not where and error.errno == errno.ENOENT:
        return BareboatError("io.no-directory", "the current directory is gone", hint="change to one that is there")
    hint = {errno.ENOENT: "there is nothing of that name: look at how it is spelt",
            errno.EISDIR: "name a file", errno.ENOTDIR: "a file stands where a directory is meant",
            errno.ENAMETOOLONG: "name it shorter"}.get(error.errno or 0, "look at owner and mode of that path")
    return BareboatError("io.failed", error.strerror or str(error), where=where, hint=hint)


def report(error: BareboatError) -> None:
    """What, where and what next, on standard error, with the stable code at the end of the first line."""
    from bareboat.cli.plain import plain
    from bareboat.cli.term import style

    # where, what and hint quote names and other programs' words: nothing in them may move the cursor
    where = f"{plain(error.where)}: " if error.where else ""
    head, *more = [plain(line) for line in error.what.expandtabs().split("\n")]
    more += [f"  {plain(line)}" for line in error.hint.expandtabs().split("\n") if error.hint]
    code = style(f"[{error.code}]", "dim")
    sys.stderr.write("\n".join([f"{style('bareboat: error:', 'red')} {where}{head} {code}", *more]) + "\n")


def parser_of(verb: str):  # type: ignore[no-untyped-def]  # argparse is imported late, its type with it
    """The argparse parser of a verb, with its examples below the options."""
    import argparse

    module = import_module(f"bareboat.cli.{verb}")

    class Parser(argparse.ArgumentParser):
        def error(self, message: str):  # type: ignore[no-untyped-def]
            from bareboat.cli.plain import plain

            sys.stderr.write(f"bareboat {verb}: {plain(message)}\n  see `bareboat {verb} --help`\n")
            raise SystemExit(125)

    parser = Parser(prog=f"bareboat {verb}", description=module.SUMMARY, allow_abbrev=False,
                    epilog="examples:\n" + module.EXAMPLES if module.EXAMPLES else None,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-q", "--quiet", dest="level", action="store_const", const=0, help="errors only")
    docker_s = verb in ("run", "rerun", "create", "rm", "train")  # there -v is Docker's: a volume
    verbose = ("--verbose",) if docker_s else ("-v", "--verbose")
    group.add_argument(*verbose, dest="level", action="store_const", const=2, help="say more")
    module.configure(parser)
    return parser
