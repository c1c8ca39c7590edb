"""Train a transformer whose parameters are spread over several processes.

    torchrun --nproc-per-node 2 examples/distributed/train.py --steps 20 --save half
    torchrun --nproc-per-node 4 examples/distributed/train.py --resume half --tp 2

FSDP2 shards the parameters, with `--tp` within tensor parallelism. `train.toml` says the optimizer,
its schedule and the clipping of gradients; `--config` names another file. The second command goes
on from what the first one has saved, on more processes. The losses are those of one
process, but for rounding.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.nn.functional import nll_loss
from transformer import LENGTH, VOCABULARY, Transformer, distribute

import optkit

BATCH = 32
"""Sequences in a step, those of all ranks together."""


def main(words: Sequence[str] | None = None) -> None:
    """Train as one of the ranks; the first one prints the loss before each step.

    Args:
        words: the command's; None takes them from the process.
    """
    asked = arguments(words)
    torch.set_default_dtype(getattr(torch, asked.dtype))
    dist.init_process_group("gloo")
    shape = (dist.get_world_size() // asked.tp, asked.tp)
    mesh = init_device_mesh("cpu", shape, mesh_dim_names=("data", "tensor"))
    torch.manual_seed(0)
    model = Transformer()
    distribute(model, mesh)
    # After the model is distributed, so that the optimizer is given the parameters that remain.
    setup = optkit.from_config(asked.config, model)
    if asked.resume:
        resume(model, setup, asked.resume)
    for step in range(setup.steps, asked.steps):
        loss = train_step(model, setup, *batch(step, mesh["data"]))
        if dist.get_rank() == 0:
            print(f"step {step}: loss {loss:.12g}", flush=True)
    if asked.save:
        save(state_of(model, setup), checkpoint_id=asked.save)
    dist.destroy_process_group()


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command says."""
    parser = argparse.ArgumentParser(description="Train a small transformer on several processes.")
    parser.add_argument("--steps", type=int, default=40, help="in all (default 40)")
    parser.add_argument("--tp", type=int, default=1, help="processes that share a layer (1)")
    parser.add_argument("--save", type=Path, help="a folder for a checkpoint of the end")
    parser.add_argument("--resume", type=Path, help="the folder of one to go on from")
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("train.toml"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    return parser.parse_args(words)


def train_step(model: Transformer, setup: Any, inputs: Tensor, targets: Tensor) -> float:
    """Take a step; return the loss before it, of the batches of all ranks."""

    def closure() -> Tensor:
        setup.optimizer.zero_grad()
        loss = nll_loss(model(inputs).flatten(0, 1), targets.flatten())
        torch.autograd.backward(loss)
        return loss.detach()

    loss: Tensor = setup.step(closure).clone()
    dist.all_reduce(loss)
    return loss.item() / dist.get_world_size()


def batch(step: int, data: DeviceMesh) -> tuple[Tensor, Tensor]:
    """Return this rank's share of a step's sequences, and what follows each of their tokens.

    A sequence counts by a number of its own, and begins anew after the last token.

    Args:
        step: which sequences.
        data: the ranks that share them.
    """
    generator = torch.Generator().manual_seed(step)
    first, by = torch.randint(0, VOCABULARY, (2, BATCH, 1), generator=generator)
    sequences = (first + by * torch.arange(LENGTH + 1)) % VOCABULARY
    mine = sequences.chunk(data.size())[data.get_local_rank()]
    return mine[:, :-1], mine[:, 1:]


def state_of(model: Transformer, setup: Any) -> dict[str, Any]:
    """Return what a checkpoint holds, by names, however many ranks there are."""
    weights, optimizer = get_state_dict(model, setup.optimizer)
    schedule = setup.schedule.state_dict()
    return {"model": weights, "optimizer": optimizer, "schedule": schedule, "steps": setup.steps}


def resume(model: Transformer, setup: Any, folder: Path) -> None:
    """Go on from a checkpoint, which may be of another number of ranks."""
    state = state_of(model, setup)
    load(state, checkpoint_id=folder)
    weights, optimizer = state["model"], state["optimizer"]
    set_state_dict(model, setup.optimizer, model_state_dict=weights, optim_state_dict=optimizer)
    setup.schedule.load_state_dict(state["schedule"])
    setup.steps = state["steps"]


if __name__ == "__main__":
    main()
