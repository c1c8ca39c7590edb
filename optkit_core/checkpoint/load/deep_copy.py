"""Deep copies of saved values, made so that nothing is shared with what was loaded."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from optkit_core.errors import CheckpointError
from optkit_core.param_groups.builtin_values import BUILTIN_TYPES


def deep_copy(value: Any) -> Any:
    """Return a copy that shares nothing with `value`.

    Args:
        value: tensors, and lists, tuples and dicts of them; anything else is left to
            `copy.deepcopy`.

    Raises:
        CheckpointError: there is something in it that can't be copied.
    """
    if type(value) in BUILTIN_TYPES:
        return value
    if isinstance(value, Tensor):
        # copy.deepcopy refuses tensors that autograd has recorded.
        return (value.detach() if value.requires_grad else value).clone()
    if type(value) is dict:
        return {key: deep_copy(item) for key, item in value.items()}
    if type(value) is list or type(value) is tuple:
        return type(value)(map(deep_copy, value))
    try:
        return copy.deepcopy(value)
    except Exception as error:  # the object's own method may fail in any way
        raise CheckpointError(
            f"{value!r:.60}, of type {type(value).__name__}, can't be copied: "
            f"{type(error).__name__}: {error!s:.100}."
        ) from error
