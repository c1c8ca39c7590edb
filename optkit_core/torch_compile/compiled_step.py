"""A step that compiled code asks for: prepared in Python, done by what is compiled of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar
from weakref import WeakKeyDictionary

import torch

from optkit_core.param_groups.groups import require_no_overlap
from optkit_core.plugins import hook_calls
from optkit_core.step.grad_scaler import Scaling
from optkit_core.step.step_plan import BucketOptimizer
from optkit_core.torch_compile import execution
from optkit_core.torch_compile.execution import Work
from optkit_core.torch_compile.preparation import PreparedStep, prepared_step

P = ParamSpec("P")
T = TypeVar("T")
Execute = Callable[[Sequence[Work]], None]


class SteppedOptimizer(Protocol):
    """What a compiled step needs of any optimizer."""

    scaling: Scaling

    def by_buckets(self) -> BucketOptimizer | None:
        """Return the optimizer, or None where it has an ``advance`` of its own."""

    def advance(self, closure: Callable[[], Any] | None) -> Any:
        """Do one step and return the closure's loss."""


class Execution(NamedTuple):
    """An optimizer's own copy of `execution.execute`.

    The compiler keeps a limited number of compilations for each function.
    """

    execute: Execute
    groups: int


def _uncompiled(function: Callable[P, T]) -> Callable[P, T]:
    disabled: Callable[P, T] = torch.compiler.disable(function)
    return disabled


def _in_python(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that isn't compiled, while those that it calls are."""
    disabled: Callable[P, T]
    disabled = torch.compiler.disable(function, recursive=False)
    return disabled


_executions: WeakKeyDictionary[BucketOptimizer, Execution] = WeakKeyDictionary()


@_uncompiled
def break_graph() -> None:
    """End the graph that Dynamo is tracing: it can't trace this call."""


@_in_python
def step(optimizer: SteppedOptimizer, closure: Callable[[], Any] | None) -> Any:
    """Do one step and return the closure's loss.

    The closure is compiled, and `execution.execute`, each on its own. An algorithm with an
    ``advance`` of its own steps uncompiled.

    Args:
        optimizer: what is to step.
        closure: reevaluates the model and returns the loss; None without one.
    """
    _begin(optimizer)
    with torch.no_grad():
        by_buckets = optimizer.by_buckets()
        if by_buckets is None:
            loss = _advance_uncompiled(optimizer, closure)
        else:
            loss = _advance(by_buckets, closure)
    _end(optimizer, loss)
    return loss


@_in_python
def _advance(optimizer: BucketOptimizer, closure: Callable[[], Any] | None) -> Any:
    loss = None
    if closure is not None:
        # The closure computes gradients; the step around it records nothing.
        with torch.enable_grad():
            loss = closure()
    try:
        prepared, execute = _prepared_step(optimizer)
        if prepared.works:
            execute(prepared.works)
        _finish(prepared)
    finally:
        _hide_gradients(optimizer)
    return loss


@_uncompiled
def _advance_uncompiled(optimizer: SteppedOptimizer, closure: Callable[[], Any] | None) -> Any:
    return optimizer.advance(closure)


@_uncompiled
def _begin(optimizer: SteppedOptimizer) -> None:
    hook_calls.fire("optkit_before_step", optimizer=optimizer)


@_uncompiled
def _prepared_step(optimizer: BucketOptimizer) -> tuple[PreparedStep, Execute]:
    """Return what is to be done, and the function that does it."""
    kept = _executions.get(optimizer)
    count = len(optimizer.param_groups)
    if kept is None or kept.groups != count:
        # Looked at again only with a new group, by which other parameters come in.
        require_no_overlap(optimizer.param_groups)
        # `replace` makes a code object of its own, by which the compiler tells functions apart.
        execute = FunctionType(execution.execute.__code__.replace(), vars(execution))
        kept = _executions[optimizer] = Execution(execute, count)
    return prepared_step(optimizer), kept.execute


@_uncompiled
def _finish(prepared: PreparedStep) -> None:
    prepared.finish()


@_uncompiled
def _hide_gradients(optimizer: BucketOptimizer) -> None:
    optimizer.hide_gradients()


@_uncompiled
def _end(optimizer: SteppedOptimizer, loss: Any) -> None:
    skipped = optimizer.scaling.skipped()
    hook_calls.fire("optkit_after_step", optimizer=optimizer, loss=loss, skipped=skipped)
