"""Buffers that are one tensor for each parameter, which says its shape, dtype and device."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core.declaration.buffer_kinds.kind import BufferKind, Group, Mismatch
from optkit_core.declaration.tensor_types import dtype_name, is_plain
from optkit_core.errors import DeclarationError
from optkit_core.shards import shaped_buffers
from optkit_core.shards.placements import is_distributed
from optkit_core.shards.regions import empty_rows

WHOLE = "torch's get_ and set_optimizer_state_dict with StateDictOptions(full_state_dict=True)"
"""What gathers state, and distributes it."""


class TensorKind(BufferKind):
    """A tensor for each parameter, of a shape, a dtype and a device that are known."""

    dtype_rule = "the parameter's, of a complex one its parts'"
    device_rule = "the parameter's"
    is_tensor = True

    def init_complaint(self, init: Any) -> str | None:
        """Return why a buffer can't start from a value; None stands for what a body sets."""
        return None if init is None else super().init_complaint(init)

    @abstractmethod
    def shape_of(self, parameter: Tensor) -> torch.Size:
        """Return the shape of the buffer of `parameter`."""

    def dtype_of(self, parameter: Tensor) -> torch.dtype:
        """Return the dtype of the buffer of `parameter`."""
        if callable(self.dtype):
            return self.dtype(parameter)
        return self.dtype or parameter.dtype.to_real()

    def device_of(self, parameter: Tensor, group: Group) -> torch.device:
        """Return the device of the buffer of `parameter`.

        Args:
            parameter: a parameter.
            group: the parameter's group, whose options and hyperparameters may decide.
        """
        return parameter.device

    def empty(self, parameter: Tensor, group: Group) -> Tensor:
        """Return a buffer of `parameter` without values.

        Args:
            parameter: a parameter.
            group: the parameter's group, whose options and hyperparameters may decide.
        """
        return parameter.new_empty(
            self.shape_of(parameter),
            dtype=self.dtype_of(parameter),
            device=self.device_of(parameter, group),
        )

    def allocate_all(self, value: Any, params: Sequence[Tensor], group: Group) -> list[Any]:
        """Return buffers that are filled with `value`, for parameters of one dtype."""
        return [self.empty(p, group).fill_(float(value)) for p in params]

    def mismatches(self, value: Any, parameter: Tensor) -> Iterator[Mismatch]:
        """Say why a saved value can't become the buffer of a parameter; nothing where it can."""
        if not isinstance(value, Tensor):
            yield Mismatch(f"must be a tensor, got {type(value).__name__} {value!r:.40}")
        elif value.shape != (shape := self.shape_of(parameter)):
            yield Mismatch(f"has shape {list(value.shape)}, not {list(shape)}", is_shape=True)
        else:
            dtype = self.dtype_of(parameter)
            if not _is_convertible(value.dtype, dtype):
                yield Mismatch(f"is {dtype_name(value.dtype)}, not {dtype_name(dtype)}")
            reason = _uncopiable(value, parameter)
            if reason:
                yield Mismatch(reason)

    def check_keys(
        self, values: Sequence[Any], parameter_keys: Sequence[int]
    ) -> Iterator[Hashable]:
        """Return what `mismatches` depends on: never the elements."""
        return (
            (key, t.dtype, t.layout, t.is_meta, t.shape)
            for t, key in zip(values, parameter_keys, strict=True)
        )

    def as_tensors(
        self, values: Sequence[Any], params: Sequence[Tensor], groups: Sequence[Group]
    ) -> Sequence[Tensor]:
        """Return saved values that fit as tensors, which most of them are.

        Args:
            values: what was saved.
            params: the parameter of each.
            groups: the group of each.
        """
        return values

    def is_as_allocated(self, tensor: Any, parameter: Tensor, group: Group) -> bool:
        """Whether a tensor is as the buffer would be allocated now, but for its values.

        Args:
            tensor: anything; only a plain tensor can be.
            parameter: whose buffer it may be.
            group: the parameter's group, whose options and hyperparameters may decide.
        """
        return (
            type(tensor) is Tensor
            and tensor.dtype == self.dtype_of(parameter)
            and not (tensor.requires_grad or tensor.is_inference())
            and tensor.layout == torch.strided
            and tensor.device == self.device_of(parameter, group)
            and tensor.shape == self.shape_of(parameter)
            and self._is_laid_out(tensor, parameter)
        )

    def _is_laid_out(self, tensor: Tensor, parameter: Tensor) -> bool:
        return tensor.is_contiguous()

    def allocation_keys(
        self, tensors: Sequence[Tensor], parameter_keys: Sequence[int]
    ) -> Iterator[Hashable]:
        """Return what `is_as_allocated` depends on; see `check_keys`.

        Raises:
            RuntimeError: a tensor has no strides.
        """
        return (
            (key, t.dtype, t.device, t.shape, t.stride(), t.requires_grad, t.is_inference())
            for t, key in zip(tensors, parameter_keys, strict=True)
        )


