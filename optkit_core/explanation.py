"""Explanations: what runs each bucket of an optimizer and why, as records that print as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from optkit_core.buckets import Kind, kind_of
from optkit_core.offers import OWN_STEP, offers_of

if TYPE_CHECKING:
    from optkit_core.choosing import Choosing

COLUMNS = ("group", "device", "dtype", "layout", "tensors", "elements", "runs", "why")


class BucketExplanation(NamedTuple):
    """One bucket: what it holds, what runs it, and why the others don't.

    Args:
        group: the place of its parameter group.
        device: as in ``"cuda:0"``.
        dtype: without ``torch.``.
        layout: of the gradients: ``"strided"`` or ``"sparse_coo"``, and what is special.
        tensors: how many parameters, with and without a gradient.
        elements: how many elements they have together.
        implementation: the name of what runs; ``"its own"`` for an algorithm that defines
            its step and offers no implementations.
        reason: why it was chosen.
        rejected: for every other implementation why not.
    """

    group: int
    device: str
    dtype: str
    layout: str
    tensors: int
    elements: int
    implementation: str
    reason: str
    rejected: Mapping[str, str]


class Explanation(NamedTuple):
    """What runs an optimizer and why; ``str()`` of it is a table.

    Args:
        algorithm: the name of the class.
        request: who had the say about the implementation.
        buckets: one record for each.
    """

    algorithm: str
    request: str
    buckets: tuple[BucketExplanation, ...]

    def __str__(self) -> str:
        rows = [COLUMNS, *(_cells(bucket) for bucket in self.buckets)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        others = [
            f"group {bucket.group}, {bucket.device} {bucket.dtype}: not {name}: {reason}"
            for bucket in self.buckets
            for name, reason in bucket.rejected.items()
        ]
        return "\n".join([f"{self.algorithm}, as {self.request} has it", *lines, *others])


def explain(optimizer: Choosing) -> Explanation:
    """Explain what runs each bucket of an optimizer as it is now.

    Parameters without a gradient are counted where they would be if they had a dense one.
    """
    buckets = []
    for place, group in enumerate(optimizer.param_groups):
        h = optimizer.values(group)
        for kind, params in _by_kind(group).items():
            buckets.append(
                BucketExplanation(
                    place,
                    str(kind.device),
                    str(kind.dtype).removeprefix("torch."),
                    kind.special,
                    len(params),
                    sum(p.numel() for p in params),
                    *_choice(optimizer, group, kind, params, h),
                )
            )
    return Explanation(type(optimizer).__name__, optimizer.request.source, tuple(buckets))


def _choice(
    optimizer: Choosing, group: dict[str, Any], kind: Kind, params: list[Tensor], h: Any
) -> tuple[str, str, Mapping[str, str]]:
    """Return the name of what runs, the reason, and for every other implementation why not."""
    if not (optimizer.has_body or offers_of(type(optimizer))):
        return OWN_STEP, f"{type(optimizer).__name__} defines its step and offers no other", {}
    choice = optimizer.choose(group, kind, params, h)
    return choice.name, choice.reason, dict(choice.rejected)


def _by_kind(group: Mapping[str, Any]) -> dict[Kind, list[Tensor]]:
    found: dict[Kind, list[Tensor]] = {}
    for p in group["params"]:
        kind = kind_of(group, p, p.layout if p.grad is None else p.grad.layout)
        found.setdefault(kind, []).append(p)
    return found


def _cells(bucket: BucketExplanation) -> tuple[str, ...]:
    *facts, reason, _ = bucket
    return (*(str(fact) for fact in facts), reason)
