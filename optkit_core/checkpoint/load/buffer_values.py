"""Values: whether what was saved for a declared buffer of a parameter fits it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core.checkpoint.load import forms
from optkit_core.checkpoint.load.load_report import Findings
from optkit_core.checkpoint.schema import dtype_name
from optkit_core.declaration.buffer_kinds import SCALAR, SHAPED
from optkit_core.declaration.buffers import STEP, Buffer
from optkit_core.step.bucket_key import PLAIN_TYPES

LARGEST_COUNT = 2**53
"""Up to here every whole number is a float64."""

FORMS = {SCALAR: forms.of_scalars, SHAPED: forms.unlike}
"""What the judgment of a value depends on, for the kinds where it isn't `forms.of_values`."""


def fit(
    name: str,
    buffer: Buffer,
    column: Sequence[Any],
    parameters: Sequence[Tensor],
    numbers: Sequence[int],
) -> list[bool]:
    """Return which of the values saved for a buffer fit, as `check` finds.

    Args:
        name: the buffer's name.
        buffer: its declaration.
        column: what was saved for it, parameter by parameter.
        parameters: the parameters.
        numbers: the numbers of their forms.
    """
    form = FORMS.get(buffer.kind, forms.of_values)
    return forms.judged(functools.partial(_fits, name, buffer), form, numbers, column, parameters)


def _fits(name: str, buffer: Buffer, value: Any, parameter: Tensor) -> bool:
    found = Findings()
    check(name, buffer, value, parameter, "", found)
    return not found.count


def check(
    name: str, buffer: Buffer, value: Any, parameter: Tensor, label: str, found: Findings
) -> None:
    """Check a saved value against what is declared.

    Args:
        name: the buffer's name.
        buffer: its declaration.
        value: what was saved for it.
        parameter: whose state it is to become part of.
        label: what the parameter is called.
        found: takes in what doesn't fit.
    """
    if buffer.kind == SCALAR:
        complaint = scalar_complaint(name, value)
        found.refused += [f"{name} of {label} {complaint}"] if complaint else []
    elif buffer.is_tensor:
        _check_elements(name, buffer, value, parameter, label, found)


def _check_elements(
    name: str, buffer: Buffer, value: Any, parameter: Tensor, label: str, found: Findings
) -> None:
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        found.refused.append(f"{name} of {label} must be a tensor, got {kind} {value!r:.40}")
    elif value.shape != (shape := buffer.shape_for(parameter)):
        found.shape_mismatched.append(
            f"{name} of {label} has shape {list(value.shape)}, not {list(shape)}"
        )
    else:
        wanted = buffer.dtype_for(parameter)
        if value.dtype != wanted and not _same_kind(value.dtype, wanted):
            found.refused.append(
                f"{name} of {label} is {dtype_name(value.dtype)}, not {dtype_name(wanted)}"
            )
        complaint = storage_complaint(value, parameter)
        if complaint:
            found.refused.append(f"{name} of {label} {complaint}")


def storage_complaint(value: Tensor, parameter: Tensor) -> str:
    """Return why the elements of a tensor can't be copied into one like `parameter`, or ``""``."""
    if value.layout != torch.strided:
        return f"is laid out as {str(value.layout).removeprefix('torch.')}, not dense"
    if value.device.type == "meta":
        return "has no values, since it is on the meta device"
    if _is_native(value) and _is_native(parameter):
        return ""
    if hasattr(value, "device_mesh") != hasattr(parameter, "device_mesh"):
        return f"is a {type(value).__name__}, the parameter a {type(parameter).__name__}"
    return ""


def scalar_complaint(name: str, value: Any) -> str:
    """Return what is wrong with the saved value of a scalar buffer, or ``""``."""
    if isinstance(value, Tensor):
        if value.shape != () or value.dtype == torch.bool or value.is_complex():
            shape = list(value.shape)
            return f"must be one number, got a {dtype_name(value.dtype)} tensor of shape {shape}"
        if value.layout != torch.strided or value.device.type == "meta":
            return "must be one number, got a tensor without a value"
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"must be one number, got {value!r:.40}"
    if name == STEP and not is_count(value):
        return f"must be a whole number of steps, got {value!r:.40}"
    return ""


def is_count(value: float) -> bool:
    """Whether a number can be a number of steps."""
    return 0 <= value <= LARGEST_COUNT and math.floor(value) == value


def _same_kind(one: torch.dtype, other: torch.dtype) -> bool:
    return (one.is_floating_point, one.is_complex) == (other.is_floating_point, other.is_complex)


def _is_native(tensor: Tensor) -> bool:
    return type(tensor) in PLAIN_TYPES
