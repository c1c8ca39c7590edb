"""Explanations: what runs each bucket of an optimizer and why, as records that print as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple, Protocol

from optkit_core.declaration.buffers import Buffer
from optkit_core.selection.cached_choices import Chooser
from optkit_core.selection.collect_offers import OWN_STEP, offers_of
from optkit_core.selection.offer import Offer
from optkit_core.selection.requests import Request
from optkit_core.selection.select_implementation import Choice
from optkit_core.shards.local_parts import LocalParts
from optkit_core.shards.placements import local_size, placement_of
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket
from optkit_core.step.group_values import GroupOwner, GroupValues
from optkit_core.step.sort_into_buckets import gather

FACTS = ("device", "dtype", "layout", "tensors", "elements")


class BucketExplanation(NamedTuple):
    """One bucket: what it holds, what runs it, and why the others don't.

    Args:
        groups: the indices of its parameter groups.
        device: as in ``"cuda:0"``.
        dtype: without ``torch.``.
        layout: of the gradients: ``"strided"`` or ``"sparse_coo"``, and what is special.
        tensors: how many parameters, with and without a gradient.
        elements: how many elements they have together.
        implementation: the name of what runs; ``"its own"`` for an algorithm that defines
            its step and offers no implementations.
        reason: why it was chosen.
        rejected: for every other implementation why not.
        algorithm: the name of the class, in an explanation of several algorithms.
        placements: how DTensors among the parameters are placed, each way once; empty where
            there are none.
        local_elements: how many of the elements this rank has.
        owned: how many DTensors this rank steps whole, for all ranks that have parts of them; None
            where each rank steps its own part.
    """

    groups: tuple[int, ...]
    device: str
    dtype: str
    layout: str
    tensors: int
    elements: int
    implementation: str
    reason: str
    rejected: Mapping[str, str]
    algorithm: str = ""
    placements: tuple[str, ...] = ()
    local_elements: int = 0
    owned: int | None = None

    @property
    def group(self) -> int:
        """The index of its first parameter group."""
        return self.groups[0]


class Explanation(NamedTuple):
    """What runs an optimizer and why; ``str()`` of it is a table.

    Args:
        algorithm: the name of the class.
        request: who had the say about the implementation.
        buckets: one record for each.
        reader: how changes between steps are noticed, ``""`` where nothing depends on it.
    """

    algorithm: str
    request: str
    buckets: tuple[BucketExplanation, ...]
    reader: str = ""

    def __str__(self) -> str:
        columns = _columns(self.buckets)
        cells = [[str(cell(bucket)) for cell in columns.values()] for bucket in self.buckets]
        rows = [list(columns), *cells]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        others = [
            f"group {_ranges(bucket.groups)}, {bucket.device} {bucket.dtype}: not {name}: {reason}"
            for bucket in self.buckets
            for name, reason in bucket.rejected.items()
        ]
        reader = [self.reader] if self.reader else []
        return "\n".join([f"{self.algorithm}, as {self.request} has it", *lines, *others, *reader])


class ExplainedOptimizer(GroupOwner, Protocol):
    """What an explanation needs of its optimizer."""

    offers: ClassVar[tuple[Offer, ...]]
    has_body: ClassVar[bool]
    step_options: ClassVar[tuple[str, ...]]
    parts_class: ClassVar[type[LocalParts]]
    buffers: ClassVar[Mapping[str, Buffer]]
    counts_steps: ClassVar[bool]
    request: Request
    chooser: Chooser

    def choose(
        self, group: Mapping[str, Any], key: BucketKey, h: SimpleNamespace | None = None
    ) -> Choice:
        """Return what runs the buckets of a key."""

    @classmethod
    def steps_parts(cls) -> bool:
        """Return whether each rank can step what it holds of a DTensor."""

    @classmethod
    def completes_reductions(cls) -> bool:
        """Return whether what a part is reduced to has to be completed over the mesh."""


def explain(optimizer: ExplainedOptimizer) -> Explanation:
    """Explain what runs each bucket of an optimizer as it is now.

    Parameters without a gradient are counted where they would be if they had a dense one.
    """
    values, parts = GroupValues(optimizer), optimizer.parts_class()
    parts.note(type(optimizer), optimizer.param_groups, values)
    buckets = gather(
        optimizer.param_groups,
        values,
        only_with_gradient=False,
        algorithm=type(optimizer),
        counts_as_plain=parts.take,
        refused_by=optimizer.chooser.agreement.refused,
    )
    choices = [_choice(optimizer, bucket) for bucket in buckets]
    return Explanation(
        type(optimizer).__name__,
        optimizer.request.source,
        tuple(_explained(*pair, parts) for pair in zip(buckets, choices, strict=True)),
        # `StepPlan` asks for the reader under the same condition.
        _noticing() if any(choice.offer.holds for choice in choices) else "",
    )


def joined(explanations: Sequence[tuple[Explanation, Sequence[int]]]) -> Explanation:
    """Return one explanation for optimizers of several algorithms.

    Args:
        explanations: of each optimizer, with the indices that its groups have among all.
    """
    buckets = [
        bucket._replace(groups=tuple(indices[i] for i in bucket.groups), algorithm=one.algorithm)
        for one, indices in explanations
        for bucket in one.buckets
    ]
    first = explanations[0][0]
    return Explanation(
        " and ".join(one.algorithm for one, _ in explanations),
        first.request,
        tuple(sorted(buckets, key=lambda bucket: bucket.groups)),
        next((one.reader for one, _ in explanations if one.reader), ""),
    )


def _choice(optimizer: ExplainedOptimizer, bucket: Bucket) -> Choice:
    cls = type(optimizer)
    if not (cls.has_body or offers_of(cls)):
        own_step = Offer(OWN_STEP, unsupported_reason=lambda *_: None)
        return Choice(bucket.key, own_step, f"{cls.__name__} defines its step and offers no other")
    first = bucket.groups[0]
    h = bucket.hyperparameters[first]
    return optimizer.choose(optimizer.param_groups[first], bucket.key, h)


def _explained(bucket: Bucket, choice: Choice, parts: LocalParts) -> BucketExplanation:
    key = bucket.key
    return BucketExplanation(
        tuple(dict.fromkeys(bucket.groups)),
        str(key.device),
        str(key.dtype).removeprefix("torch."),
        key.special,
        len(bucket.params),
        sum(p.numel() for p in bucket.params),
        choice.name,
        choice.reason,
        dict(choice.rejected),
        placements=tuple(dict.fromkeys(filter(None, map(placement_of, bucket.params)))),
        local_elements=sum(map(local_size, bucket.params)),
        owned=parts.owned(bucket.params),
    )


def _noticing() -> str:
    # Imported late: the reader brings the compiler and the cache of kernels along.
    from optkit_core.native.tensor_reader_loader import unavailable_reason

    reason = unavailable_reason()
    if reason is None:
        return "changes between steps are noticed by the native reader"
    return f"changes between steps are noticed by Python, not by the native reader: {reason}"


def _ranges(groups: Sequence[int]) -> str:
    """Return the indices of groups in short.

    >>> _ranges([0, 1, 2, 5])
    '0-2, 5'
    """
    spans: list[list[int]] = []
    for index in groups:
        if spans and spans[-1][-1] == index - 1:
            spans[-1] = [spans[-1][0], index]
        else:
            spans.append([index])
    return ", ".join("-".join(map(str, ends)) for ends in spans)


def _columns(buckets: Sequence[BucketExplanation]) -> dict[str, Callable[[Any], object]]:
    """Return what gives each column of a table, by its title."""
    columns: dict[str, Callable[[Any], object]] = {"group": lambda b: _ranges(b.groups)}
    if any(bucket.algorithm for bucket in buckets):
        columns["algorithm"] = lambda b: b.algorithm
    columns.update((name, attrgetter(name)) for name in FACTS)
    if any(bucket.placements for bucket in buckets):
        columns["on this rank"] = lambda b: b.local_elements
        if any(bucket.owned is not None for bucket in buckets):
            columns["owned"] = lambda b: "" if b.owned is None else b.owned
        columns["placements"] = lambda b: " and ".join(b.placements)
    return columns | {"runs": attrgetter("implementation"), "why": attrgetter("reason")}
