"""Loading into optimizers that aren't optkit's: what torch leaves unchecked is checked before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from optkit_core.checkpoint.load.renaming import Rename
from optkit_core.errors import CheckpointError
from optkit_core.param_groups import groups


def restore(
    optimizer: torch.optim.Optimizer,
    algorithm: str,
    state_dict: dict[str, Any],
    strict: bool,
    rename: Rename | None = None,
) -> None:
    """Load a state into an optimizer of any class, or leave the optimizer as it was.

    Args:
        optimizer: the optimizer.
        algorithm: the name of the class that the state was saved from.
        state_dict: the state; its tensors become the optimizer's.
        strict: whether the class must be of that name.
        rename: None, since nothing here goes by names.

    Raises:
        CheckpointError: the class differs, or the optimizer refuses the state.
    """
    own = type(optimizer).__name__
    if rename is not None:
        raise CheckpointError(
            f"{own} isn't an optimizer of optkit and goes by position; load without rename=."
        )
    if strict and algorithm.lower() != own.lower():
        raise CheckpointError(
            f"this state is of {algorithm}, this optimizer is {own}. Create the optimizer that "
            "saved it, or load with strict=False if you know that the state fits."
        )
    try:
        with _restored_on_error(optimizer):
            optimizer.load_state_dict(state_dict)
    except Exception as error:
        raise CheckpointError(
            f"{own} refuses this state: {type(error).__name__}: {error!s:.200}"
        ) from error


@contextlib.contextmanager
def _restored_on_error(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Put an optimizer back if the block raises.

    torch puts new dicts in place of state and groups, and may fail after that.
    """
    before = dict(vars(optimizer))
    with groups.restored_on_error(optimizer.param_groups):
        try:
            yield
        except BaseException:
            vars(optimizer).update(before)
            raise
