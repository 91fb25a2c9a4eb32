"""bareboat train: the words of the command line to what is sent, and what is said of it."""

from __future__ import annotations

import argparse

from bareboat.cli import run as run_words
from bareboat.cli import sweeping
from bareboat.errors import UsageError
from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from bareboat.training.values import Training
    from bareboat.verbs.prepare import RunRequest
    from bareboat.verbs.train import TrainRequest

SUMMARY = "Send a run for execution: queued until its GPUs are free, interrupted and resumed, recorded."
EXAMPLES = """\
  bareboat train -- python src/train.py
  bareboat train --gpus 2 --max-time 8h --name unet -- python src/train.py --lr 0.01
  bareboat train --after unet -- python src/test.py
  bareboat train --name lr --sweep lr=0.1,0.01 --sweep seed=1..5 --max-parallel 4 -- python src/train.py {lr} {seed}
  bareboat train --engine slurm --partition batch --gpus 4 -- torchrun src/train.py
  bareboat train --engine kubernetes --dry-run -- python src/train.py
"""
ENGINES = ("bubblewrap", "docker", "podman")
SCHEDULERS = ("local", "slurm", "kubernetes")
# options for one scheduler alone: flag, metavar, help; they go to Training.options under the flag's name
OPTIONS: tuple[tuple[str, str, str, str], ...] = (
    ("slurm", "--partition", "NAME", "Slurm's partition"),
    ("slurm", "--account", "NAME", "Slurm's account"),
    ("slurm", "--qos", "NAME", "Slurm's quality of service"),
    ("slurm", "--constraint", "WORDS", "features that its nodes must have"),
    ("slurm", "--reservation", "NAME", "Slurm's reservation"),
    ("slurm", "--gres", "WORDS", "other resources, or GPUs of a kind: gpu:a100:2"),
    ("slurm", "--sbatch", "WORDS", "more words for sbatch, as they are"),
    ("slurm", "--pyxis", "HOST/PATH", "let Slurm's Pyxis make the container, of an image that is pushed there"),
    ("kubernetes", "--namespace", "NAME", "the namespace (the kubeconfig's)"),
    ("kubernetes", "--context", "NAME", "the context of the kubeconfig (its current one)"),
    ("kubernetes", "--repository", "HOST/PATH", "where its image is pushed (the setting cluster.repository)"),
    ("kubernetes", "--results-claim", "CLAIM[:PATH]", "the PersistentVolumeClaim for results (bareboat-results)"),
    ("kubernetes", "--data-claim", "CLAIM[:PATH]", "the claim that has the data, mounted read-only at /data"),
    ("kubernetes", "--queue", "NAME", "a local queue of Kueue, which lets it start"),
    ("kubernetes", "--priority-class", "NAME", "the PriorityClass"),
    ("kubernetes", "--service-account", "NAME", "the ServiceAccount, whose token the program does not get"),
    ("kubernetes", "--image-pull-secret", "NAME", "what the nodes log in to the registry with; may be repeated"),
    ("kubernetes", "--node-selector", "KEY=VALUE", "a label that its node must have; may be repeated"),
    ("kubernetes", "--toleration", "KEY[=VALUE][:EFFECT]", "a taint that its node may have; may be repeated"),
    ("kubernetes", "--gpu-resource", "NAME", "what GPUs are called there (nvidia.com/gpu)"),
)


def parse(words: list[str]) -> argparse.Namespace:
    """As run's words."""
    from bareboat.cli.dispatch import parser_of

    at = words.index("--") if "--" in words else None
    options, program = (words, []) if at is None else (words[:at], words[at + 1:])
    parsed: argparse.Namespace = parser_of("train").parse_args(options)
    if parsed.words and at is not None:  # behind an image's own words -- is one of them
        parsed.words, program = [*parsed.words, *(["--"] if len(parsed.words) > 1 else []), *program], []
    parsed.program, parsed.project_run = program, not parsed.words
    for name, value in run_words.DEFAULTS.items():
        if getattr(parsed, name, None) is None:
            setattr(parsed, name, value)
    return parsed


def configure(parser: argparse.ArgumentParser) -> None:
    """What run has, and how an unattended run is carried out."""
    run_words.configure_workload(parser)
    add = parser.add_argument
    add("--engine", choices=(*ENGINES, *SCHEDULERS), help="who carries it out: this machine's queue (local), slurm or "
        "kubernetes; or what runs the container here")
    add("--max-time", metavar="TIME", help="the longest that an attempt may take, as 8h; short ones start earlier")
    add("--priority", type=int, default=0, metavar="N", help="among your own runs; higher goes first (0)")
    add("--after", action="append", metavar="RUN", help="not before that run has succeeded")
    add("--retries", type=int, metavar="N", help="start again after so many failures (0)")
    add("--retry-on", metavar="CODES", help="exit codes that are retried, as 1,137 (every failure)")
    add("--fail-on", metavar="CODES", help="exit codes that never are")
    add("--requeue-on", metavar="CODES", help="exit codes by which the program asks for another attempt (75); none")
    add("--requeue-at-limit", action=argparse.BooleanOptionalAction, default=None,
        help="when its time is over, go on in another attempt")
    add("--warning", metavar="SIGNAL", help="what warns the program that it is interrupted (USR1)")
    add("--grace", metavar="TIME", help="how long it has after the warning (60s)")
    add("--preemptible", action=argparse.BooleanOptionalAction, default=None,
        help="may be interrupted for others (by itself when you have more than a fair share)")
    add("--checkpoint-complete", metavar="FILE", help="the file that makes a checkpoint directory complete")
    add("--keep-checkpoints", type=int, metavar="N", help="keep the newest N when an attempt ends (all)")
    add("--notify", metavar="COMMAND", help="run by your shell when it is over")
    add("--webhook", metavar="URL", help="told when it is over, in JSON")
    add("--hang", metavar="TIME", help="point out a run without output and use for so long; 0 for never (30m)")
    add("--label", action="append", metavar="NAME=VALUE", help="a label, to filter by")
    sweeping.configure(parser)
    add("--nodes", type=int, default=1, metavar="N", help="nodes of a cluster that each attempt takes (1)")
    for scheduler, flag, metavar, text in OPTIONS:
        add(flag, metavar=metavar, action="append", dest=f"option_{flag[2:].replace('-', '_')}",
            help=f"{scheduler}: {text}")
    add("--dry-run", action="store_true", help="show what would be sent, send nothing")
    add("--json", action="store_true", help="what was sent, for programs")


