"""A small network in Keras, on JAX, that is interrupted and goes on: the same loss to the last bit.

Keras can only be resumed at an epoch's end, so its epochs are made short. Nothing in here knows of bareboat but two
variables: it catches neither signal, so it is ended at once, and what it loses is the epoch that it was in.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras  # noqa: E402
import numpy as np  # noqa: E402

CHECKPOINTS = Path(os.environ.get("BAREBOAT_CHECKPOINTS", "results/checkpoints"))
RESUME = os.environ.get("BAREBOAT_RESUME", "")


def spirals(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arms that a straight line cannot tell apart."""
    random = np.random.default_rng(1)
    kind = np.arange(rows) % 2
    turn = np.sqrt(random.uniform(0.05, 1.0, rows)) * 3 * np.pi
    angle = turn + np.pi * kind
    points = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) / (3 * np.pi)
    return (points + random.normal(0, 0.05, points.shape)).astype("float32"), kind.astype("float32")


class Batches(keras.utils.PyDataset):
    """The rows in the order of an epoch."""

    def __init__(self, x: np.ndarray, y: np.ndarray, size: int = 64) -> None:
        super().__init__()
        self.x, self.y, self.size, self.order = x, y, size, np.arange(len(x))

    def __len__(self) -> int:
        return len(self.x) // self.size

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[number * self.size:(number + 1) * self.size]
        return self.x[rows], self.y[rows]


class ByNumber(keras.callbacks.Callback):
    """Order and dropout of an epoch depend on its number alone: Keras saves the state of neither."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.batches.order = np.random.default_rng(epoch).permutation(len(self.batches.x))
        for number, layer in enumerate(self.model.layers):
            if hasattr(layer, "seed_generator"):
                layer.seed_generator.state.assign([number, epoch << 16])


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1_000)
words = parser.parse_args()

keras.utils.set_random_seed(2)
x, y = spirals(2_000)
if RESUME:  # .../epoch-0012.keras: the model and its optimizer
    model, epoch = keras.models.load_model(RESUME), int(Path(RESUME).stem.rpartition("-")[2])
else:
    model, epoch = keras.Sequential([keras.Input((2,)), keras.layers.Dense(64, "relu"), keras.layers.Dropout(0.05),
                                     keras.layers.Dense(64, "relu"), keras.layers.Dense(1)]), 0
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.BinaryCrossentropy(from_logits=True))
print(f"attempt {os.environ.get('BAREBOAT_ATTEMPT', '1')}, from epoch {epoch}", flush=True)

CHECKPOINTS.mkdir(parents=True, exist_ok=True)
batches = Batches(x, y)
model.fit(batches, epochs=words.epochs, initial_epoch=epoch, shuffle=False, verbose=2,  # the batches have their order
          callbacks=[ByNumber(batches), keras.callbacks.ModelCheckpoint(CHECKPOINTS / "epoch-{epoch:04d}.keras")])

loss = float(model.evaluate(x, y, batch_size=len(x), verbose=0))
Path("results").mkdir(exist_ok=True)
Path("results/final.json").write_text(json.dumps({"epochs": words.epochs, "loss": loss.hex()}) + "\n")
print(f"final loss {loss:.6f} ({loss.hex()})", flush=True)
