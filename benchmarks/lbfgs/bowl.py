"""A bowl in many dimensions, evaluated by hand in memory that is set aside once."""

from __future__ import annotations

import torch
from torch import Tensor

STEEPEST = 6


class Bowl:
    r"""The function :math:`\sum_i a_i (x_i^2 / 2 + x_i^4 / 4)`, with `a` from 1 to 1e6.

    The fourth powers make the line search look for its step, and the spread of `a` makes the
    minimization longer than anything that is measured on it. Autograd would need several times
    the memory and the time of the optimizer itself.
    """

    def __init__(self, n: int) -> None:
        self.rates = torch.logspace(0, STEEPEST, n, dtype=torch.float64)
        self.squares, self.gradient = torch.empty_like(self.rates), torch.empty_like(self.rates)

    def start(self) -> Tensor:
        return torch.full_like(self.rates, 2.0)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the gradient; the next call overwrites the latter."""
        x, squares, gradient = x.detach(), self.squares, self.gradient
        torch.mul(x, x, out=squares)
        torch.add(squares, 2, out=gradient).mul_(squares)
        loss = torch.dot(gradient, self.rates) / 4
        torch.add(squares, 1, out=gradient).mul_(x).mul_(self.rates)
        return loss, gradient
