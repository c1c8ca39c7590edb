"""Refused loads: a state that doesn't fit is refused before anything changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from optkit_core.checkpoint.schema import TAG, schema_of
from optkit_core.errors import OptkitError
from optkit_core.optimizer import Optimizer
from optkit_core.testing.comparisons import is_same
from optkit_core.testing.edge_values import edges_of
from optkit_core.testing.failures import prefix_failures
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import take_steps
from optkit_core.testing.subject import Subject

Damage = Callable[[dict[str, Any]], Any]


def refused_loads(subject: Subject) -> None:
    """Load what is damaged in one place, each time in another."""
    source = subject.optimizer(small_parameters(subject), subject.implementations[0])
    take_steps(subject, source, range(3))
    target = subject.optimizer(small_parameters(subject), subject.implementations[0])
    take_steps(subject, target, range(1))
    for what, damage in _damages(subject, source):
        saved = copy.deepcopy(source.state_dict())
        damage(saved)
        with prefix_failures(f"a state dict {what}"):
            _assert_refused(subject, target, saved)


def _assert_refused(subject: Subject, target: Optimizer, saved: dict[str, Any]) -> None:
    before, groups = Snapshot.of(target), [dict(group) for group in target.param_groups]
    try:
        target.load_state_dict(saved)
    except OptkitError:
        pass
    else:
        raise AssertionError("is loaded, not refused")
    with prefix_failures("is refused too late"):
        Snapshot.of(target).assert_agrees(before, subject, is_exact=True)
        for old, new in zip(groups, target.param_groups, strict=True):
            for key in old.keys() | new.keys():
                same = old.get(key) is new.get(key) or is_same(new.get(key), old.get(key))
                assert same, f"the group's {key} changed from {old.get(key)!r} to {new.get(key)!r}"


def _damages(subject: Subject, source: Optimizer) -> Iterator[tuple[str, Damage]]:
    """Yield what can be wrong with a state dict of the algorithm, each with what makes it so."""
    cls = subject.algorithm
    name, version = schema_of(cls).name, schema_of(cls).version
    yield (
        "with a group too many",
        lambda d: d["param_groups"].append({**d["param_groups"][0], "params": []}),
    )
    yield "with a parameter too few", lambda d: d["param_groups"][0]["params"].pop()
    yield "without groups", lambda d: d.pop("param_groups")
    yield "of another algorithm", partial(_set, {TAG: "another/1"})
    yield "of a later version", partial(_set, {TAG: f"{name}/{version + 1}"})
    saved = source.state_dict()["state"].get(0, {})
    tensors = [k for k, b in cls.state_buffers.items() if b.is_tensor and k in saved]
    for entry in tensors:
        yield f"with {entry} of another shape", partial(_reshape, entry)
        # A state without any entry is that of a parameter which never had a gradient.
        if not cls.state_buffers[entry].is_set_by_body and len(saved) > 1:
            yield f"without {entry}", partial(_drop, entry)
    for key in cls.hyperparameter_names:
        for value in edges_of(cls.declarations[key]).outside[:1]:
            yield f"with {key}={value!r}", partial(_set, {key: value})


def _set(values: dict[str, Any], saved: dict[str, Any]) -> None:
    saved["param_groups"][0].update(values)


def _drop(name: str, saved: dict[str, Any]) -> None:
    del saved["state"][0][name]


def _reshape(name: str, saved: dict[str, Any]) -> None:
    saved["state"][0][name] = torch.zeros(3, 2, 3, dtype=saved["state"][0][name].dtype)
