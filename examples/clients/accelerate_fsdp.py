"""Accelerate's FSDP2: what a configuration describes, sharded over several processes.

    torchrun --nproc-per-node 2 examples/clients/accelerate_fsdp.py FOLDER --epochs 2
    torchrun --nproc-per-node 2 examples/clients/accelerate_fsdp.py FOLDER --epochs 4 --resume

The second command continues from what the first one wrote into FOLDER. `accelerate launch` starts
the same script.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin
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
    "clipping": {"norm": 1.0},
}
BATCH = 64
"""Images in a step, those of all processes together."""


def main(words: Sequence[str] | None = None) -> None:
    """Train, and print the loss of each epoch.

    Args:
        words: the command's; None takes them from the process.
    """
    parser = argparse.ArgumentParser(description="Train a classifier by Accelerate and FSDP2.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--resume", action="store_true")
    asked = parser.parse_args(words)
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="size_based_wrap",
        min_num_params=1000,
        state_dict_type="SHARDED_STATE_DICT",
    )
    accelerator = Accelerator(fsdp_plugin=plugin, step_scheduler_with_optimizer=False)
    torch.manual_seed(0)
    network = Network()
    setup = optkit.from_config(CONFIG, network)
    loader = DataLoader(digits(), batch_size=BATCH // accelerator.num_processes)
    # The optimizer goes with its model: Accelerate gives it the shards that take its
    # parameters' places.
    model, optimizer, schedule, batches = accelerator.prepare(
        network, setup.optimizer, setup.schedule, loader
    )
    begin = 0
    if asked.resume:
        accelerator.load_state(str(asked.folder))
        begin = schedule.scheduler.last_epoch // len(batches)
    for epoch in range(begin, asked.epochs):
        for images, labels in batches:
            loss = cross_entropy(model(images), labels)
            accelerator.backward(loss)
            setup.clip_gradients()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        mean = accelerator.reduce(loss.detach(), "mean")
        accelerator.print(f"epoch {epoch + 1}: loss {mean.item():.6f}")
    accelerator.save_state(str(asked.folder))
    accelerator.end_training()


if __name__ == "__main__":
    main()
