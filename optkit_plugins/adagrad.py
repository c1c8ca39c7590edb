"""Adagrad: steps divided by the root of the sum of all squared gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core import (
    BucketKey,
    Buffer,
    Elementwise,
    at_least,
    boolean,
    choice,
    hyperparameter,
    option,
)
from optkit_plugins import adagrad_importers as _  # noqa: F401  registers them
from optkit_plugins import sparse_values
from optkit_plugins.declarations import epsilon, learning_rate, weight_decay_rate


class Adagrad(Elementwise):
    r"""Adagrad: gradient divided by the root of the sum of all squared gradients.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), to which
    :math:`\lambda\theta_{t-1}` is added if ``weight_decay`` isn't zero,

    .. math::
        s_t &= s_{t-1} + g_t^2 \\
        \theta_t &= \theta_{t-1} - \frac{\gamma}{1 + (t-1)\eta}\, \frac{g_t}{\sqrt{s_t} + \epsilon}

    from :math:`s_0 = \tau`. The buffer ``sum`` holds :math:`s`, of the parameter's shape and
    dtype, and exists from construction on. Sparse gradients (``sparse_coo``) change only
    the elements that they name.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-2).
        lr_decay: decay of the rate :math:`\eta \ge 0` (default 0).
        weight_decay: L2 penalty :math:`\lambda \ge 0` (default 0); not with sparse gradients.
        initial_accumulator_value: :math:`\tau \ge 0` (default 0); each group's own counts.
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-10).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = Adagrad([theta], lr=0.1)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.9000, -1.9000])

    Source:
        Duchi, Hazan and Singer, *Adaptive Subgradient Methods for Online Learning and
        Stochastic Optimization*, JMLR 12, 2011, https://jmlr.org/papers/v12/duchi11a.html
        (the diagonal form of figure 1).
    """

    paper = "Duchi, Hazan & Singer 2011, https://jmlr.org/papers/v12/duchi11a.html"

    lr: float | Tensor = learning_rate(1e-2, 1e-3, 1.0)
    lr_decay: float = hyperparameter(
        default=0.0, range=at_least(0.0), doc="decay of the learning rate"
    )
    weight_decay: float = weight_decay_rate()
    initial_accumulator_value: float = hyperparameter(
        default=0.0,
        range=at_least(0.0),
        search=choice([0.0, 0.1, 1.0]),
        doc="where the sum of squares starts",
    )
    eps: float = epsilon(1e-10)

    eager_state: bool = option(
        default=True, range=boolean(), doc="allocate the state at construction", kw_only=True
    )

    sum = Buffer(init="initial_accumulator_value", doc="sum of the squared gradients")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        if h.weight_decay:
            g = g.add(p, alpha=h.weight_decay)
        s.sum.addcmul_(g, g)
        p.addcdiv_(g, s.sum.sqrt().add_(h.eps), value=-h.lr / (1 + (t - 1) * h.lr_decay))

    @classmethod
    def unsupported_reason(cls, key: BucketKey, h: Any) -> str | None:
        """Return why gradients can't be used: sparse ones can't be decayed."""
        if key.layout == torch.sparse_coo and h.weight_decay:
            return (
                "weight_decay option is not compatible with sparse gradients, got "
                f"weight_decay={h.weight_decay!r}; use 0 for the group of the sparse parameter."
            )
        return super().unsupported_reason(key, h)

    @staticmethod
    def update_sparse(p: Tensor, g: Tensor, s: Any, h: Any, t: float) -> None:
        """Update the elements of one parameter that a sparse gradient names."""
        # First, since an index may stand twice: the square of a sum isn't the sum of the squares.
        g = g.coalesce()
        s.sum.add_(g.square())
        root = s.sum.sparse_mask(g).values().sqrt_().add_(h.eps)
        torch.div(g.values(), root, out=root)
        # As torch adds it: the sum of a coalesced one rounds otherwise where elements are scalars.
        step = sparse_values.like(g, root, is_coalesced=False)
        p.add_(step, alpha=-h.lr / (1 + (t - 1) * h.lr_decay))

    def share_memory(self) -> None:
        """Move the sums to shared memory, for training by several processes."""
        params = [p for group in self.param_groups for p in group["params"]]
        for state in filter(None, map(self.state.get, params)):
            state["sum"].share_memory_()
