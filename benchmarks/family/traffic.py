"""Traffic: a kernel that only reads and writes the bytes that an algorithm's step needs.

It is a body like any other, and so becomes the same loop in C++: it adds the gradient to the
parameter and to each buffer. That reads all of them and writes all but the gradient, with one
addition for each, where a step of the algorithm may take dozens of operations and no more bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from optkit_core import Buffer, Elementwise


def traffic_of(optimizer: Any, params: list[torch.nn.Parameter]) -> Callable[[], None]:
    """Return a step that only moves what a step of an optimizer moves.

    Args:
        optimizer: of the algorithm; it has stepped, so that its state is there.
        params: others of the same shapes, with gradients.
    """
    buffers = buffers_of(optimizer)
    return moving(buffers)(params, implementation="fused").step


def buffers_of(optimizer: Any) -> dict[str, torch.dtype]:
    """Return the dtypes of the buffers that are as large as their parameters."""
    p = optimizer.param_groups[0]["params"][0]
    return {
        name: value.dtype
        for name, value in optimizer.state[p].items()
        if isinstance(value, torch.Tensor) and value.shape == p.shape
    }


def moving(buffers: dict[str, torch.dtype]) -> type[Elementwise]:
    """Return an algorithm that reads and writes some buffers.

    Args:
        buffers: their dtypes by name.
    """
    names = tuple(buffers)

    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        for name in names:
            getattr(s, name).add_(g)
        p.add_(g)

    body: dict[str, Any] = {name: Buffer(dtype=dtype) for name, dtype in buffers.items()}
    return type("Traffic", (Elementwise,), {**body, "update": staticmethod(update)})
