"""Wrappers: objects that are optimizers too, and hand everything on to the one that they hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch

SHOWN = ("state", "param_groups", "defaults")
"""What a wrapper shows of the optimizer that it holds as its own."""


def layers(optimizer: torch.optim.Optimizer) -> list[torch.optim.Optimizer]:
    """Return an optimizer and, if it is a wrapper, what it holds, down to what does the steps.

    A wrapper, such as Lightning Fabric's or Accelerate's, shows all that it holds as its own. An
    optimizer that drives another by an algorithm of its own has defaults or state of its own.
    """
    for held in vars(optimizer).values():
        # By identity: a copy of the state would not be the wrapper's to load into.
        if isinstance(held, torch.optim.Optimizer) and _is_shown(held, optimizer):
            return [optimizer, *layers(held)]
    return [optimizer]


def renew(wrappers: Sequence[torch.optim.Optimizer], held: torch.optim.Optimizer) -> None:
    """Let wrappers with attributes of their own show what there is now.

    Args:
        wrappers: those around an optimizer, from `layers`.
        held: the optimizer.
    """
    for wrapper in wrappers:
        own = vars(wrapper)
        own.update({name: getattr(held, name) for name in SHOWN if name in own})


def _is_shown(held: torch.optim.Optimizer, holder: torch.optim.Optimizer) -> bool:
    return held is not holder and all(
        getattr(held, name) is getattr(holder, name) for name in SHOWN
    )
