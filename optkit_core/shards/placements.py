"""Where the elements of a DTensor are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from optkit_core import torch_private
from optkit_core.declaration.tensor_types import is_plain


def is_distributed(value: Any) -> bool:
    """Return whether something is a DTensor."""
    # Not by its class, which takes a third of a second to import where nobody has done so.
    return isinstance(value, Tensor) and not is_plain(value) and hasattr(value, "placements")


def are_any_distributed(param_groups: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether there is a DTensor among the parameters of groups."""
    return any(is_distributed(p) for group in param_groups for p in group["params"])


def shared_mesh(p: Any) -> Any:
    """Return the mesh on which other ranks hold parts of a tensor too, None where none do."""
    mesh = p.device_mesh if is_distributed(p) else None
    is_shared = mesh is not None and mesh.size() > 1 and mesh.get_coordinate() is not None
    return mesh if is_shared else None


def meshes_of(param_groups: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Return the meshes that this rank shares with others, in the order of their parameters."""
    meshes: dict[int, Any] = {}
    for group in param_groups:
        for p in group["params"]:
            if is_distributed(p) and id(p.device_mesh) not in meshes:
                meshes[id(p.device_mesh)] = shared_mesh(p)
    # Equal meshes may be many objects, and to look one up by its contents takes 4 µs.
    return list(dict.fromkeys(mesh for mesh in meshes.values() if mesh is not None))


def placement_of(p: Any) -> str:
    """Return how a DTensor is placed on its mesh, ``""`` for any other tensor."""
    if not is_distributed(p):
        return ""
    mesh = "x".join(map(str, p.device_mesh.shape))
    return f"{', '.join(map(str, p.placements))} over {mesh}"


def local_part_of(value: Any) -> Any:
    """Return what this rank holds of a DTensor, and anything else as it is."""
    return torch_private.local_part(value) if is_distributed(value) else value


def local_size(p: Tensor) -> int:
    """Return how many elements of a tensor this rank has."""
    size: int = local_part_of(p).numel()
    return size


def largest_part(p: Any) -> int:
    """Return how many elements of a DTensor some rank has at most, which all ranks know alike."""
    shape = list(p.shape)
    for count, placement in zip(p.device_mesh.shape, p.placements, strict=True):
        dim = getattr(placement, "dim", None)
        if dim is not None:
            shape[dim] = -(-shape[dim] // count)
    return math.prod(shape)


def is_flattened(p: Tensor) -> bool:
    """Return whether a parameter is the part of a flat one that FSDP1 leaves on this rank.

    That is ``torch.distributed.fsdp.FullyShardedDataParallel``, with ``use_orig_params`` or not.

    Args:
        p: the parameter.

    >>> import torch
    >>> is_flattened(torch.ones(2))
    False
    """
    return torch_private.is_flattened(p)


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
