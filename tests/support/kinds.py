"""Algorithms with buffers of every kind that an update body can have."""

from __future__ import annotations

from typing import Any

import torch

from optkit_core import Buffer, Elementwise, at_least, hyperparameter, within


class Product(Elementwise):
    """Scales by a running product of a number of each parameter, as NAdam does, in every way."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    decay: float = hyperparameter(default=0.9, range=within(0.0, 1.0))

    product = Buffer(kind="scalar", init=1.0)
    mean = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.product *= h.decay + 0.01 / t
        s.mean.lerp_(g, 1 - h.decay)
        p.mul_(1 - h.lr * s.product * 0.1)
        p.sub_(h.lr * s.product)
        p.sub_(g.mul(s.product) / (1 + s.product), alpha=h.lr)
        p.add_(s.mean, alpha=-s.product * h.lr)
        p.addcmul_(g, s.mean.tanh(), value=s.product * h.lr)
        p.add_(s.mean, alpha=-h.lr / (2 - s.product))


class Columns(Elementwise):
    """Divides by a number for each column, by broadcasting alone."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    column = Buffer(shape=lambda p: p.shape[-1:], init=0.5)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.column.mul_(0.9).add_(0.2 / t)
        p.sub_(g / s.column, alpha=h.lr)


class Factored(Elementwise):
    """Divides by the root mean squares of rows and columns, as Adafactor does."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    decay: float = hyperparameter(default=0.9, range=within(0.0, 1.0))

    row = Buffer(shape=lambda p: (*p.shape[:1], *[1] * (p.dim() - 1)))
    column = Buffer(shape=lambda p: p.shape[1:])

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        square = g.square().add_(1e-8)
        s.row.lerp_(square.flatten(1).mean(1).reshape_as(s.row), 1 - h.decay)
        s.column.lerp_(square.mean(0), 1 - h.decay)
        p.sub_(g / (s.row * s.column).sqrt(), alpha=h.lr)


KINDS: dict[str, type[Elementwise]] = {
    cls.__name__.lower(): cls for cls in (Product, Columns, Factored)
}


class Half(Product):
    """The same with a number that half types would round away."""

    product = Buffer(kind="scalar", init=1.0, dtype=torch.float32)
