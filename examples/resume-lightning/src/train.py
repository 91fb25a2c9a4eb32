"""A small network in PyTorch Lightning that is interrupted and goes on: the same loss to the last bit.

Lightning catches SIGTERM by itself and ends after the batch; `save_on_exception` saves then. A loader of its own and
two hooks are here for the last bit alone: without them Lightning begins a broken-off epoch with its first rows again.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

CHECKPOINTS = Path(os.environ.get("BAREBOAT_CHECKPOINTS", "results/checkpoints"))
RESUME = os.environ.get("BAREBOAT_RESUME", "")


def spirals(rows: int) -> TensorDataset:
    """Two arms that a straight line cannot tell apart."""
    random = torch.Generator().manual_seed(1)
    kind = torch.arange(rows) % 2
    turn = torch.rand(rows, generator=random).sqrt() * 3 * torch.pi
    angle = turn + torch.pi * kind
    points = torch.stack([turn * angle.cos(), turn * angle.sin()], dim=1) / (3 * torch.pi)
    return TensorDataset(points + 0.05 * torch.randn(rows, 2, generator=random), kind.float())


class Order(Sampler[int]):
    """The order of an epoch's rows, which depends on its number alone. Lightning calls set_epoch."""

    def __init__(self, rows: int) -> None:
        self.rows, self.epoch, self.had = rows, 0, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        had, self.had = self.had, 0
        yield from order[had:]


class Loader(DataLoader[Any]):
    """Says how many batches of the epoch were had. Lightning keeps that in its checkpoints."""

    had = 0

    def __iter__(self) -> Iterator[Any]:
        self.had = self.sampler.had // self.batch_size
        for batch in super().__iter__():
            self.had += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"had": self.had % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.sampler.had = state["had"] * self.batch_size


class Spirals(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Dropout(0.05), nn.Linear(64, 64), nn.Tanh(),
                                    nn.Linear(64, 1))
        self.loss = nn.BCEWithLogitsLoss()

    def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
        return self.loss(self.layers(batch[0])[:, 0], batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=3e-3)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["random"] = torch.get_rng_state()  # Lightning keeps no random numbers, which dropout needs

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        torch.set_rng_state(checkpoint["random"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--every", type=int, default=500, help="steps between two checkpoints")
    words = parser.parse_args()
    print(f"attempt {os.environ.get('BAREBOAT_ATTEMPT', '1')}, from {RESUME or 'nothing'}", flush=True)
    L.seed_everything(2)
    torch.set_num_threads(1)  # sums come out the same whatever the machine does besides
    data = spirals(2_000)
    loader = Loader(data, batch_size=64, sampler=Order(len(data)), drop_last=True, generator=torch.Generator())
    model = Spirals()
    keep = ModelCheckpoint(CHECKPOINTS, every_n_train_steps=words.every, save_top_k=-1, save_on_exception=True)
    trainer = L.Trainer(max_epochs=words.epochs, accelerator="cpu", callbacks=[keep], logger=False,
                        enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(model, loader, ckpt_path=RESUME or None)

    model.eval()
    with torch.no_grad():
        loss = float(model.loss(model.layers(data.tensors[0])[:, 0], data.tensors[1]))
    Path("results").mkdir(exist_ok=True)
    Path("results/final.json").write_text(json.dumps({"steps": trainer.global_step, "loss": loss.hex()}) + "\n")
    print(f"final loss {loss:.6f} ({loss.hex()})", flush=True)


if __name__ == "__main__":
    main()
