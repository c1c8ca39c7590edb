"""What Adam and its kin share: their hyperparameters, the two moments, and weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from optkit_core import Buffer, Layerwise
from optkit_plugins.declarations import decay_rates, epsilon, learning_rate


class Moments(Layerwise):
    """Base of algorithms that keep the means of the gradient and of its square."""

    options_by_position: ClassVar[Sequence[str] | None] = ()

    lr: float | Tensor = learning_rate(1e-3, 1e-5, 1e-1)
    betas: tuple[float, float] = decay_rates(0.9, 0.999, doc="decay of the two moments")
    eps: float = epsilon(1e-8)

    exp_avg = Buffer(doc="mean of the gradients")
    exp_avg_sq = Buffer(doc="mean of the squared gradients")


def decayed(p: Any, g: Any, h: Any) -> Any:
    """Return the gradient with the L2 penalty, or as it is where the parameter itself decays.

    Args:
        p: the parameter, which shrinks where the decay is decoupled.
        g: its gradient.
        h: the hyperparameters, ``decoupled_weight_decay`` among them.
    """
    if not h.weight_decay:
        return g
    if h.decoupled_weight_decay:
        p.mul_(1 - h.lr * h.weight_decay)
        return g
    return g.add(p, alpha=h.weight_decay)


def update_moments(g: Any, s: Any, h: Any) -> None:
    """Take a gradient into both moments.

    Args:
        g: the gradient.
        s: the buffers, ``exp_avg`` and ``exp_avg_sq`` among them.
        h: the hyperparameters, ``betas`` among them.
    """
    beta1, beta2 = h.betas
    s.exp_avg.lerp_(g, 1 - beta1)
    s.exp_avg_sq.mul_(beta2).addcmul_(g, g, value=1 - beta2)
