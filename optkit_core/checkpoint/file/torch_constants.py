"""torch's constants in a file, by their names: dtypes, devices, sizes, layouts and formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch


@attrs.frozen(eq=False)
class ConstantCodec:
    """How one kind of constant is written and read.

    Args:
        mark: the key that stands for it in a file.
        write: returns what JSON can hold of a constant.
        read: returns the constant again, or raises.
    """

    mark: str
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _named(kind: type) -> Callable[[Any], Any]:
    def read(name: Any) -> Any:
        constant = getattr(torch, name)
        if not isinstance(constant, kind):
            raise TypeError(name)
        return constant

    return read


def _name(constant: Any) -> str:
    return str(constant).removeprefix("torch.")


CODECS: dict[type, ConstantCodec] = {
    torch.dtype: ConstantCodec("$dtype", _name, _named(torch.dtype)),
    torch.layout: ConstantCodec("$layout", _name, _named(torch.layout)),
    torch.memory_format: ConstantCodec("$memory_format", _name, _named(torch.memory_format)),
    torch.device: ConstantCodec("$device", str, torch.device),
    torch.Size: ConstantCodec("$size", list, torch.Size),
}
BY_MARK = {codec.mark: codec for codec in CODECS.values()}


def write(constant: Any) -> dict[str, Any] | None:
    """Return what stands for a constant of torch's in a file, None for anything else.

    >>> write(torch.float32), write(1.0)
    ({'$dtype': 'float32'}, None)
    """
    codec = CODECS.get(type(constant))
    return None if codec is None else {codec.mark: codec.write(constant)}


def read(mark: str, content: Any) -> Any:
    """Return the constant that `write` has written.

    Args:
        mark: one of `BY_MARK`.
        content: what stands beside it.

    Raises:
        ValueError: this version of torch has no such constant.
    """
    try:
        return BY_MARK[mark].read(content)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise ValueError(f"this torch has no {mark[1:]} {content!r:.40}") from error
