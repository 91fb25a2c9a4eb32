"""A small network in plain PyTorch that is interrupted and goes on: the same loss to the last bit as in one piece."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

CHECKPOINTS = Path(os.environ.get("BAREBOAT_CHECKPOINTS", "results/checkpoints"))
RESUME = os.environ.get("BAREBOAT_RESUME", "")

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=300)
parser.add_argument("--every", type=int, default=500, help="steps between two checkpoints")
words = parser.parse_args()

interrupted = False


def interrupt(*_: object) -> None:
    global interrupted
    interrupted = True


signal.signal(signal.SIGUSR1, interrupt)  # bareboat's warning: there is time to save
signal.signal(signal.SIGTERM, interrupt)


def spirals(rows: int) -> TensorDataset:
    """Two arms that a straight line cannot tell apart."""
    random = torch.Generator().manual_seed(1)
    kind = torch.arange(rows) % 2
    turn = torch.rand(rows, generator=random).sqrt() * 3 * torch.pi
    angle = turn + torch.pi * kind
    points = torch.stack([turn * angle.cos(), turn * angle.sin()], dim=1) / (3 * torch.pi)
    return TensorDataset(points + 0.05 * torch.randn(rows, 2, generator=random), kind.float())


def save() -> None:
    """Everything that the next step depends on. It counts when it has its name: until then it is called .tmp."""
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    file = CHECKPOINTS / f"step-{step:07}.pt"
    draft = file.with_suffix(".pt.tmp")
    torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(), "random": torch.get_rng_state()}, draft)
    with open(draft, "rb") as written:
        os.fsync(written.fileno())
    draft.rename(file)


torch.manual_seed(2)
torch.set_num_threads(1)  # sums come out the same whatever the machine does besides
data = spirals(2_000)
model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Dropout(0.05), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
order = torch.Generator()
loader = DataLoader(data, batch_size=64, shuffle=True, drop_last=True, generator=order)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, words.epochs * len(loader))
step = 0
if RESUME:
    saved = torch.load(RESUME, weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    torch.set_rng_state(saved["random"])
    step = saved["step"]
print(f"attempt {os.environ.get('BAREBOAT_ATTEMPT', '1')}, from step {step}", flush=True)

loss_of = nn.BCEWithLogitsLoss()
for epoch in range(step // len(loader), words.epochs):
    order.manual_seed(epoch)  # the order of an epoch depends on nothing but its number
    done = step % len(loader)
    random = torch.get_rng_state()  # reading the rows that were had before changes no random numbers
    batches = iter(loader)
    for _ in range(done):
        next(batches)
    torch.set_rng_state(random)
    for points, kinds in batches:
        loss = loss_of(model(points)[:, 0], kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        step += 1
        if step % words.every == 0 or interrupted:
            save()
            print(f"step {step}, loss {loss:.6f}", flush=True)
        if interrupted and step < words.epochs * len(loader):
            print("interrupted: saved", flush=True)
            sys.exit(75)  # EX_TEMPFAIL: "start me again"

model.eval()
with torch.no_grad():
    loss = float(loss_of(model(data.tensors[0])[:, 0], data.tensors[1]))
Path("results").mkdir(exist_ok=True)
Path("results/final.json").write_text(json.dumps({"steps": step, "loss": loss.hex()}) + "\n")
print(f"final loss {loss:.6f} ({loss.hex()})", flush=True)
