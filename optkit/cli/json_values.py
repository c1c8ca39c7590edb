"""Values as JSON's own types, for what the commands write."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from optkit_core.declaration.tensor_types import dtype_name


def print_json(value: Any) -> None:
    """Print a value as one JSON; numbers that aren't finite become null.

    Args:
        value: anything that `as_json` takes.
    """
    print(json.dumps(as_json(value), indent=2, allow_nan=False))


def described(value: Any) -> Any:
    """Return a value of JSON's own types; tensors become descriptions, anything else text.

    >>> described({"betas": (0.9, float("inf")), "file": __import__("pathlib").Path("a")})
    {'betas': [0.9, inf], 'file': 'a'}
    """
    if isinstance(value, Mapping):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(item) for item in value]
    if isinstance(value, Tensor):
        return f"{dtype_name(value.dtype)} tensor of shape {list(value.shape)}"
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def as_json(value: Any) -> Any:
    """Return what `described` does, with None in place of a number that isn't finite.

    >>> as_json([1.0, float("nan")])
    [1.0, None]
    """
    return _finite(described(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    # JSON has no NaN and no infinity; json.dumps(allow_nan=False) would raise for them.
    return None if isinstance(value, float) and not math.isfinite(value) else value
