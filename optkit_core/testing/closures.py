"""Closures: what gives parameters their gradients, and notes how it was called."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from optkit_core.testing.problems import gradient, is_missing, random

EPOCH = 3
"""Of so many steps each, losses have another minimum: what is resumed then has a way to go."""

FROZEN = 5
"""Of so many parameters, the last one has no gradient where a loss gives them."""


@attrs.define(eq=False)
class Closure:
    """Gives parameters gradients that are drawn, whatever the parameters are.

    Args:
        params: the parameters.
        number: of the step, from 0.
        sign: -1 to turn the gradients, and the loss, otherwise 1.
        scale: what the gradients are multiplied by.
        losses: what the calls so far have returned.
        given: copies of the gradients that the last call gave.
        handed: these gradients themselves.
        grad_was_enabled: whether that is so for all calls.
    """

    params: list[Tensor]
    number: int
    sign: int = 1
    scale: float = 1.0
    losses: list[Tensor] = attrs.Factory(list)
    given: list[Tensor | None] = attrs.Factory(list)
    handed: list[Tensor | None] = attrs.Factory(list)
    grad_was_enabled: bool = True

    def __call__(self) -> Tensor:
        """Give the gradients, and return the loss."""
        self.grad_was_enabled &= torch.is_grad_enabled()
        with torch.no_grad():
            for position, p in enumerate(self.params):
                p.grad = self.gradient(position, p) if self.has_gradient(position) else None
            # Copies, by which a body that updates g in place is found out.
            self.handed = [p.grad for p in self.params]
            self.given = [None if p.grad is None else p.grad.clone() for p in self.params]
            self.losses.append(self.sign * self.loss())
        return self.losses[-1]

    def has_gradient(self, position: int) -> bool:
        """Return whether a parameter gets a gradient in this step."""
        return not is_missing(position, self.number)

    def gradient(self, position: int, p: Tensor) -> Tensor:
        """Return the gradient of a parameter; it may lie anyhow.

        Args:
            position: which of the optimizer's parameters it is.
            p: the parameter.
        """
        g = gradient(p, position, self.number)
        factor = self.sign * self.scale
        return g if factor == 1 else g * factor

    def loss(self) -> Tensor:
        """Return some number: that of the step."""
        return torch.tensor(self.number + 0.5)


class SparseClosure(Closure):
    """Gives the same gradients to an algorithm that takes sparse ones only."""

    def gradient(self, position: int, p: Tensor) -> Tensor:
        """Return the gradient of a parameter without its zeros."""
        return Closure.gradient(self, position, p).to_sparse()


class QuadraticClosure(Closure):
    """Gives the gradients of a loss, as an algorithm needs them that evaluates it anew.

    It is a sum of squares with weights from 0.5 to 2, whose minimum stays for an `EPOCH`.
    """

    def has_gradient(self, position: int) -> bool:
        """Return whether the loss depends on a parameter."""
        return position % FROZEN != FROZEN - 1

    def gradient(self, position: int, p: Tensor) -> Tensor:
        """Return the loss's gradient."""
        return self.sign * _weights(position, p) * (p - self._minimum(position, p))

    def loss(self) -> Tensor:
        """Return the loss."""
        # In double precision: a line search compares losses that hardly differ.
        parts = [
            (_weights(i, p) * (p - self._minimum(i, p)).abs().square()).double().sum() / 2
            for i, p in enumerate(self.params)
            if self.has_gradient(i)
        ]
        return torch.stack(parts).sum()

    def _minimum(self, position: int, p: Tensor) -> Tensor:
        return random(p.shape, p.dtype, position, self.number // EPOCH, 3).to(p.device)


def _weights(position: int, p: Tensor) -> Tensor:
    # tanh keeps every draw within 1 of zero: the problem is well conditioned whatever comes.
    return random(p.shape, p.dtype.to_real(), position, 2).tanh().exp2().to(p.device)
