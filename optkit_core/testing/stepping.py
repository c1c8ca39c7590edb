"""Stepping: an optimizer is given gradients, and is watched while it takes a step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from optkit_core.declaration.buffers import STEP
from optkit_core.optimizer import Optimizer
from optkit_core.testing.closures import Closure, QuadraticClosure, SparseClosure
from optkit_core.testing.comparisons import is_same
from optkit_core.testing.failures import prefix_failures
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.subject import Subject, params_of


def closure_for(subject: Subject, optimizer: Optimizer, number: int, **options: Any) -> Closure:
    """Return the closure of a step, with options as of `Closure`.

    Args:
        subject: what is checked.
        optimizer: one of it.
        number: of the step, from 0.
        **options: as of `Closure`.
    """
    # A line search needs a loss that fits its gradients; others are content with drawn ones.
    kind = QuadraticClosure if subject.requires_closure else Closure
    kind = kind if subject.takes_dense else SparseClosure
    return kind(params_of(optimizer), number, **options)


def take_step(subject: Subject, optimizer: Optimizer, number: int, **options: Any) -> Closure:
    """Take one step, in which only what has a gradient may change, and no gradient may.

    Args:
        subject: what is checked.
        optimizer: one of it.
        number: of the step, from 0.
        **options: as of `Closure`.

    Returns:
        The closure, which has been called.

    Raises:
        AssertionError: something else changed.
    """
    closure = closure_for(subject, optimizer, number, **options)
    before = Snapshot.of(optimizer)
    if subject.requires_closure:
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()
    _assert_gradients_kept(subject, closure)
    _assert_rest(subject, closure, before, Snapshot.of(optimizer))
    return closure


def take_steps(
    subject: Subject, optimizer: Optimizer, numbers: Iterable[int], **options: Any
) -> list[Closure]:
    """Take several steps, and return their closures; see `take_step`.

    Args:
        subject: what is checked.
        optimizer: one of it.
        numbers: those of the steps.
        **options: as of `Closure`.
    """
    closures = []
    for number in numbers:
        with prefix_failures(f"step {number + 1}"):
            closures.append(take_step(subject, optimizer, number, **options))
    return closures


def _assert_gradients_kept(subject: Subject, closure: Closure) -> None:
    rows = zip(closure.params, closure.given, closure.handed, strict=True)
    for position, (p, g, handed) in enumerate(rows):
        which = f"that of parameter {position} of shape {list(p.shape)}"
        if p.grad is not handed:
            instead = "None" if p.grad is None else "another tensor"
            subject.gradient_changed(f"{which}, for which p.grad is {instead} now")
        elif p.grad is not None and not is_same(p.grad, g):
            subject.gradient_changed(which)


def _assert_rest(subject: Subject, closure: Closure, before: Snapshot, after: Snapshot) -> None:
    """Assert that parameters without a gradient, and what belongs to each of them, rest."""
    for position, p in enumerate(closure.params):
        if closure.has_gradient(position):
            continue
        words = f"parameter {position} of shape {list(p.shape)} has no gradient, and"
        assert is_same(before.params[position], after.params[position]), f"{words} it changed"
        for name, buffer in subject.state_buffers.items():
            old, new = (outcome.states[position].get(name) for outcome in (before, after))
            # State may be allocated for it in the meantime; only what was there must stay.
            rests = not buffer.is_tensor or old is None or is_same(old, new)
            assert rests, f"{words} its {name} changed from {old!r:.60} to {new!r:.60}"


def assert_counted(closures: Sequence[Closure], outcome: Snapshot) -> None:
    """Assert that counters say how many gradients each parameter has had.

    Args:
        closures: one for each step.
        outcome: a snapshot after the last one.

    Raises:
        AssertionError: one doesn't.
    """
    for position, state in enumerate(outcome.states):
        count = sum(closure.has_gradient(position) for closure in closures)
        counted = float(state.get(STEP, 0))
        assert counted == count, (
            f"the counter of parameter {position} says {counted:g} after {count} steps with a "
            "gradient"
        )
