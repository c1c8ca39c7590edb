"""Faulty algorithms: what they say that they can do, and what they do with it."""

from __future__ import annotations

from typing import Any

import torch
from mutant_bases import Base, Reduced, Sparse
from torch import Tensor


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
