"""Misspellings: a name that nobody declares never passes in silence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from optkit_core.errors import UnusedGroupKeyWarning
from optkit_core.testing.range_edges import refusal_of
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.subject import Subject

UNKNOWN = "quite_unheard_of"
"""A name that resembles none."""


def misspellings(subject: Subject) -> None:
    """Misspell every argument to the constructor and in a group, and make one up."""
    cls = subject.algorithm
    for name, item in cls.declarations.items():
        if item.is_argument:
            _assert_corrected(subject, name, cls.default_values[name])
    _assert_named("the constructor", UNKNOWN, lambda: _construct(subject, {UNKNOWN: 1}))
    _assert_noticed(subject)


def _assert_corrected(subject: Subject, name: str, value: Any) -> None:
    """Assert that a name with its last letter twice is refused, and what was meant is told."""
    wrong = name + name[-1]
    optimizer = _construct(subject, {})
    count = len(optimizer.param_groups)
    attempts = {
        "the constructor": lambda: _construct(subject, {wrong: value}),
        "a group": lambda: subject.optimizer([_group(subject, wrong, value)]),
        "add_param_group": lambda: optimizer.add_param_group(_group(subject, wrong, value)),
    }
    for what, attempt in attempts.items():
        said = _assert_named(what, wrong, attempt)
        assert f"Did you mean {name!r}" in said, (
            f"{what} refuses {wrong!r} without asking: Did you mean {name!r}? It says: {said}"
        )
    assert len(optimizer.param_groups) == count, f"the refused group with {wrong!r} has stayed"


def _assert_named(what: str, wrong: str, attempt: Callable[[], Any]) -> str:
    """Assert that a name is refused, and return in which words."""
    said = refusal_of(attempt)
    assert said, f"{what} swallows {wrong!r}, which the algorithm doesn't declare"
    assert wrong in said, f"{what} refuses {wrong!r} in words that don't name it: {said}"
    return said


def _assert_noticed(subject: Subject) -> None:
    """Assert that a group's key which resembles none is warned of, or refused."""
    cls = subject.algorithm
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            subject.optimizer([_group(subject, UNKNOWN, 1)])
        except (TypeError, ValueError):
            return
        finally:
            # Warned of once for each class; the next check is to see it too.
            cls.known_annotations.discard(UNKNOWN)
    words = [str(item.message) for item in caught if item.category is UnusedGroupKeyWarning]
    assert any(UNKNOWN in text for text in words), f"a group swallows {UNKNOWN!r} without a warning"


def _construct(subject: Subject, options: dict[str, Any]) -> Any:
    return subject.optimizer(small_parameters(subject), **options)


def _group(subject: Subject, name: str, value: Any) -> dict[str, Any]:
    return {"params": small_parameters(subject), name: value}
