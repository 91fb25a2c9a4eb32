"""The keys of bareboat.toml, in one table: parser, errors, JSON Schema and documentation are made from it."""

from __future__ import annotations

from bareboat.project.gpus import MOST as MOST_GPUS
from bareboat.project.gpus import NAME as GPU
from bareboat.project.kinds import Either, Flag, Key, ListOf, MapOf, Number, OneOf, Table, Text, Whole
from bareboat.units import SIZE_ALLOWED, SIZE_PATTERN

PLATFORMS = ("linux/amd64", "linux/arm64")
PATH = Text("a path, absolute or relative to the project")
RELATIVE = Text("a path of a file of the project")
INSIDE = Text("an absolute path inside the container", r"/[^\u0000]*")
SIZE = Either((Text(SIZE_ALLOWED, SIZE_PATTERN), Whole("a number of bytes", 0)))
ARGV = Either(
    (
        Text("a command line for the shell"),
        ListOf("a list of a program and its arguments", Text("an argument", r"[^\u0000]*"), 1),
    )
)
NAME = Text(
    "letters, digits and . _ -, beginning with a letter or digit", r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
)
NAMES = ListOf("a list of names", NAME)

PLACE = Table(
    "a table with source and target",
    (
        Key("source", PATH, "The directory of this machine.", '"/datasets/imagenet"', True),
        Key("target", INSIDE, "Where it appears inside; instead of the usual places.", '"/data"', True),
    ),
)


def _place(what: str) -> Either:
    return Either((PATH, PLACE, Flag(False)))


MOUNT = Either(
    (
        Text('"SOURCE:TARGET[:ro]" or "VOLUME:TARGET[:ro]" as for -v',
             r"/[^\u0000:]+|[^\u0000:]+:[^\u0000:]+(:[^\u0000:]+)?"),
        Table(
            "a table with a target",
            (
                Key("type", OneOf(("bind", "volume", "tmpfs")),
                    "A path of this machine, a volume of the store, or a file system in memory.", '"volume"',
                    default="bind"),
                Key(
                    "source",
                    PATH,
                    "A file or directory of this machine; relative to the project; ~ is the home directory. For a "
                    "volume its name; without one it is thrown away with the container.",
                    '"/models"',
                ),
                Key("target", INSIDE, "Where it appears inside.", '"/models"', True),
                Key(
                    "read-only",
                    Flag(),
                    "Whether the program may not write to it.",
                    "true",
                    default="false, as for -v",
                ),
                Key("size", SIZE, "For tmpfs: the most that it holds.", '"1g"', default="the bound of the thin layer"),
                Key("mode", Text("octal digits", "[0-7]{1,4}"), "For tmpfs: the mode of its directory.", '"0700"',
                    default="1777"),
            ),
        ),
    )
)

PYTHON = Table(
    "a table",
    (
        Key(
            "version",
            Text('a version like "3.12" or a specifier like ">=3.10"', r"[0-9<>=!~ .,*a-z]{1,100}"),
            "The Python version: X.Y, or a PEP 440 specifier.",
            '"3.12"',
            default=".python-version, runtime.txt, requires-python, else the newest stable suite's",
        ),
        Key(
            "requirements",
            Either((RELATIVE, ListOf("a list of files", RELATIVE))),
            "Where packages are listed: requirements files, or one of pyproject.toml, uv.lock, pylock.toml.",
            '["requirements.txt"]',
            default="uv.lock, pylock.toml, pyproject.toml or requirements.txt, the first there is",
        ),
        Key("groups", NAMES, "Dependency groups of pyproject.toml to install as well.", '["train"]'),
        Key("extras", NAMES, "Extras of the project to install as well.", '["plot"]'),
        Key(
            "packages",
            ListOf(
                "a list of requirements (PEP 508)", Text('a requirement like "numpy>=2"', r"[^\u0000\r\n]+")
            ),
            "More packages, added to the others.",
            '["numpy>=2"]',
        ),
    ),
)

RESOURCES = Table(
    "a table",
    (
        Key("memory", SIZE, "Memory limit.", '"8g"', default="no limit"),
        Key("cpus", Number("a number of CPUs above 0"), "CPU limit.", "2.5", default="no limit"),
        Key(
            "pids",
            Whole("a number of processes, at least 1", 1),
            "Limit of processes and threads.",
            "512",
            default="no limit",
        ),
        Key("shm-size", SIZE, "Size of /dev/shm.", '"2g"', default="half of the memory"),
        Key(
            "gpus",
            Either(
                (
                    Text('"all", "none", a share as "0.5" or "device=0,1"',
                         rf"all|none|0?\.(?=[0-9]*[1-9])[0-9]{{1,5}}|device={GPU}(,{GPU})*"),
                    Whole("a number of GPUs", 0, MOST_GPUS),
                )
            ),
            "GPUs the run gets, as for --gpus.",
            '"all"',
            default='one with gpu = "required" or "optional", else none',
        ),
    ),
)

