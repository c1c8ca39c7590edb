"""Encoding a state dict as JSON and named tensors, exactly; `json_decoding` is the inverse.

What JSON has no word for is an object with a key that starts with ``$``: a tensor, a tuple,
a complex number, a float that is no finite number, a dict with keys other than strings, a
constant of torch's.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optkit_core.checkpoint.file import torch_constants
from optkit_core.checkpoint.file.safetensors_header import CHECKSUMS, CODES, METADATA
from optkit_core.errors import CheckpointError
from optkit_core.param_groups.builtin_values import number

TENSOR, TUPLE, FLOAT, COMPLEX, ITEMS = "$tensor", "$tuple", "$float", "$complex", "$items"
PAIRED, ORDER = "paired", "order"
MAX_DEPTH = 100
MAX_BITS = 10_000
DOUBLE = struct.Struct(">d")


def encode(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return what JSON can hold, and the tensors that it names.

    Args:
        value: tensors, numbers, NumPy's too, strings, booleans, None, dtypes and other constants
            of torch's, and lists, tuples and dicts of them.

    Returns:
        The value with tensors replaced by names; the tensors by name, as they are in memory,
        complex ones viewed as pairs of real numbers.

    Raises:
        CheckpointError: there is something else in it; says what and where.

    >>> encode({"lr": 0.1, "betas": (0.9, math.inf)})[0]
    {'lr': 0.1, 'betas': {'$tuple': [0.9, {'$float': '7ff0000000000000'}]}}
    """
    tensors: dict[str, Tensor] = {}
    return _encoded(value, "", 0, tensors), tensors


def _encoded(value: Any, where: str, depth: int, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        return _named(value, where, tensors)
    constant, value = torch_constants.write(value), number(value)
    if constant is not None:
        return constant
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float, complex)):
        return _number(value, where)
    if depth == MAX_DEPTH:
        raise CheckpointError(f"{where:.80} is nested deeper than {MAX_DEPTH} levels; flatten it.")
    if isinstance(value, dict):
        return _dict(value, where, depth, tensors)
    if isinstance(value, (list, tuple)):
        items = [
            _encoded(item, _below(where, i), depth + 1, tensors) for i, item in enumerate(value)
        ]
        return {TUPLE: items} if isinstance(value, tuple) else items
    raise CheckpointError(
        f"{where} is {value!r:.60}, of type {type(value).__name__}, which can't be saved: state is "
        "tensors, numbers, strings, booleans, None, dtypes, devices, and lists, tuples and dicts "
        "of them. Keep it elsewhere."
    )


def _number(value: Any, where: str) -> Any:
    if isinstance(value, int):
        # Python's json reads 4300 digits at most:
        # docs.python.org/3/library/stdtypes.html#int-max-str-digits.
        if value.bit_length() > MAX_BITS:
            raise CheckpointError(f"{where} is a number of more than {MAX_BITS} bits.")
        return int(value)
    if isinstance(value, complex):
        return {COMPLEX: [_number(value.real, where), _number(value.imag, where)]}
    # As bits, so that the payload of a NaN comes back too; finite floats survive JSON exactly.
    return float(value) if math.isfinite(value) else {FLOAT: DOUBLE.pack(value).hex()}


def _dict(value: dict[Any, Any], where: str, depth: int, tensors: dict[str, Tensor]) -> Any:
    for key in value:
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            raise CheckpointError(
                f"{where} has the key {key!r:.60}, of type {type(key).__name__}; a dict that is "
                "saved has strings or whole numbers as keys."
            )
    items = [
        (key, _encoded(item, _below(where, key), depth + 1, tensors)) for key, item in value.items()
    ]
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return dict(items)
    return {ITEMS: [list(item) for item in items]}


def _named(tensor: Tensor, where: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    _require_ordinary(tensor, where)
    reference: dict[str, Any] = {TENSOR: _free_name(where, tensors)}
    order = [] if tensor.is_contiguous() else _order(tensor)
    if order:
        reference[ORDER] = order
    # A lazy conjugate shows other numbers than those in its memory, which are what is written.
    plain = tensor.detach().resolve_conj().resolve_neg()
    if tensor.is_complex():
        reference[PAIRED], plain = True, torch.view_as_real(plain)
    tensors[reference[TENSOR]] = plain
    return reference


def _order(tensor: Tensor) -> list[int]:
    """Return the dimensions as they lie in memory, none if the tensor isn't dense."""
    strides = tensor.stride()
    order = sorted(range(tensor.dim()), key=lambda dimension: -strides[dimension])
    return order if tensor.permute(order).is_contiguous() else []


def _require_ordinary(tensor: Tensor, where: str) -> None:
    reason = ""
    if type(tensor) not in (Tensor, torch.nn.Parameter):
        reason = f"of the class {type(tensor).__name__}; take its plain or gathered form"
    elif tensor.layout != torch.strided or tensor.is_meta:
        kind = "meta" if tensor.is_meta else str(tensor.layout).removeprefix("torch.")
        reason = f"{kind}; make it dense, on a device"
    elif tensor.dtype not in CODES and not tensor.is_complex():
        reason = f"of dtype {str(tensor.dtype).removeprefix('torch.')}; convert it"
    if reason:
        raise CheckpointError(f"{where} can't be saved, because the tensor is {reason}.")


def _free_name(where: str, tensors: Mapping[str, Tensor]) -> str:
    # A key may hold what UTF-8 can't, or look like a path.
    name = where.encode("utf-8", "backslashreplace").decode()
    while name in tensors or name in (METADATA, CHECKSUMS):
        name += "'"
    return name


def _below(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)
