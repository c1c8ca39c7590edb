"""Buffers: the state tensors that an algorithm declares, and how they come to be.

A declaration is a class attribute, ``exp_avg = Buffer()``. Its name is the key in
``optimizer.state[p]``, and so in checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import attrs
import torch
from torch import Tensor

STEP = "step"

PER_ELEMENT, SCALAR, JOINT, OPAQUE = "per element", "scalar", "joint", "opaque"
KINDS = (PER_ELEMENT, SCALAR, JOINT, OPAQUE)


@attrs.frozen(eq=False)
class Buffer:
    """One entry of the state of each parameter: what it is, and what it starts from.

    Args:
        init: the value that every element starts from: a number, or the name of the
            hyperparameter that holds it.
        doc: one phrase, shown by `optkit.describe`.
        dtype: a floating dtype, for a complex parameter that of its parts; None (default):
            the parameter's.
        kind: ``"per element"`` (default): a tensor of the parameter's shape, device and
            layout. ``"scalar"``: a tensor of one number, on the CPU unless ``capturable``.
            ``"joint"``: a vector over all elements of all parameters of all groups, or a list
            of such, kept with the first parameter. ``"opaque"``: a number, or a list or dict
            of numbers and tensors, of which nothing is known.
        since: the version of the algorithm's schema that brought it, from 1.
        optional: whether state without it is whole; joint and opaque entries come into
            being when the algorithm writes them, and not before.

    >>> import torch
    >>> Buffer(init=0.5).allocate(torch.zeros(2, dtype=torch.float64), {})
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    init: float | str = 0.0
    doc: str = ""
    dtype: torch.dtype | None = None
    kind: str = PER_ELEMENT
    since: int = 1
    optional: bool = False

    def allocate(self, parameter: Tensor, group: Mapping[str, Any]) -> Any:
        """Return the buffer for `parameter` before its first step.

        A complex buffer has the initial value in both its real and its imaginary part,
        since complex parameters are stepped as pairs of real numbers.
        """
        return self.allocate_all([parameter], group)[0]

    def allocate_all(self, params: Sequence[Tensor], group: Mapping[str, Any]) -> list[Any]:
        """Return the buffers for parameters of one dtype and group, as `allocate` does."""
        value: Any = group[self.init] if isinstance(self.init, str) else self.init
        if self.kind == OPAQUE:
            return [value for _ in params]
        dtype = self.dtype_for(params[0])
        if self.kind == SCALAR:
            return [self.scalar(value, p, group) for p in params]
        form = torch.preserve_format
        found = [torch.zeros_like(p, dtype=dtype, memory_format=form) for p in params]
        if value != 0:
            for buffer in found:
                (torch.view_as_real(buffer) if buffer.is_complex() else buffer).fill_(value)
        return found

    def scalar(self, value: float, parameter: Tensor, group: Mapping[str, Any]) -> Tensor:
        """Return `value` as a scalar buffer."""
        device, dtype = self.device_for(parameter, group), self.dtype_for(parameter)
        return torch.full((), value, dtype=dtype, device=device)

    def device_for(self, parameter: Tensor, group: Mapping[str, Any]) -> torch.device:
        """Return the parameter's device, but the CPU for scalars that no graph captures."""
        if self.kind == SCALAR and not group.get("capturable"):
            return torch.device("cpu")
        return parameter.device

    def dtype_for(self, parameter: Tensor) -> torch.dtype:
        """Return the dtype of the buffer of `parameter`."""
        if self.dtype is None:
            return parameter.dtype
        is_pair = parameter.is_complex() and self.kind != SCALAR
        return self.dtype.to_complex() if is_pair else self.dtype


COUNTER = Buffer(doc="number of steps so far", dtype=torch.float64, kind=SCALAR)
"""The step counter of every elementwise algorithm. In torch it is float32, where adding one
to 2**24 changes nothing; torch.optim takes and continues either."""


def joint_dtype(dtypes: Iterable[torch.dtype]) -> torch.dtype:
    """Return the dtype of a vector over parameters of these dtypes, complex ones as pairs.

    It is float32 at least: the products of long vectors of half precision mean nothing.

    >>> joint_dtype([torch.bfloat16, torch.complex64])
    torch.float32
    """
    return reduce(torch.promote_types, dtypes, torch.float32).to_real()


def collect(cls: type) -> dict[str, Buffer]:
    """Return the buffers that `cls` and its bases declare, bases first."""
    found: dict[str, Buffer] = {}
    for base in reversed(cls.__mro__):
        found.update({k: v for k, v in vars(base).items() if isinstance(v, Buffer)})
    return found


def allocate_all(
    buffers: Mapping[str, Buffer], params: Sequence[Tensor], group: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Return the required buffers of parameters of one dtype and group that have no state.

    They are ordinary tensors in `torch.inference_mode` too: later steps may be outside of it.
    """
    names = [name for name, item in buffers.items() if not item.optional]
    with torch.inference_mode(False), torch.no_grad():
        columns = [buffers[name].allocate_all(params, group) for name in names]
    rows = zip(*columns, strict=True) if columns else ([] for _ in params)
    return (dict(zip(names, row, strict=True)) for row in rows)


def allocate(
    buffers: Mapping[str, Buffer],
    parameter: Tensor,
    group: Mapping[str, Any],
    existing: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the required buffers of `parameter` that don't exist yet."""
    lacking = {name: item for name, item in buffers.items() if name not in existing}
    return next(iter(allocate_all(lacking, [parameter], group)))
