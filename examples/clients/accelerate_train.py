"""Accelerate: what a configuration describes, in a loop of one's own.

    python examples/clients/accelerate_train.py FOLDER --epochs 4
    python examples/clients/accelerate_train.py FOLDER --epochs 8 --resume

The second command continues from what the first one wrote into FOLDER. `accelerate launch` starts
the same script on several devices.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from digits import Network, digits
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import optkit

CONFIG = {
    "optimizer": {
        "name": "adamw",
        "lr": 0.01,
        "weight_decay": 0.05,
        "groups": [
            {"module": "norm", "weight_decay": 0.0},
            {"match": "*.bias", "weight_decay": 0.0},
        ],
    },
    "schedule": {"name": "cosine_annealing", "T_max": 60, "warmup": 4},
    "averaging": {"name": "ema", "decay": 0.9},
    "clipping": {"norm": 1.0},
}


def main(words: Sequence[str] | None = None) -> None:
    """Train, and print the loss of each epoch and that of the average.

    Args:
        words: the command's; None takes them from the process.
    """
    parser = argparse.ArgumentParser(description="Train a classifier of digits by Accelerate.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--resume", action="store_true")
    asked = parser.parse_args(words)
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(0)
    network = Network()
    setup = optkit.from_config(CONFIG, network)
    loader = DataLoader(digits(), batch_size=64, shuffle=True)
    model, optimizer, schedule, batches = accelerator.prepare(
        network, setup.optimizer, setup.schedule, loader
    )
    # The optimizer and the schedule are saved since they were prepared; this is for the rest.
    progress = Progress()
    accelerator.register_for_checkpointing(setup.averaging, progress)
    if asked.resume:
        accelerator.load_state(str(asked.folder))
    for _ in range(progress.epochs, asked.epochs):
        for images, labels in batches:
            with accelerator.accumulate(model):
                loss = cross_entropy(model(images), labels)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    setup.clip_gradients()
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            if accelerator.sync_gradients:
                setup.averaging.update_parameters(network)
        progress.epochs += 1
        print(f"epoch {progress.epochs}: loss {loss.item():.4f}")
    accelerator.save_state(str(asked.folder))


class Progress:
    """How far a run has come, as a part of its checkpoint."""

    def __init__(self) -> None:
        """Begin."""
        self.epochs = 0

    def state_dict(self) -> dict[str, int]:
        """Return what is saved."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from what was saved."""
        self.epochs = state["epochs"]


if __name__ == "__main__":
    main()
