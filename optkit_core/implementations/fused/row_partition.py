"""Parts: a bucket's rows as kernels take them, on whichever device they lie."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import torch

from optkit_core.declaration.buffer_conditions import names_under
from optkit_core.errors import UnavailableError
from optkit_core.implementations import scalar_buffers
from optkit_core.implementations.fused.address_table import AddressTable
from optkit_core.implementations.fused.joined_launches import one_after_another
from optkit_core.implementations.fused.row_layout import Walk, sorted_rows
from optkit_core.implementations.fused.row_numbers import OtherBranchError, RowNumbers
from optkit_core.implementations.fused.sharded_passes import JointPasses
from optkit_core.implementations.fused.walks import walk_of
from optkit_core.implementations.kept_buckets import reader_of
from optkit_core.implementations.layout_copies import BucketCopy, packed
from optkit_core.implementations.scalar_buffers import Cells
from optkit_core.native.tensor_reader import Reader
from optkit_core.selection.offer import Launch, UpdateBody
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket
from optkit_core.step.garbage_collector import uncollected
from optkit_core.tracing.buffer_extents import require_extents
from optkit_core.tracing.flat_hyperparameters import FlatHyperparameters, flatten
from optkit_core.tracing.recorded_body import RecordedBody, matching_body, record_body

MOST_RETRIES = 2
"""How often a bucket's rows are sorted anew since their body takes another branch than before."""


class Part:
    """Rows that lie alike and, where it could be recorded, go through the same body.

    Args:
        table: where they lie.
        numbers: what a kernel takes for each of them; None where the body is run in each step.

    Attributes:
        run: what steps these rows once their numbers are computed, if that stays the same.
    """

    def __init__(self, table: AddressTable, numbers: RowNumbers | None = None) -> None:
        """Keep both."""
        self.table = table
        self.numbers = numbers
        self.run: Launch | None = None


class Parts:
    """The rows of a bucket: those that lie alike, and those that are copied in each step.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
        exactly: whether each row's count of steps is looked at, not one of each group.
        records: whether bodies are recorded.
    """

    def __init__(
        self,
        algorithm: type[UpdateBody],
        bucket: Bucket,
        exactly: bool = False,
        records: bool = True,
    ) -> None:
        """Sort the rows by how their tensors lie, and by the branches that their bodies take."""
        self.names = bucket.tensors
        self.is_scaled = bucket.inverse_scale is not None
        self.walk = walk_of(algorithm, bucket)
        alike, odd = sorted_rows(bucket, self.walk)
        self.odd = bucket.subset(odd) if odd else None
        self.parts: list[Part] = []
        self.joint: JointPasses | None = None
        for rows in alike:
            subset = bucket.subset(rows)
            reader = reader_of(subset)
            if reader is None or not records:
                self.parts.append(Part(_table(subset, self.names, reader)))
            else:
                self.parts += _recorded_parts(algorithm, subset, reader, exactly)
        # Bodies have just been recorded with the values of now.
        bucket.changed.clear()

    def holds(self, bucket: Bucket) -> bool:
        """Return whether the rows are as they were, with all addresses read anew."""
        if self.odd is not None and not self._is_still_odd():
            return False
        if (bucket.inverse_scale is not None) is not self.is_scaled:
            return False
        for part in self.parts:
            if not part.table.refresh():
                return False
        return not bucket.changed or self.takes_in_values(bucket)

    def takes_in_values(self, bucket: Bucket) -> bool:
        """Take in hyperparameters that have changed; whether bodies may go on as recorded."""
        changed, bucket.changed = bucket.changed, []
        return all(part.numbers is None or part.numbers.take_in(changed) for part in self.parts)

    def joined(self, bucket: Bucket, launches: Sequence[Launch]) -> Launch:
        """Return what does all of these; the same as in the step before if they are the same.

        Args:
            bucket: the one whose rows these are.
            launches: what steps its parts.
        """
        if not bucket.key.sharded:
            return one_after_another(launches)
        if self.joint is None or not self.joint.is_of(launches):
            self.joint = JointPasses(launches)
        return self.joint

    def _is_still_odd(self) -> bool:
        """Return whether the rows that are copied have their buffers, and need to be copied."""
        assert self.odd is not None
        names = self.odd.state_names
        whole = all(name in state for state in self.odd.states for name in names)
        return whole and self.odd.refresh() and not sorted_rows(self.odd, self.walk)[0]


def launcher_of_parts(
    algorithm: type[UpdateBody], bucket: Bucket, launch: Callable[[Part], Launch]
) -> Launch:
    """Return what steps the bucket; its parts are kept for the steps to come.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
        launch: returns what steps the rows of one part.

    Raises:
        UnavailableError: a kernel can't step some of the rows.
    """
    retries = 0
    while True:
        if bucket.kept is None:
            with uncollected():
                bucket.kept = Parts(algorithm, bucket, retries > 0, retries < MOST_RETRIES)
        parts: Parts = bucket.kept
        try:
            launches = [launch(part) for part in parts.parts]
        except OtherBranchError:
            # The first retry looks at the count of every row, the last one records no body.
            bucket.kept = None
            bucket.refresh()
            retries += 1
            continue
        if parts.odd is not None:
            launches += _copied(parts.odd, parts.walk, launch)
        return parts.joined(bucket, launches)


