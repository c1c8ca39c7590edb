"""The shapes of a bucket's tensors, which anybody may have changed between two steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from optkit_core.declaration.buffer_kinds import PER_ELEMENT
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
    rows = zip(bucket.params, bucket.grads, bucket.states, strict=True)
    for position, (p, g, state) in enumerate(rows):
        if position not in bucket.new:
            for name, item in buffers.items():
                shape = p.shape if item.kind == PER_ELEMENT else item.shape_for(p)
                if state[name].shape != shape:
                    raise _error(param_groups, p, f"buffer {name!r}", state[name])
        if g.shape != p.shape:
            raise _error(param_groups, p, "gradient", g)


def _error(
    param_groups: Sequence[Mapping[str, Any]], parameter: Tensor, what: str, tensor: Tensor
) -> ShapeError:
    return ShapeError(
        f"{groups.label(param_groups, parameter)} has shape {tuple(parameter.shape)}, its "
        f"{what} {tuple(tensor.shape)}. Give both one shape, or begin anew: del "
        "optimizer.state[parameter], and compute the gradient again."
    )
