"""Collectives: what many tensors are reduced to on each rank, completed over a mesh together.

Values are packed into one vector of float64, so that the number of collectives is that of the
process groups, one for each mesh dim, and not of the tensors, nor of their dtypes. Each rank makes
the same ones in the same order, since that order is the parameters', and gets the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from optkit_core.shards.packed_values import Concatenated, Gathered, split


class Share(NamedTuple):
    """What one rank's part of a tensor has been reduced to.

    Args:
        value: a number, or one for each row or column; it becomes that of the whole tensor.
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
        return self.mesh, self.mesh_dims, self.combine, self.value.device, self.varying


class Completion:
    """What completes shares in place, as they are whenever it is called.

    Args:
        shares: what this rank has.
        is_kept: whether it is worth finding out where each value lies.
    """

    def __init__(self, shares: Sequence[Share], is_kept: bool = False) -> None:
        """Sort them by what can be packed together."""
        kinds: dict[tuple[Any, ...], list[Tensor]] = {}
        for share in shares:
            if share.mesh_dims:
                kinds.setdefault(share.kind, []).append(share.value)
        self._packs = [PackedShares(kind, values, is_kept) for kind, values in kinds.items()]

    def __call__(self) -> None:
        """Let the values be those of the whole tensors, rounded to their own dtypes.

        All ranks of the meshes have to call it, with shares of the same tensors in the same order.
        """
        for pack in self._packs:
            pack.fill()
        _reduce(self._packs)
        for pack in self._packs:
            pack.empty()


class PackedShares:
    """Values of one kind as a vector.

    Args:
        kind: of the shares.
        values: theirs.
        is_kept: see `Completion`.

    Attributes:
        groups: those over which it is reduced.
        vector: the values, while they are packed.
    """

    vector: Tensor

    def __init__(self, kind: tuple[Any, ...], values: Sequence[Tensor], is_kept: bool) -> None:
        """Find out where they lie."""
        self.mesh, mesh_dims, self.combine, self.device, self.varying = kind
        self.groups = [self.mesh.get_group(mesh_dim) for mesh_dim in mesh_dims]
        self.is_sum = self.combine in ("plus", "hypot")
        self._values = Gathered(values) if is_kept else Concatenated(values)

    def fill(self) -> None:
        """Pack the values."""
        self.vector = self._values.vector()
        if self.combine == "hypot":
            self.vector.square_()
        elif self.combine == "smaller":
            self.vector.neg_()

    def empty(self) -> None:
        """Write the vector to where the values lie."""
        if self.combine == "hypot":
            self.vector.sqrt_()
        elif self.combine == "smaller":
            self.vector.neg_()
        self._values.write(self.vector)
        del self.vector


def _reduce(packs: Sequence[PackedShares]) -> None:
    """Reduce all packs over their groups, those that go the same way in one collective.

    In which order ranks are summed may depend on where a value lies in the vector. So values of
    which there are replicas aren't packed with those that are more on one replica's ranks than on
    another's: they would be rounded otherwise there.
    """
    for way in dict.fromkeys(map(_way, packs)):
        *_, is_sum, _ = way
        alike = [p for p in packs if _way(p) == way]
        for group in dict.fromkeys(chain.from_iterable(p.groups for p in alike)):
            together = [p for p in alike if group in p.groups]
            joined = torch.cat([p.vector for p in together]) if len(together) > 1 else None
            vector = together[0].vector if joined is None else joined
            reduced = _all_reduced(vector, group, is_sum)
            parts = split(reduced, [len(p.vector) for p in together])
            for p, part in zip(together, parts, strict=True):
                p.vector = part


def _way(pack: PackedShares) -> tuple[Any, ...]:
    """Return what is the same of packs that may share collectives; the largest has no order."""
    varying = pack.varying if pack.is_sum and pack.mesh.ndim > 1 else ()
    return pack.mesh, pack.device, pack.is_sum, varying


def _all_reduced(vector: Tensor, group: Any, is_sum: bool) -> Tensor:
    if is_sum:
        dist.all_reduce(vector, dist.ReduceOp.SUM, group)
        return vector
    # Which of a number and not-a-number is larger, each backend sees in its own way.
    both = torch.cat([vector, vector.isnan()])
    dist.all_reduce(both, dist.ReduceOp.MAX, group)
    largest, is_nan = both.chunk(2)
    return largest.masked_fill(is_nan > 0, float("nan"))
