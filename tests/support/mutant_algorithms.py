"""Faulty algorithms: what they declare, how they update, what they do beside it."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from mutant_bases import Base, Corrected, Own
from torch import Tensor

from optkit_core import (
    Buffer,
    Elementwise,
    Offer,
    WithModes,
    at_least,
    boolean,
    hyperparameter,
    migration,
    option,
    within,
)
from optkit_core.declaration.ranges import RealInterval

KEPT: list[Tensor] = []
"""What a leak leaves behind."""


class DefaultOutOfRange(Base):
    """Has a range of which its default is no part."""


DefaultOutOfRange.declarations = {
    **Base.declarations,
    "decay": attrs.evolve(Base.declarations["decay"], range=within(0.75, 1.0)),
}


class AnotherDefault(Base):
    """Its constructor has a default of its own, which the declaration doesn't know."""

    def __init__(self, params: Any, lr: Any = 0.2, **options: Any) -> None:
        super().__init__(params, lr=lr, **options)


class SwallowingNames(Base):
    def __init__(self, params: Any, **options: Any) -> None:
        known = {name: value for name, value in options.items() if name in self.declarations}
        super().__init__(params, **known)


class Clamping(Base):
    """Takes what is out of range for what is just inside."""

    def __init__(self, params: Any, lr: Any = 0.1, **options: Any) -> None:
        super().__init__(params, lr=max(lr, 0.0) if isinstance(lr, float) else lr, **options)


class Tolerant(RealInterval):
    """A range that says what it allows, and allows everything."""

    def complaint(self, name: str, value: Any) -> str:
        return ""


class WithoutRange(Base):
    decay: float = hyperparameter(default=0.5, range=Tolerant(0.0, 1.0))


class FailingAtItsEdge(Base):
    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        Base.update(p, g.mul(h.decay * (1 / h.decay)), s, h, t)


class NeverMoving(Elementwise):
    """Gives its parameter's name to something else, and leaves the parameter alone."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    offers = Base.offers

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p = p - h.lr * g


class UnusedBuffer(Base):
    other = Buffer()


class HalvingItsGradient(Base):
    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        Base.update(p, g.mul_(0.5), s, h, t)


class ReplacingItsGradient(Own):
    def move(self, p: Tensor, group: dict[str, Any]) -> None:
        assert p.grad is not None
        super().move(p, group)
        p.grad = p.grad.clone()


class ClearingItsGradient(Own):
    def move(self, p: Tensor, group: dict[str, Any]) -> None:
        super().move(p, group)
        p.grad = None


class Uphill(Base):
    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 1 - h.decay)
        p.add_(s.mean, alpha=h.lr)


class DrawingNumbers(Base):
    def advance(self, closure: Any) -> Any:
        torch.rand(1)
        return super().advance(closure)


class Leaking(Base):
    def advance(self, closure: Any) -> Any:
        KEPT.append(torch.ones(3))
        return super().advance(closure)


class Second(Base):
    """Is of version 2, and nobody migrates what was saved before."""

    schema_name = "mutant-second"
    schema_version = 2


class LeavingOutWhatIsNew(Base):
    """Is of version 2, and its migration leaves out what came with it."""

    schema_name = "mutant-forgetful"
    schema_version = 2
    square = Buffer(since=2)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.square.addcmul_(g, g)
        Base.update(p, g, s, h, t)


@migration("mutant-forgetful", 1)
def leave(state_dict: dict[str, Any]) -> None:
    """Migrate nothing."""


class ReturningElsewhere(WithModes, Base):
    """Doesn't come back from eval mode to where it was."""

    @staticmethod
    def to_eval(p: Any, s: Any, h: Any) -> None:
        p.add_(s.mean, alpha=0.01)

    @staticmethod
    def to_train(p: Any, s: Any, h: Any) -> None:
        p.sub_(s.mean, alpha=0.009)


class Descended(Own):
    """Takes maximize, and descends."""

    maximize: bool = option(default=False, range=boolean())


class WrongEps(Corrected):
    """Has eps inside of the root, in all implementations alike."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 1 - h.decay)
        s.square.mul_(h.decay).addcmul_(g, g, value=1 - h.decay)
        root = (s.square / (1 - h.decay**t) + h.eps).sqrt()
        p.addcdiv_(s.mean, root, value=-h.lr / (1 - h.decay**t))


class WrongDecay(Corrected):
    """Squares decay by a number that nobody can set, in all implementations alike."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 1 - h.decay)
        s.square.mul_(0.75).addcmul_(g, g, value=0.25)
        root = s.square.sqrt().div_((1 - 0.75**t) ** 0.5).add_(h.eps)
        p.addcdiv_(s.mean, root, value=-h.lr / (1 - h.decay**t))


class WrongCorrection(Corrected):
    """Corrects the mean of one step before, in all implementations alike."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 1 - h.decay)
        s.square.mul_(h.decay).addcmul_(g, g, value=1 - h.decay)
        root = s.square.sqrt().div_((1 - h.decay**t) ** 0.5).add_(h.eps)
        p.addcdiv_(s.mean, root, value=-h.lr / (1 - h.decay ** (t + 1)))


class OddOffer(Base):
    """One of its implementations raises a TypeError."""

    @staticmethod
    def failing(algorithm: Any, bucket: Any, h: Any) -> Any:
        def launch() -> None:
            raise TypeError("an argument of the wrong kind")

        return launch

    offers = (Base.offers[0], Offer("faulty", failing, lambda *_: None))
