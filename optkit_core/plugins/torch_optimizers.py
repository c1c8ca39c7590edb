"""Optimizers of a different class than optkit's: ``torch.optim.Optimizer`` used as it is."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.optimizer import ParamsT

from optkit_core.errors import ImplementationError
from optkit_core.optimizer import Optimizer
from optkit_core.plugins import entry_points, hook_calls
from optkit_core.selection import requests
from optkit_core.torch_hooks import hooks_of


def create(
    algorithm: type[torch.optim.Optimizer],
    params: ParamsT,
    implementation: str | Mapping[str, str] | None,
    options: dict[str, Any],
) -> torch.optim.Optimizer:
    """Construct an optimizer of a class that isn't optkit's, and let plugins watch it.

    Args:
        algorithm: the class.
        params: as the class takes them.
        implementation: what was asked for, or None.
        options: keyword arguments of the class.

    Raises:
        ImplementationError: the class has no flag for the implementation asked for.
    """
    request = requests.resolve({**options, "implementation": implementation})
    # The caller's own flags stay as they are: they are what the request was made from.
    if request.is_explicit and not any(options.get(f) is not None for f in ("foreach", "fused")):
        options = {**options, **_flags(algorithm, request)}
    entry_points.load_all()
    optimizer = algorithm(params, **options)
    watch(optimizer)
    hook_calls.fire("optkit_created", optimizer=optimizer)
    return optimizer


def counterpart(algorithm: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer] | None:
    """Return the class of torch.optim that has the name of an algorithm's class.

    Args:
        algorithm: the class; for one of torch's own there is none.

    >>> import optkit
    >>> counterpart(optkit.get("adamax"))
    <class 'torch.optim.adamax.Adamax'>
    """
    found = getattr(torch.optim, algorithm.__name__, None)
    return found if isinstance(found, type) and found is not algorithm else None


def watch(optimizer: torch.optim.Optimizer) -> None:
    """Fire optkit's hooks for an optimizer of a class that isn't optkit's.

    `optkit.create` does it for each one it makes. Copies and pickles of torch's own classes
    lose their hooks, and with them this; watch the copy again.

    Args:
        optimizer: any optimizer; one that is watched already stays as it is, and one of
            optkit's needs no watching.

    >>> import torch, optkit_core
    >>> optimizer = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=0.1)
    >>> optkit_core.watch(optimizer)
    """
    registered = hooks_of(optimizer, "step_pre_hook")
    watched = any(isinstance(getattr(hook, "__self__", None), Watcher) for hook in registered)
    # Optkit's own fire the hooks themselves; twice would count a step twice.
    if watched or isinstance(optimizer, Optimizer):
        return
    watcher = Watcher()
    optimizer.register_step_pre_hook(watcher.before_step)
    optimizer.register_step_post_hook(watcher.after_step)
    optimizer.register_state_dict_post_hook(watcher.saved)
    optimizer.register_load_state_dict_post_hook(watcher.loaded)


class Watcher:
    """Fires optkit's hooks from torch's own, which an optimizer calls anyway.

    They run before those that are registered on the optimizer later.
    """

    def __init__(self) -> None:
        """Start without a loss."""
        self.losses: list[Any] = []

    def before_step(self, optimizer: torch.optim.Optimizer, arguments: Any, keywords: Any) -> Any:
        """Fire, and note the closure's loss if a plugin will be told of it."""
        hook_calls.fire("optkit_before_step", optimizer=optimizer)
        self.losses.clear()  # those of a step that failed
        if hook_calls.is_implemented("optkit_after_step"):
            return _with_recorder(arguments, keywords, self.losses)
        return None

    def after_step(self, optimizer: torch.optim.Optimizer, arguments: Any, keywords: Any) -> None:
        """Fire with the loss that the closure returned first."""
        loss = self.losses[0] if self.losses else None
        self.losses.clear()
        found_inf = getattr(optimizer, "found_inf", None)
        # Handed on as a tensor: to ask it here would wait for the device in every step.
        skipped = False if found_inf is None else found_inf
        hook_calls.fire("optkit_after_step", optimizer=optimizer, loss=loss, skipped=skipped)

    def saved(self, optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> None:
        """Fire with what ``state_dict()`` returns."""
        hook_calls.fire("optkit_state_saved", optimizer=optimizer, state_dict=state_dict)

    def loaded(self, optimizer: torch.optim.Optimizer) -> None:
        """Fire after a ``load_state_dict``."""
        hook_calls.fire("optkit_state_loaded", optimizer=optimizer)


def _with_recorder(arguments: Any, keywords: Any, losses: list[Any]) -> Any:
    """Return the step's arguments with a closure that notes its loss, None without one."""
    closure = keywords.get("closure", arguments[1] if len(arguments) > 1 else None)
    if closure is None:
        return None

    def recorder() -> Any:
        losses.append(closure())
        return losses[-1]

    if "closure" in keywords:
        return arguments, {**keywords, "closure": recorder}
    return (arguments[0], recorder, *arguments[2:]), keywords


def _flags(algorithm: type[torch.optim.Optimizer], request: requests.Request) -> dict[str, Any]:
    requested = set(request.by_device.values()) - {requests.AUTO}
    taken = inspect.signature(algorithm).parameters
    if len(requested) == 1 and set(request.by_device) == {requests.ANY_DEVICE}:
        flags = {
            # Not None, with which torch may choose foreach.
            "forloop": {"foreach": False},
            "foreach": {"foreach": True},
            "fused": {"fused": True},
        }
        chosen = flags.get(requested.pop(), {})
        if chosen and set(chosen) <= set(taken):
            return chosen
    raise ImplementationError(
        f"{algorithm.__name__} isn't an optkit algorithm and has no flag for "
        f"implementation={dict(request.by_device)}, requested by {request.source}. "
        "Say implementation='auto'."
    )
