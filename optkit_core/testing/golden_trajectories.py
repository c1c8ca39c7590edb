"""Golden trajectories: steps lead where they led when the author pinned them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optkit_core.testing.comparisons import assert_close
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.stepping import take_step
from optkit_core.testing.subject import Subject, params_of

PINNED = (1, 2, 5, 10)
"""The steps after which parameters are pinned."""

TOLERANCE = 1e-10
"""In float64: mathematical libraries round the last bits of a root or an exponential otherwise."""

OPTION = "--optkit-write-golden"


def equals_golden(subject: Subject) -> None:
    """Compare parameters with those of the file, or write it.

    Raises:
        NotApplicableError: no file is named.
    """
    path = subject.golden
    if path is None:
        raise NotApplicableError("no golden= is given")
    found = _trajectory(subject)
    if subject.write_golden:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found) + "\n", encoding="utf-8")
        subject.note(f"wrote {path.name}")
    else:
        _assert_equals(subject, found, _read(path))


def _trajectory(subject: Subject) -> dict[str, Any]:
    """Return where steps in float64 lead, as JSON has it: floats are exact in it."""
    params = small_parameters(subject, torch.float64)
    optimizer = subject.optimizer(params, subject.implementations[0])
    trajectory = {}
    for number in range(PINNED[-1]):
        take_step(subject, optimizer, number)
        if number + 1 in PINNED:
            trajectory[str(number + 1)] = [p.tolist() for p in params_of(optimizer)]
    options = {name: repr(value) for name, value in subject.options.items()}
    return {
        "algorithm": subject.algorithm.__name__,
        "options": options,
        "parameters after step": trajectory,
    }


def _read(path: Path) -> dict[str, Any]:
    """Return what a file pins.

    Raises:
        AssertionError: there is none, or it is something else.
    """
    assert path.is_file(), f"there is no {path}; `pytest {OPTION}` writes it"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = found["options"], found["parameters after step"]
    except (ValueError, TypeError, KeyError) as error:
        raise AssertionError(
            f"{path} is no golden trajectory ({type(error).__name__}: {error}); "
            f"`pytest {OPTION}` writes one"
        ) from error
    assert all(isinstance(item, dict) for item in known), f"{path} is no golden trajectory"
    return found


def _assert_equals(subject: Subject, found: dict[str, Any], pinned: dict[str, Any]) -> None:
    assert found["options"] == pinned["options"], (
        f"it was pinned with {pinned['options']}, and is checked with {found['options']}; "
        f"`pytest {OPTION}` pins it anew"
    )
    tolerance = max(TOLERANCE, subject.own_tolerances.get(torch.float64, 0.0))
    pinned_steps = pinned["parameters after step"]
    for number, params in found["parameters after step"].items():
        expected = pinned_steps.get(number, [])
        words = f"step {number} has led to other parameters than are pinned in {subject.golden}"
        with prefix_failures(words):
            for p, q in zip(params, expected, strict=True):
                assert_close(_tensor(p), _tensor(q), tolerance)


def _tensor(numbers: Any) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)
