"""torch's constants in a file, by their names: dtypes, devices, sizes, layouts and formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch


@attrs.frozen(eq=False)
class Kind:
    """One kind of constant.

    Args:
        mark: the key that stands for it in a file.
        write: returns what JSON can hold of a constant.
        read: returns the constant again, or raises.
    """

    mark: str
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _listed(kind: type) -> Callable[[Any], Any]:
    def read(name: Any) -> Any:
        found = getattr(torch, name)
        if not isinstance(found, kind):
            raise TypeError(name)
        return found

    return read


def _name(constant: Any) -> str:
    return str(constant).removeprefix("torch.")


KINDS: dict[type, Kind] = {
    torch.dtype: Kind("$dtype", _name, _listed(torch.dtype)),
    torch.layout: Kind("$layout", _name, _listed(torch.layout)),
    torch.memory_format: Kind("$memory_format", _name, _listed(torch.memory_format)),
    torch.device: Kind("$device", str, torch.device),
    torch.Size: Kind("$size", list, torch.Size),
}
BY_MARK = {kind.mark: kind for kind in KINDS.values()}


def written(constant: Any) -> dict[str, Any] | None:
    """Return what stands for a constant of torch's in a file, None for anything else.

    >>> written(torch.float32), written(1.0)
    ({'$dtype': 'float32'}, None)
    """
    kind = KINDS.get(type(constant))
    return None if kind is None else {kind.mark: kind.write(constant)}


def read(mark: str, content: Any) -> Any:
    """Return the constant that `written` has written.

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
