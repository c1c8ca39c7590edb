"""Groups: each steps by its own values, whenever it came, whatever is in it."""

from __future__ import annotations

from typing import Any

import attrs
from torch import Tensor

from optkit_core.optimizer import Optimizer
from optkit_core.testing.comparisons import is_same
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import take_steps
from optkit_core.testing.subject import Subject
from optkit_core.testing.variation import variations

STEPS = 3


def own_values(subject: Subject) -> None:
    """Compare two groups of one optimizer with two optimizers, each with one group's values.

    Raises:
        NotApplicableError: parameters don't step apart, or nothing can be varied.
    """
    _require_apart(subject)
    varied = list(variations(subject))
    if not varied:
        raise NotApplicableError("no group takes another number")
    for values in varied:
        with prefix_failures(f"two groups, of which the second has {values}"):
            _assert_apart(subject, values)


def later_groups(subject: Subject) -> None:
    """Add a group between steps, with a value of its own where there is one.

    Raises:
        NotApplicableError: parameters don't step apart.
    """
    _require_apart(subject)
    values = next(variations(subject), {})
    for name in subject.implementations:
        with prefix_failures(f"{name}, with a group that is added after {STEPS} steps"):
            _assert_joins(subject, name, values)


def odd_groups(subject: Subject) -> None:
    """Step groups without parameters or gradients, and keep the names of parameters."""
    for name in subject.implementations:
        with prefix_failures(name):
            _assert_steps_beside_nothing(subject, name)
    named = [(f"layer.{i}", p) for i, p in enumerate(small_parameters(subject))]
    optimizer = subject.optimizer(named)
    expected = [name for name, _ in named]
    saved = optimizer.state_dict()["param_groups"]
    for where, group in (("the group", optimizer.param_groups[0]), ("state_dict()", saved[0])):
        found = group.get("param_names")
        assert found == expected, f"{where} names its parameters {found}, not {expected}"


def _require_apart(subject: Subject) -> None:
    """Raise where what one parameter does depends on the others.

    Raises:
        NotApplicableError: it does.
    """
    cls = subject.algorithm
    if cls.estimate_names or cls.is_joint or cls.requires_closure:
        raise NotApplicableError(f"{cls.__name__} steps all of its parameters together")


def _assert_apart(subject: Subject, values: dict[str, Any]) -> None:
    first, second = small_parameters(subject), small_parameters(subject)
    for name in subject.implementations:
        joint = subject.optimizer(
            [{"params": _copies(first)}, {"params": _copies(second), **values}], name
        )
        take_steps(subject, joint, range(STEPS))
        apart = Snapshot.of(joint)
        alone = [
            subject.optimizer([{"params": _copies(first)}, {"params": _copies(second)}], name),
            subject.optimizer(
                [{"params": _copies(first), **values}, {"params": _copies(second), **values}], name
            ),
        ]
        for number, optimizer in enumerate(alone):
            take_steps(subject, optimizer, range(STEPS))
            with prefix_failures(f"{name}, group {number}"):
                _half(apart, number).assert_agrees(_half(Snapshot.of(optimizer), number), subject)


def _half(snapshot: Snapshot, which: int) -> Snapshot:
    """Return what a snapshot has of the first or the second half of the parameters."""
    middle = len(snapshot.params) // 2
    part = slice(which * middle, (which + 1) * middle)
    return Snapshot(snapshot.params[part], snapshot.states[part], [])


def _assert_joins(subject: Subject, name: str, values: dict[str, Any]) -> None:
    """Assert that a group that joins steps as it would alone, and the others as before."""
    params, added = small_parameters(subject), small_parameters(subject)
    whole = subject.optimizer(params, name)
    take_steps(subject, whole, range(STEPS))
    whole.add_param_group({"params": added, **values})
    _step_same(subject, whole)
    before = subject.optimizer(small_parameters(subject), name)
    take_steps(subject, before, range(STEPS))
    _step_same(subject, before)
    alone = subject.optimizer([{"params": small_parameters(subject), **values}], name)
    _step_same(subject, alone)
    found = Snapshot.of(whole)
    for number, (optimizer, what) in enumerate(((before, "those before"), (alone, "its own"))):
        with prefix_failures(what):
            own = attrs.evolve(Snapshot.of(optimizer), estimates=[])
            _half(found, number).assert_agrees(own, subject)


def _step_same(subject: Subject, optimizer: Optimizer) -> None:
    """Take steps in which equally shaped parameters of all groups have one gradient."""
    for number in range(STEPS):
        for group in optimizer.param_groups:
            for position, p in enumerate(group["params"]):
                p.grad = subject.gradient(p, position, number)
        optimizer.step()


def _assert_steps_beside_nothing(subject: Subject, name: str) -> None:
    params = small_parameters(subject)
    optimizer = subject.optimizer([{"params": params}, {"params": []}], name)
    optimizer.add_param_group({"params": []})
    before = Snapshot.of(optimizer)
    if not subject.requires_closure:
        with prefix_failures("a step in which no parameter has a gradient"):
            optimizer.step()
            Snapshot.of(optimizer).assert_agrees(before, subject, is_exact=True)
    with prefix_failures("a step beside groups without parameters"):
        take_steps(subject, optimizer, range(2))  # SOAP's first step moves nothing
        moved = [not is_same(p, q) for p, q in zip(params, before.params, strict=True)]
        # In half precision a first step may be too small to be seen.
        assert any(moved) or subject.dtype.itemsize == 2, "no parameter moves"


def _copies(params: list[Tensor]) -> list[Tensor]:
    return [p.clone() for p in params]
