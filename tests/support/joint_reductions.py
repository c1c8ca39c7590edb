"""What ranks do in tests of reductions of several algorithms and dtypes, completed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from sharded import placed
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Placement
from torch.distributed.tensor.debug import CommDebugMode

import optkit
from optkit_core.testing import TOLERANCES
from optkit_core.testing.comparisons import assert_close

STEPS = 4


class Member(NamedTuple):
    """A group with an algorithm of its own."""

    algorithm: str
    shapes: Sequence[tuple[int, ...]]
    dtype: torch.dtype = torch.float32


MOST = Member("adafactor", [(8, 6), (7, 5), (1, 19)])
"""What goes through most passes."""

# Matrices and vectors are buckets of their own, and so is each dtype.
MEMBERS = [
    MOST,
    Member("adafactor", [(33,), (3,)]),
    Member("adafactor", [(5, 600)], torch.float64),
    Member("lamb", [(7, 5), (3,), (0, 4)]),
    Member("lamb", [(4, 4)], torch.float64),
    Member("lars", [(9, 2)]),
    Member("prodigy", [(6, 6)]),
    Member("adamax", [(6, 5)]),
]


def apart(
    mesh: DeviceMesh, placements: Sequence[Placement], implementation: str = "auto"
) -> Iterator[str]:
    """Say where steps differ from those of whole tensors, and where they communicate too often.

    Args:
        mesh: of all ranks.
        placements: of each parameter.
        implementation: to be asked for.
    """
    options = {"implementation": implementation}
    _, alone = _stepped([MOST], mesh, placements, options)
    params, together = _stepped(MEMBERS, mesh, placements, options)
    if together[2:] != alone[2:]:
        yield f"{together} collectives in steps, {alone} in those of most passes alone"
    for index, (p, wanted) in enumerate(params):
        try:
            assert_close(p, wanted, TOLERANCES[p.dtype])
        except AssertionError as error:
            yield f"parameter {index}: {error}"


def _stepped(
    members: Sequence[Member],
    mesh: DeviceMesh,
    placements: Sequence[Placement],
    options: dict[str, Any],
) -> tuple[list[tuple[Tensor, Tensor]], list[int]]:
    """Return where DTensors and whole tensors get to, and the collectives of each step."""
    wholes = [[nn.Parameter(value) for value in _values(member, 0)] for member in members]
    parts = [[nn.Parameter(placed(p.detach(), mesh, placements)) for p in own] for own in wholes]
    reference, optimizer = _created(members, wholes, {}), _created(members, parts, options)
    counts = []
    for step in range(STEPS):
        for member, own, shards in zip(members, wholes, parts, strict=True):
            for p, q, gradient in zip(own, shards, _values(member, step + 1), strict=True):
                p.grad, q.grad = gradient, placed(gradient, mesh, placements)
        reference.step()
        with CommDebugMode() as communication:
            optimizer.step()
        counts.append(int(communication.get_total_counts()))
    pairs = zip(chain.from_iterable(parts), chain.from_iterable(wholes), strict=True)
    return [(part.detach().full_tensor(), p.detach()) for part, p in pairs], counts


def _created(members: Sequence[Member], params: Any, options: dict[str, Any]) -> Any:
    groups = [
        {"params": own, "algorithm": member.algorithm}
        for member, own in zip(members, params, strict=True)
    ]
    return optkit.create(members[0].algorithm, groups, **options)


def _values(member: Member, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=member.dtype) for s in member.shapes]
