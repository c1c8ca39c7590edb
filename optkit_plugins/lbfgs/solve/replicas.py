"""What the models that a closure calls tell of other processes: replicas, and parts.

Processes that average their gradients have to decide by the same loss.

Under ``DistributedDataParallel`` every process sees the same gradients, but the loss of its own
batch. Were the line searches to compare those, one process could stop where another goes on,
and both would wait for each other for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook

from optkit_plugins.lbfgs.ranks.bare_parts import BareParts

# A torch that was built without distributed has no such class.
if TYPE_CHECKING:
    ProcessGroup: TypeAlias = torch.distributed.ProcessGroup


@contextmanager
def observed(params: Sequence[Tensor], may_be_parts: bool = False) -> Iterator[list[ProcessGroup]]:
    """Notice which replicated models the ``with`` block calls; yield their process groups.

    Args:
        params: a model counts if it holds one of these.
        may_be_parts: whether it was told which processes have their other parts.

    Raises:
        ParametersError: one of these is a part of a model's DTensor, which can't be seen before.
    """
    groups: list[ProcessGroup] = []
    dist = torch.distributed
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        yield groups
        return
    ids = {id(p) for p in params}
    bare = BareParts(() if may_be_parts else params)

    def notice(module: torch.nn.Module, inputs: Any) -> None:
        bare.require_none(module)
        if isinstance(module, torch.nn.parallel.DistributedDataParallel):
            group = module.process_group
            if group not in groups and any(id(p) in ids for p in module.parameters()):
                groups.append(group)

    handle = register_module_forward_pre_hook(notice)
    try:
        yield groups
    finally:
        handle.remove()


def average(loss: float | Tensor, groups: Sequence[ProcessGroup]) -> float | Tensor:
    """Return the mean of a loss over the processes of every group."""
    for group in groups:
        # A copy, since all_reduce writes into it, and `step` returns the closure's own loss.
        total = torch.as_tensor(loss).detach().reshape(()).clone()
        torch.distributed.all_reduce(total, group=group)
        loss = total / torch.distributed.get_world_size(group)
    return loss
