"""A small network in JAX with Optax and Orbax that is interrupted and goes on: the same loss to the last bit."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp

CHECKPOINTS = Path(os.environ.get("BAREBOAT_CHECKPOINTS", "results/checkpoints")).absolute()
RESUME = os.environ.get("BAREBOAT_RESUME", "")

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=200_000)
parser.add_argument("--every", type=int, default=2_000, help="steps between two checkpoints")
words = parser.parse_args()

interrupted = False


def interrupt(*_: object) -> None:
    global interrupted
    interrupted = True


signal.signal(signal.SIGUSR1, interrupt)  # bareboat's warning: there is time to save
signal.signal(signal.SIGTERM, interrupt)


def spirals(rows: int) -> tuple[jax.Array, jax.Array]:
    """Two arms that a straight line cannot tell apart."""
    far, near = jax.random.split(jax.random.key(1))
    kind = jnp.arange(rows) % 2
    turn = jnp.sqrt(jax.random.uniform(far, (rows,))) * 3 * jnp.pi
    angle = turn + jnp.pi * kind
    points = jnp.stack([turn * jnp.cos(angle), turn * jnp.sin(angle)], axis=1) / (3 * jnp.pi)
    return points + 0.05 * jax.random.normal(near, (rows, 2)), kind.astype(jnp.float32)


def begin(width: int = 64) -> list[dict[str, jax.Array]]:
    sizes = [2, width, width, 1]
    keys = jax.random.split(jax.random.key(2), 3)
    return [{"w": jax.random.normal(key, (inputs, outputs)) * jnp.sqrt(2 / inputs), "b": jnp.zeros(outputs)}
            for key, inputs, outputs in zip(keys, sizes, sizes[1:])]


def loss_of(weights: list[dict[str, jax.Array]], points: jax.Array, kinds: jax.Array) -> jax.Array:
    for layer in weights[:-1]:
        points = jnp.tanh(points @ layer["w"] + layer["b"])
    logits = (points @ weights[-1]["w"] + weights[-1]["b"])[:, 0]
    return optax.sigmoid_binary_cross_entropy(logits, kinds).mean()


x, y = spirals(2_000)
optimizer = optax.adam(3e-3)


@jax.jit
def advance(state, step):
    """One step. Its random numbers depend on nothing but the number of the step, so that they need no saving."""
    rows = jax.random.randint(jax.random.fold_in(jax.random.key(3), step), (128,), 0, len(x))
    loss, gradients = jax.value_and_grad(loss_of)(state["weights"], x[rows], y[rows])
    updates, moments = optimizer.update(gradients, state["moments"])
    return {"weights": optax.apply_updates(state["weights"], updates), "moments": moments}, loss


weights = begin()
state, step = {"weights": weights, "moments": optimizer.init(weights)}, 0
manager = ocp.CheckpointManager(CHECKPOINTS, options=ocp.CheckpointManagerOptions(max_to_keep=3))
if RESUME:
    step = int(Path(RESUME).name)
    state = manager.restore(step, args=ocp.args.StandardRestore(state))
print(f"attempt {os.environ.get('BAREBOAT_ATTEMPT', '1')}, from step {step}", flush=True)

while step < words.steps:
    state, loss = advance(state, step)
    step += 1
    if step % words.every == 0 or interrupted:
        manager.save(step, args=ocp.args.StandardSave(state))  # goes on behind: Orbax renames when all is written
        print(f"step {step}, loss {loss:.6f}", flush=True)
    if interrupted and step < words.steps:
        manager.wait_until_finished()
        print("interrupted: saved", flush=True)
        sys.exit(75)  # EX_TEMPFAIL: "start me again"
manager.close()

loss = float(loss_of(state["weights"], x, y))
Path("results").mkdir(exist_ok=True)
Path("results/final.json").write_text(json.dumps({"steps": step, "loss": loss.hex()}) + "\n")
print(f"final loss {loss:.6f} ({loss.hex()})", flush=True)
