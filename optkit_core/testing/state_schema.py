"""The schema of the state: what is declared is there as declared, and nothing else is."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core.checkpoint.schema import TAG, schema_of
from optkit_core.declaration.buffer_conditions import names_for
from optkit_core.optimizer import Optimizer
from optkit_core.testing.failures import prefix_failures
from optkit_core.testing.stepping import take_steps
from optkit_core.testing.subject import Subject, params_of

STEPS = 2


def schema(subject: Subject) -> None:
    """Compare states after some steps, and what is saved of them, with the declarations."""
    for name in subject.implementations:
        optimizer = subject.optimizer(subject.parameters().params, name)
        closures = take_steps(subject, optimizer, range(STEPS))
        optimizer.publish_state()
        with prefix_failures(name):
            for position, p in enumerate(params_of(optimizer)):
                stepped = any(closure.has_gradient(position) for closure in closures)
                with prefix_failures(f"the state of parameter {position}"):
                    _assert_declared(optimizer, p, stepped)
            _assert_saved(optimizer)


def _assert_declared(optimizer: Optimizer, p: Tensor, has_stepped: bool) -> None:
    """Assert that a state has the declared entries, of the declared dtypes and shapes."""
    cls = type(optimizer)
    (group,) = optimizer.param_groups
    state = optimizer.state.get(p, {})
    undeclared = sorted(map(str, state.keys() - cls.state_buffers.keys()))
    assert not undeclared, (
        f"has {undeclared}, which no Buffer declares; declared are {sorted(cls.state_buffers)}"
    )
    required = {k: b for k, b in cls.state_buffers.items() if not b.optional and b.is_tensor}
    expected = names_for(required, group)(p) if has_stepped else ()
    missing = sorted(set(expected) - state.keys())
    assert not missing, f"lacks {missing}, which {cls.__name__} declares"
    for name, value in state.items():
        if cls.state_buffers[name].is_tensor:
            _assert_alike(name, value, cls.state_buffers[name].allocate(p, group))


def _assert_alike(name: str, value: Any, declared: Tensor) -> None:
    assert isinstance(value, Tensor), f"{name} is {type(value).__name__}, declared is a tensor"
    for what in ("dtype", "shape", "device", "layout"):
        found, expected = getattr(value, what), getattr(declared, what)
        assert found == expected, f"{name} has the {what} {found}, declared is {expected}"


def _assert_saved(optimizer: Optimizer) -> None:
    """Assert that a state dict has torch's shape, every entry and every value of a group."""
    saved, cls = optimizer.state_dict(), type(optimizer)
    params = params_of(optimizer)
    for number, p in enumerate(params):
        found, expected = saved["state"].get(number, {}), optimizer.state.get(p, {})
        assert found.keys() == expected.keys(), (
            f"state_dict() has {sorted(found)} for parameter {number}, the state {sorted(expected)}"
        )
    (group,) = saved["param_groups"]
    assert group["params"] == list(range(len(params))), (
        f"state_dict() numbers the parameters {group['params']}"
    )
    lost = sorted(set(optimizer.param_groups[0]) - set(group))
    assert not lost, f"state_dict() lacks {lost} of the group"
    identity = schema_of(cls).identity
    assert group.get(TAG) == identity, (
        f"state_dict() is of the schema {group.get(TAG)!r}, not {identity!r}"
    )