def command(options: argparse.Namespace) -> int:
    """0 when it is queued."""
    from bareboat.verbs.train import explain, train
    from bareboat.wiring import queue

    request = request_of(options)
    said = argparse.Namespace(**vars(options))
    said.engine = options.engine if options.engine in ENGINES else None
    work = run_words.work_of(said)
    collaborators = queue(work)
    if options.dry_run:
        print(explain(request, work, collaborators))
        return 0
    sent = train(request, work, collaborators)
    from bareboat.verbs.queue import outlook

    seen = outlook(sent.entries[0], work, collaborators)
    if options.json:
        import json

        print(json.dumps({"submission": sent.id, "name": sent.name, "total": sent.total,
                          "runs": [{"id": e.run, "name": e.name, "state": e.state} for e in sent.entries]}, indent=2))
        return 0
    from bareboat.cli.queue import sent_line

    print(sent_line(sent, seen))
    return 0


def request_of(options: argparse.Namespace) -> TrainRequest:
    """The options as a request. Raises UsageError."""
    from bareboat.cli.life import labels
    from bareboat.verbs.train import TrainRequest

    gpus, options.gpus = options.gpus, None
    run, spread = sweeping.spread_of(options, run_words.request_of(options))
    _from_project(options, run)
    return TrainRequest(run, training_of(options), gpus, labels(options.label or []), spread,
                        options.again or "")


def training_of(options: argparse.Namespace) -> Training:
    """How it is carried out. Raises UsageError."""
    from bareboat.cli.life import seconds, signal_number
    from bareboat.training.values import Checkpoints, Interrupt, Need, Retry, Training, Watch

    o = options
    for flag, value in (("--retries", o.retries or 0), ("--keep-checkpoints", o.keep_checkpoints or 0)):
        if value < 0:
            raise UsageError("usage.number", f"{value} is less than 0", where=flag)
    if o.nodes < 1:
        raise UsageError("usage.number", f"{o.nodes} is less than 1", where="--nodes")
    scheduler = o.engine if o.engine in SCHEDULERS else "local"
    if scheduler == "local" and o.nodes > 1:
        raise UsageError("usage.nodes", "several nodes need a cluster", where="--nodes",
                         hint="--engine slurm or --engine kubernetes")
    if o.webhook and not o.webhook.startswith(("http://", "https://")):
        raise UsageError("usage.webhook", "it is no http or https URL", where="--webhook")
    interrupt, retry = Interrupt(), Retry()
    return Training(
        need=Need(seconds=seconds(o.max_time, "--max-time", 0.0), nodes=o.nodes),
        interrupt=Interrupt(signal_number(o.warning) if o.warning else interrupt.warning,
                            seconds(o.grace, "--grace", interrupt.grace)),
        retry=Retry(o.retries or 0, _codes(o.retry_on, "--retry-on"), _codes(o.fail_on, "--fail-on"),
                    retry.requeue_on if o.requeue_on is None else _codes(o.requeue_on, "--requeue-on"),
                    bool(o.requeue_at_limit)),
        checkpoints=Checkpoints(o.checkpoint_complete or "", o.keep_checkpoints or 0),
        watch=Watch(o.notify or "", o.webhook or "", seconds(o.hang, "--hang", Watch().hang)),
        priority=o.priority, preemptible=o.preemptible, after=tuple(o.after or ()), parallel=o.max_parallel or 0,
        scheduler=scheduler, options=_options(o, scheduler))


def _from_project(o: argparse.Namespace, run: RunRequest) -> None:
    """What the project's table [train] says where the options do not."""
    from bareboat.verbs.train import project_of

    project = project_of(run)
    if project is None:
        return
    for name, text in project.train:
        field = name.replace("-", "_")
        if getattr(o, field) is None:
            value: object = text == "true" if text in ("true", "false") else text
            setattr(o, field, int(text) if field in ("retries", "keep_checkpoints") else value)


def _options(o: argparse.Namespace, scheduler: str) -> tuple[tuple[str, str], ...]:
    found = []
    for owner, flag, _, _ in OPTIONS:
        value = getattr(o, f"option_{flag[2:].replace('-', '_')}")
        if value is None:
            continue
        if owner != scheduler:
            raise UsageError("usage.scheduler", f"{flag} is for {owner}, and this goes to {scheduler}", where=flag,
                             hint=f"--engine {owner}, or leave it out")
        found += [(flag[2:], word) for word in value]
    return tuple(found)


def _codes(text: str | None, flag: str) -> tuple[int, ...]:
    if not text or text == "none":
        return ()
    found = []
    for part in text.split(","):
        if not part.strip().isdigit() or not 0 <= int(part) <= 255:
            raise UsageError("usage.exit-codes", f"{part.strip()!r} is no exit code", where=flag, hint="as 1,2,137")
        found.append(int(part))
    return tuple(found)
