"""What ranks do in tests, such as training replicas of one model, each on rows of its own."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from optkit_plugins.lbfgs import LBFGS


def minimize(rank: int, search: str) -> dict[str, Any]:
    """Take three steps of L-BFGS on a share of the rows; return where that ends, and how.

    Args:
        rank: which of two.
        search: the line search.
    """
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    replica = DistributedDataParallel(model.double())
    inputs = torch.randn(64, 5, dtype=torch.float64)
    targets = (3 * inputs).sin().sum(1, keepdim=True)
    mine = slice(32 * rank, 32 * rank + 32)
    optimizer = LBFGS(
        model.parameters(), line_search_fn=search, max_iter=25, max_eval=60, tolerance_change=1e-4
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (replica(inputs[mine]) - targets[mine]).square().mean()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    return {
        "params": gathered(model),
        "whole": (model(inputs) - targets).square().mean().item(),
        "result": optimizer.result,
    }


def gathered(model: torch.nn.Module) -> list[Tensor]:
    """Return the parameters of every rank's replica, each as one vector."""
    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    both = [torch.zeros_like(flat) for _ in range(dist.get_world_size())]
    dist.all_gather(both, flat)
    return both


KEPT: list[Any] = []


def summed(rank: int, begin: int) -> tuple[int, float]:
    """Return the rank, and the sum of `begin` and the rank over all of them."""
    total = torch.tensor(float(begin + rank))
    dist.all_reduce(total)
    return rank, total.item()


def failing(rank: int) -> None:
    """Fail on the last rank, while the others wait for it."""
    if rank == dist.get_world_size() - 1:
        raise ArithmeticError("the last rank fails")
    dist.barrier()


def keeping(rank: int) -> None:
    """Hold on to the process group beyond its end."""
    KEPT.append(dist.group.WORLD)
