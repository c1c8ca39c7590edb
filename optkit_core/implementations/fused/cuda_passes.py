"""The passes of a program on a device: a walk over all chunks, then what combines their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from optkit_core.implementations.fused.triton_kernel import compile_kernel
from optkit_core.implementations.fused.triton_signature import Combination, Signature


class Kernels(NamedTuple):
    """The compiled functions of a program.

    Args:
        walks: one for each pass, and what stores after the last one.
        combining: what combines the results of each pass but the last one.
        reduced: how many reductions each of those has.
    """

    walks: tuple[Any, ...]
    combining: tuple[Any, ...]
    reduced: tuple[int, ...]

    def launch(self, total: int, rows: int, common: Sequence[Any], own: Sequence[Any]) -> None:
        """Launch all kernels on the current stream; none is waited for.

        Args:
            total: how many chunks there are.
            rows: how many rows there are.
            common: the arguments that every kernel takes, which tell it its work.
            own: those that a walk takes beside these.
        """
        if not self.reduced:
            for walk in self.walks:
                walk[total, 1, 1](*common, *own)
            return
        device = common[0].device
        sums = torch.empty(sum(self.reduced), rows, dtype=torch.float64, device=device)
        partial = torch.empty(max(self.reduced), total, dtype=torch.float64, device=device)
        first = 0
        for walk, combine, count in zip(self.walks, self.combining, self.reduced, strict=False):
            walk[total, 1, 1](*common, *own, sums, partial)
            combine[total, 1, 1](*common, sums[first:], partial)
            first += count
        for walk in self.walks[len(self.reduced) :]:
            walk[total, 1, 1](*common, *own, sums, partial)


def compiled(signature: Signature, device: torch.device) -> Kernels:
    """Return the kernels of a program.

    Args:
        signature: of its first pass.
        device: where they are to run.

    Raises:
        UnavailableError: Triton can't compile one; says why.
    """
    passes = signature.passes
    ways = [tuple(passes.reduction(q).combine for q in reduced) for reduced in passes.reductions]
    return Kernels(
        tuple(
            compile_kernel(signature._replace(number=number), device)
            for number in signature.numbers_of_kernels
        ),
        tuple(compile_kernel(Combination(way), device) for way in ways[:-1]),
        tuple(map(len, ways[:-1])),
    )
