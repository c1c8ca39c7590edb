"""Conformance as a test of pytest's: one line in a test file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from optkit_core.api import get
from optkit_core.testing.subject import Reference

if TYPE_CHECKING:
    import pytest


def conformance(
    algorithm: str | type[torch.optim.Optimizer],
    *,
    dtypes: Iterable[torch.dtype] | None = None,
    device: str | torch.device = "cpu",
    constant: Iterable[str] = (),
    min_dim: int = 0,
    reference: Reference | None = None,
    golden: str | Path | None = None,
    only: Iterable[str] = (),
    **options: Any,
) -> Callable[..., None]:
    """Return a test function that checks an algorithm, parametrized with all checks.

    In a test file one line is enough, ``test_lion = conformance("lion", lr=1e-3)``. It needs
    pytest, and not the plugin.

    Args:
        algorithm: its registered name, or the class.
        dtypes: of the parameters. Every check runs in the first; those of steps run in each.
            None (default): float32, float64, bfloat16, float16, complex64.
        device: of the parameters.
        constant: names of buffers that needn't change with these options.
        min_dim: the fewest dimensions of a parameter (default 0).
        reference: what every step is compared with: an optimizer class, given those of the
            options that it takes, or a function ``reference(p, g, state, t, h)`` of NumPy's arrays
            that returns the new ``p``. None (default): nothing.
        golden: a JSON file with the trajectory to which steps must lead; a relative path starts
            at the test file. ``pytest --optkit-write-golden`` writes it. None (default): nothing.
        only: ids of the requirements to check; none (default) for all of them.
        **options: hyperparameters to check it with.

    Returns:
        A function for pytest to collect.

    Raises:
        UnknownAlgorithmError: no algorithm is called that.
        UnknownRequirementError: nor is a requirement.

    >>> test_lion = conformance("lion", lr=1e-3)
    >>> [mark.name for mark in test_lion.pytestmark]
    ['parametrize']
    """
    # Imported here, so that `optkit_core.testing.check` works without pytest.
    import pytest

    from optkit_core.testing.kit.run_check import Check, checks_of
    from optkit_core.testing.kit.variants import DTYPES, variants_of
    from optkit_core.testing.requirements import chosen

    cls = get(algorithm) if isinstance(algorithm, str) else algorithm
    name = algorithm if isinstance(algorithm, str) else cls.__name__
    further = {
        "constant": frozenset(constant),
        "min_dim": min_dim,
        "reference": reference,
        "golden": None if golden is None else _beside(inspect.currentframe(), golden),
    }
    variants = variants_of(name, cls, tuple(dtypes or DTYPES), device, options, **further)

    @pytest.mark.parametrize(
        "check", list(checks_of(variants, chosen(only))), ids=lambda check: check.id
    )
    def test_conformance(check: Check, request: pytest.FixtureRequest) -> None:
        check.run(request.config, request.node.user_properties)

    return test_conformance


def _beside(frame: FrameType | None, path: str | Path) -> Path:
    """Return a path that starts at the file of whoever called the function of a frame."""
    caller = frame and frame.f_back
    file = caller.f_globals.get("__file__", "") if caller else ""
    return Path(file).parent / path
