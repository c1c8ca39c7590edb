"""All parameters as one real vector: read its gradient, move along it, save and restore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Scalar: TypeAlias = float | Tensor
"""A number, or a tensor of no dimensions that stays on the device."""


def gradient_vector(params: Sequence[Tensor]) -> Tensor:
    r"""Return a copy of all gradients as one vector, :math:`g \in \mathbb{R}^n`.

    A complex element counts as two real ones, a sparse gradient as its dense form, a
    missing gradient as zeros. Elements follow each parameter's logical order, whatever
    the strides.
    """
    return torch.cat([_flat_gradient(param) for param in params]) if params else torch.zeros(0)


def _flat_gradient(param: Tensor) -> Tensor:
    grad = torch.zeros_like(param) if param.grad is None else param.grad
    if grad.layout != torch.strided:
        grad = grad.to_dense()
    if grad.is_complex():
        grad = torch.view_as_real(grad.resolve_conj())
    return grad.reshape(-1)


def move(params: Sequence[Tensor], step: Scalar, direction: Tensor) -> None:
    r"""Add :math:`t\,d` to the parameters in place, :math:`x \leftarrow x + t\,d`."""
    alpha = float(step)
    views = [torch.view_as_real(param) if param.is_complex() else param for param in params]
    pieces = direction.split_with_sizes([view.numel() for view in views])
    for view, piece in zip(views, pieces, strict=True):
        view.add_(piece.view_as(view), alpha=alpha)


def save(params: Sequence[Tensor]) -> list[Tensor]:
    """Return copies of the parameters, for `restore`."""
    return [param.detach().clone() for param in params]


def restore(params: Sequence[Tensor], saved: Sequence[Tensor]) -> None:
    """Put the values that `save` copied back into the parameters."""
    for param, value in zip(params, saved, strict=True):
        param.copy_(value)


def magnitude(vector: Tensor) -> Scalar:
    r"""Return the largest absolute element, :math:`\lVert v \rVert_\infty`; 0 if there is none."""
    return vector.abs().max() if vector.numel() else 0.0