_AMOUNT, _UNIT = r"[0-9]+(\.[0-9]+)?", "(ms|min|[smhd])"  # each begins with what the other has not: no backtracking
TIME = Text("a time as 90s, 1.5h or 1h30m", f"{_AMOUNT}({_UNIT}{_AMOUNT})*{_UNIT}?")
CODES = ListOf("a list of exit codes", Whole("an exit code", 0, 255))
TRAIN = Table(
    "a table",
    (
        Key("max-time", TIME, "The longest that an attempt may take.", '"8h"', default="no end"),
        Key("retries", Whole("a whole number, at least 0", 0), "How many failures are followed by another attempt.",
            "2", default="0"),
        Key("retry-on", CODES, "Exit codes that are retried.", "[1, 137]", default="every failure"),
        Key("fail-on", CODES, "Exit codes that never are.", "[2]"),
        Key("requeue-on", CODES, "Exit codes by which the program asks for another attempt.", "[75]", default="75"),
        Key("requeue-at-limit", Flag(), "Whether another attempt follows when its time is over.", "true",
            default="false"),
        Key("warning", Text("a signal's name", "(SIG)?[A-Z0-9+-]{1,12}"), "What warns the program that it is "
            "interrupted.", '"TERM"', default="USR1"),
        Key("grace", TIME, "How long it has after the warning.", '"2min"', default="60s"),
        Key("preemptible", Flag(), "Whether it may be interrupted for others.", "true",
            default="when its user has more than a fair share"),
        Key("checkpoint-complete", Text("a file's name", r"[^/\u0000]+"), "The file that makes a checkpoint directory "
            "complete.", '"DONE"', default="those of known frameworks"),
        Key("keep-checkpoints", Whole("a whole number, at least 0", 0), "How many of the newest stay when an attempt "
            "ends.", "3", default="all"),
        Key("notify", Text("a command line for the shell"), "Run by your shell when a run is over.",
            '"notify-send $BAREBOAT_NAME $BAREBOAT_STATE"'),
        Key("webhook", Text("a URL", r"https?://[^\u0000]+"), "Told in JSON when a run is over.",
            '"https://example.org/hook"'),
        Key("hang", TIME, "Point out a run without output and use for so long.", '"1h"', default="30min"),
    ),
)

PROJECT = Table(
    "a table",
    (
        Key(
            "name",
            NAME,
            "The project's name, in listings and records.",
            '"digits"',
            default="the folder's name",
        ),
        Key(
            "python",
            Either(
                (
                    Text('a version like "3.12" or a specifier like ">=3.10"', r"[0-9<>=!~ .,*a-z]{1,100}"),
                    PYTHON,
                )
            ),
            "The Python version, or a table with it and where the packages come from.",
            '"3.12"',
        ),
        Key(
            "base",
            Text(
                '"debian:SUITE" or "ubuntu:SUITE", an image as "python:3.12-slim" or "docker://HOST/NAME:TAG", '
                'or a layout as "oci:DIR:TAG"',
                r"(debian|ubuntu):[a-z][a-z0-9.-]{0,40}|oci:[^\u0000]+|(docker://)?[A-Za-z0-9][A-Za-z0-9./:@_-]{0,400}",
            ),
            "What the image is made on: assembled from a suite's packages, or an image that others made.",
            '"debian:trixie"',
            default="the suite that has the Python",
        ),
        Key(
            "replace",
            NAMES,
            "Compiled Python packages of a base image that the lock may replace.",
            '["torch"]',
        ),
        Key(
            "apt",
            ListOf("a list of package names", Text("a Debian package's name", r"[a-z0-9][a-z0-9+.-]{1,120}")),
            "System packages to add.",
            '["ffmpeg", "libsndfile1"]',
            default="apt.txt, a name a line",
        ),
        Key(
            "platforms",
            ListOf("a list of platforms", OneOf(PLATFORMS), 1),
            "Platforms to lock for.",
            '["linux/amd64", "linux/arm64"]',
            default="this machine's",
        ),
        Key(
            "code",
            _place("code"),
            "The code, read-only inside; false for none.",
            '"src"',
            default="src at /app/src; without src/, the project itself at /app",
        ),
        Key(
            "data",
            _place("data"),
            "The data, read-only at /data and beside the code; false for none.",
            '"data"',
            default="data, where it is there",
        ),
        Key(
            "results",
            _place("results"),
            "What is kept, writable at /results and beside the code; false for none.",
            '"results"',
            default="results, made when missing",
        ),
        Key(
            "mounts",
            ListOf("a list of mounts", MOUNT),
            "Other directories or files to show inside.",
            '["/models:/models:ro"]',
        ),
        Key(
            "env",
            MapOf(
                "a table of variables",
                Text("a name without = and NUL", r"[^=\u0000]+"),
                Either((Text("text", r"[^\u0000]*"), Whole("a whole number", -(2**53)))),
            ),
            "Environment variables of the program.",
            '{ OMP_NUM_THREADS = "4" }',
        ),
        Key("cache", Flag(), "Whether runs have this user's cache of models and packages (Hugging Face, torch hub, "
            "pip …), which all projects share.", "true", default="the setting `cache`"),
        Key("env-file", RELATIVE, "A file of VAR=VALUE lines, as for --env-file.", '".env"'),
        Key("workdir", INSIDE, "The working directory.", '"/app"', default="/app"),
        Key("startup", RELATIVE, "A script of the project that is run before each command.", '"startup.sh"'),
        Key("command", ARGV, "What `bareboat run` runs when nothing is named.", '["python", "src/run.py"]'),
        Key(
            "commands",
            MapOf("a table of commands", NAME, ARGV),
            "Commands by name: `bareboat run NAME`.",
            '{ train = ["python", "src/train.py"] }',
        ),
        Key("train", TRAIN, "What `bareboat train` takes where its options do not say.", '{ max-time = "8h" }'),
        Key("resources", RESOURCES, "Limits of a run.", '{ memory = "8g" }'),
        Key(
            "gpu",
            OneOf(("required", "optional", "none")),
            "Whether the program needs a GPU; with optional it runs without one where there is none.",
            '"optional"',
            default="none, or required with resources.gpus",
        ),
        Key(
            "network",
            OneOf(("host", "none")),
            "Whether the program reaches the network.",
            '"none"',
            default="host",
        ),
        Key(
            "engine",
            OneOf(("bubblewrap", "docker", "podman")),
            "What runs the containers, where neither command line nor environment says.",
            '"podman"',
            default="the setting's",
        ),
    ),
)
