"""What every step must hold: what moves and what rests, what is counted, who agrees with whom."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch

from optkit_core.declaration.buffers import STEP
from optkit_core.optimizer import Optimizer
from optkit_core.testing.closures import Closure
from optkit_core.testing.comparisons import is_same
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import assert_counted, take_step, take_steps
from optkit_core.testing.subject import REFERENCE, Subject
from optkit_core.testing.variation import variations

SCALE = 4.0
"""A power of two, by which gradients are multiplied and divided without rounding."""


def step_as_they_should(subject: Subject) -> None:
    """Take steps by every implementation, and watch what changes."""
    for name in subject.implementations:
        with prefix_failures(name):
            _watch(subject, name)


def agree(subject: Subject) -> None:
    """Compare every implementation with the reference, in parameters and in state.

    Raises:
        NotApplicableError: there is one implementation.
    """
    first, *others = subject.implementations
    if not others:
        raise NotApplicableError(f"only {first} runs here")
    reference = trajectory(subject, first)
    for name in others:
        with prefix_failures(f"{name} differs from {first}"):
            trajectory(subject, name).assert_agrees(reference, subject)


def maximize(subject: Subject) -> None:
    """Compare ascents along turned gradients with the descent."""
    subject.require_option("maximize")
    descent = trajectory(subject, subject.implementations[0], maximize=False)
    for name in subject.implementations:
        with prefix_failures(f"{name} with maximize=True"):
            trajectory(subject, name, -1, maximize=True).assert_agrees(descent, subject)


def scaled(subject: Subject) -> None:
    """Compare steps that are told of a GradScaler's scale with those that need not be."""
    subject.require_body()
    reference = trajectory(subject, subject.implementations[0])
    for name in subject.implementations:
        with prefix_failures(f"{name} with scaled gradients"):
            _scaled(subject, name).assert_agrees(reference, subject)


def require_recordable(subject: Subject) -> None:
    """Raise unless autograd can record the algorithm's steps.

    Raises:
        NotApplicableError: it can't.
    """
    subject.require_option("differentiable")
    if subject.implementations[0] != REFERENCE:
        raise NotApplicableError(f"{REFERENCE} can't run")
    if reason := subject.refusal(REFERENCE, differentiable=True):
        raise NotApplicableError(reason)


def differentiable(subject: Subject) -> None:
    """Compare steps that autograd records with those that it doesn't."""
    require_recordable(subject)
    reference = trajectory(subject, REFERENCE, differentiable=False)
    trajectory(subject, REFERENCE, differentiable=True).assert_agrees(reference, subject)


def trajectory(subject: Subject, implementation: str, sign: int = 1, **options: Any) -> Snapshot:
    """Return where an implementation leads in the subject's number of steps.

    Args:
        subject: what is checked.
        implementation: what runs it.
        sign: -1 to turn the gradients (default 1).
        **options: hyperparameters and options beside the subject's.
    """
    optimizer = subject.optimizer(subject.parameters().params, implementation, **options)
    take_steps(subject, optimizer, range(subject.steps), sign=sign)
    return Snapshot.of(optimizer)


def _watch(subject: Subject, name: str) -> None:
    guarded = subject.parameters()
    optimizer = subject.optimizer(guarded.params, name)
    start = Snapshot.of(optimizer)
    closures = take_steps(subject, optimizer, range(subject.steps))
    guarded.assert_untouched_around()
    resting = _resting(closures, start, Snapshot.of(optimizer))
    # A small step may round to none: Prodigy's first ones do in bfloat16, until d has grown.
    if resting and not (subject.dtype.itemsize == 2 and _can_move(subject, name)):
        raise AssertionError(
            f"parameters {resting} don't move in {len(closures)} steps, though their gradients "
            "aren't zero; a body updates p in place, as p.sub_(...) or p -= ... does"
        )
    if subject.counts_steps:
        assert_counted(closures, Snapshot.of(optimizer))
    _assert_written(subject, optimizer, name)


