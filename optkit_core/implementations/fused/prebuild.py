"""Building kernels ahead of their use, for a machine or an image that has no compiler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any

import torch

from optkit_core.declaration import estimates
from optkit_core.errors import OptkitError
from optkit_core.implementations.fused import row_partition
from optkit_core.implementations.fused.cpp_kernel import compile_kernel
from optkit_core.implementations.fused.cpp_types import TYPES
from optkit_core.implementations.measuring import bodies
from optkit_core.layerwise import Layerwise
from optkit_core.native import cache, tensor_reader_loader
from optkit_core.native.libraries import with_layouts
from optkit_core.optimizer import Optimizer
from optkit_core.step.bucket_key import BucketKey
from optkit_core.tracing.program import Program
from optkit_core.tracing.trace import trace

STEP_COUNTS = (1.0, 2.0, 1e6)
"""Numbers of steps to trace: a body may begin otherwise than it goes on, and change late."""

TURNED_ON = {float: 0.01, int: 1, bool: True}
"""Values for hyperparameters that are off by default, such as a ``weight_decay`` of zero."""


def build(algorithm: type[Optimizer], dtype: torch.dtype, portable: bool = False) -> int:
    """Put the kernels of an algorithm into the cache.

    Built is one for each branch of the update body that shows when hyperparameters which are
    zero or False by default are turned on, with and without ``maximize`` and a scaled gradient.

    Args:
        algorithm: an elementwise optimizer class, or one that brings libraries along.
        dtype: of the parameters.
        portable: whether the kernels are to run on other processors than this one too.

    Returns:
        How many kernels there are.

    Raises:
        UnavailableError: one can't be built; says why.
    """
    libraries = algorithm.libraries(dtype)
    for source, title in libraries:
        cache.library(with_layouts(source), title, portable)
    if not issubclass(algorithm, Layerwise):
        return len(libraries)
    key = BucketKey(torch.device("cpu"), dtype)
    tensor_reader_loader.compile_reader(portable)
    kernels = dict.fromkeys(
        kernel for body, own in bodies(algorithm, key) for kernel in _kernels(algorithm, body, own)
    )
    for program, dtypes in kernels:
        compile_kernel(program, dtypes, algorithm.__name__, portable)
    return len(libraries) + len(kernels)


def _kernels(
    algorithm: type[Layerwise], body: Any, key: BucketKey
) -> Iterator[tuple[Program, tuple[torch.dtype, ...]]]:
    """Yield what each branch of a body does, with the dtypes of its operands."""
    set_by_body = any(buffer.is_set_by_body for buffer in body.buffers.values())
    for h, t, maximize, scale, is_new in product(
        _variants(algorithm),
        STEP_COUNTS,
        (False, True),
        (None, 0.5),
        (False, True) if set_by_body else (False,),
    ):
        program, _ = trace(body, h, t, maximize, scale, is_new=is_new, dtype=key.dtype)
        yield program, row_partition.expected_dtypes(body, key, h, TYPES)


def _variants(algorithm: type[Layerwise]) -> Iterable[Any]:
    """Return the defaults with every choice of what is off by default turned on."""
    defaults = {name: algorithm.default_values[name] for name in algorithm.hyperparameter_names}
    off = [name for name, value in defaults.items() if type(value) in TURNED_ON and not value]
    for choice in product((False, True), repeat=len(off)):
        turned_on = [name for name, is_on in zip(off, choice, strict=True) if is_on]
        values = {**defaults, **{name: TURNED_ON[type(defaults[name])] for name in turned_on}}
        try:
            algorithm.Hyperparameters(**values)
        except OptkitError:  # these options exclude each other
            continue
        yield SimpleNamespace(**values, **estimates.starts(algorithm.declarations, values))
