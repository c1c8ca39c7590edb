"""Ways of making parameter groups of some parameters."""

from __future__ import annotations

from typing import Any

import torch
from devices import Params


def by_rate(params: Params) -> list[dict[str, Any]]:
    """Return a group for each parameter, with a learning rate of its own."""
    return [{"params": [p], "lr": 0.01 * (i + 1)} for i, p in enumerate(params)]


def by_two(params: Params) -> list[dict[str, Any]]:
    """Return groups of two, with rates of their own; the last of them decays."""
    groups: list[dict[str, Any]] = [
        {"params": params[i : i + 2], "lr": 0.1 / (i + 1)} for i in range(0, len(params), 2)
    ]
    groups[-1]["weight_decay"] = 0.2
    return groups


def by_rate_on_device(params: Params) -> list[dict[str, Any]]:
    return [
        {"params": [p], "lr": torch.tensor(0.01 * (i + 1), device=p.device)}
        for i, p in enumerate(params)
    ]
