"""Optimizers of other origin: existing ``torch.optim.Optimizer`` classes, used as they are."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from optkit_core import config, hooks, plugins
from optkit_core.errors import ImplementationError


def create(algorithm: type[torch.optim.Optimizer], params: Any, wish: Any, options: Any) -> Any:
    """Construct an optimizer of a class that isn't optkit's, and let plugins watch it.

    Args:
        algorithm: the class.
        params: as the class takes them.
        wish: what ``implementation=`` asked for, or None.
        options: keyword arguments of the class.

    Raises:
        ImplementationError: the class has no flag for the implementation asked for.
    """
    request = config.requested({**options, "implementation": wish}) or config.ambient()
    if request.is_explicit and not any(options.get(f) is not None for f in ("foreach", "fused")):
        options = {**options, **_flags(algorithm, request)}
    plugins.load_all()
    optimizer = algorithm(params, **options)
    watch(optimizer)
    hooks.fire("optkit_created", optimizer=optimizer)
    return optimizer


def watch(optimizer: torch.optim.Optimizer) -> None:
    """Fire optkit's hooks from torch's own, which the optimizer calls anyway.

    They are the first that are registered on the optimizer, and so run before those that
    are registered later.
    """
    losses: list[Any] = []

    def before(watched: Any, arguments: Any, keywords: Any) -> Any:
        hooks.fire("optkit_before_step", optimizer=watched)
        losses.clear()  # a step that failed has left its losses here
        return _with_recorder(arguments, keywords, losses)

    def after(watched: Any, *_: Any) -> None:
        loss = losses[0] if losses else None
        losses.clear()
        found: Any = getattr(watched, "found_inf", None)
        skipped = False if found is None else found
        hooks.fire("optkit_after_step", optimizer=watched, loss=loss, skipped=skipped)

    def saved(watched: Any, state_dict: dict[str, Any]) -> None:
        hooks.fire("optkit_state_saved", optimizer=watched, state_dict=state_dict)

    def loaded(watched: Any) -> None:
        hooks.fire("optkit_state_loaded", optimizer=watched)

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)
    optimizer.register_state_dict_post_hook(saved)
    optimizer.register_load_state_dict_post_hook(loaded)


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


def _flags(algorithm: type[torch.optim.Optimizer], request: config.Request) -> dict[str, Any]:
    wishes = set(request.by_device.values()) - {config.AUTO}
    taken = inspect.signature(algorithm).parameters
    if len(wishes) == 1 and set(request.by_device) == {config.ANY_DEVICE}:
        wish = wishes.pop()
        flags = {"forloop": {"foreach": False}, "foreach": {"foreach": True}}
        chosen = flags.get(wish, {"fused": True})
        if set(chosen) <= set(taken):
            return chosen
    raise ImplementationError(
        f"{algorithm.__name__} isn't an optkit algorithm and has no flag for "
        f"implementation={dict(request.by_device)}, requested by {request.source}. "
        "Say implementation='auto'."
    )
