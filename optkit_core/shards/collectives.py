"""Collectives: what many tensors are reduced to on each rank, completed over a mesh together.

Values are packed into one vector of float64, so that the number of collectives is that of the
mesh dims, and not of the tensors. Each rank makes the same ones in the same order, since that
order is the parameters', and gets the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Share(NamedTuple):
    """What one rank's part of a tensor has been reduced to.

    Args:
        value: a number, or one for each row or column.
        mesh: of the tensor.
        mesh_dims: those over which it is yet to be reduced.
        combine: ``"plus"``, ``"larger"`` or ``"smaller"``; ``"hypot"`` for norms, of which the
            squares are summed.
        varying: the mesh dims along which ranks have other values, and maybe another number.
    """

    value: Tensor
    mesh: Any
    mesh_dims: tuple[int, ...]
    combine: str = "plus"
    varying: tuple[int, ...] = ()

    @property
    def kind(self) -> tuple[Any, ...]:
        """What is the same of all values that are packed together."""
        value = self.value
        return self.mesh, self.mesh_dims, self.combine, value.dtype, value.device, self.varying


class Completion:
    """What completes shares, as they are whenever it is called.

    Args:
        shares: what this rank has.
    """

    def __init__(self, shares: Sequence[Share]) -> None:
        """Sort them by what can be packed together."""
        self._values = [share.value for share in shares]
        self._kinds: dict[tuple[Any, ...], list[int]] = {}
        for position, share in enumerate(shares):
            if share.mesh_dims:
                self._kinds.setdefault(share.kind, []).append(position)

    def __call__(self) -> list[Tensor]:
        """Return the values as they are of the whole tensors, in their own dtypes.

        All ranks of the meshes have to call it, with shares of the same tensors in the same order.
        """
        values = [*self._values]
        packs = [
            PackedShares(kind, [values[i] for i in found]) for kind, found in self._kinds.items()
        ]
        _reduce(packs)
        for pack, positions in zip(packs, self._kinds.values(), strict=True):
            for position, value in zip(positions, pack.unpacked(), strict=True):
                values[position] = value
        return values


class PackedShares:
    """Values of one kind as a vector.

    Args:
        kind: of the shares.
        values: theirs.
    """

    def __init__(self, kind: tuple[Any, ...], values: Sequence[Tensor]) -> None:
        """PackedShares them."""
        self.mesh, self.mesh_dims, self.combine, self.dtype, _, self.varying = kind
        self.is_sum = self.combine in ("plus", "hypot")
        self._shapes = [value.shape for value in values]
        self.vector = torch.cat([value.reshape(-1) for value in values]).double()
        if self.combine == "hypot":
            self.vector.square_()
        elif self.combine == "smaller":
            self.vector.neg_()

    def unpacked(self) -> list[Tensor]:
        """Return the values, which share memory with nothing but each other's."""
        vector = self.vector
        if self.combine == "hypot":
            vector.sqrt_()
        elif self.combine == "smaller":
            vector.neg_()
        parts = _split(vector.to(self.dtype), [shape.numel() for shape in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]


def _reduce(packs: Sequence[PackedShares]) -> None:
    """Reduce all packs over their mesh dims, those that go the same way in one collective.

    In which order ranks are summed may depend on where a value lies in the vector. So values of
    which there are replicas aren't packed with those that are more on one replica's ranks than on
    another's: they would be rounded otherwise there.
    """
    for way in dict.fromkeys(map(_way, packs)):
        mesh, *_, is_sum, _ = way
        alike = [p for p in packs if _way(p) == way]
        for mesh_dim in sorted(set(chain.from_iterable(p.mesh_dims for p in alike))):
            together = [p for p in alike if mesh_dim in p.mesh_dims]
            joined = torch.cat([p.vector for p in together]) if len(together) > 1 else None
            vector = together[0].vector if joined is None else joined
            reduced = _all_reduced(vector, mesh.get_group(mesh_dim), is_sum)
            parts = _split(reduced, [len(p.vector) for p in together])
            for p, part in zip(together, parts, strict=True):
                p.vector = part


def _way(pack: PackedShares) -> tuple[Any, ...]:
    """Return what is the same of packs that may share collectives; the largest has no order."""
    varying = pack.varying if pack.is_sum and pack.mesh.ndim > 1 else ()
    return pack.mesh, pack.vector.device, pack.is_sum, varying


def _split(vector: Tensor, sizes: list[int]) -> Sequence[Tensor]:
    parts: Sequence[Tensor] = torch.split(vector, sizes)
    return parts


def _all_reduced(vector: Tensor, group: Any, is_sum: bool) -> Tensor:
    if is_sum:
        dist.all_reduce(vector, dist.ReduceOp.SUM, group)
        return vector
    # Which of a number and not-a-number is larger, each backend sees in its own way.
    both = torch.cat([vector, vector.isnan()])
    dist.all_reduce(both, dist.ReduceOp.MAX, group)
    largest, is_nan = both.chunk(2)
    return largest.masked_fill(is_nan > 0, float("nan"))
