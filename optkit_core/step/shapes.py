"""The shapes of a bucket's tensors, which anybody may have changed between two steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core.declaration.buffers import Buffer
from optkit_core.errors import ShapeError
from optkit_core.param_groups import groups
from optkit_core.step.buckets import Bucket


def require_shapes(
    bucket: Bucket, buffers: Mapping[str, Buffer], param_groups: Sequence[Mapping[str, Any]]
) -> None:
    """Raise unless every gradient and buffer is of the shape that its parameter asks for.

    Args:
        bucket: the parameters, gradients and states.
        buffers: the declared ones by name.
        param_groups: those of the optimizer, for the message.

    Raises:
        ShapeError: naming the parameter, what differs, and both shapes.
    """
    wanted = bucket.shapes
    # Where all states have just been allocated, their shapes are right.
    for name in bucket.names if len(bucket.new) < len(bucket) else ():
        buffer = buffers[name]
        column = [state[name] for state in bucket.states]
        shapes = wanted
        if not buffer.rules.is_per_element:
            shapes = [buffer.shape_for(p) for p in bucket.params]
        _require(bucket, column, shapes, f"buffer {name!r}", param_groups)
    _require(bucket, bucket.grads, wanted, "gradient", param_groups)


def _require(
    bucket: Bucket,
    column: Sequence[Tensor],
    wanted: Sequence[torch.Size],
    what: str,
    param_groups: Sequence[Mapping[str, Any]],
) -> None:
    """Compare a column as a whole, which costs a third of a look at each row."""
    shapes = [tensor.shape for tensor in column]
    if shapes != wanted:
        row = next(row for row, shape in enumerate(shapes) if shape != wanted[row])
        raise _error(param_groups, bucket.params[row], what, column[row])


def _error(
    param_groups: Sequence[Mapping[str, Any]], parameter: Tensor, what: str, tensor: Tensor
) -> ShapeError:
    return ShapeError(
        f"{groups.label(param_groups, parameter)} has shape {tuple(parameter.shape)}, its "
        f"{what} {tuple(tensor.shape)}. Give both one shape, or begin anew: del "
        "optimizer.state[parameter], and compute the gradient again."
    )
