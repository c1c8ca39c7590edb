"""What mutants are made of: algorithms that are right, and ways to make implementations faulty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from optkit_core import (
    Buffer,
    Elementwise,
    Layerwise,
    Offer,
    Optimizer,
    at_least,
    hyperparameter,
    within,
)
from optkit_core.implementations import FOREACH, FORLOOP

Launch = Callable[[], None]


class Base(Elementwise):
    """Descent along a mean of gradients: everything that is checked holds."""

    lr: float | Tensor = hyperparameter(default=0.1, range=at_least(0.0))
    decay: float = hyperparameter(default=0.5, range=within(0.0, 1.0))

    mean = Buffer()

    # No kernel: it would have to be compiled for each of the many.
    offers: ClassVar[tuple[Offer, ...]] = (FORLOOP, FOREACH)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 1 - h.decay)
        p.sub_(s.mean, alpha=h.lr)


class Corrected(Elementwise):
    """A mean with the correction for its start from zero, eps and a weight decay."""

    lr: float | Tensor = hyperparameter(default=0.1, range=at_least(0.0))
    decay: float = hyperparameter(default=0.5, range=within(0.0, 1.0))
    eps: float = hyperparameter(default=1e-3, range=at_least(0.0))
    weight_decay: float = hyperparameter(default=0.0, range=at_least(0.0))

    mean = Buffer()
    square = Buffer()

    offers: ClassVar[tuple[Offer, ...]] = (FORLOOP, FOREACH)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        if h.weight_decay:
            g = g.add(p, alpha=h.weight_decay)
        s.mean.lerp_(g, 1 - h.decay)
        s.square.mul_(h.decay).addcmul_(g, g, value=1 - h.decay)
        root = s.square.sqrt().div_((1 - h.decay**t) ** 0.5).add_(h.eps)
        p.addcdiv_(s.mean, root, value=-h.lr / (1 - h.decay**t))


def corrected(p: Any, g: Any, state: dict[str, Any], t: int, h: Any) -> Any:
    """Return the parameter after a step of `Corrected`, in NumPy."""
    g = g + h.weight_decay * p
    state["mean"] = h.decay * state.get("mean", 0.0) + (1 - h.decay) * g
    state["square"] = h.decay * state.get("square", 0.0) + (1 - h.decay) * g**2
    correction = 1 - h.decay**t
    root = (state["square"] / correction) ** 0.5 + h.eps
    return p - h.lr * state["mean"] / correction / root


class Reduced(Layerwise):
    """Descent by a rate that depends on all elements of a parameter."""

    lr: float | Tensor = hyperparameter(default=0.1, range=at_least(0.0))

    offers: ClassVar[tuple[Offer, ...]] = (FORLOOP,)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g / (g.norm() + 1.0), alpha=h.lr)


class Sparse(Base):
    """Descent along dense and along sparse gradients."""

    mean = Buffer(when=lambda p, group: False)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g, alpha=h.lr)

    @staticmethod
    def update_sparse(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.add_(g, alpha=-h.lr)


class Own(Optimizer):
    """Descent with a momentum by a step of its own."""

    lr: float | Tensor = hyperparameter(default=0.1, range=at_least(0.0))

    momentum = Buffer()

    def advance(self, closure: Any) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.move(p, group)
        return loss

    def move(self, p: Tensor, group: dict[str, Any]) -> None:
        """Update one parameter."""
        if not self.state[p]:
            self.state[p].update(self.allocate(p, group))
        momentum = self.state[p]["momentum"].mul_(0.5).add_(p.grad)
        p.sub_(momentum * group["lr"])


def with_(bucket: Any, **changes: Any) -> Any:
    """Return a bucket with other content, which no implementation has seen yet."""
    return attrs.evolve(bucket, kept=None, **changes)


def right(algorithm: Any, bucket: Any, h: Any) -> Launch:
    """Do what the for-loop does."""
    return FORLOOP.make_launcher(algorithm, bucket, h)


def faulty(make_launcher: Any, name: str = "faulty") -> tuple[Offer, ...]:
    """Return the for-loop, and an implementation that is made as given.

    Args:
        make_launcher: as of `Offer`.
        name: of the implementation; ``"forloop"`` for one that takes its place.
    """
    own = Offer(name, make_launcher, lambda *_: None)
    return (own,) if name == "forloop" else (FORLOOP, own)


def on_gradients(change: Callable[[Tensor], Tensor]) -> Any:
    """Return what steps along other gradients than it is given."""

    def make_launcher(algorithm: Any, bucket: Any, h: Any) -> Launch:
        return lambda: right(
            algorithm, with_(bucket, grads=[change(g.clone()) for g in bucket.grads]), h
        )()

    return make_launcher


def under(change: Callable[[Any], None]) -> Any:
    """Return what steps by other hyperparameters than it is given.

    Args:
        change: changes those of a group in place.
    """

    def make_launcher(algorithm: Any, bucket: Any, h: Any) -> Launch:
        own = attrs.evolve(h) if attrs.has(type(h)) else type(h)(**vars(h))
        change(own)
        return right(algorithm, with_(bucket, hyperparameters={bucket.groups[0]: own}), own)

    return make_launcher


def on_parts(keep: Callable[[Any], list[int]]) -> Any:
    """Return what steps some parameters of a bucket.

    Args:
        keep: returns their positions.
    """

    def make_launcher(algorithm: Any, bucket: Any, h: Any) -> Launch:
        positions = keep(bucket)
        return right(algorithm, bucket.subset(positions), h) if positions else lambda: None

    return make_launcher


def then(extra: Callable[[Any], object]) -> Any:
    """Return what does something more after each step of a bucket."""

    def make_launcher(algorithm: Any, bucket: Any, h: Any) -> Launch:
        def launch() -> None:
            right(algorithm, bucket, h)()
            extra(bucket)

        return launch

    return make_launcher
