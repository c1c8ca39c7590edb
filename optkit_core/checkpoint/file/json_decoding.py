"""Decoding JSON and named tensors into a state dict; nothing is taken on trust."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from optkit_core.checkpoint.file import torch_constants
from optkit_core.checkpoint.file.json_encoding import (
    COMPLEX,
    DOUBLE,
    FLOAT,
    ITEMS,
    ORDER,
    PAIRED,
    TENSOR,
    TUPLE,
)


class UnknownMarkError(ValueError):
    """Something stands in the text that only a later version knows."""


def decode(text: str, tensors: dict[str, Tensor]) -> Any:
    """Return the value that `encode` has taken apart.

    Args:
        text: the JSON.
        tensors: by name; each must stand in the text once.

    Raises:
        ValueError: the text isn't what `encode` gives.
        UnknownMarkError: it is what a later version may give.

    >>> import torch
    >>> decode('{"a": {"$tuple": [1, {"$tensor": "x"}]}}', {"x": torch.ones(1)})
    {'a': (1, tensor([1.]))}
    """
    left = dict(tensors)
    try:
        parsed = json.loads(text, object_pairs_hook=_object, parse_constant=_raise_for_constant)
        value = _decoded(parsed, left)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if left:
        raise ValueError(f"nothing refers to the tensor {next(iter(left))!r:.60}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    # json would take the last of equal keys without a word.
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in a dict")
    return result


def _raise_for_constant(constant: str) -> Any:
    # json reads NaN and Infinity by default; no file of ours has them.
    raise ValueError(f"{constant} isn't JSON")


def _decoded(value: Any, left: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decoded(item, left) for item in value]
    if not isinstance(value, dict):
        return value
    # A later version's mark must not be read as a dict.
    mark = next((key for key in value if key.startswith("$")), None)
    if mark is None:
        return {key: _decoded(item, left) for key, item in value.items()}
    if mark == TENSOR:
        return _tensor(value, left)
    if mark not in READERS:
        raise UnknownMarkError(mark)
    if len(value) != 1:
        raise ValueError(f"something stands beside {mark!r}")
    return READERS[mark](value[mark], left)


def _tuple(content: Any, left: dict[str, Tensor]) -> tuple[Any, ...]:
    return tuple(_decoded(item, left) for item in _list(content))


def _float(content: Any, _: dict[str, Tensor]) -> float:
    if not isinstance(content, str) or len(content) != 16:
        raise ValueError(f"{content!r:.40} isn't a float")
    value: float = DOUBLE.unpack(bytes.fromhex(content))[0]
    return value


def _complex(content: Any, left: dict[str, Tensor]) -> complex:
    parts = [_decoded(part, left) for part in _list(content)]
    if [type(part) for part in parts] != [float, float]:
        raise ValueError(f"{content!r:.40} isn't a complex number")
    return complex(*parts)


def _items(content: Any, left: dict[str, Tensor]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for pair in _list(content):
        # type(), since True would be the same key as 1.
        if len(_list(pair)) != 2 or type(pair[0]) not in (str, int) or pair[0] in result:
            raise ValueError(f"{pair!r:.40} isn't an item of a dict, or stands in it twice")
        result[pair[0]] = _decoded(pair[1], left)
    return result


def _list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise ValueError(f"{content!r:.40} isn't a list")
    return content


def _constant(mark: str, content: Any, _: dict[str, Tensor]) -> Any:
    return torch_constants.read(mark, content)


READERS: dict[str, Callable[[Any, dict[str, Tensor]], Any]] = {
    TUPLE: _tuple,
    FLOAT: _float,
    COMPLEX: _complex,
    ITEMS: _items,
    **{mark: functools.partial(_constant, mark) for mark in torch_constants.BY_MARK},
}


def _tensor(value: dict[str, Any], left: dict[str, Tensor]) -> Tensor:
    name, order, paired = value[TENSOR], value.get(ORDER), value.get(PAIRED, False)
    if not isinstance(name, str) or name not in left or set(value) - {TENSOR, ORDER, PAIRED}:
        raise ValueError(f"{name!r:.60} isn't a tensor of this file, or stands in it twice")
    tensor = left.pop(name)
    if paired is not False:
        tensor = _as_complex(name, tensor)
    return tensor if order is None else _permuted(name, tensor, order)


def _as_complex(name: str, tensor: Tensor) -> Tensor:
    parts = (torch.float16, torch.float32, torch.float64)
    if tensor.dtype not in parts or tensor.shape[-1:] != (2,):
        raise ValueError(f"{name!r:.60} can't be complex")
    return torch.view_as_complex(tensor)


def _permuted(name: str, tensor: Tensor, order: Any) -> Tensor:
    """Return a tensor of the same elements whose dimensions lie in memory in this order."""
    numbers = [d for d in _list(order) if type(d) is int]
    if numbers != order or sorted(numbers) != list(range(tensor.dim())):
        raise ValueError(f"{name!r:.60} has the order {order!r:.40}")
    permuted = torch.empty_permuted(tensor.shape, numbers, dtype=tensor.dtype, device=tensor.device)
    return permuted.copy_(tensor)
