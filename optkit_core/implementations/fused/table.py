"""Tables: where all tensors of a bucket lie, kept from step to step while that holds."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import torch
from torch import Tensor

from optkit_core.buckets import Bucket
from optkit_core.buffers import STEP
from optkit_core.implementations import counting
from optkit_core.implementations.fused.native import Handles, Reader

WORD = 8


class Table:
    """The addresses of a bucket's tensors: operand by operand, and row by row in each.

    Every tensor of a row lies like its parameter, and all rows have the same dtypes.

    Args:
        bucket: the parameters, gradients and states; the order of its rows is kept.
        names: the buffers that a kernel takes, in its order; the step counters come last.
        reader: what notices changes, if there is one here.
    """

    def __init__(self, bucket: Bucket, names: Sequence[str], reader: Reader | None) -> None:
        """Note where everything lies now."""
        self.bucket = bucket
        self.names = (*names, STEP)
        self.rows = len(bucket)
        self.reader = reader
        columns = self._columns()
        self.dtypes = tuple(real_dtype(column[0]) for column in columns[:-1])
        self.itemsizes = tuple(column[0].itemsize for column in columns)
        parts = 2 if bucket.kind.dtype.is_complex else 1
        self.ends = array("q", accumulate(parts * p.numel() for p in bucket.params))
        self.memory = array(
            "Q", chain.from_iterable(map(Tensor.data_ptr, column) for column in columns)
        )
        self.watched = Watched(self, reader) if reader else None

    def _columns(self) -> list[list[Tensor]]:
        states = self.bucket.states
        columns = [[state[name] for state in states] for name in self.names]
        return [self.bucket.params, self.bucket.grads, *columns]

    def refresh(self) -> bool:
        """Read all addresses anew; return whether all but the addresses is as it was."""
        return self.watched is not None and self.watched.refresh()

    def next_counts(self) -> Sequence[float]:
        """Return what each row's step counter will say: one number where all agree."""
        if self.watched:
            return self.watched.next_counts()
        counts = [count + 1 for count in counting.read(self.bucket.steps)]
        return counts[:1] if len(set(counts)) == 1 else counts

    def advance(self) -> None:
        """Add one to every step counter."""
        if self.watched:
            self.watched.advance()
        else:
            counting.advance(self.bucket.steps)


class Plan(ctypes.Structure):
    """The structure of that name in `reader.cpp`."""

    _fields_ = (
        ("rows", ctypes.c_longlong),
        ("buffers", ctypes.c_longlong),
        *((name, ctypes.c_void_p) for name in ("params", "states", "dicts", "entries", "counts")),
        *((name, ctypes.c_void_p) for name in ("dims", "shapes", "operands", "found")),
        *((name, ctypes.c_void_p) for name in ("gradients", "memory")),
        ("wide", ctypes.c_longlong),
    )


class Watched:
    """A table's tensors as the native reader knows them."""

    def __init__(self, table: Table, reader: Reader) -> None:
        """Note what is to stay as it is."""
        bucket, self.reader = table.bucket, reader
        tensors = [state[name] for state in bucket.states for name in table.names]
        self.uncertain = [p for p in bucket.params if p.is_complex() or not p.dim()]
        self.counts = array("d", bytes(WORD * table.rows))
        self._places, self._handles = reader.places(bucket.params), Handles(tensors)
        entries = [entry for state in bucket.states for entry in state.values()]
        self._objects = (bucket.states, entries)
        self._arrays = (
            *(array("Q", map(id, objects)) for objects in self._objects),
            array("q", map(len, bucket.states)),
            array("q", (p.dim() for p in bucket.params)),
            array("q", chain.from_iterable((*p.shape, *p.stride()) for p in bucket.params)),
            array("q", chain.from_iterable((size, 0, 0, 0) for size in table.itemsizes)),
            array("Q", bytes(2 * WORD * table.rows * (2 + len(table.names)))),
            array("Q", bytes(WORD * table.rows)),
            table.memory,
        )
        self.plan = Plan(
            table.rows,
            len(table.names),
            address(self._places),
            self._handles.address,
            *(address(values) for values in self._arrays),
            bucket.steps[0].dtype == torch.float64,
        )
        self.place = ctypes.addressof(self.plan)
        reader.note(reader.api, self.place)

    def refresh(self) -> bool:
        """Read all addresses anew; return whether all but the addresses is as it was."""
        if self.uncertain and any(map(_is_lazy, self.uncertain)):
            return False
        return bool(self.reader.refresh(self.reader.api, self.place))

    def next_counts(self) -> Sequence[float]:
        """Return what each row's step counter will say: one number where all agree."""
        same = self.reader.next_counts(self.place, address(self.counts))
        return self.counts[:1] if same else self.counts

    def advance(self) -> None:
        """Add one to every step counter."""
        self.reader.advance(self.place)


def address(values: array[Any]) -> int:
    """Return where an array's elements stand."""
    return values.buffer_info()[0]


def real_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype of a tensor's elements, for a complex one that of their parts."""
    return tensor.dtype.to_real() if tensor.is_complex() else tensor.dtype


def _is_lazy(parameter: Tensor) -> bool:
    """Return whether a gradient's memory doesn't hold its values: it is yet to be conjugated."""
    g = parameter.grad
    return g is not None and (g.is_conj() or g.is_neg())
