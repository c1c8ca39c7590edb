"""The cells of the table of all algorithms: parameters that suit each, and steps that prove it."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from algorithms import ALGORITHMS
from torch import Tensor

from optkit_core.selection.capabilities import Capabilities, capabilities

IMPLEMENTATIONS = ("forloop", "foreach", "fused")
SHAPES: tuple[tuple[int, ...], ...] = ((5, 3), (7,), (4, 2), ())
ROWS = (0, 2)
"""The rows that a sparse gradient names."""


@cache
def able(name: str) -> Capabilities:
    """Return what the table says of an algorithm."""
    return capabilities(ALGORITHMS[name])


def takes_sparse_only(name: str) -> bool:
    """Return whether an algorithm takes no dense gradients."""
    return bool(able(name).sparse and not able(name).dense)


def suited(
    name: str, dtype: torch.dtype = torch.float32, is_sparse: bool | None = None
) -> list[torch.nn.Parameter]:
    """Return parameters that an algorithm takes: matrices alone where gradients are sparse."""
    dims = able(name).parameter_dims
    sparse = takes_sparse_only(name) if is_sparse is None else is_sparse
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype))
        for shape in SHAPES
        if (dims is None or len(shape) in dims) and not (sparse and len(shape) < 2)
    ]


def stepped(name: str, optimizer: Any, is_sparse: bool | None = None, steps: int = 3) -> list[Any]:
    """Take steps toward one; return where the parameters of an optimizer end.

    Args:
        name: the algorithm.
        optimizer: over what `suited` returned.
        is_sparse: whether gradients are sparse. Default: where it takes no others.
        steps: how many.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    sparse = takes_sparse_only(name) if is_sparse is None else is_sparse

    def closure() -> Tensor:
        with torch.no_grad():
            for p in params:
                p.grad = gradient(p, sparse)
            return torch.stack(
                [_dense(p.grad).abs().square().sum().cpu() / 2 for p in params]
            ).sum()

    for _ in range(steps):
        optimizer.step(closure)
    return [p.detach().clone() for p in params]


def gradient(p: Tensor, is_sparse: bool) -> Tensor:
    """Return the gradient of half the squared distance from one, sparse for some rows."""
    return _rows(p - 1) if is_sparse else (p - 1).detach()


def moved(found: list[Tensor], before: list[Tensor]) -> bool:
    """Return whether each parameter has changed and is finite."""
    pairs = zip(found, before, strict=True)
    return all(not torch.equal(a, b) and bool(a.isfinite().all()) for a, b in pairs)


def _rows(gradient: Tensor) -> Tensor:
    chosen = gradient.detach()[list(ROWS)]
    rows = torch.tensor([ROWS], device=gradient.device)
    return torch.sparse_coo_tensor(rows, chosen, gradient.shape, check_invariants=True).coalesce()


def _dense(gradient: Any) -> Tensor:
    dense: Tensor = gradient.to_dense() if gradient.is_sparse else gradient
    return dense
