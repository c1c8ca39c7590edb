"""The function being minimized: what the closure returns and the gradients it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import attrs
import torch
from torch import Tensor

from optkit_core import OptkitError
from optkit_plugins.lbfgs.solve import replicas

Closure: TypeAlias = Callable[[], Any]


class ClosureError(OptkitError, TypeError):
    """There is no closure, or it returned something that isn't a loss, or left no gradient."""


@attrs.define(eq=False)
class Objective:
    """The closure over its parameters, and how often it has been and may be called.

    Args:
        closure: what the user gave; it is called with gradients on.
        params: all parameters.
        max_eval: the most calls; the first one is always made.
        sign: -1 to ascend, otherwise 1.
        has_parts: whether plain parameters are said to be parts.
        evaluations: the number of calls so far.
        returned: what the first call returned.
        is_running: whether the closure is being called, or what it returned is being looked at.
    """

    closure: Closure
    params: Sequence[Tensor]
    max_eval: int
    sign: int = 1
    has_parts: bool = False
    evaluations: int = 0
    returned: Any = None
    is_running: bool = False
    _replicas: list[replicas.ProcessGroup] = attrs.Factory(list)
    _gradients_on: torch.enable_grad = attrs.Factory(torch.enable_grad)

    @property
    def is_spent(self) -> bool:
        """Whether the closure may be called no more."""
        return self.evaluations >= self.max_eval

    def call(self) -> float | Tensor:
        """Call the closure once; return the loss to be minimized, of one element.

        Raises:
            ClosureError: it returned something else, or no parameter has a gradient.
        """
        # An exception leaves it on, which tells `Minimization.run` where it came from.
        self.is_running = True
        with self._gradients_on:
            returned = self.closure() if self.evaluations else self._first()
        self.evaluations += 1
        loss = checked_loss(returned)
        has_gradient = any(p.grad is not None for p in self.params)
        if not has_gradient and any(p.requires_grad and p.numel() for p in self.params):
            raise ClosureError(
                "After the closure of LBFGS no parameter has a gradient, so there is no way to go. "
                "Call loss.backward() in it, after optimizer.zero_grad()."
            )
        if self._replicas:
            loss = replicas.average(loss, self._replicas)
        self.is_running = False
        return loss if self.sign == 1 else -loss

    def _first(self) -> Any:
        with replicas.observed(self.params, self.has_parts) as self._replicas:
            self.returned = self.closure()
        return self.returned


def checked_loss(returned: Any) -> float | Tensor:
    """Return a loss as a real number, or as a tensor of one.

    Raises:
        ClosureError: it isn't one.
    """
    error: Exception | None = None
    if isinstance(returned, Tensor):
        if returned.numel() == 1 and not returned.is_complex():
            # A DTensor may be sums that are yet to be made.
            whole: Callable[[], Tensor] | None = getattr(returned.detach(), "full_tensor", None)
            return returned if whole is None else whole()
        kind = "complex tensor" if returned.is_complex() else "tensor"
        what = f"a {kind} of shape {tuple(returned.shape)}"
    else:
        what = f"{returned!r:.80}"
        try:
            # float() of NumPy's complex128 drops a part, with a warning and no error.
            if not isinstance(returned, complex):
                return float(returned)
        except (TypeError, ValueError) as cause:
            error = cause
    raise ClosureError(
        "The closure of LBFGS must return the loss, a real number or a tensor of one element, "
        f"got {what}. End it with `return loss`."
    ) from error


def require_closure(closure: Closure | None) -> Closure:
    """Return a closure, which there has to be.

    Raises:
        ClosureError: there is none.
    """
    if closure is None:
        raise ClosureError(
            "LBFGS evaluates the loss several times in one step and needs a closure, got None. "
            "Call step(closure) with a function that clears the gradients, computes the loss, "
            "calls backward and returns the loss."
        )
    return closure


def require_unscaled(optimizer: torch.optim.Optimizer) -> None:
    """Raise if ``torch.amp.GradScaler`` calls the step; it leaves an attribute then.

    Raises:
        ClosureError: it does.
    """
    if getattr(optimizer, "grad_scale", None) is not None:
        raise ClosureError(
            "LBFGS can't be stepped by GradScaler: it compares the losses and gradients of "
            "several evaluations, and the scaler unscales only the first. Call "
            "optimizer.step(closure) yourself, without the scaler; with autocast to bfloat16 "
            "no scaling is needed."
        )
