"""The algorithm as an optimizer: one step runs several iterations of L-BFGS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from optkit_core import (
    Buffer,
    GroupError,
    Offer,
    Optimizer,
    at_least,
    hyperparameter,
    kind_of,
    one_of,
    whole,
)
from optkit_plugins.lbfgs.descent import Limits, minimize
from optkit_plugins.lbfgs.memory import complaint
from optkit_plugins.lbfgs.objective import Closure, ClosureError, Objective


class LBFGS(Optimizer):
    r"""Limited-memory BFGS: a quasi-Newton method for smooth, deterministic losses.

    Each call of ``step(closure)`` runs up to `max_iter` iterations

    .. math::
        x_{k+1} = x_k - t_k\,H_k\,g_k, \qquad g_k = \nabla f(x_k),

    where :math:`H_k`, the approximate inverse Hessian, comes from :math:`\gamma_k I` by one
    BFGS update for each remembered pair :math:`s_i = x_{i+1} - x_i`, :math:`y_i = g_{i+1} -
    g_i`, and :math:`\gamma_k = s^\top y / y^\top y` of the newest one. The first iteration
    follows :math:`-g_0`, by a step of :math:`\min(1, 1 / \lVert g_0 \rVert_1)\,\mathrm{lr}`.

    All parameters form one vector, so there is one parameter group only. A complex parameter
    counts as pairs of real numbers, a sparse gradient as its dense form, and a parameter
    without a gradient stays where it is. The state takes about ``2 * history_size + 2``
    times the memory of the parameters; it lives under the first parameter.

    Args:
        params: parameters to optimize, or one group of them.
        lr: step length :math:`t_k`, the first one tried where there is a line search; at
            least 0. Default: 1.
        max_iter: most iterations in one step; at least 0. Default: 20.
        max_eval: number of closure calls after which a step starts no further iteration; at
            least 0. Default: None, which stands for ``max_iter * 5 // 4``.
        tolerance_grad: the step ends when no element of the gradient is larger; at least 0.
            Default: 1e-7.
        tolerance_change: the step ends when the loss, or every parameter, changes by no
            more; at least 0. Default: 1e-9.
        history_size: number of pairs remembered; at least 1. Default: 100.
        line_search_fn: None takes every step with length `lr`; ``"strong_wolfe"`` looks for
            one that satisfies the strong Wolfe conditions. Default: None.
        implementation: see `optkit_core.Optimizer`; there is one so far, ``"forloop"``, on one
            flat vector.

    Returns:
        ``step(closure)`` returns what the closure returned when it was called first, before
        the parameters changed.

    Raises:
        HyperparameterError: a value is outside its range.
        GroupError: there is more than one parameter group.
        ClosureError: ``step`` got no closure, or one that doesn't return a loss.

    Example:
        The closure clears the gradients, computes the loss and calls ``backward``:

        >>> import torch
        >>> from optkit_plugins.lbfgs import LBFGS
        >>> x = torch.tensor([-1.5, 2.0], dtype=torch.float64, requires_grad=True)
        >>> optimizer = LBFGS([x], max_iter=100, line_search_fn="strong_wolfe")
        >>> def rosenbrock():
        ...     optimizer.zero_grad()
        ...     loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        ...     loss.backward()
        ...     return loss
        >>> print(f"{optimizer.step(rosenbrock):.2f}")
        12.50
        >>> torch.allclose(x, torch.ones_like(x))
        True

    Source:
        Liu and Nocedal, *On the limited memory BFGS method for large scale optimization*,
        Mathematical Programming 45, 1989, https://doi.org/10.1007/BF01589116; Nocedal and
        Wright, *Numerical Optimization*, 2nd edition, 2006, algorithms 3.5, 3.6, 7.4 and 7.5.
    """

    paper = (
        "Liu & Nocedal (1989), On the limited memory BFGS method for large scale optimization, "
        "https://doi.org/10.1007/BF01589116"
    )
    requires_closure = True
    offers = (Offer("forloop", minimize, lambda *_: ""),)

    lr: float | Tensor = hyperparameter(
        default=1.0, range=at_least(0.0), doc="step length, or the first one tried"
    )
    max_iter: int = hyperparameter(default=20, range=whole(0), doc="most iterations in one step")
    max_eval: int | None = hyperparameter(
        default=None, range=whole(0, optional=True), doc="closure calls that end a step"
    )
    tolerance_grad: float = hyperparameter(
        default=1e-7, range=at_least(0.0), doc="largest gradient element of a minimum"
    )
    tolerance_change: float = hyperparameter(
        default=1e-9, range=at_least(0.0), doc="change of loss or parameters that ends a step"
    )
    history_size: int = hyperparameter(
        default=100, range=whole(1), doc="number of remembered pairs"
    )
    line_search_fn: str | None = hyperparameter(
        default=None, range=one_of(None, "strong_wolfe"), doc="how to find the step length"
    )

    func_evals = Buffer(init=0, kind="opaque", doc="number of closure calls so far")
    n_iter = Buffer(init=0, kind="opaque", doc="number of iterations so far")
    d = Buffer(kind="joint", optional=True, doc="the last direction")
    t = Buffer(kind="opaque", optional=True, doc="the last step length")
    old_dirs = Buffer(kind="joint", optional=True, doc="list of changes of the gradient")
    old_stps = Buffer(kind="joint", optional=True, doc="list of changes of the parameters")
    ro = Buffer(kind="opaque", optional=True, doc="list of 1 / (change of either, multiplied)")
    H_diag = Buffer(kind="opaque", optional=True, doc="scale of the first inverse Hessian")
    prev_flat_grad = Buffer(kind="joint", optional=True, doc="the gradient before the last step")
    prev_loss = Buffer(kind="opaque", optional=True, doc="the loss before the last step")
    al = Buffer(kind="opaque", optional=True, doc="what the last direction was made with")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the parameters in; there can be one group only.

        Args:
            param_group: the parameters, and options that override the constructor's.

        Raises:
            GroupError: there is a group already.
        """
        if self.param_groups:
            raise GroupError(
                "LBFGS treats all parameters as one vector and takes one parameter group, got a "
                "second one. Put all parameters into one group. "
                "[LBFGS doesn't support per-parameter options (parameter groups)]"
            )
        super().add_param_group(param_group)
        group = self.param_groups[0]
        for options in (self.defaults, group):
            if options["max_eval"] is None:
                options["max_eval"] = options["max_iter"] * 5 // 4

    @classmethod
    def state_complaint(cls, state: Mapping[str, Any]) -> str:
        """Return what is wrong with saved state as a whole, or ``""``."""
        return complaint(state)

    def advance(self, closure: Closure | None) -> Any:
        """Run the iterations of one step; return what the closure returned first."""
        if closure is None:
            raise ClosureError(
                "LBFGS evaluates the loss several times in one step and needs a closure, got None. "
                "Call step(closure) with a function that clears the gradients, computes the loss, "
                "calls backward and returns the loss."
            )
        group = self.param_groups[0]
        params = group["params"]
        objective = Objective(closure, params)
        returned, start = objective.measure()
        if params:
            self.init_group_state(group)
            state = self.state[params[0]]
            choice = self.choose(group, kind_of(group, params[0]))
            try:
                choice.offer.prepare(objective, start, state, Limits.from_group(group))
            finally:
                state["func_evals"] += objective.evaluations
        return returned
