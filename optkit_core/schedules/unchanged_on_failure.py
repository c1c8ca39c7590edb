"""An optimizer stays as it was if what was to be made for it can't be made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def unchanged_on_failure(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Put the groups of an optimizer, and its method ``step``, back if the block raises.

    A scheduler writes into the groups and puts a function over ``step`` while it is constructed.

    Args:
        optimizer: any.
    """
    groups = [(group, dict(group), _copies(group)) for group in optimizer.param_groups]
    attributes = dict(vars(optimizer))
    try:
        yield
    except BaseException:
        for group, values, copies in groups:
            _restore(group, values, copies)
        _restore_step(optimizer, attributes)
        raise


def _copies(group: dict[str, Any]) -> dict[str, Tensor]:
    """Return copies of a group's tensors: a rate that is one is written in place."""
    return {key: value.clone() for key, value in group.items() if isinstance(value, Tensor)}


def _restore(group: dict[str, Any], values: dict[str, Any], copies: dict[str, Tensor]) -> None:
    group.clear()
    group.update(values)
    for key, copy in copies.items():
        # Only where it was written: it counts as a change of the tensor, and may be shared.
        if not torch.equal(values[key], copy):
            values[key].copy_(copy)


def _restore_step(optimizer: torch.optim.Optimizer, attributes: dict[str, Any]) -> None:
    if "step" in attributes:
        vars(optimizer)["step"] = attributes["step"]
    else:
        vars(optimizer).pop("step", None)
