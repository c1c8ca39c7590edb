"""Loading into optimizers that aren't optkit's: what torch leaves unchecked is checked before."""

from __future__ import annotations

from typing import Any

import torch

from optkit_core.errors import CheckpointError


def restore(
    optimizer: torch.optim.Optimizer, algorithm: str, state_dict: dict[str, Any], strict: bool
) -> None:
    """Load a state into an optimizer of any class, or leave the optimizer as it was.

    Args:
        optimizer: the optimizer.
        algorithm: the name of the class that the state was saved from.
        state_dict: the state; its tensors become the optimizer's.
        strict: whether the class must be of that name.

    Raises:
        CheckpointError: the class differs, or the optimizer refuses the state.
    """
    own = type(optimizer).__name__
    if strict and algorithm.lower() != own.lower():
        raise CheckpointError(
            f"this state is of {algorithm}, this optimizer is {own}. Create the optimizer that "
            "saved it, or load with strict=False if you know that the state fits."
        )
    before = dict(vars(optimizer))
    groups = [dict(group) for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state_dict)
    except Exception as error:
        # torch puts new dicts in place of state and groups, and may fail after that.
        vars(optimizer).update(before)
        for group, content in zip(optimizer.param_groups, groups, strict=True):
            group.clear()
            group.update(content)
        raise CheckpointError(
            f"{own} refuses this state: {type(error).__name__}: {error!s:.200}"
        ) from error
