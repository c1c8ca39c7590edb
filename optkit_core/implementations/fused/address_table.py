"""Tables: where all tensors of a bucket lie, kept from step to step while that holds."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, chain, starmap

import torch
from torch import Tensor

from optkit_core import torch_private
from optkit_core.implementations import step_counters
from optkit_core.implementations.fused.watched_wholes import WatchedWholes
from optkit_core.native.shared_structures import WORD, OperandStruct, PlanStruct, address
from optkit_core.native.tensor_reader import Reader
from optkit_core.shards.local_part import LocalPart
from optkit_core.step.buckets import Bucket
from optkit_core.tracing.extent import as_matrices


class AddressTable:
    """The addresses of a bucket's tensors: operand by operand, and row by row in each.

    Every tensor of a row lies like its parameter, or is contiguous in a shape of its own, and all
    rows have the same dtypes.

    Args:
        bucket: the parameters, gradients and states; the order of its rows is kept.
        names: the buffers that a kernel takes, in its order; the step counters follow, and then
            the scalar buffers.
        reader: what notices changes; None where there is no compiled code that does.
    """

    def __init__(self, bucket: Bucket, names: Sequence[str], reader: Reader | None) -> None:
        """Note where everything lies now."""
        self.bucket = bucket
        self.names = tuple(names)
        self.rows = len(bucket)
        columns, operands = self._columns(), 2 + len(names)
        self.dtypes = tuple(real_dtype(column[0]) for column in columns[:operands])
        wide = [column[0].dtype == torch.float64 for column in columns[operands:]]
        self.is_wide, self.are_wide = wide[0], wide[1:]
        parts = 2 if bucket.key.dtype.is_complex else 1  # a kernel computes with the real numbers
        self.ends = array("q", accumulate(parts * p.numel() for p in bucket.params))
        # Compiled code keeps its address, and writes to it: it must never grow.
        self.memory = array(
            "Q", chain.from_iterable(map(Tensor.data_ptr, column) for column in columns)
        )
        self.watched = Watched(self, reader) if reader else None

    @cached_property
    def matrices(self) -> array[int]:
        """Batch, rows and columns of each parameter, then of what it is part of; all in reals."""
        pair = (2,) if self.bucket.key.dtype.is_complex else ()
        own = [as_matrices((*p.shape, *pair)) for p in self.bucket.params]
        whole = own
        if self.bucket.sharded:
            wholes = ((dim.size for dim in row.spread) for row in self.bucket.sharded)
            whole = [as_matrices((*sizes, *pair)) for sizes in wholes]
        return array("q", chain.from_iterable(chain.from_iterable(zip(own, whole, strict=True))))

    def _columns(self) -> list[list[Tensor]]:
        bucket = self.bucket
        buffers, scalars = (
            [[state[name] for state in bucket.states] for name in names]
            for names in (self.names, bucket.scalars)
        )
        return [bucket.params, bucket.grads, *buffers, bucket.steps, *scalars]

    @property
    def counters(self) -> int:
        """Where the addresses of the step counters begin."""
        return self._addresses_of(len(self.dtypes))

    @property
    def scalars(self) -> int:
        """Where the addresses of the scalar buffers begin."""
        return self._addresses_of(len(self.dtypes) + 1)

    def _addresses_of(self, column: int) -> int:
        return address(self.memory) + WORD * self.rows * column

    @property
    def kernel_memory(self) -> array[int]:
        """The addresses of what a kernel on a device reads: its operands and step counters."""
        return self.memory[: self.rows * (len(self.dtypes) + 1)]

    def refresh(self) -> bool:
        """Read all addresses anew; return whether all but the addresses is as it was."""
        return self.watched is not None and self.watched.refresh()

    def next_counts(self) -> Sequence[float]:
        """Return what each row's step counter will say: one number where all agree."""
        if self.watched:
            return self.watched.next_counts()
        counts = [count + 1 for count in step_counters.read(self.bucket.steps)]
        return counts[:1] if len(set(counts)) == 1 else counts

    def advance(self) -> None:
        """Add one to every step counter."""
        if not self.bucket.counts_steps:
            return
        if self.watched:
            self.watched.advance()
        else:
            step_counters.advance(self.bucket.counters)


