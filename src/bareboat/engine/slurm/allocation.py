"""What a job finds out about itself on a node: who it is, what it was leased, why it is told to end. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bareboat.values import dataclass

CANCELLED = "cancelled in Slurm, by its administrator or with scancel"
NEAR = 90.0  # seconds: Slurm sends a signal up to a minute early
_NONE = ("", "None", "(null)", "N/A", "Unknown")


@dataclass(frozen=True)
class Allocation:
    """job: Slurm's own number, one for each element of an array; restarts: how often it was requeued; rank: of this
    node among nodes; gpus: what Slurm leased of this node, as --gpus has it ("device=0,1", "" for none).
    """

    job: str
    restarts: int = 0
    node: str = ""
    rank: int = 0
    nodes: int = 1
    nodelist: str = ""
    gpus: str = ""


def allocation_of(environ: Mapping[str, str]) -> Allocation | None:
    """The allocation of this process; None outside of one."""
    job = environ.get("SLURM_JOB_ID", "")
    if not job.isdigit():
        return None
    return Allocation(job, _number(environ, "SLURM_RESTART_COUNT", 0), environ.get("SLURMD_NODENAME", ""),
                      _number(environ, "SLURM_PROCID", 0), _number(environ, "SLURM_JOB_NUM_NODES", 1),
                      environ.get("SLURM_JOB_NODELIST", ""), leased(environ))


def leased(environ: Mapping[str, str]) -> str:
    """The GPUs of this node by their numbers on it. The step's or the job's own list where Slurm gives one:
    CUDA_VISIBLE_DEVICES counts from 0 again where cgroups hide the others.
    """
    for name in ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        names = [part.strip() for part in environ.get(name, "").split(",") if part.strip()]
        if names and all(part.isdigit() or part.startswith(("GPU-", "MIG-")) for part in names):
            return f"device={','.join(names)}"
    return ""


def cause_of(job: Mapping[str, str], restarts: int, left: float, *, warned: bool) -> tuple[str, str]:
    """Why a job was told to end: (cause, reason), of what scontrol says of it. left: seconds until its end, where that
    is known, else infinite. warned: by the signal that comes before the time limit, and not by SIGTERM.

    Where Slurm cannot be asked, job is empty: then it counts as preempted, which loses nothing.
    """
    if job.get("PreemptTime", "") not in _NONE:
        return "preempted", "preempted for another job"
    if job.get("Restarts", "").isdigit() and int(job["Restarts"]) > restarts:
        return "preempted", "requeued in Slurm"
    if warned:
        return ("limit", "time limit") if left <= NEAR or not job else ("preempted", "asked to make room")
    state = job.get("JobState", "")
    if state in ("COMPLETING", "TIMEOUT", "CANCELLED") and (job.get("Reason") == "TimeLimit" or state == "TIMEOUT"):
        return "limit", "time limit"
    if state in ("COMPLETING", "CANCELLED"):
        return "stopped", CANCELLED
    return "preempted", "its node is needed"


def rendezvous(place: Allocation, address: str, port: int) -> tuple[tuple[str, str], ...]:
    """Variables by which programs of several nodes find each other, one process a node: those of torch.distributed's
    env:// (and torchrun's command line by them), of Open MPI's launchers, and Slurm's own, which jax.distributed reads.
    """
    rank, size = str(place.rank), str(place.nodes)
    return (
        ("MASTER_ADDR", address), ("MASTER_PORT", str(port)),
        ("RANK", rank), ("WORLD_SIZE", size), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"),
        ("NODE_RANK", rank), ("GROUP_RANK", rank), ("NNODES", size),
        ("OMPI_COMM_WORLD_RANK", rank), ("OMPI_COMM_WORLD_SIZE", size),
        ("OMPI_COMM_WORLD_LOCAL_RANK", "0"), ("OMPI_COMM_WORLD_LOCAL_SIZE", "1"),
        ("SLURM_JOB_ID", place.job), ("SLURM_PROCID", rank), ("SLURM_NTASKS", size), ("SLURM_LOCALID", "0"),
        ("SLURM_NODEID", rank), ("SLURM_NNODES", size), ("SLURM_JOB_NUM_NODES", size),
        ("SLURM_STEP_NUM_TASKS", size), ("SLURM_STEP_TASKS_PER_NODE", f"1(x{size})"),
        ("SLURM_TASKS_PER_NODE", f"1(x{size})"),
        ("SLURM_STEP_NODELIST", place.nodelist), ("SLURM_JOB_NODELIST", place.nodelist),
    )


def port_of(job: str) -> int:
    """The port of a job's rendezvous: by its number, so that every node has it without asking; below those that the
    kernel gives to who asks for any.
    """
    return 12000 + int(job) % 20000


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "")
    return int(text) if text.isdigit() else default
