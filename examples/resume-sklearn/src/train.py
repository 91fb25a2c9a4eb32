"""A classifier of scikit-learn, fitted in batches, that is interrupted and goes on: the same loss to the last bit."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # sums come out the same whatever the machine does besides
import joblib  # noqa: E402
import numpy as np  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.metrics import log_loss  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402

CHECKPOINTS = Path(os.environ.get("BAREBOAT_CHECKPOINTS", "results/checkpoints"))
RESUME = os.environ.get("BAREBOAT_RESUME", "")

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=100_000)
parser.add_argument("--every", type=int, default=500, help="steps between two checkpoints")
words = parser.parse_args()

interrupted = False


def interrupt(*_: object) -> None:
    global interrupted
    interrupted = True


signal.signal(signal.SIGUSR1, interrupt)  # bareboat's warning: there is time to save
signal.signal(signal.SIGTERM, interrupt)

x, y = load_digits(return_X_y=True)
x /= 16
if RESUME:
    saved = joblib.load(RESUME)  # a pickle: what is in it may run as code, so load only what this run wrote
    step, model, order = saved["step"], saved["model"], saved["order"]
else:
    step, order = 0, np.random.default_rng(1)
    model = MLPClassifier((64,), solver="adam", learning_rate_init=1e-3, random_state=2)
print(f"attempt {os.environ.get('BAREBOAT_ATTEMPT', '1')}, from step {step}", flush=True)

while step < words.steps:
    step += 1
    rows = order.integers(0, len(x), 64)
    model.partial_fit(x[rows], y[rows], classes=np.arange(10))
    if step % words.every == 0 or interrupted:
        CHECKPOINTS.mkdir(parents=True, exist_ok=True)
        file = CHECKPOINTS / f"step-{step:07}.joblib"
        draft = file.with_suffix(".joblib.tmp")  # the model has Adam's moments and its random numbers in it
        joblib.dump({"step": step, "model": model, "order": order}, draft)
        with open(draft, "rb") as written:
            os.fsync(written.fileno())
        draft.rename(file)  # it counts when it has its name
        print(f"step {step}, loss {model.loss_:.6f}", flush=True)
    if interrupted and step < words.steps:
        print("interrupted: saved", flush=True)
        sys.exit(75)  # EX_TEMPFAIL: "start me again"

loss = float(log_loss(y, model.predict_proba(x)))
Path("results").mkdir(exist_ok=True)
Path("results/final.json").write_text(json.dumps({"steps": step, "loss": loss.hex()}) + "\n")
print(f"final loss {loss:.6f} ({loss.hex()})", flush=True)
