"""A small network in plain numpy that is interrupted and goes on: the same loss to the last bit as in one piece."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

# Sums come out the same whatever the machine does besides. Before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np  # noqa: E402

FOLDER = Path(os.environ.get("BAREBOAT_CHECKPOINTS", "results/checkpoints"))
RESUME = os.environ.get("BAREBOAT_RESUME", "")
ANOTHER_ATTEMPT = 75  # EX_TEMPFAIL: "start me again"


def spirals(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arms that a straight line cannot tell apart."""
    rng = np.random.default_rng(1)
    kind = np.arange(rows) % 2
    turn = np.sqrt(rng.uniform(0.05, 1.0, rows)) * 3 * np.pi
    angle = turn + np.pi * kind
    points = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) / (3 * np.pi)
    return points + rng.normal(0, 0.05, points.shape), kind.astype(float)


def begin(width: int) -> dict[str, np.ndarray]:
    """Weights, and Adam's moments of each."""
    rng = np.random.default_rng(2)
    sizes = [2, width, width, 1]
    state = {}
    for layer, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        state[f"w{layer}"] = rng.normal(0, np.sqrt(2 / inputs), (inputs, outputs))
        state[f"b{layer}"] = np.zeros(outputs)
    return state | {f"{kind}_{name}": np.zeros_like(value) for name, value in state.items() for kind in "mv"}


def gradients(state: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    """The loss of a batch, and what each weight has to do with it."""
    h0 = np.tanh(x @ state["w0"] + state["b0"])
    h1 = np.tanh(h0 @ state["w1"] + state["b1"])
    z = (h1 @ state["w2"] + state["b2"])[:, 0]
    loss = float(np.mean(np.logaddexp(0, z) - y * z))
    dz = ((1 / (1 + np.exp(-z)) - y) / len(y))[:, None]
    d1 = dz @ state["w2"].T * (1 - h1**2)
    d0 = d1 @ state["w1"].T * (1 - h0**2)
    return loss, {"w2": h1.T @ dz, "b2": dz.sum(0), "w1": h0.T @ d1, "b1": d1.sum(0), "w0": x.T @ d0, "b0": d0.sum(0)}


def improve(state: dict[str, np.ndarray], found: dict[str, np.ndarray], step: int) -> None:
    """One step of Adam."""
    for name, gradient in found.items():
        m, v = state[f"m_{name}"], state[f"v_{name}"]
        m += 0.1 * (gradient - m)
        v += 0.001 * (gradient**2 - v)
        state[name] -= 0.003 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)


def save(step: int, state: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """Everything that the next step depends on. It counts when it has its name: until then it is called .tmp."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"step-{step:07}.npz"
    draft = file.with_name(f"{file.name}.tmp")
    with open(draft, "wb") as opened:
        np.savez(opened, step=step, rng=json.dumps(rng.bit_generator.state), **state)
        opened.flush()
        os.fsync(opened.fileno())
    os.rename(draft, file)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400_000)
    parser.add_argument("--every", type=int, default=5_000, help="steps between two checkpoints")
    parser.add_argument("--width", type=int, default=64)
    words = parser.parse_args()

    warned = False

    def warn(*_: object) -> None:
        nonlocal warned
        warned = True

    signal.signal(signal.SIGUSR1, warn)  # the warning: there is time to save
    signal.signal(signal.SIGTERM, warn)

    x, y = spirals(2_000)
    state, rng, step = begin(words.width), np.random.default_rng(3), 0
    if RESUME:
        with np.load(RESUME) as saved:
            state = {name: saved[name] for name in saved.files if name not in ("step", "rng")}
            rng.bit_generator.state = json.loads(str(saved["rng"]))
            step = int(saved["step"])
    print(f"attempt {os.environ.get('BAREBOAT_ATTEMPT', '1')}, from step {step}", flush=True)

    while step < words.steps:
        step += 1
        rows = rng.integers(0, len(x), 128)
        loss, found = gradients(state, x[rows], y[rows])
        improve(state, found, step)
        if step % words.every == 0 or warned:
            save(step, state, rng)
            print(f"step {step}, loss {loss:.6f}", flush=True)
        if warned and step < words.steps:
            print("interrupted: saved", flush=True)
            return ANOTHER_ATTEMPT

    loss, _ = gradients(state, x, y)
    result = Path("results/final.json")
    result.parent.mkdir(exist_ok=True)
    result.write_text(json.dumps({"steps": step, "loss": loss.hex()}) + "\n")
    print(f"final loss {loss:.6f} ({loss.hex()})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