class Watched:
    """A table's tensors as the native reader knows them."""

    def __init__(self, table: AddressTable, reader: Reader) -> None:
        """Note what is to stay as it is."""
        bucket, self._table, self.reader = table.bucket, table, reader
        # Held, here and below: an object that has gone could leave its id to another one.
        steps = bucket.steps
        self._tensors = [
            tensor
            for state, step in zip(bucket.states, steps, strict=True)
            for tensor in (
                *[state[name] for name in table.names],
                step,
                *[state[name] for name in bucket.scalars],
            )
        ]
        # A gradient of one element may have a lazy negation or conjugation, unseen by its strides.
        rows = zip(bucket.params, bucket.parts or [None] * table.rows, strict=True)
        self._uncertain = [row for row in rows if row[0].is_complex() or row[0].numel() == 1]
        self._counts = array("d", bytes(WORD * table.rows))
        self._wholes = WatchedWholes(bucket.parts)
        self._handles = reader.handles(self._tensors)
        dicts = bucket.dicts
        self._entries = [entry for state in dicts for entry in state.values()]
        numbers = 1 + len(bucket.scalars)
        columns = 1 + len(table.names) + numbers
        self._operands = (OperandStruct * (columns + 1))()
        # In the order of PlanStruct, where handles stand between states and dicts.
        self._arrays = (
            array("Q", map(id, bucket.params)),
            array("Q", map(torch_private.implementation_of, bucket.params)),
            array("Q", bytes(WORD * table.rows)),
            array("Q", map(id, self._tensors)),
            array("Q", map(id, dicts)),
            array("Q", map(id, self._entries)),
            array("q", map(len, dicts)),
            array("q", (p.dim() for p in bucket.params)),
            array("q", chain.from_iterable((*p.shape, *p.stride()) for p in bucket.params)),
            *_forms(table),
            # `hints_of_row` in tensor_reader.cpp: each tensor, and what holds the gradient.
            self._wholes.hints(table.rows, columns + 2),
        )
        params, impls, tokens, states, *others, hints = map(address, self._arrays)
        self.plan = PlanStruct(
            table.rows,
            len(table.names) + numbers,
            numbers,
            params,
            impls,
            tokens,
            states,
            self._handles.address if self._handles else None,
            *others,
            *self._wholes.addresses,
            ctypes.addressof(self._operands),
            hints,
            address(table.memory),
        )
        self._address = ctypes.addressof(self.plan)
        self._is_readable = bool(reader.note(reader.api, self._address))
        self._counters = (table.counters, table.rows, int(table.is_wide))

    def refresh(self) -> bool:
        """Read all addresses anew; return whether all but the addresses is as it was."""
        if not self._is_readable or any(starmap(_is_lazy, self._uncertain)):
            return False
        is_same = bool(self.reader.refresh(self.reader.api, self._address))
        if not is_same:
            self._wholes.note_placements()
        return is_same

    def next_counts(self) -> Sequence[float]:
        """Return what each row's step counter will say: one number where all agree."""
        same = self.reader.next_counts(*self._counters, address(self._counts))
        return self._counts[:1] if same else self._counts

    def advance(self) -> None:
        """Add one to every step counter."""
        self.reader.advance(*self._counters)


def _forms(table: AddressTable) -> tuple[array[int], array[int]]:
    """Return which buffers aren't of their parameters' shape, and how each of those lies."""
    bucket = table.bucket
    wanted = [p.shape for p in bucket.params]
    shaped = [[state[name].shape for state in bucket.states] != wanted for name in table.names]
    own = [name for name, is_shaped in zip(table.names, shaped, strict=True) if is_shaped]
    tensors = (state[name] for state in bucket.states for name in own)
    forms = chain.from_iterable((t.dim(), *t.shape, *t.stride()) for t in tensors)
    numbers = [False] * (1 + len(bucket.scalars))  # step counter and scalar buffers
    return array("i", [*shaped, *numbers]), array("q", forms)


def real_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype of a tensor's elements, for a complex one that of their parts."""
    return tensor.dtype.to_real() if tensor.is_complex() else tensor.dtype


def _is_lazy(parameter: Tensor, part: LocalPart | None) -> bool:
    """Return whether a gradient is yet to be conjugated or negated in memory."""
    g = parameter.grad if part is None else part.current_share()
    return g is not None and (g.is_conj() or g.is_neg())
