"""The algorithms that ship, from the registry: what is tested for each takes them from here.

An algorithm whose entry point is added to `pyproject.toml` is in all of these, and so in every
test that is parametrized with one of them, without a line of its own.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing._internal.common_optimizers import optim_db

import optkit
from optkit_core import Elementwise, Layerwise, Matrixwise, WithModes, WithTotals

ALGORITHMS: dict[str, Any] = {name: optkit.get(name) for name in optkit.available("optkit:*")}
MATRIXWISE = {name: cls for name, cls in ALGORITHMS.items() if issubclass(cls, Matrixwise)}
"""Those over whole matrices, which `tests/matrices` is about."""

SPARSE_ONLY = {k: cls for k, cls in ALGORITHMS.items() if not getattr(cls, "takes_dense", True)}
"""Those that take no dense gradient, which `implementations/test_sparse.py` is about."""

NAMES = [name for name in ALGORITHMS if name not in {*MATRIXWISE, *SPARSE_ONLY}]
"""Those of which each takes vectors, and moves them from the first gradient on."""

ELEMENTWISE = {name: ALGORITHMS[name] for name in NAMES if issubclass(ALGORITHMS[name], Layerwise)}
"""Those with an update body, whether it reduces over its parameter or not."""

FLAT = {
    name: cls
    for name, cls in ELEMENTWISE.items()
    if not any(buffer.shape for buffer in cls.buffers.values()) and not issubclass(cls, WithTotals)
}
"""Those of these that take no rows and columns apart and measure nothing, of which kernels for
CUDA are written."""


def mechanisms(algorithm: Any) -> tuple[bool, ...]:
    """Return what of the framework an algorithm makes use of, by its declarations."""
    buffers = algorithm.buffers.values()
    return (
        algorithm.counts_steps,
        any(buffer.when is not None for buffer in buffers),
        any(buffer.is_set_by_body for buffer in buffers),
        any(buffer.is_scalar for buffer in buffers),
        any(buffer.shape is not None for buffer in buffers),
        issubclass(algorithm, Elementwise),
        issubclass(algorithm, WithTotals),
        issubclass(algorithm, WithModes),
        algorithm.update_sparse is not None,
    )


FIRST = {mechanisms(cls): name for name, cls in reversed(ELEMENTWISE.items())}
REPRESENTATIVES = {name: cls for name, cls in ELEMENTWISE.items() if name in FIRST.values()}
"""The first algorithm of each combination of mechanisms, for tests of what is the framework's.

What depends on an algorithm's mathematics is tested with all of them.
"""

FEW = [name for name in NAMES if name in REPRESENTATIVES or name not in ELEMENTWISE]
"""The same, and those with a step of their own."""

TORCH_OPTIM = {
    name.lower(): cls
    for name, cls in vars(torch.optim).items()
    if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)
}
"""Every class of torch.optim, by its name in lower case."""

COUNTERPARTS = {name: TORCH_OPTIM[name] for name in NAMES if name in TORCH_OPTIM}
"""The class of torch.optim that has an algorithm's name."""

COMPLEX = {info.name.lower() for info in optim_db if info.supports_complex}
TORCH = {k: COUNTERPARTS[k] for k in ELEMENTWISE if k in COUNTERPARTS and k in COMPLEX}
"""The same of those that take parameters of every dtype and size: Adafactor's doesn't."""

COUNTED = {name: cls for name, cls in TORCH.items() if ELEMENTWISE[name].counts_steps}
"""Those of these that count the steps of each parameter."""


WITH_SCALARS = frozenset(
    name for name, cls in ELEMENTWISE.items() if any(b.is_scalar for b in cls.buffers.values())
)
"""Those that have scalar buffers."""


def skip_without_kernel(name: str, capturable: bool) -> None:
    """Skip a test of a fused kernel that isn't offered: numbers of a parameter lie on the device.

    Args:
        name: of the algorithm.
        capturable: the option of that name.
    """
    if capturable and name in WITH_SCALARS:
        pytest.skip("a kernel doesn't read scalar buffers from the device")


def steady(algorithm: Any, dtype: torch.dtype) -> dict[str, Any]:
    """Return options with which float16 doesn't blow up: small squares have few digits in it.

    Args:
        algorithm: the class.
        dtype: of the parameters.
    """
    eps = algorithm.default_values.get("eps")
    return {"eps": 0.1} if dtype == torch.float16 and isinstance(eps, float) else {}


def declared(name: str, **options: Any) -> dict[str, Any]:
    """Return those of some options that an algorithm declares."""
    defaults = ALGORITHMS[name].default_values
    # Adafactor has two numbers where others have one eps.
    return {
        key: value
        for key, value in options.items()
        if key in defaults and isinstance(value, tuple) >= isinstance(defaults[key], tuple)
    }


def with_state(name: str, **options: Any) -> dict[str, Any]:
    """Return options with which an algorithm has state: without a momentum SGD has none."""
    return {**({"momentum": 0.9} if name == "sgd" else {}), **options}


def short(name: str) -> dict[str, Any]:
    """Return options with which a step is one evaluation, and its history soon full."""
    return SHORT.get(name, {})


SHORT: dict[str, dict[str, Any]] = {"lbfgs": {"max_iter": 1, "history_size": 3}}
