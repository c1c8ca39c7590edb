"""Variants: an algorithm with a dtype and options, each of them one subject of many checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs
import torch

from optkit_core.optimizer import Optimizer
from optkit_core.testing.comparisons import TOLERANCES
from optkit_core.testing.make_subject import subject_of
from optkit_core.testing.requirement import Requirement
from optkit_core.testing.subject import Subject

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64)
"""What parameters are checked in unless others are asked for; every check runs in the first."""

STATEFUL_TOPICS = frozenset({"steps", "implementations", "state"})
"""What is checked once more where all buffers that a hyperparameter turns on are there."""

TRIED = (True, 0.5, 0.125, 1, 2)
"""What turns a buffer on, if it is the value of the hyperparameter that it depends on."""


@attrs.define(eq=False, slots=False)
class Variant:
    """An algorithm, a dtype and options.

    Args:
        name: what the algorithm goes by in reports.
        algorithm: the class.
        dtype: of the parameters.
        device: of the parameters.
        options: hyperparameters and options that the user gives.
        turned_on: hyperparameters that turn buffers on; none but in a variant that is for it.
        is_main: whether every check runs, and none may be left out because nothing runs at all.
        further: the other attributes of the subject.
    """

    name: str
    algorithm: type[torch.optim.Optimizer]
    dtype: torch.dtype
    device: torch.device
    options: Mapping[str, Any]
    turned_on: Mapping[str, Any] = {}
    is_main: bool = False
    further: Mapping[str, Any] = {}

    @property
    def label(self) -> str:
        """What tells it from the other variants, as it stands in a test's id."""
        given = [f"{name}={value}" for name, value in self.turned_on.items()]
        return "-".join([str(self.dtype).removeprefix("torch."), *given])

    @cached_property
    def subject(self) -> Subject:
        """The subject of its checks, made when the first of them is run."""
        options = {**self.options, **self.turned_on}
        return subject_of(self.algorithm, self.dtype, self.device, options, **self.further)

    def is_checked_for(self, requirement: Requirement) -> bool:
        """Return whether a requirement is worth a run."""
        if self.turned_on:
            return requirement.topic in STATEFUL_TOPICS
        return self.is_main or requirement.every_dtype


def variants_of(
    name: str,
    algorithm: type[torch.optim.Optimizer],
    dtypes: Sequence[torch.dtype] = DTYPES,
    device: torch.device | str = "cpu",
    options: Mapping[str, Any] | None = None,
    **further: Any,
) -> list[Variant]:
    """Return an algorithm's variants: a main one, one with all buffers, and one for each dtype.

    Args:
        name: what the algorithm goes by in reports.
        algorithm: the class.
        dtypes: of the parameters, that of the main variant first.
        device: of the parameters.
        options: hyperparameters and options.
        **further: the other attributes of the subject.

    >>> import optkit
    >>> [variant.label for variant in variants_of("adam", optkit.get("adam"))[:3]]
    ['float32', 'float32-amsgrad=True', 'float64']
    """
    options, where = options or {}, torch.device(device)
    given = [Variant(name, algorithm, dtype, where, options, further=further) for dtype in dtypes]
    main, *others = given
    main.is_main = True
    turned_on = options_for_all_buffers(algorithm, options)
    if turned_on:
        others.insert(0, attrs.evolve(main, turned_on=turned_on, is_main=False))
    return [main, *others]


def dtype_of(name: str) -> torch.dtype:
    """Return the dtype of a name.

    Raises:
        ValueError: implementations can't be compared in it, or there is none.

    >>> dtype_of("bfloat16")
    torch.bfloat16
    """
    known = {str(dtype).removeprefix("torch."): dtype for dtype in TOLERANCES}
    if name not in known:
        raise ValueError(f"a dtype must be one of {', '.join(known)}, got {name!r}.")
    return known[name]


def options_for_all_buffers(
    algorithm: type[torch.optim.Optimizer], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return hyperparameters with which every buffer exists that exists under one of them.

    Args:
        algorithm: the class; of one that isn't optkit's nothing is known.
        options: those given already.

    >>> import optkit
    >>> options_for_all_buffers(optkit.get("sgd"), {})
    {'momentum': 0.5}
    """
    turned_on: dict[str, Any] = {}
    if issubclass(algorithm, Optimizer):
        for name in _conditions(algorithm):
            values = {**algorithm.default_values, **options, **turned_on}
            if not values[name]:
                turned_on.update(_accepted(algorithm, name, values))
    return turned_on


def _conditions(algorithm: type[Optimizer]) -> Iterator[str]:
    """Yield each hyperparameter that a buffer exists under, once."""
    conditions = [buffer.when for buffer in algorithm.buffers.values()]
    yield from dict.fromkeys(when for when in conditions if isinstance(when, str))


def _accepted(algorithm: type[Optimizer], name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the first value that the hyperparameter and its fellows allow, by its name."""
    declared = algorithm.declarations[name]
    for value in TRIED:
        complaint = declared.range.complaint(name, value)
        if not complaint and not algorithm.values_complaint({**values, name: value}):
            return {name: value}
    return {}
