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
    _require_none(
        optimizer,
        "optkit.save writes what one process has. torch.distributed.checkpoint writes a folder in "
        f"which all take part:\n{SAVE}\nAnother number of processes loads it, too, and a single "
        "one.",
    )


def require_none_to_load(optimizer: torch.optim.Optimizer) -> None:
    """Raise where an optimizer has distributed parameters, with what loads their state.

    Args:
        optimizer: any.

    Raises:
        CheckpointError: it has.
    """
    _require_none(
        optimizer,
        "optkit.load reads what one process has. What torch.distributed.checkpoint, dcp, has saved "
        f"is loaded by\n{LOAD}\nTo go on here from a file of optkit.save, load it in one process, "
        "whose parameters are no DTensors, and save its state by dcp.save.",
    )


def _require_none(optimizer: torch.optim.Optimizer, way_out: str) -> None:
    groups = optimizer.param_groups
    first = next((p for group in groups for p in group["params"] if is_distributed(p)), None)
    if first is not None:
        raise CheckpointError(
            f"{label(groups, first)} is a DTensor, of which each process has a part, and {way_out}"
        )
