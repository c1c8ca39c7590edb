"""Sparse tensors of new values where a gradient has its own."""

from __future__ import annotations

import torch
from torch import Tensor


def like(g: Tensor, values: Tensor, *, is_coalesced: bool = True) -> Tensor:
    """Return a sparse tensor of other values with the indices of a coalesced gradient.

    Args:
        g: the gradient.
        values: as many as it has.
        is_coalesced: whether torch is to know that no index stands twice.
    """
    # Told by the argument as well, torch 2.11 still warns that it doesn't check invariants.
    unchecked = torch.sparse.check_sparse_tensor_invariants(False)
    with unchecked:
        return torch.sparse_coo_tensor(
            g.indices(), values, g.shape, is_coalesced=is_coalesced, check_invariants=False
        )
