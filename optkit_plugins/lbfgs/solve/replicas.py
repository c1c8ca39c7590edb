"""Replicas: processes that average their gradients have to decide by the same loss.

Under ``DistributedDataParallel`` every process sees the same gradients, but the loss of its own
batch. Were the line searches to compare those, one process could stop where another goes on,
and both would wait for each other for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook


@contextmanager
def replicas(params: Sequence[Tensor]) -> Iterator[list[Any]]:
    """Notice which replicated models the block calls; it yields their process groups.

    Args:
        params: a model counts if it holds one of these.
    """
    found: list[Any] = []
    if not _several_processes():
        yield found
        return
    own = {id(p) for p in params}

    def notice(module: torch.nn.Module, inputs: Any) -> None:
        if isinstance(module, torch.nn.parallel.DistributedDataParallel):
            group = module.process_group
            if group not in found and any(id(p) in own for p in module.parameters()):
                found.append(group)

    handle = register_module_forward_pre_hook(notice)
    try:
        yield found
    finally:
        handle.remove()


def averaged(loss: float | Tensor, groups: Sequence[Any]) -> float | Tensor:
    """Return the mean of a loss over the processes of every group."""
    for group in groups:
        total = torch.as_tensor(loss).detach().reshape(()).clone()
        torch.distributed.all_reduce(total, group=group)
        loss = total / torch.distributed.get_world_size(group)
    return loss


def _several_processes() -> bool:
    dist = torch.distributed
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
