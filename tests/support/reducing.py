"""Update bodies that reduce, and tensors of the sizes at which passes and chunks end."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import torch

from optkit_core import Buffer, Layerwise, at_least, hyperparameter

Call = Callable[[Any], Any]

WHOLE: dict[str, Call] = {
    "norm": lambda x: x.norm(),
    "norm of order 1": lambda x: x.norm(1),
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.square().mean(),
    "numel": lambda x: x.sign() / x.numel(),
    "size": lambda x: x.sign() / (x.numel() * 2) * (x.numel() ** 0.5) + 1 / (x.numel() + 1),
    "double": lambda x: x.norm().double().div(x.numel() ** 0.5).clamp_min(1e-3),
    "of a reduction": lambda x: (x / x.norm().add(1)).abs().mean().sqrt(),
    "chosen": lambda x: torch.where((x.norm() > 1) & (x.sum() < 0), x.norm() / x.numel(), 0.5),
}
"""What a body computes of all elements of a tensor."""

LARGEST: dict[str, Call] = {
    "norm of order inf": lambda x: x.norm(p=inf),
    "amax": lambda x: x.amax(),
    "amin": lambda x: x.amin(),
    "max": lambda x: x.abs().max(),
    "min": lambda x: x.min(),
}
"""The same of tensors that have elements: of none torch knows no largest one."""

ROWS: dict[str, Call] = {
    "norm": lambda x: x.norm(dim=-1, keepdim=True),
    "sum": lambda x: x.abs().sum(-1, keepdim=True) / 64,
    "mean": lambda x: x.mean(dim=(-1,), keepdim=True),
    "size": lambda x: x.abs().sum(dim=-1, keepdim=True).div(x.size(-1)),
}
COLUMNS: dict[str, Call] = {
    "norm": lambda x: x.norm(2, dim=-2, keepdim=True),
    "sum": lambda x: x.sum(-2, keepdim=True),
    "mean": lambda x: x.square().mean(dim=-2, keepdim=True),
    "of rows": lambda x: x.norm(dim=-1, keepdim=True).sum(dim=-2, keepdim=True) / x.size(-2),
    "of matrices": lambda x: x.abs().mean(dim=(-2, -1), keepdim=True),
    "both": lambda x: x.norm(dim=-1, keepdim=True) * x.norm(dim=-2, keepdim=True),
    "in the end": lambda x: (x / x.norm(dim=-2, keepdim=True).add(1)).abs().mean(),
}
"""What a body computes of each row, and of each column, of a matrix."""


def reducing(call: Call) -> type[Layerwise]:
    """Return an algorithm that moves its parameter by what a call computes of its gradient."""

    class Reducing(Layerwise):
        lr: float = hyperparameter(default=0.125, range=at_least(0.0))

        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.mul_(0.5).add_(call(g) * (h.lr * t))

    return Reducing


class Shaped(Layerwise):
    """Keeps a value of each row, column, matrix and tensor, and divides by them."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    row = Buffer(shape=lambda p: (*p.shape[:-1], 1))
    column = Buffer(shape=lambda p: (*p.shape[:-2], 1, p.shape[-1]))
    matrix = Buffer(shape=lambda p: (*p.shape[:-2], 1, 1))
    tensor = Buffer(shape=lambda p: ())
    mean = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.row.lerp_(g.square().mean(dim=-1, keepdim=True), 0.25)
        s.column.mul_(0.5).add_(g.norm(dim=-2, keepdim=True), alpha=h.lr)
        s.matrix.lerp_(s.row.mean(dim=-2, keepdim=True), 1 / (t + 1))
        s.mean.lerp_(g / (s.row.sqrt() + s.column + s.matrix + 1), 0.5)
        s.tensor.lerp_(s.mean.norm().div(s.mean.numel()), 0.5)
        p.add_(s.mean, alpha=-h.lr / (s.mean.norm().double() + 1))
        p.sub_(s.tensor * h.lr)


class Whole(Layerwise):
    """Keeps a number of each tensor, and computes with what it was and with what it is."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    size = Buffer(shape=lambda p: ())

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        before = s.size.clone()
        s.size.lerp_(g.norm(), 0.5)
        p.sub_(g / (1 + s.size + before), alpha=h.lr)


SHAPES = [(), (1,), (31,), (1000,), (40_000,), (3, 5), (64, 64), (65, 257), (130, 600), (3, 70, 5)]
"""Sizes around those of registers, tiles, blocks of rows, and chunks."""

EMPTY = [(0,), (0, 4), (4, 0), (0, 3, 2), (2, 3, 0)]
