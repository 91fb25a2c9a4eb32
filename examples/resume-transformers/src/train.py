"""A tiny language model by Hugging Face's Trainer that is interrupted and goes on: the same loss to the last bit."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments, set_seed

CHECKPOINTS = os.environ.get("BAREBOAT_CHECKPOINTS", "results/checkpoints")
RESUME = os.environ.get("BAREBOAT_RESUME", "")


class Interrupt(TrainerCallback):
    """At bareboat's warning, and at SIGTERM: save after the step, and end."""

    asked = False

    def __init__(self) -> None:
        signal.signal(signal.SIGUSR1, self.ask)
        signal.signal(signal.SIGTERM, self.ask)

    def ask(self, *_: object) -> None:
        self.asked = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: object) -> None:
        if self.asked:
            control.should_save = control.should_training_stop = True


def walks(rows: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """Sentences of 24 words in which each says which few may follow."""
    random = torch.Generator().manual_seed(seed)
    words = [torch.randint(0, 64, (rows,), generator=random)]
    for _ in range(23):
        words.append((words[-1] * 5 + torch.randint(0, 3, (rows,), generator=random)) % 64)
    return [{"input_ids": row, "labels": row} for row in torch.stack(words, dim=1)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--every", type=int, default=200, help="steps between two checkpoints")
    words = parser.parse_args()
    print(f"attempt {os.environ.get('BAREBOAT_ATTEMPT', '1')}, from {RESUME or 'nothing'}", flush=True)
    set_seed(2)
    torch.set_num_threads(1)  # sums come out the same whatever the machine does besides
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=24, n_embd=48, n_layer=2, n_head=4,
                                       bos_token_id=0, eos_token_id=0))  # of random weights: nothing is fetched
    told = Interrupt()
    trainer = Trainer(model, TrainingArguments(
        CHECKPOINTS, max_steps=words.steps, save_steps=words.every, save_total_limit=3, logging_steps=words.every,
        per_device_train_batch_size=32, learning_rate=1e-3, report_to="none", disable_tqdm=True, use_cpu=True),
        train_dataset=walks(2_000, seed=3), eval_dataset=walks(200, seed=4), callbacks=[told])
    trainer.train(resume_from_checkpoint=RESUME or None)
    if told.asked and trainer.state.global_step < words.steps:
        print("interrupted: saved", flush=True)
        sys.exit(75)  # EX_TEMPFAIL: "start me again"

    loss = float(trainer.evaluate()["eval_loss"])
    Path("results").mkdir(exist_ok=True)
    Path("results/final.json").write_text(json.dumps({"steps": trainer.state.global_step, "loss": loss.hex()}) + "\n")
    print(f"final loss {loss:.6f} ({loss.hex()})", flush=True)


if __name__ == "__main__":
    main()