class PerElementKind(TensorKind):
    """A tensor of the parameter's shape and layout."""

    name = "per element"
    shape_rule = "the parameter's"
    dtype_rule = "the parameter's"
    is_per_element = True

    def init_complaint(self, init: Any) -> str | None:
        """Return why a buffer can't start from a value; a function returns what it starts from."""
        return None if callable(init) else super().init_complaint(init)

    def shape_of(self, parameter: Tensor) -> torch.Size:
        """Return the parameter's shape."""
        return parameter.shape

    def dtype_of(self, parameter: Tensor) -> torch.dtype:
        """Return the parameter's dtype or the declared one, which is that of complex parts."""
        if self.dtype is None:
            return parameter.dtype
        dtype = super().dtype_of(parameter)
        return dtype.to_complex() if parameter.is_complex() else dtype

    def empty(self, parameter: Tensor, group: Group) -> Tensor:
        """Return a tensor like the parameter."""
        return torch.empty_like(parameter, dtype=self.dtype_of(parameter)).detach()

    def allocate_all(self, value: Any, params: Sequence[Tensor], group: Group) -> list[Any]:
        """Return tensors like the parameters.

        A complex one has `value` in both its real and its imaginary part, since complex
        parameters are stepped as pairs of real numbers.
        """
        dtype = self.dtype_of(params[0])
        if dtype == params[0].dtype:  # in two thirds of the time
            # zeros_like keeps strides and, for distributed tensors, the placement.
            tensors = [torch.zeros_like(p) for p in params]
        else:
            tensors = [torch.zeros_like(p, dtype=dtype) for p in params]
        if value != 0:
            for tensor in tensors:
                (torch.view_as_real(tensor) if tensor.is_complex() else tensor).fill_(float(value))
        return tensors

    def _is_laid_out(self, tensor: Tensor, parameter: Tensor) -> bool:
        strides = tensor.stride()
        if strides == parameter.stride():
            return True
        # Of a parameter with gaps, a buffer is dense; the meta device says how, without memory.
        return strides == torch.empty_like(parameter, device="meta").stride()


class ShapedKind(TensorKind):
    """A tensor whose shape is a function of the parameter."""

    name = "shaped"
    shape_rule = "a function of the parameter"

    def complaints(self, optional: bool) -> Iterator[str]:
        """Say that there has to be a function."""
        if self.shape is None:
            yield "kind 'shaped' needs shape=, a function of the parameter."

    def shape_of(self, parameter: Tensor) -> torch.Size:
        """Return what the declared function says of the parameter, as an update body sees it.

        Raises:
            DeclarationError: it fails, or returns something else than sizes.
        """
        seen = torch.view_as_real(parameter) if parameter.is_complex() else parameter
        name = self.buffer_name
        what = f"shape= of the buffer {name!r}, for a parameter of shape {list(seen.shape)},"
        try:
            sizes: Any = self.shape(seen)  # type: ignore[misc]
        except Exception as error:
            raise DeclarationError(f"{what} raised {type(error).__name__}: {error}") from error
        if isinstance(sizes, (tuple, list)) and all(isinstance(n, int) and n >= 0 for n in sizes):
            return torch.Size(sizes)
        raise DeclarationError(
            f"{what} must return sizes, as lambda p: p.shape[:1] does; got {sizes!r:.60}."
        )

    def empty(self, parameter: Tensor, group: Group) -> Tensor:
        """Return a buffer of `parameter` without values; sharded with the dims that it shares.

        One that owners get whole is sharded along its first dim, so that no rank has all of it.
        """
        if not is_distributed(parameter):
            return super().empty(parameter, group)
        dtype, shape = self.dtype_of(parameter), self.shape_of(parameter)
        if self.is_exchanged:
            return empty_rows(parameter, shape, dtype)
        return shaped_buffers.empty(parameter, shape, dtype, self.shape_of)

    # The function may look at anything of a parameter, so no two tensors count as alike.

    def check_keys(
        self, values: Sequence[Any], parameter_keys: Sequence[int]
    ) -> Iterator[Hashable]:
        """Return a key of its own for each tensor."""
        return iter(range(len(values)))

    def allocation_keys(
        self, tensors: Sequence[Tensor], parameter_keys: Sequence[int]
    ) -> Iterator[Hashable]:
        """Return a key of its own for each tensor."""
        return iter(range(len(tensors)))


def _is_convertible(saved: torch.dtype, own: torch.dtype) -> bool:
    """Whether a checkpoint's dtype may become another: floating to floating, say."""
    return saved == own or (saved.is_floating_point, saved.is_complex) == (
        own.is_floating_point,
        own.is_complex,
    )


def _uncopiable(value: Tensor, parameter: Tensor) -> str | None:
    """Return why the elements of a tensor can't be copied into one like `parameter`."""
    if value.layout != torch.strided:
        return f"is laid out as {str(value.layout).removeprefix('torch.')}, not dense"
    if value.device.type == "meta":
        return "has no values, since it is on the meta device"
    if is_plain(value) and is_plain(parameter):
        return None
    if hasattr(value, "device_mesh") != hasattr(parameter, "device_mesh"):
        way = "to be had whole" if hasattr(value, "device_mesh") else "to be distributed"
        return (
            f"is a {type(value).__name__}, the parameter a {type(parameter).__name__}; it is {way} "
            f"by {WHOLE}"
        )
    return None
