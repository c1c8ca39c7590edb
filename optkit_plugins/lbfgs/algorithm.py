"""The algorithm as an optimizer: one step runs several iterations of L-BFGS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from optkit_core import (
    Buffer,
    at_least,
    boolean,
    hyperparameter,
    joint_dtype,
    one_of,
    option,
    whole,
)
from optkit_plugins.lbfgs import block_groups
from optkit_plugins.lbfgs.hyperparameters import (
    NAMES,
    SIZES,
    TOLERANCE,
    DtypeRange,
    ProcessGroupRange,
    SearchRange,
)
from optkit_plugins.lbfgs.result import Callback, Result
from optkit_plugins.lbfgs.solve.line import LineSearch
from optkit_plugins.lbfgs.solve.minimization import Minimization
from optkit_plugins.lbfgs.solve.objective import (
    Closure,
    Objective,
    require_closure,
    require_unscaled,
)
from optkit_plugins.lbfgs.solve.stopping import StepOptions, fill_in_max_eval
from optkit_plugins.lbfgs.state.solver_owner import SolverOwner
from optkit_plugins.lbfgs.vectors import passes, supported
from optkit_plugins.lbfgs.vectors.storage import OFFERS


class LBFGS(SolverOwner):
    r"""Limited-memory BFGS: a quasi-Newton method for smooth, deterministic losses.

    Each call of ``step(closure)`` runs up to `max_iter` iterations

    .. math::
        x_{k+1} = x_k - t_k\,H_k\,g_k, \qquad g_k = \nabla f(x_k),

    where :math:`H_k`, the approximate inverse Hessian, comes from :math:`\gamma_k I` by one
    BFGS update for each remembered pair :math:`s_i = x_{i+1} - x_i`, :math:`y_i = g_{i+1} -
    g_i`, and :math:`\gamma_k = s^\top y / y^\top y` of the newest one. It is applied in the
    compact form of Byrd, Nocedal and Schnabel, which reads the pairs twice. The first iteration,
    and one after the pairs were forgotten, follows :math:`-g`, see `initial_step`. A pair whose
    :math:`s^\top y` isn't clearly positive is left out, or is doubtful without a line search.

    The parameters of all groups are minimized over together. A group's learning rate scales
    its parameters: with :math:`\sigma` the root of its ratio to the largest rate, they are
    minimized over :math:`x / \sigma`, so that steps along the gradient are in proportion to
    the rates. A complex parameter counts as pairs of real numbers, a sparse gradient as its
    dense form, and a parameter without a gradient stays where it is. Vectors are kept in the
    parameters' promoted dtype, float32 at least; there are ``2 * history_size + 5`` of them,
    each as large as all parameters, and they are allocated in the first step.

    Args:
        params: parameters to optimize, or groups of them; only `lr` may differ between groups.
        lr: step length :math:`t_k`, the first one tried where there is a line search; at
            least 0. Default: 1.
        max_iter: most iterations in one step; at least 0. Default: 20.
        max_eval: most closure calls in one step, of which the first is always made; at least
            0. Default: None, for ``max_iter * 5 // 4``, with a line search for 4 at least.
        tolerance_grad: the step ends when no element of the gradient is larger; infinity ends
            it after the first evaluation, a negative number never. Default: 1e-7.
        tolerance_change: the step ends when the loss, or every parameter, changes by no more;
            likewise. Default: 1e-9.
        history_size: number of pairs remembered; at least 1. Default: 100.
        line_search_fn: None takes every step with length `lr`; ``"strong_wolfe"`` searches as
            torch.optim.LBFGS does, ``"hager_zhang"`` also where the loss has no digits left;
            ``"more_thuente"``, ``"backtracking"``; a record such as ``HagerZhang(curvature=0.5)``;
            or a function of a `Line` and the first step to try, which returns a `Trial`.
            Default: None.
        implementation: how the vectors are stored, see `optkit_core.Optimizer`: one for each
            device and group (``"flat"``), with compiled passes (``"fused"``) or multi-tensor
            moves (``"foreach"``), or one for each parameter (``"forloop"``).
        maximize: ascend. Default: False.
        initial_step: the step tried where nothing is known of the curvature:
            ``"bounded"``, :math:`\min(1, 1 / \lVert g \rVert_1)\,\mathrm{lr}`, as torch has
            it, or ``"unit"``, :math:`\mathrm{lr} / \lVert g \rVert_2`, whatever the loss's units.
            Default: None, for ``"bounded"`` where `line_search_fn` is None or
            ``"strong_wolfe"``, otherwise for ``"unit"``.
        history_dtype: dtype of the remembered pairs, ``torch.bfloat16`` or ``"bfloat16"`` for
            example; a floating one. Default: None, that of all other vectors.
        process_group: the ``torch.distributed.ProcessGroup`` over whose processes plain tensors
            are distributed, each with parts of its own, as FSDP1 has them. Default: None;
            DTensors say by themselves where their parts are, and plain tensors are whole.

    Attributes:
        result: a `Result`, how the last step went and why it ended; None before the first one.
        callback: called with a `Progress` after each iteration; returning something true ends
            the step. None calls nothing.

    Returns:
        ``step(closure)`` returns what the closure returned when it was called first, before
        the parameters changed.

    Raises:
        HyperparameterError: a value is outside its range.
        GroupError: groups differ in something else than `lr`.
        ParametersError: a parameter's elements don't go into plain tensors, a DTensor's say.
        ClosureError: ``step`` got no closure, or one that returns no loss or leaves no gradient,
            or GradScaler called it. The parameters are where they were before the iteration.

    Example:
        The closure clears the gradients, computes the loss and calls ``backward``; the step
        goes on until the gradient is small:

        >>> import torch
        >>> from optkit_plugins.lbfgs import LBFGS
        >>> x = torch.tensor([-1.5, 2.0], dtype=torch.float64, requires_grad=True)
        >>> optimizer = LBFGS([x], max_iter=99, tolerance_change=0, line_search_fn="hager_zhang")
        >>> def rosenbrock():
        ...     optimizer.zero_grad()
        ...     loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        ...     loss.backward()
        ...     return loss
        >>> print(f"{optimizer.step(rosenbrock):.2f}")
        12.50
        >>> optimizer.result.reason, optimizer.result.success
        ('gradient', True)
        >>> torch.allclose(x, torch.ones_like(x))
        True

    Source:
        Liu and Nocedal, *On the limited memory BFGS method for large scale optimization*,
        Mathematical Programming 45, 1989, https://doi.org/10.1007/BF01589116; Byrd, Nocedal
        and Schnabel, *Representations of quasi-Newton matrices and their use in limited memory
        methods*, Mathematical Programming 63, 1994, https://doi.org/10.1007/BF01582063; Hager
        and Zhang, *A new conjugate gradient method with guaranteed descent and an efficient
        line search*, SIAM Journal on Optimization 16, 2005, https://doi.org/10.1137/030601880;
        Nocedal and Wright, *Numerical Optimization*, 2nd edition, 2006, algorithms 3.5, 3.6
        and 7.5.
    """

    paper = (
        "Liu & Nocedal (1989), On the limited memory BFGS method for large scale optimization, "
        "https://doi.org/10.1007/BF01589116"
    )
    requires_closure = True
    reuses_memory = True  # the history is a ring
    offers = OFFERS
    unsupported_reason = staticmethod(supported.unsupported_reason)
    takes_scaled_gradients = True  # so that GradScaler shows itself, to be refused
    result: Result | None = None
    callback: Callback | None = None

    lr: float | Tensor = hyperparameter(
        default=1.0, range=at_least(0.0), doc="step length, or the first one tried"
    )
    max_iter: int = hyperparameter(default=20, range=whole(0), doc="most iterations in one step")
    max_eval: int | None = hyperparameter(
        default=None, range=whole(0, optional=True), doc="most closure calls in one step"
    )
    tolerance_grad: float = hyperparameter(
        default=1e-7, range=TOLERANCE, doc="largest gradient element of a minimum"
    )
    tolerance_change: float = hyperparameter(
        default=1e-9, range=TOLERANCE, doc="change of loss or parameters that ends a step"
    )
    history_size: int = hyperparameter(
        default=100, range=whole(1), search=SIZES, doc="number of remembered pairs"
    )
    line_search_fn: str | LineSearch | None = hyperparameter(
        default=None, range=SearchRange(), search=NAMES, doc="how to find the step length"
    )
    maximize: bool = option(default=False, range=boolean(), doc="ascend", kw_only=True, role="step")
    initial_step: str | None = option(
        default=None,
        range=one_of(None, "bounded", "unit"),
        doc="the first step: at most lr times the gradient, or lr long",
        kw_only=True,
    )
    history_dtype: str | torch.dtype | None = option(
        default=None, range=DtypeRange(), doc="dtype of the remembered pairs", kw_only=True
    )

    process_group: Any = option(
        default=None,
        range=ProcessGroupRange(),
        doc="the processes of which each has parts of its own",
        kw_only=True,
        role="execution",
    )

    func_evals = Buffer(init=0, kind="opaque", doc="number of closure calls so far")
    n_iter = Buffer(init=0, kind="opaque", doc="number of iterations so far")
    d = Buffer(kind="joint", optional=True, doc="the last direction")
    t = Buffer(kind="opaque", optional=True, doc="the last step length, 0 if it is in the history")
    old_dirs = Buffer(kind="joint", optional=True, doc="list of the gradient changes y")
    old_stps = Buffer(kind="joint", optional=True, doc="list of the steps s")
    ro = Buffer(kind="opaque", optional=True, doc="list of 1 / s'y")
    H_diag = Buffer(kind="opaque", optional=True, doc="scale of the first inverse Hessian")
    prev_flat_grad = Buffer(kind="joint", optional=True, doc="the gradient before the last step")
    prev_loss = Buffer(kind="opaque", optional=True, doc="the loss before the last step")
    al = Buffer(kind="opaque", optional=True, doc="torch's, not read")
    grad = Buffer(kind="joint", optional=True, doc="the gradient after the last step")
    slot = Buffer(kind="opaque", optional=True, doc="where in the ring the next pair goes")
    scales = Buffer(kind="opaque", optional=True, doc="list of the groups' scales")
    inverse = Buffer(kind="opaque", optional=True, doc="inverse of the triangle of S'Y")
    squares = Buffer(kind="opaque", optional=True, doc="Y'Y")
    curvatures = Buffer(kind="opaque", optional=True, doc="s'y of each pair")
    products = Buffer(kind="opaque", optional=True, doc="S'g and Y'g of the last gradient")
    slope = Buffer(kind="opaque", optional=True, doc="the slope where the last step began")
    square = Buffer(kind="opaque", optional=True, doc="the gradient's square there")
    hint = Buffer(kind="opaque", optional=True, doc="the step length to try first, or 0")
    evaluated = Buffer(kind="opaque", optional=True, doc="1 if there is a grad, 0 if there is none")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the parameters in; the remembered pairs are of another space then, and forgotten.

        Args:
            param_group: the parameters, and a learning rate of their own.

        Raises:
            GroupError: something else than the learning rate differs from the first group.
        """
        if isinstance(param_group, dict) and self.param_groups:
            block_groups.require_agreement(param_group, self.param_groups[0])
        super().add_param_group(param_group)
        fill_in_max_eval(self.defaults, self.param_groups[-1])

    @classmethod
    def steps_parts(cls) -> bool:
        """Return True: what a rank holds of a DTensor goes into its blocks."""
        return True

    def check_request(self, group: Mapping[str, Any]) -> None:
        """Raise if a group asks for what can't run it, or holds what nothing can run."""
        supported.require(group)
        super().check_request(group)

    @classmethod
    def comparison_options(cls, algorithm: type[torch.optim.Optimizer]) -> Mapping[str, Any]:
        """Return a line search, without which L-BFGS wouldn't be compared at its best."""
        return {"line_search_fn": "hager_zhang" if issubclass(algorithm, LBFGS) else "strong_wolfe"}

    @classmethod
    def libraries(cls, dtype: torch.dtype) -> Sequence[tuple[str, str]]:
        """Return the compiled passes over vectors of parameters of a dtype."""
        return (passes.source(joint_dtype([dtype])),)

    def advance(self, closure: Closure | None) -> Any:
        """Run the iterations of one step; return what the closure returned first."""
        require_unscaled(self)
        group = self.param_groups[0]
        block_groups.require_agreement(*self.param_groups)
        params = self._params()
        sign = -1 if group["maximize"] else 1
        has_parts, closure = group["process_group"] is not None, require_closure(closure)
        objective = Objective(closure, params, group["max_eval"], sign, has_parts)
        # Where parameters are parts, another rank may have elements.
        if not has_parts and not any(p.numel() for p in params):
            objective.call()
            return objective.returned
        sync = self._sync = self._synced(params)
        sync.begin()
        options, counts = StepOptions.from_groups(self.param_groups), sync.publish_counts
        try:
            self.result = Minimization(objective, sync.solver, options, self.callback, counts).run()
        finally:
            # After an exception as well: the iterations that were made stay made.
            sync.publish(objective.evaluations)
        return objective.returned

    def values(self, group: Mapping[str, Any]) -> SimpleNamespace:
        """Return the hyperparameters of a group as attributes, and how its history is kept."""
        return SimpleNamespace(**vars(super().values(group)), history_dtype=group["history_dtype"])
