"""What an optimizer needs of a training loop: a closure, a mode."""

from __future__ import annotations

import inspect

import torch


def needs_closure(algorithm: type[torch.optim.Optimizer]) -> bool:
    """Return whether an optimizer can't step without a closure.

    Args:
        algorithm: any optimizer's class.
    """
    if hasattr(algorithm, "requires_closure"):
        return bool(algorithm.requires_closure)
    # torch says it by the signature alone: the closure of its LBFGS has no default.
    closure = inspect.signature(algorithm.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def turn_to(optimizer: torch.optim.Optimizer, mode: str) -> None:
    """Switch an optimizer that trains at one point and is evaluated at another.

    Args:
        optimizer: any; most have no modes.
        mode: ``"train"`` or ``"eval"``.
    """
    switch = getattr(optimizer, mode, None)
    if callable(switch):
        switch()
