"""Where the elements of a DTensor are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from optkit_core import torch_private
from optkit_core.declaration.tensor_types import is_plain


def is_distributed(value: Any) -> bool:
    """Return whether something is a DTensor."""
    # Not by its class, which takes a third of a second to import where nobody has done so.
    return isinstance(value, Tensor) and not is_plain(value) and hasattr(value, "placements")


def placement_of(p: Any) -> str:
    """Return how a DTensor is placed on its mesh, ``""`` for any other tensor."""
    if not is_distributed(p):
        return ""
    mesh = "x".join(map(str, p.device_mesh.shape))
    return f"{', '.join(map(str, p.placements))} over {mesh}"


def local_size(p: Tensor) -> int:
    """Return how many elements of a tensor this rank has."""
    return (torch_private.local_part(p) if is_distributed(p) else p).numel()


def has_plain_part(group: Mapping[str, Any], p: Any) -> bool:
    """Return whether a parameter is a DTensor whose elements on this rank are in a plain tensor.

    Args:
        group: the parameter's group; where autograd records the step, it knows the whole alone.
        p: the parameter.

    >>> import torch
    >>> has_plain_part({}, torch.ones(2))
    False
    """
    if not is_distributed(p) or group.get("differentiable", False):
        return False
    has_sums = any(placement.is_partial() for placement in p.placements)
    return not has_sums and is_plain(torch_private.local_part(p))
