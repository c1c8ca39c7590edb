"""Interchange: what one implementation has begun, another goes on with."""

from __future__ import annotations

from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import take_steps
from optkit_core.testing.subject import Subject, params_of

STEPS = 3
"""How many are taken before, and how many after."""


def interchange(subject: Subject) -> None:
    """Let each implementation hand its state dict to the next one, and compare with one alone.

    Raises:
        NotApplicableError: there is one implementation.
    """
    names = subject.implementations
    if len(names) < 2:
        raise NotApplicableError(f"only {names[0]} runs here")
    alone = subject.optimizer(subject.parameters().params, names[0])
    take_steps(subject, alone, range(2 * STEPS))
    expected = Snapshot.of(alone)
    for name, successor in zip(names, (*names[1:], names[0]), strict=True):
        with prefix_failures(f"{successor} goes on with what {name} has begun"):
            _handed_over(subject, name, successor).assert_agrees(expected, subject)


def _handed_over(subject: Subject, name: str, successor: str) -> Snapshot:
    first = subject.optimizer(subject.parameters().params, name)
    take_steps(subject, first, range(STEPS))
    params = subject.parameters().params
    for p, q in zip(params, params_of(first), strict=True):
        p.copy_(q)
    then = subject.optimizer(params, successor)
    then.load_state_dict(first.state_dict())
    take_steps(subject, then, range(STEPS, 2 * STEPS))
    return Snapshot.of(then)
