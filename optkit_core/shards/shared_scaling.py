"""Scaled gradients of DTensors: what one rank has found in its parts holds on all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from optkit_core.errors import GradientError
from optkit_core.shards.placements import meshes_of
from optkit_core.step.grad_scaler import Scaling


def share(scaling: Scaling, param_groups: Iterable[Mapping[str, Any]]) -> None:
    """Let all ranks skip a step where one of them has found a gradient that isn't finite.

    A rank that skipped by itself would leave the others waiting, who redistribute gradients. All
    ranks call this, one collective for each dim of a mesh, in steps for which a scaler has looked.

    Args:
        scaling: what this rank was told; what all know takes its place.
        param_groups: the groups, with DTensors among their parameters.

    Raises:
        GradientError: ranks have scaled their gradients by different numbers.
    """
    if scaling.found_inf is None:
        return
    scale = torch.ones(()) if scaling.inverse is None else scaling.inverse
    for mesh in meshes_of(param_groups):
        row = _largest([scaling.found_inf, scale, -scale], mesh)
        _require_alike(row)
        scaling.found_inf = row[0].to(scaling.found_inf.device)


def _largest(numbers: Iterable[Tensor], mesh: Any) -> Tensor:
    """Return the largest of each number over all ranks of a mesh."""
    from torch.distributed import ReduceOp, all_reduce  # there, since somebody has made a mesh

    row = torch.stack([number.to(mesh.device_type, torch.float32) for number in numbers])
    for group in mesh.get_all_groups():
        all_reduce(row, ReduceOp.MAX, group=group)
    return row


def _require_alike(row: Tensor) -> None:
    """Raise on every rank where scales differ."""
    _, largest, negative = row.tolist()
    if largest != -negative:
        raise GradientError(
            f"the ranks have scaled their gradients by {1 / largest:g} and by {-1 / negative:g}. "
            "torch's GradScaler asks the other ranks by the placements of the first gradient of a "
            "device and dtype alone: let the first parameter be one that is sharded as the others "
            "are, and begin with the same scale on all ranks."
        )
