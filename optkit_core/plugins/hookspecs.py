"""Every hook that a plugin may implement. Hooks fire per optimizer or step, never per tensor.

A plugin is a module or an object with functions marked ``@optkit_core.hookimpl``, named by
an entry point of the group ``optkit.plugins``. An unknown hook name fails when the plugin
loads. Around one step the order is:

1. torch's global step pre-hooks, then the optimizer's own
2. `optkit_before_step`
3. the closure, if there is one, and the update
4. `optkit_after_step`
5. the optimizer's own step post-hooks, then torch's global ones

Around ``state_dict`` and ``load_state_dict``, optkit's hook comes after torch's post-hooks; a
load that is refused fires none. An optimizer of a different class, which `optkit.create` made,
can only be watched by torch's own hooks: there optkit's come before those registered on the
optimizer later, and a closure that a later pre-hook brings isn't seen. While a plugin implements
`optkit_after_step`, the closure that torch's hooks see there is one around the caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from optkit_core.plugins.registrar import Registrar
    from optkit_core.selection.offer import Offer

PROJECT = "optkit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def optkit_register(registrar: Registrar) -> None:
    """Register algorithms: ``registrar.register("lion", Lion)``. Called once, at load."""


@hookspec
def optkit_offers(algorithm: type[torch.optim.Optimizer]) -> Iterable[Offer] | None:
    """Return further implementations of an algorithm, each an `optkit_core.Offer`, or None.

    Users ask for one by its name, ``implementation="..."``; ``auto`` doesn't prefer it.
    """


@hookspec
def optkit_created(optimizer: torch.optim.Optimizer) -> None:
    """See an optimizer that has just been constructed."""


@hookspec
def optkit_copied(optimizer: torch.optim.Optimizer) -> None:
    """See an optimizer that a copy or pickle has just made, with the hooks it brings along."""


@hookspec
def optkit_group_added(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> None:
    """See a parameter group that has joined an optimizer after its construction.

    Args:
        optimizer: what the group has joined.
        group: with all its options.
    """


@hookspec
def optkit_before_step(optimizer: torch.optim.Optimizer) -> None:
    """See an optimizer before its closure and update; gradients may be changed here."""


@hookspec
def optkit_after_step(
    optimizer: torch.optim.Optimizer, loss: Any, skipped: bool | torch.Tensor
) -> None:
    """See an optimizer after its step, with the closure's loss (None without a closure).

    Args:
        optimizer: what has stepped.
        loss: what the closure returned.
        skipped: whether nothing was updated, since `torch.amp.GradScaler` had found a gradient
            that isn't finite. On an accelerator it is a tensor: to ask it means to wait.
    """


@hookspec
def optkit_state_saved(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> None:
    """See, or change in place, what ``state_dict()`` is about to return.

    Args:
        optimizer: whose state it is.
        state_dict: what is to be returned.
    """


@hookspec
def optkit_state_loaded(optimizer: torch.optim.Optimizer) -> None:
    """See an optimizer after ``load_state_dict``."""
