"""Optimizers that have taken some steps, and all that a refused load must leave alone."""

from __future__ import annotations

from typing import Any

import torch
from algorithms import with_state

import optkit


def named(count: int = 3, size: int = 33, order: Any = None) -> list[tuple[str, Any]]:
    pairs = [(f"p{i}", torch.nn.Parameter(torch.full((size,), 1.0 + i))) for i in range(count)]
    return [pairs[i] for i in order or range(count)]


def stepped(name: str, params: Any, steps: int = 3, **options: Any) -> Any:
    optimizer = optkit.create(name, params, **with_state(name, **options))
    step(optimizer, steps)
    return optimizer


def step(optimizer: Any, steps: int) -> None:
    params = sorted(
        (p for group in optimizer.param_groups for p in group["params"]), key=lambda p: p.numel()
    )

    def closure() -> Any:
        optimizer.zero_grad()
        loss = sum((p.square().flatten() * torch.linspace(1, 2, p.numel())).mean() for p in params)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


def frozen(optimizer: Any) -> str:
    """Return everything that a refused load must leave as it was."""
    live = [
        [(key, id(key), key.tolist(), value) for key, value in optimizer.state.items()],
        [dict(group.items()) for group in optimizer.param_groups],
    ]
    return repr(live)
