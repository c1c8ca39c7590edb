"""Faulty algorithms: what they declare, how they update, what they do beside it."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from mutant_bases import Base, Corrected, Own, Reduced, Sparse
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


class Rebinding(Elementwise):
    """Gives its parameter's name to something else, and leaves the parameter alone."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    offers = Base.offers

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p = p - h.lr * g


class UnusedBuffer(Base):
    other = Buffer()


class ChangingItsGradient(Base):
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


class Differing(Base):
    """Takes larger steps where autograd looks on."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        Base.update(p, g * 2 if torch.is_grad_enabled() else g, s, h, t)


class Detaching(Base):
    """Hides its gradient from autograd."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        Base.update(p, g.detach(), s, h, t)


class DetachingItsRate(Base):
    """Hides its learning rate from autograd."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 1 - h.decay)
        is_recorded = isinstance(h.lr, Tensor) and h.lr.requires_grad
        p.sub_(s.mean, alpha=h.lr.item() if is_recorded else h.lr)


class RecordedUndeclared(Base):
    """Says that autograd can't record it, which it can."""

    @classmethod
    def unsupported_reason(cls, key: Any, h: Any) -> str | None:
        return "it can't be recorded" if key.differentiable else super().unsupported_reason(key, h)

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)
        vars(self)["unsupported_reason"] = Base.unsupported_reason


class ComplexUndeclared(RecordedUndeclared):
    """Says that it takes no complex parameters, and takes them."""

    @classmethod
    def unsupported_reason(cls, key: Any, h: Any) -> str | None:
        return "it takes real numbers" if key.dtype.is_complex else None


class SparseUndeclared(Sparse):
    """Says that it takes no sparse gradients, and takes them."""

    @classmethod
    def unsupported_reason(cls, key: Any, h: Any) -> str | None:
        return "it takes dense ones" if key.layout != torch.strided else None

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)
        vars(self)["unsupported_reason"] = Sparse.unsupported_reason


class SparseDeclared(Sparse):
    """Says that it takes sparse gradients, and fails at them."""

    offers = Base.offers[:1]

    @staticmethod
    def update_sparse(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        raise RuntimeError("not written yet")


class Densified(Sparse):
    """Makes sparse gradients dense, so that what has none decays with the others."""

    @staticmethod
    def update_sparse(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g.to_dense() + 0.01 * p, alpha=h.lr)


class Wasteful(Sparse):
    """Makes sparse gradients dense, at the cost of the whole parameter."""

    @staticmethod
    def update_sparse(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g.to_dense(), alpha=h.lr)


class Synchronizing(Reduced):
    """Asks on the host how large a step is."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        is_small = g.norm().item() >= -1.0
        p.sub_(g / (g.norm() + 1.0), alpha=h.lr if is_small else 2 * h.lr)


class DeafToTensors(Base):
    """Takes a learning rate that is a tensor for half of it, unless somebody differentiates it."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 1 - h.decay)
        is_plain = isinstance(h.lr, Tensor) and not h.lr.requires_grad
        p.sub_(s.mean, alpha=h.lr * 0.5 if is_plain else h.lr)


class Compiled(Base):
    """Takes other steps where its body is recorded, as it is for a compiler."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        is_recorded = type(p).__module__.startswith("optkit_core.tracing")
        Base.update(p, g * 2 if is_recorded else g, s, h, t)


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


class Forgetful(Base):
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


class Averaging(WithModes, Base):
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
