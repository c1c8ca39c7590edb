"""Update bodies for the tests of kernels: one for each operation, and toy algorithms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from optkit_core import Buffer, Elementwise, at_least, hyperparameter

CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "constant": lambda x, y, z: x.clone().fill_(0.1),
    "add": lambda x, y, z: x + y,
    "add_alpha": lambda x, y, z: x.add(y, alpha=0.7),
    "sub": lambda x, y, z: x - y,
    "sub_alpha": lambda x, y, z: x.sub(y, alpha=0.7),
    "mul": lambda x, y, z: x * y,
    "div": lambda x, y, z: x / y,
    "neg": lambda x, y, z: -x,
    "abs": lambda x, y, z: abs(x),
    "sign": lambda x, y, z: x.sign(),
    "square": lambda x, y, z: x.square(),
    "cube": lambda x, y, z: x**3,
    "sqrt": lambda x, y, z: x.sqrt(),
    "rsqrt": lambda x, y, z: x.rsqrt(),
    "reciprocal": lambda x, y, z: 1 / x,
    "pow_minus_2": lambda x, y, z: x**-2,
    "pow": lambda x, y, z: x.pow(y),
    "rpow": lambda x, y, z: 0.3**x,
    "exp": lambda x, y, z: x.exp(),
    "exp2": lambda x, y, z: x.exp2(),
    "expm1": lambda x, y, z: x.expm1(),
    "log": lambda x, y, z: x.log(),
    "log2": lambda x, y, z: x.log2(),
    "log10": lambda x, y, z: x.log10(),
    "log1p": lambda x, y, z: x.log1p(),
    "sin": lambda x, y, z: x.sin(),
    "cos": lambda x, y, z: x.cos(),
    "tanh": lambda x, y, z: x.tanh(),
    "atan": lambda x, y, z: x.atan(),
    "atan2": lambda x, y, z: x.atan2(y),
    "sigmoid": lambda x, y, z: x.sigmoid(),
    "erf": lambda x, y, z: x.erf(),
    "floor": lambda x, y, z: x.floor(),
    "ceil": lambda x, y, z: x.ceil(),
    "trunc": lambda x, y, z: x.trunc(),
    "round": lambda x, y, z: x.round(),
    "lerp": lambda x, y, z: x.lerp(y, 0.1),
    "addcmul": lambda x, y, z: x.addcmul(y, z),
    "addcmul_value": lambda x, y, z: x.addcmul(y, z, value=0.7),
    "addcdiv": lambda x, y, z: x.addcdiv(y, z),
    "addcdiv_value": lambda x, y, z: x.addcdiv(y, z, value=0.7),
    "maximum": lambda x, y, z: x.maximum(y),
    "minimum": lambda x, y, z: x.minimum(y),
    "clamp_min": lambda x, y, z: x.clamp_min(y),
    "clamp_max": lambda x, y, z: x.clamp(max=0.3),
    "clamp_min_max": lambda x, y, z: x.clamp(-0.2, 0.3),
    "copysign": lambda x, y, z: x.copysign(y),
    "hypot": lambda x, y, z: x.hypot(y),
    "lt": lambda x, y, z: z.where(x < y, x),
    "le": lambda x, y, z: z.where(x <= y, x),
    "gt": lambda x, y, z: z.where(x > y, x),
    "ge": lambda x, y, z: z.where(x >= y, x),
    "eq": lambda x, y, z: z.where(x.eq(y), x),
    "ne": lambda x, y, z: z.where(x.ne(0.0), y),
    "isnan": lambda x, y, z: y.where(x.isnan(), z),
    "isinf": lambda x, y, z: y.where(x.isinf(), z),
    "isfinite": lambda x, y, z: y.where(x.isfinite(), z),
    "logical_not": lambda x, y, z: y.where(x.logical_not(), z),
    "logical_and": lambda x, y, z: y.where((x > y).logical_and(z), x),
    "logical_or": lambda x, y, z: y.where((x > y).logical_or(z < x), x),
    "where": lambda x, y, z: x.where(z < y, y) * (x > z),
    "masked_fill": lambda x, y, z: x.sign().masked_fill_(x > y, 1.2).masked_fill(x == 0, 0.1),
}
"""A use of every operation, on three tensors or what stands for them."""


def calling(call: Callable[[Any, Any, Any], Any]) -> type[Elementwise]:
    """Return an algorithm that puts the result of a call in the place of its parameter."""

    class Calling(Elementwise):
        other = Buffer(init=0.5)

        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.copy_(call(p, g, s.other))

    return Calling


class Mixed(Elementwise):
    """Moments in float32 whatever the parameter's dtype; only where the gradient agrees."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    weight_decay: float = hyperparameter(default=0.01, range=at_least(0.0))

    mean = Buffer(dtype=torch.float32)
    last = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.mul_(1 - h.lr * h.weight_decay)
        s.mean.lerp_(g, 0.3)
        agree = (s.mean * g) > 0
        p.add_(s.mean.where(agree, s.mean * 0.5), alpha=-h.lr)
        s.last.copy_(g)


class Timed(Elementwise):
    """Uses the number of the step in every way: as a factor, an exponent, a divisor, a value."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    slow = Buffer()
    when = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.slow.lerp_(g, 1 / (t + 1))
        p.addcdiv_(g, s.slow.abs().add_(1), value=-h.lr * (1 - 0.9**t) / (1 + (t - 1) * 0.1))
        s.when.zero_().add_(t)


class Branching(Elementwise):
    """Another update from the third step on."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    mean = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.mul_(0.9).add_(g)
        if t > 2:
            p.sub_(s.mean, alpha=h.lr)
        else:
            p.sub_(s.mean.tanh(), alpha=h.lr)
