"""Closures: how often a step calls one, what it returns, and what it does without."""

from __future__ import annotations

from optkit_core.testing.failures import prefix_failures
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import closure_for, take_step
from optkit_core.testing.subject import Subject


def closures(subject: Subject) -> None:
    """Give every implementation a closure, and none."""
    for name in subject.implementations:
        with prefix_failures(name):
            _assert_called(subject, name)
            if subject.requires_closure:
                _assert_required(subject, name)
            else:
                _assert_optional(subject, name)


def _assert_called(subject: Subject, name: str) -> None:
    """Assert that a step calls its closure, with gradients on, and returns its first loss."""
    optimizer = subject.optimizer(subject.parameters().params, name)
    closure = closure_for(subject, optimizer, 0)
    returned = optimizer.step(closure)
    calls = len(closure.losses)
    # A line search asks as often as it needs; elsewhere a further call wastes a backward pass.
    enough = calls >= 1 if subject.requires_closure else calls == 1
    assert enough, f"step(closure) called the closure {calls} times"
    assert returned is not None and returned == closure.losses[0], (
        f"step(closure) returned {returned!r:.60}, not the loss that its closure returned first, "
        f"{closure.losses[0]}"
    )
    assert closure.grad_was_enabled, "the closure was called without torch.enable_grad()"


def _assert_optional(subject: Subject, name: str) -> None:
    """Assert that a closure changes nothing else."""
    with_closure, without = (subject.optimizer(subject.parameters().params, name) for _ in range(2))
    with_closure.step(closure_for(subject, with_closure, 0))
    take_step(subject, without, 0)
    with prefix_failures("step(closure) differs from step()"):
        Snapshot.of(with_closure).assert_agrees(Snapshot.of(without), subject, is_exact=True)


def _assert_required(subject: Subject, name: str) -> None:
    """Assert that a step without its closure is refused before anything changes."""
    optimizer = subject.optimizer(subject.parameters().params, name)
    before = Snapshot.of(optimizer)
    try:
        optimizer.step()
    # Of whatever class: what counts is that nothing had changed by then.
    except Exception:
        with prefix_failures("step() without a closure failed too late"):
            Snapshot.of(optimizer).assert_agrees(before, subject, is_exact=True)
    else:
        raise AssertionError("requires_closure is True, and step() without a closure goes through")
