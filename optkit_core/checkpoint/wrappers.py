"""Wrappers: objects that are optimizers too, and hand everything on to the one that they hold."""

from __future__ import annotations

from collections.abc import Iterator

import torch


def layers(optimizer: torch.optim.Optimizer) -> Iterator[torch.optim.Optimizer]:
    """Yield an optimizer and, if it is a wrapper, what it holds, down to what does the steps.

    A wrapper, such as Lightning Fabric's or Accelerate's, shows the state and the groups of
    what it holds as its own. An optimizer that drives another and has state beside isn't one.
    """
    yield optimizer
    for held in vars(optimizer).values():
        if isinstance(held, torch.optim.Optimizer) and _is_same(held, optimizer):
            yield from layers(held)
            return


def _is_same(held: torch.optim.Optimizer, holder: torch.optim.Optimizer) -> bool:
    return (
        held is not holder
        and held.state is holder.state
        and held.param_groups is holder.param_groups
    )