def _resting(closures: list[Closure], start: Snapshot, end: Snapshot) -> list[int]:
    """Return which parameters are where they were, though they have had gradients."""
    return [
        position
        for position, (p, q) in enumerate(zip(start.params, end.params, strict=True))
        if p.numel() and any(closure.has_gradient(position) for closure in closures)
        if is_same(p, q)
    ]


def _can_move(subject: Subject, implementation: str) -> bool:
    """Return whether some parameter moves, with these hyperparameters or with one of them away."""
    return any(
        _moves(subject, implementation, options) for options in chain([{}], variations(subject))
    )


def _moves(subject: Subject, implementation: str, options: dict[str, Any]) -> bool:
    optimizer = subject.optimizer(subject.parameters().params, implementation, **options)
    start = Snapshot.of(optimizer)
    take_steps(subject, optimizer, range(subject.steps))
    pairs = zip(start.params, Snapshot.of(optimizer).params, strict=True)
    return not all(is_same(p, q) for p, q in pairs)


def _assert_written(subject: Subject, optimizer: Optimizer, implementation: str) -> None:
    """Assert that every buffer has changed for some parameter."""
    unwritten = _unwritten(subject, optimizer)
    if not unwritten:
        return
    # ASGD's mu, for example, begins to change after a million steps, or as many as t0 says.
    for options in variations(subject):
        other = subject.optimizer(subject.parameters().params, implementation, **options)
        take_steps(subject, other, range(subject.steps))
        unwritten &= _unwritten(subject, other)
    for name in sorted(unwritten):
        buffer = subject.buffers[name]
        way = f"assigns s.{name}" if buffer.is_scalar else f"updates s.{name} in place"
        raise AssertionError(
            f"the buffer {name!r} never changes: a body {way}; if that is meant, say "
            f"check(..., constant=[{name!r}])"
        )


def _unwritten(subject: Subject, optimizer: Optimizer) -> set[str]:
    """Return the buffers that no parameter's step has changed."""
    (group,) = optimizer.param_groups
    found = set()
    for name, buffer in subject.buffers.items():
        having = [p for p in group["params"] if name in optimizer.state.get(p, ())]
        if not buffer.is_tensor or buffer.optional or name in subject.constant:
            continue
        if not having and buffer.when is not None:
            continue
        if all(is_same(optimizer.state[p][name], buffer.allocate(p, group)) for p in having):
            found.add(name)
    return found


def _scaled(subject: Subject, name: str) -> Snapshot:
    """Return where steps lead that are told a scale, when each was skipped once."""
    optimizer: Any = subject.optimizer(subject.parameters().params, name)
    optimizer.grad_scale = torch.tensor(SCALE, device=subject.device)
    for number in range(subject.steps):
        optimizer.found_inf = torch.ones((), device=subject.device)
        before = Snapshot.of(optimizer)
        take_step(subject, optimizer, number, scale=SCALE)
        assert_skipped(before, Snapshot.of(optimizer))
        # The same gradients again, now taken: in the end as many steps as the reference has.
        optimizer.found_inf = torch.zeros((), device=subject.device)
        take_step(subject, optimizer, number, scale=SCALE)
    return Snapshot.of(optimizer)


def assert_skipped(before: Snapshot, after: Snapshot) -> None:
    """Assert that nothing has changed; state may have been allocated."""
    words = "a gradient isn't finite, so the step is to be skipped, and"
    for position, (p, q) in enumerate(zip(before.params, after.params, strict=True)):
        assert is_same(p, q), f"{words} parameter {position} changed"
        old, new = before.states[position], after.states[position]
        assert old.get(STEP, 0) == new.get(STEP, 0), f"{words} a counter advanced"
        for name in old:
            assert is_same(old[name], new[name]), f"{words} {name} of {position} changed"
