"""What is measured: algorithms on sets of parameters, in one group or many, of several dtypes."""

from __future__ import annotations

from itertools import chain, product
from math import prod
from typing import Any, NamedTuple

import torch

from benchmarks.models import SETS as SHAPES

Shapes = list[tuple[int, ...]]

OURS = ("fused", "foreach", "forloop")
"""optkit's implementations, which the verdict ranks."""

MOVED = {"adamax": 7, "adagrad": 5}
"""Numbers that a step reads and writes for each element: p, g, m, u, and p, m, u; p, g, s, and
p, s."""


class Set(NamedTuple):
    """Parameters of these shapes; with `each`, a group for so many of them, else one group."""

    shapes: Shapes
    each: int | None = None


SETS = {
    "400 small": Set(SHAPES["400 small"]),
    "16 large": Set(SHAPES["16 large"]),
    "64M elements": Set([(4096, 4096)] * 4),
    "2000 tiny": Set(SHAPES["2000 tiny"]),
    "400 groups of 1": Set(SHAPES["400 small"], 1),
    "100 groups of 4": Set(SHAPES["400 small"], 4),
}
SMALL = ("400 small", "2000 tiny", "400 groups of 1", "100 groups of 4")
"""The sets on which the host's time and the launches count most."""

FEW = 6


class Case(NamedTuple):
    """An algorithm on a set of parameters of one dtype."""

    algorithm: str
    set: str
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.algorithm} {self.set} {str(self.dtype).removeprefix('torch.')}"


HALVES = (torch.bfloat16, torch.float16)
CASES = [
    Case(*case)
    for case in chain(
        product(("adamax", "adagrad"), SETS, (torch.float32,)),
        product(("adamax",), ("400 small", "64M elements"), HALVES),
        product(("adagrad",), ("400 small", "64M elements"), HALVES[:1]),
    )
]
"""In the order in which they are measured: what there is no time for, is at the end."""

NEEDED = [case for case in CASES if case.dtype == torch.float32]
"""Without these there is no verdict."""


def shapes_of(case: Case, is_dry: bool = False) -> Shapes:
    """Return the shapes of a case's parameters; few and tiny ones where only the way counts."""
    shapes = SETS[case.set].shapes
    if not is_dry:
        return shapes
    some = shapes[:: max(1, len(shapes) // FEW)][:FEW]
    return [tuple(min(n, 8) for n in shape) for shape in some]


def groups_of(case: Case, device: torch.device, is_dry: bool = False) -> list[dict[str, Any]]:
    """Return parameter groups with gradients, the same ones at each call."""
    generator = torch.Generator(device).manual_seed(0)

    def random(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device).to(case.dtype)

    shapes = shapes_of(case, is_dry)
    params = [torch.nn.Parameter(random(shape)) for shape in shapes]
    for p in params:
        p.grad = random(p.shape) * 0.1
    each = SETS[case.set].each or len(params)
    return [
        {"params": params[i : i + each], "lr": 0.002 + 1e-5 * i}
        for i in range(0, len(params), each)
    ]


def bytes_moved(case: Case, is_dry: bool = False) -> int:
    """Return how many bytes a step has to read and write."""
    elements = sum(map(prod, shapes_of(case, is_dry)))
    return elements * case.dtype.itemsize * MOVED[case.algorithm]
