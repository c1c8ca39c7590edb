"""What every kind of buffer can be asked, and what a saved value that doesn't fit is told."""

from __future__ import annotations

import copy
from abc import ABC
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

Group = Mapping[str, Any]
ShapeFunction = Callable[[Tensor], Sequence[int]]
Dtype = torch.dtype | Callable[[Tensor], torch.dtype]


class Mismatch(NamedTuple):
    """Why a saved value doesn't fit: words that follow its name, and whether it's the shape."""

    reason: str
    is_shape: bool = False


class BufferKind(ABC):
    """The rules for one declared buffer: its shape, dtype and device, and what may be saved of it.

    Args:
        dtype: the declared one or function of the parameter, None for what the kind says.
        shape: the declared function of the parameter, if there is one.

    Attributes:
        name: what a declaration calls the kind.
        shape_rule: the rule for its shape, in words.
        dtype_rule: the rule for its dtype, where the declaration names none.
        device_rule: the rule for its device.
        has_own_dtype: whether a declaration can't say its dtype.
        is_tensor: whether it is one tensor for each parameter, of known shape, dtype and device.
        is_per_element: whether that tensor is of the parameter's shape.
        is_joint: whether it is of all parameters together.
        buffer_name: the name of the buffer, for messages; ``"step"`` for the step counter.
        is_exchanged: whether ranks exchange their parts of it, so that its owner has all of it.
    """

    name: ClassVar[str]
    shape_rule: ClassVar[str]
    dtype_rule: ClassVar[str]
    device_rule: ClassVar[str] = "the first parameter's"
    has_own_dtype: ClassVar[bool] = False
    is_tensor: ClassVar[bool] = False
    is_per_element: ClassVar[bool] = False
    is_joint: ClassVar[bool] = False

    def __init__(self, dtype: Dtype | None = None, shape: ShapeFunction | None = None):
        """Take what the declaration says."""
        self.dtype, self.shape = dtype, shape
        self.buffer_name = ""
        self.is_exchanged = False

    def init_complaint(self, init: Any) -> str | None:
        """Return why a buffer can't start from a value, None where it can."""
        if isinstance(init, str) or is_number(init):
            return None
        return f"init must be a number or the name of a hyperparameter, got {init!r:.40}."

    def complaints(self, optional: bool) -> Iterator[str]:
        """Say which arguments of the declaration contradict the kind."""
        if self.shape is not None:
            yield (
                f"shape= makes a buffer of kind 'shaped', not {self.name!r}: leave one of them out."
            )
        if callable(self.dtype) and not self.is_per_element:
            yield f"the dtype of a buffer of kind {self.name!r} can't be a function."
        if self.has_own_dtype and self.dtype is not None:
            yield (
                f"a buffer of kind {self.name!r} has a dtype of its own: "
                f"leave out dtype={self.dtype}."
            )

    def allocate_all(self, value: Any, params: Sequence[Tensor], group: Group) -> list[Any]:
        """Return new buffers that start from a value.

        Args:
            value: a number; whatever an opaque buffer may hold.
            params: the parameters, of one dtype.
            group: their group.
        """
        return [copy.deepcopy(value) for _ in params]  # copies, since a list may grow

    def mismatches(self, value: Any, parameter: Tensor) -> Iterator[Mismatch]:
        """Say why a saved value can't become the buffer of a parameter; nothing where it can.

        Args:
            value: what was saved.
            parameter: whose state it is to become part of.
        """
        return iter(())

    def check_keys(
        self, values: Sequence[Any], parameter_keys: Sequence[int]
    ) -> Iterator[Hashable]:
        """Return what `mismatches` depends on, so that it is asked once for values that are alike.

        Args:
            values: what was saved, plain tensors all of them.
            parameter_keys: equal for parameters of one shape, dtype, device and group.

        Raises:
            RuntimeError: the values aren't such that this can be told.
        """
        return iter(range(len(values)))


def is_number(value: Any) -> bool:
    """Whether a buffer can start from a value: from any real number, infinite or not."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(value == value)