def expected_dtypes(
    algorithm: type[UpdateBody], key: BucketKey, h: Any, known: Container[torch.dtype]
) -> tuple[torch.dtype, ...]:
    """Return the dtypes of parameter, gradient and buffers of a bucket.

    Args:
        algorithm: the class with its buffers.
        key: what the bucket's parameters have in common.
        h: the hyperparameters of the bucket's first group, as attributes.
        known: the dtypes that kernels know.

    Raises:
        UnavailableError: kernels know one of them not, or a buffer isn't of its parameter's shape.
    """
    names = names_under(algorithm.buffers, h, key.buffers)
    buffers = {name: algorithm.buffers[name] for name in names}
    for name, buffer in buffers.items():
        if buffer.is_scalar and key.capturable:
            raise UnavailableError(
                f"a kernel is given the number {name!r} by the host, and with capturable=True it "
                "lies on the device"
            )
    require_extents({name: b for name, b in buffers.items() if not b.is_scalar})
    dtype = key.dtype.to_real()
    like = torch.empty(0, dtype=dtype, device="meta")
    own = [buffer.dtype_for(like) for buffer in buffers.values() if not buffer.is_scalar]
    dtypes = (dtype, dtype, *own)
    require_known(dtypes, known)
    return dtypes


def require_known(dtypes: Iterable[torch.dtype], known: Container[torch.dtype]) -> None:
    """Raise unless kernels know all dtypes.

    Args:
        dtypes: of all tensors of a row.
        known: the dtypes that kernels know.

    Raises:
        UnavailableError: naming the one that they don't.
    """
    for dtype in dtypes:
        if dtype not in known:
            raise UnavailableError(f"no kernel reads {str(dtype).removeprefix('torch.')}")


def _recorded_parts(
    algorithm: type[UpdateBody], bucket: Bucket, reader: Reader, exactly: bool
) -> list[Part]:
    """Return the parts of rows that lie alike, one for each branch of the body."""
    given = {index: flatten(bucket.hyperparameters[index]) for index in set(bucket.groups)}
    bodies = _bodies(algorithm, bucket, given, exactly)
    parts = []
    for body in dict.fromkeys(bodies):
        rows = [row for row, taken in enumerate(bodies) if taken is body]
        part = bucket if len(rows) == len(bucket) else bucket.subset(rows)
        table = _table(part, part.tensors, reader)
        parts.append(Part(table, _numbers(body, given, table, reader)))
    return parts


def _table(bucket: Bucket, names: Sequence[str], reader: Reader | None) -> AddressTable:
    """Return the addresses of rows, whose gradients are from here on looked up by them alone."""
    table = AddressTable(bucket, names, reader)
    if table.watched:
        # Held here, gradients would keep their memory after zero_grad().
        bucket.grads.clear()
    return table


def _numbers(
    body: RecordedBody | None,
    given: Mapping[int, FlatHyperparameters | None],
    table: AddressTable,
    reader: Reader,
) -> RowNumbers | None:
    if body is None:
        return None
    known = {index: values for index, values in given.items() if values is not None}
    groups = table.bucket.groups
    numbers = (table.counters, table.is_wide, reader, table.scalars, table.are_wide)
    return RowNumbers(body, known, groups, *numbers)


def _bodies(
    algorithm: type[UpdateBody],
    bucket: Bucket,
    given: Mapping[int, FlatHyperparameters | None],
    exactly: bool,
) -> list[RecordedBody | None]:
    """Return the body that each row goes through, None where it can't be recorded."""
    steps, scale = bucket.steps, bucket.inverse_scale
    inverse = None if scale is None else float(scale)
    known: dict[Any, RecordedBody | None] = {}
    bodies: list[RecordedBody | None] = []
    for row, index in enumerate(bucket.groups):
        # A first try reads one row for each group; `RowNumbers.compute` finds who differs.
        held = scalar_buffers.read(bucket.states[row], bucket.scalars) if exactly else None
        key = (index, steps[row].item() if exactly else None, held)
        if key not in known:
            values, t = given[index], steps[row].item() + 1
            cells = scalar_buffers.cells_of(bucket.states[row], bucket.scalars)
            known[key] = (
                None
                if values is None
                else _body(algorithm, bucket, index, values, t, inverse, cells, known)
            )
        bodies.append(known[key])
    return bodies


def _body(
    algorithm: type[UpdateBody],
    bucket: Bucket,
    index: int,
    values: FlatHyperparameters,
    t: float,
    inverse: float | None,
    cells: Cells,
    known: Mapping[Any, RecordedBody | None],
) -> RecordedBody | None:
    """Return the body that a group goes through at a step: another group's, or a new one."""
    candidates = [body for body in dict.fromkeys(known.values()) if body is not None]
    held = [cell.value for cell in cells.values()]
    match = matching_body(candidates, values, t, inverse, held)
    if match is not None:
        return match
    h = bucket.hyperparameters[index]
    common = (bucket.maximize, inverse, bucket.names, bucket.is_new, cells, bucket.key.dtype)
    return record_body(algorithm, h, values, t, *common)


def _copied(odd: Bucket, walk: Walk, launch: Callable[[Part], Launch]) -> list[Launch]:
    copies = BucketCopy(odd, walk.names, packed)
    alike, left = sorted_rows(copies.bucket, walk)
    if left:
        raise UnavailableError(
            f"{len(left)} of its parameters lie otherwise than their gradients and state do, even "
            "when all are packed"
        )
    tables = [AddressTable(copies.bucket.subset(rows), walk.names, None) for rows in alike]
    launches = [launch(Part(table)) for table in tables]
    return [*launches, copies.copy_back, odd.grads.clear]
