"""Kinds of buffers: the rules for shape, dtype and device of an entry of the state."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from optkit_core.errors import DeclarationError

if TYPE_CHECKING:
    from optkit_core.declaration.buffers import Buffer

Group = Mapping[str, Any]


class BufferKind:
    """What a kind of buffer is, in words, and how one comes to be.

    Attributes:
        shape: the rule for its shape.
        dtype: the rule for its dtype, where the declaration names none.
        device: the rule for its device.
    """

    shape: ClassVar[str]
    dtype: ClassVar[str]
    device: ClassVar[str] = "the first parameter's"

    def allocate_all(
        self, buffer: Buffer, value: Any, params: Sequence[Tensor], group: Group
    ) -> list[Any]:
        """Return buffers that start from `value`: copies, since a list may grow."""
        return [copy.deepcopy(value) for _ in params]


class Joint(BufferKind):
    """A vector over all elements of all parameters, or a list of such."""

    shape = "one dimension, all elements of all parameters"
    dtype = "the parameters', promoted"


class Opaque(BufferKind):
    """A number, or a list or dict of numbers and tensors, of which nothing is known."""

    shape = "its own"
    dtype = "its own"


class TensorKind(BufferKind, ABC):
    """A tensor for each parameter, of a shape, a dtype and a device that are known."""

    dtype = "the parameter's, of a complex one its parts'"
    device = "the parameter's"

    @abstractmethod
    def shape_of(self, buffer: Buffer, parameter: Tensor) -> torch.Size:
        """Return the shape of the buffer of `parameter`."""

    def dtype_of(self, buffer: Buffer, parameter: Tensor) -> torch.dtype:
        """Return the dtype of the buffer of `parameter`."""
        return buffer.dtype or parameter.dtype.to_real()

    def device_of(self, parameter: Tensor, group: Group) -> torch.device:
        """Return the device of the buffer of `parameter`."""
        return parameter.device

    def empty(self, buffer: Buffer, parameter: Tensor, group: Group) -> Tensor:
        """Return a buffer of `parameter` without values."""
        return parameter.new_empty(
            self.shape_of(buffer, parameter),
            dtype=self.dtype_of(buffer, parameter),
            device=self.device_of(parameter, group),
        )

    def allocate_all(
        self, buffer: Buffer, value: Any, params: Sequence[Tensor], group: Group
    ) -> list[Any]:
        """Return buffers that are filled with `value`, for parameters of one dtype."""
        return [self.empty(buffer, p, group).fill_(float(value)) for p in params]


class PerElement(TensorKind):
    """A tensor of the parameter's shape and layout."""

    shape = "the parameter's"
    dtype = "the parameter's"

    def shape_of(self, buffer: Buffer, parameter: Tensor) -> torch.Size:
        """Return the parameter's shape."""
        return parameter.shape

    def dtype_of(self, buffer: Buffer, parameter: Tensor) -> torch.dtype:
        """Return the parameter's dtype or the declared one, which is that of complex parts."""
        if buffer.dtype is None:
            return parameter.dtype
        return buffer.dtype.to_complex() if parameter.is_complex() else buffer.dtype

    def empty(self, buffer: Buffer, parameter: Tensor, group: Group) -> Tensor:
        """Return a tensor like the parameter."""
        return torch.empty_like(parameter, dtype=self.dtype_of(buffer, parameter)).detach()

    def allocate_all(
        self, buffer: Buffer, value: Any, params: Sequence[Tensor], group: Group
    ) -> list[Any]:
        """Return tensors like the parameters.

        A complex one has `value` in both its real and its imaginary part, since complex
        parameters are stepped as pairs of real numbers.
        """
        dtype = self.dtype_of(buffer, params[0])
        if dtype == params[0].dtype:  # in two thirds of the time
            found = [torch.zeros_like(p) for p in params]
        else:
            found = [torch.zeros_like(p, dtype=dtype) for p in params]
        if value != 0:
            for new in found:
                (torch.view_as_real(new) if new.is_complex() else new).fill_(float(value))
        return found


class Scalar(TensorKind):
    """A tensor of one number."""

    shape = "one number"
    device = "cpu; the parameter's if capturable"

    def shape_of(self, buffer: Buffer, parameter: Tensor) -> torch.Size:
        """Return the shape of a number."""
        return torch.Size()

    def device_of(self, parameter: Tensor, group: Group) -> torch.device:
        """Return the CPU, unless a graph is to capture the step."""
        return parameter.device if group.get("capturable") else torch.device("cpu")

    def empty(self, buffer: Buffer, parameter: Tensor, group: Group) -> Tensor:
        """Return a number, which is no part of a distributed parameter."""
        dtype, device = self.dtype_of(buffer, parameter), self.device_of(parameter, group)
        return torch.empty((), dtype=dtype, device=device)

    def allocate_all(
        self, buffer: Buffer, value: Any, params: Sequence[Tensor], group: Group
    ) -> list[Any]:
        """Return tensors of one number, each of them made by one call."""
        dtype, number = self.dtype_of(buffer, params[0]), float(value)
        devices = [self.device_of(p, group) for p in params]
        # Clones of what tensor() makes take a third of its time, and fake ones know their value.
        first = {d: torch.tensor(number, dtype=dtype, device=d) for d in dict.fromkeys(devices)}
        return [first[device].clone() for device in devices]


class Shaped(TensorKind):
    """A tensor whose shape is a function of the parameter."""

    shape = "a function of the parameter"

    def shape_of(self, buffer: Buffer, parameter: Tensor) -> torch.Size:
        """Return what the declared function says of the parameter, as an update body sees it.

        Raises:
            DeclarationError: it fails, or returns something else than sizes.
        """
        seen = torch.view_as_real(parameter) if parameter.is_complex() else parameter
        what = f"shape= of the buffer {buffer.name!r}, for a parameter of shape {list(seen.shape)},"
        try:
            found: Any = buffer.shape(seen)  # type: ignore[misc]
        except Exception as error:
            raise DeclarationError(f"{what} raised {type(error).__name__}: {error}") from error
        if isinstance(found, (tuple, list)) and all(isinstance(n, int) and n >= 0 for n in found):
            return torch.Size(found)
        raise DeclarationError(
            f"{what} must return sizes, as lambda p: p.shape[:1] does; got {found!r:.60}."
        )


PER_ELEMENT, SHAPED, SCALAR, JOINT, OPAQUE = "per element", "shaped", "scalar", "joint", "opaque"
KINDS: Mapping[str, BufferKind] = {
    PER_ELEMENT: PerElement(),
    SHAPED: Shaped(),
    SCALAR: Scalar(),
    JOINT: Joint(),
    OPAQUE: Opaque(),
}
"""Every kind by the name that a declaration gives it."""
