"""Edges of ranges: what is just inside is taken and stepped, what is just outside is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from optkit_core.declaration.roles import Role
from optkit_core.errors import OptkitError
from optkit_core.optimizer import Optimizer
from optkit_core.testing.edge_values import edges_of
from optkit_core.testing.failures import prefix_failures
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import take_steps
from optkit_core.testing.subject import Subject

SEPARATE = frozenset({"capturable", "differentiable"})
"""Options that are no matter of their range alone; what they promise is checked by itself."""


def range_edges(subject: Subject) -> None:
    """Construct and step at the edges of every range, and ask for what lies beyond."""
    for name in _checked_names(subject):
        edges = edges_of(subject.algorithm.declarations[name])
        for value in edges.outside:
            _assert_refused(subject, name, value)
        for value in edges.inside:
            if not _complaint(subject, {name: value}):
                with prefix_failures(f"with {name}={value!r}, at the edge of its range"):
                    _assert_taken(subject, name, value)


def defaults(subject: Subject) -> None:
    """Construct with nothing but parameters, and with every default written out."""
    cls = subject.algorithm
    arguments = {name: item for name, item in cls.declarations.items() if item.is_argument}
    for name, item in arguments.items():
        complaint = item.range.complaint(name, cls.default_values[name])
        assert not complaint, f"the default of {name} is outside of its range: {complaint}"
    without = cls(small_parameters(subject))
    spelled = {name: cls.default_values[name] for name in arguments}
    written = cls(small_parameters(subject), **spelled)
    for name in arguments:
        found, expected = without.param_groups[0][name], written.param_groups[0][name]
        assert found is expected or found == expected, (
            f"without an argument {name} is {found!r}, with its default {expected!r}"
        )


def _checked_names(subject: Subject) -> list[str]:
    declared = subject.algorithm.declarations
    roles = (Role.HYPERPARAMETER, Role.STEP)
    return [name for name, item in declared.items() if item.role in roles and name not in SEPARATE]


def _complaint(subject: Subject, values: dict[str, Any]) -> str:
    """Return why values don't go together with the other ones, though each is allowed."""
    cls: type[Optimizer] = subject.algorithm
    return cls.values_complaint({**cls.default_values, **subject.options, **values})


def _assert_taken(subject: Subject, name: str, value: Any) -> None:
    """Assert that a value is kept as it is, and that every implementation steps with it."""
    item = subject.algorithm.declarations[name]
    is_stepped = item.role is Role.HYPERPARAMETER
    reference = None
    for implementation in subject.implementations if is_stepped else subject.implementations[:1]:
        options = {name: value}
        optimizer = subject.optimizer(small_parameters(subject), implementation, **options)
        kept = optimizer.param_groups[0][name]
        # None may stand for a number that follows from others.
        assert value is None or kept == value, f"the group holds {kept!r}"
        if not is_stepped:
            return
        with prefix_failures(implementation):
            take_steps(subject, optimizer, range(2))
        if subject.dtype.itemsize == 2:
            continue  # squares are lost there, in one implementation before the other
        outcome = Snapshot.of(optimizer)
        reference = reference or outcome
        with prefix_failures(f"{implementation} differs from {subject.implementations[0]}"):
            outcome.assert_agrees(reference, subject)


def _assert_refused(subject: Subject, name: str, value: Any) -> None:
    """Assert that a value outside is refused by constructor and group, in words that name it."""
    options = {name: value}
    optimizer = subject.optimizer(small_parameters(subject))
    before, count = Snapshot.of(optimizer), len(optimizer.param_groups)
    attempts: dict[str, Callable[[], Any]] = {
        "the constructor": lambda: subject.optimizer(small_parameters(subject), **options),
        "a group": lambda: subject.optimizer([{"params": small_parameters(subject), **options}]),
        "add_param_group": lambda: optimizer.add_param_group(
            {"params": small_parameters(subject), **options}
        ),
    }
    for what, attempt in attempts.items():
        said = refusal_of(attempt)
        assert said, f"{what} takes {name}={value!r}, which its range doesn't allow"
        assert name in said and any(text in said for text in _spellings(value)), (
            f"{what} refuses {name}={value!r} in words that don't name it: {said}"
        )
    assert len(optimizer.param_groups) == count, f"the refused group with {name} has stayed"
    Snapshot.of(optimizer).assert_agrees(before, subject, is_exact=True)


def refusal_of(attempt: Callable[[], Any]) -> str:
    """Return in which words something is refused, ``""`` where it goes through.

    Args:
        attempt: does it.
    """
    try:
        attempt()
    except (OptkitError, TypeError, ValueError) as error:
        return str(error)
    return ""


def _spellings(value: Any) -> Iterator[str]:
    """Yield how a message may name a value: as a whole, or the entry that is wrong."""
    entries = value if isinstance(value, tuple) else ()
    return map(repr, itertools.chain([value], entries))
