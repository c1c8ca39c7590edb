"""What is packed together to be completed over a mesh, so that replicas get the same bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optkit_core.shards import collectives
from optkit_core.shards.collectives import Completion, Share


class Mesh:
    """Two dims of ranks, and a group along each of them."""

    ndim = 2

    def get_group(self, mesh_dim: int) -> int:
        return mesh_dim


@pytest.mark.parametrize("combine", ["plus", "hypot"])
def test_replicas_lie_alike_in_what_is_summed_whatever_else_their_ranks_hold(
    combine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backends sum ranks in an order that depends on the place in the vector, and on its length."""
    lengths: list[int] = []

    def summed(vector: torch.Tensor, *rest: Any) -> torch.Tensor:
        lengths.append(len(vector))
        return vector

    monkeypatch.setattr(collectives, "_all_reduced", summed)
    mesh, found = Mesh(), []
    for rows in (3, 2):  # on the ranks of one replica, and on those of the next
        lengths.clear()
        replicated = Share(torch.ones(5), mesh, (1,), combine)
        other = Share(torch.ones(rows), mesh, (1,), combine, (0,))
        third = Share(torch.ones(()), mesh, (0, 1), combine)
        Completion([other, replicated, third])()
        found.append([*lengths])
    assert found == [[3, 6, 1], [2, 6, 1]]
