"""A run without a sandbox: an engine that executes the project's code in this process, on the mounts it was
given.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from bareboat.image.plan import Plan, interpreter
from bareboat.lock import Deb, Wheel
from bareboat.record import codec
from bareboat.record.secrets import withhold
from bareboat.record.values import RecordedMount, RunRecord, run_id, timestamp
from bareboat.settings import Settings
from bareboat.store import Store
from bareboat.store.codewalk import CodeRules
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment
from bareboat.verbs.execute import Prepared, execute
from bareboat.verbs.rerun import Steps
from bareboat.workload import Mount, Outcome, Rootfs, Workload


class HereEngine:
    """Executes the file argv[0] of the code mount; it sees `results`, `data`, `env` and `say`."""

    name = "here"

    def __init__(self):
        self.loads = []

    def run(self, workload, streams):
        self.loads.append(workload)
        streams.started()
        at = {m.target: m.source for m in workload.mounts}
        if "/app/src" not in at:  # the compiler of bytecode: there is no Python in these images
            return Outcome(127)
        space = {
            "results": at.get("/results"),
            "data": at.get("/data"),
            "env": dict(workload.env),
            "say": lambda text: streams.stdout(text.encode()),
        }
        try:
            exec((at["/app/src"] / workload.argv[0]).read_text(), space)
        except SystemExit as end:
            return Outcome(int(end.code or 0), seconds=0.1)
        return Outcome(0, seconds=0.1)


class Heard:
    """What was said."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)

    detail = say

    def progress(self, what, done, total):
        pass


def plan(*wheels, python="3.13.5"):
    return Plan(
        "linux/amd64",
        "debian",
        "trixie",
        interpreter("3.13", python),
        (Deb("libc6", "2.41", "amd64", "pool/libc6.deb", "a" * 64, 1),),
        tuple(
            Wheel(
                n,
                v,
                f"{n}-{v}.whl",
                f"https://files.example/{n}",
                (n + v).encode().hex().ljust(64, "0"),
                1,
                requested=True,
            )
            for n, v in wheels
        ),
        (),
        (),
    )


class Lab:
    """A store, a project folder and an engine; run() and steps for rerun()."""

    def __init__(self, home: Path, root: Path):
        self.store, self.root, self.engine, self.tell = Store.open(home), root, HereEngine(), Heard()
        self.work = Work(self.store, self.engine, Settings(home=home), self.tell)
        for name in ("src", "data", "results"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "data/d.txt").write_text("data")

    def assemble(self, image, work):
        key = "tree-" + image.digest[7:20]
        self.store.make_tree(key, lambda writer: writer.directory("etc"))
        return Environment(
            image.digest,
            self.store.put_blob([codec.encode_bytes(image)]),
            (key,),
            (),
            image.env,
            image.workdir,
        )

    @property
    def steps(self):
        return Steps(self.assemble, execute, lambda environ, tty: ({}, ()))

    def run(self, code, image=None, env=(), name="", argv=("run.py",)):
        (self.root / "src/run.py").write_text(code)
        image = image or plan(("numpy", "2.0"))
        made = self.assemble(image, self.work)
        kept, withheld = withhold(env)
        mounts = [
            ("src", "/app/src", True, "code"),
            ("data", "/data", True, "data"),
            ("data", "/app/data", True, "data"),
            ("results", "/results", False, "results"),
        ]
        record = RunRecord(
            id=run_id(os.urandom(6)),
            name=name,
            created=timestamp(time.time()),
            argv=argv,
            env=kept,
            withheld=withheld,
            cwd="/app",
            plan=made.plan,
            plan_blob=made.plan_blob,
            project=self.root.name,
            root=str(self.root),
            engine="here",
            version="0",
            mounts=tuple(
                RecordedMount(str(self.root / s), t, ro, kind, s if kind == "code" else "")
                for s, t, ro, kind in mounts
            ),
        )
        load = Workload(
            Rootfs(()),
            argv,
            tuple(sorted(env)),
            "/app",
            tuple(Mount(self.root / s, t, ro) for s, t, ro, _ in mounts),
        )
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            return execute(
                Prepared(
                    load,
                    record,
                    self.root / "results",
                    (self.root, CodeRules(only=("src",))),
                    (("/data", self.root / "data"),),
                    stdout=null,
                    stderr=null,
                ),
                self.work,
            )
        finally:
            os.close(null)
