"""Which update bodies can have their reductions completed over a mesh: those that can be traced.

What a body asks of a tensor is known then, and all of it can be had of parts. Any other body gets
whole DTensors, and torch communicates for each of its operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from optkit_core.declaration.buffer_conditions import names_for
from optkit_core.errors import UnavailableError
from optkit_core.implementations.measuring import bodies
from optkit_core.shards.placements import has_plain_part
from optkit_core.step.bucket_key import BucketKey
from optkit_core.tracing.buffer_extents import require_extents
from optkit_core.tracing.trace import trace


def steps_part(algorithm: Any, group: Mapping[str, Any], h: SimpleNamespace, p: Tensor) -> bool:
    """Return whether a DTensor steps by the part that this rank holds of it.

    Args:
        algorithm: the optimizer's class.
        group: the parameter's group.
        h: its hyperparameters as attributes.
        p: the parameter, of any kind.
    """
    if not algorithm.steps_parts() or not has_plain_part(group, p):
        return False
    if not algorithm.completes_reductions():
        return True
    names = names_for(algorithm.buffers, group)(p)
    return _is_known(algorithm, _Branches(h), names, p.dtype)


class _Branches:
    """Hyperparameters by what a body may branch on: numbers by whether they are zero.

    Args:
        h: the hyperparameters as attributes.
    """

    def __init__(self, h: SimpleNamespace) -> None:
        """Reduce the numbers."""
        self.h = h
        self.key = tuple((name, _branch(value)) for name, value in vars(h).items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Branches) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _branch(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_branch, value))
    if value is None or isinstance(value, (bool, str)):
        return value
    return bool(value) if isinstance(value, (int, float)) else type(value)


@lru_cache(maxsize=1024)
def _is_known(
    algorithm: Any, branches: _Branches, names: tuple[str, ...], dtype: torch.dtype
) -> bool:
    """Return whether the bodies of an algorithm can be traced."""
    key = BucketKey(torch.device("cpu"), dtype, buffers=names)
    try:
        for body, own in bodies(algorithm, key):
            buffers = {name: body.buffers[name] for name in own.buffers or ()}
            require_extents({n: b for n, b in buffers.items() if not b.is_scalar})
            trace(body, branches.h, 1.0, buffers=own.buffers, dtype=dtype)
    except UnavailableError:
        return False
    return True
