"""Copies of a bucket's tensors in a form that can be computed with, written back afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce

import attrs
import torch
from torch import Tensor

from optkit_core.step.buckets import Bucket


class BucketCopy:
    """A bucket whose tensors are in another form, where they weren't in it already.

    A gradient is copied in; what a step changes is copied in and, after it, out.
    """

    def __init__(
        self,
        bucket: Bucket,
        names: Iterable[str],
        form: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    ) -> None:
        """Copy in.

        Args:
            bucket: the parameters, gradients and states.
            names: the buffers that a step changes.
            form: returns the tensors of one row, its gradient first, in the other form.
        """
        names = tuple(names)
        self._pairs: list[tuple[Tensor, Tensor]] = []
        params, grads, states = [], [], []
        for p, g, state in zip(bucket.params, bucket.grads, bucket.states, strict=True):
            changed = (p, *(state[name] for name in names))
            gradient, *copied = form((g, *changed))
            self._pairs += zip(changed, copied, strict=True)
            params.append(copied[0])
            grads.append(gradient)
            states.append({**state, **dict(zip(names, copied[1:], strict=True))})
        # What `kept` has derived are addresses of the originals.
        self.bucket = attrs.evolve(bucket, kept=None, params=params, grads=grads, states=states)

    def copy_back(self) -> None:
        """Write what has changed to where it belongs."""
        for original, copied in self._pairs:
            if copied is not original:
                original.copy_(copied)


def packed(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return contiguous copies whose memory holds the values, with none of them pending."""
    form = torch.contiguous_format
    return [torch.empty_like(t, memory_format=form).copy_(t) for t in tensors]


def without_offset(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors, copies of those that begin further on in their memory.

    To such a one torch 2.13 adds a sparse tensor past its end: its offset is counted twice.
    """
    return [t.clone() if t.layout == torch.strided and t.storage_offset() else t for t in tensors]


def widened(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors in the widest of their dtypes.

    >>> [t.dtype for t in widened([torch.ones(1, dtype=torch.bfloat16), torch.ones(1)])]
    [torch.float32, torch.float32]
    """
    widest = reduce(torch.promote_types, [t.dtype for t in tensors])
    return [t.to(widest) for t in tensors]


def in_one_dtype(
    bucket: Bucket, names: Iterable[str], limit: float = float("inf")
) -> Iterator[Bucket]:
    """Yield buckets for a loop to update, none of which mixes dtypes within a row.

    Rows that do, half-precision parameters with float32 buffers for example, are computed in
    the widest of their dtypes and rounded when the loop goes on.

    Args:
        bucket: the parameters, gradients and states; none is complex.
        names: the buffers that a step changes.
        limit: bytes of parameters that are copied at once.
    """
    names = tuple(names)
    rows = enumerate(zip(bucket.params, bucket.states, strict=True))
    mixed = [i for i, (p, state) in rows if any(state[n].dtype != p.dtype for n in names)]
    if not mixed:
        yield bucket
        return
    alike = [i for i in range(len(bucket)) if i not in set(mixed)]
    if alike:
        yield bucket.subset(alike)
    for part in bucket.subset(mixed).chunks(limit):  # so that few copies exist at a time
        copies = BucketCopy(part, names, widened)
        yield copies.bucket
        copies.copy_back()
