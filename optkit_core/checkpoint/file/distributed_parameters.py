"""Distributed parameters: a process has parts of their state, and a file is of one process."""

from __future__ import annotations

import torch

from optkit_core.errors import CheckpointError
from optkit_core.param_groups.groups import label
from optkit_core.shards.placements import is_distributed

SAVE = """
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
    dcp.save({"optimizer": get_optimizer_state_dict(model, optimizer)}, checkpoint_id=folder)
"""
LOAD = """
    state = {"optimizer": get_optimizer_state_dict(model, optimizer)}
    dcp.load(state, checkpoint_id=folder)
    set_optimizer_state_dict(model, optimizer, state["optimizer"])
"""


def require_none_to_save(optimizer: torch.optim.Optimizer) -> None:
    """Raise where an optimizer has distributed parameters, with what saves their state.

    Args:
        optimizer: any.

    Raises:
        CheckpointError: it has.
    """
    where = _first(optimizer)
    if where:
        raise CheckpointError(
            f"{where} is a DTensor, of which each process has a part, and optkit.save writes what "
            "one process has. torch.distributed.checkpoint writes a folder in which all take part:"
            f"\n{SAVE}\nAnother number of processes loads it, too, and a single one."
        )


def require_none_to_load(optimizer: torch.optim.Optimizer) -> None:
    """Raise where an optimizer has distributed parameters, with what loads their state.

    Args:
        optimizer: any.

    Raises:
        CheckpointError: it has.
    """
    where = _first(optimizer)
    if where:
        raise CheckpointError(
            f"{where} is a DTensor, of which each process has a part, and optkit.load reads what "
            f"one process has. What torch.distributed.checkpoint, dcp, has saved is loaded by"
            f"\n{LOAD}\nTo go on here from a file of optkit.save, load it in one process, whose "
            "parameters are no DTensors, and save its state by dcp.save."
        )


def _first(optimizer: torch.optim.Optimizer) -> str:
    """Return what the first distributed parameter is called, ``""`` if there is none."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            if is_distributed(p):
                return label(optimizer.param_groups, p)
    return ""
