"""The parameters' own gradients: copied into a vector, and given back from one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def copy_gradients(params: Sequence[Tensor], views: Sequence[Tensor]) -> None:
    """Copy the gradients of parameters into views of a vector; a missing one is zero.

    Args:
        params: the parameters.
        views: in their shapes, complex ones as pairs.
    """
    targets, sources = [], []
    for p, view in zip(params, views, strict=True):
        if p.grad is None:
            view.zero_()
        else:
            targets.append(view)
            is_dense = p.grad.layout == torch.strided
            sources.append(real(p.grad if is_dense else p.grad.to_dense()))
    if len(targets) == 1:
        targets[0].copy_(sources[0])
    elif targets:
        torch._foreach_copy_(targets, sources)


def set_gradients(params: Sequence[Tensor], views: Sequence[Tensor], factor: float) -> None:
    """Give the parameters that have a gradient another one, in tensors of their own.

    The closure's tensors stay as they are: it may keep them, and some can't be written to.

    Args:
        params: the parameters.
        views: as for `copy_gradients`.
        factor: of what the views hold.
    """
    for p, view in zip(params, views, strict=True):
        if p.grad is None:
            continue
        value = view if factor == 1.0 else view * factor
        dense = torch.view_as_complex(value) if p.is_complex() else value
        if p.grad.layout == torch.strided:
            p.grad = dense.to(p.grad.dtype, copy=True)
        else:
            p.grad = dense.to(p.dtype).to_sparse(p.grad.sparse_dim())


def real(tensor: Tensor) -> Tensor:
    """Return a tensor as it is, a complex one as pairs of real numbers."""
    if not tensor.is_complex():
        return tensor
    # view_as_real refuses tensors that are conjugated lazily.
    return torch.view_as_real(tensor.resolve_conj() if tensor.is_conj() else tensor)
