"""Buckets that forloop and foreach step again as they are, which the native reader tells."""

from __future__ import annotations

import torch

from optkit_core.implementations.fused.address_table import AddressTable
from optkit_core.implementations.fused.row_layout import is_uniform
from optkit_core.native.tensor_reader import Reader
from optkit_core.selection.offer import UpdateBody
from optkit_core.step.buckets import Bucket
from optkit_core.step.detect_changes import native_reader

DEVICES = frozenset({"cpu", "cuda"})
"""Types of devices whose tensors the reader can look at; on others noting would be for nothing."""


class KeptBucket:
    """A bucket whose tensors are noted once it has come to a second step unchanged.

    Noting takes twice the time of sorting parameters into buckets anew, which is what happens
    in each step where nothing is noted.

    Args:
        names: the buffers of its algorithm that are tensors.
        reader: what notices changes.
    """

    def __init__(self, names: tuple[str, ...], reader: Reader) -> None:
        """Note nothing yet."""
        self._names = names
        self._reader = reader
        self._table: AddressTable | None = None

    def holds(self, bucket: Bucket) -> bool:
        """Return whether the bucket is as it was; it has the gradients of now then."""
        self.takes_in_values(bucket)
        if self._table is None:
            if not self._can_be_noted(bucket):
                return False
            self._table = AddressTable(bucket, self._names, self._reader)
        if not self._table.refresh() or not (bucket.show is None or bucket.show()):
            return False
        bucket.grads = [p.grad for p in bucket.params if p.grad is not None]
        return True

    def takes_in_values(self, bucket: Bucket) -> bool:
        """Return True: hyperparameters are looked up in each step."""
        bucket.changed.clear()
        return True

    def _can_be_noted(self, bucket: Bucket) -> bool:
        whole = all(name in state for state in bucket.states for name in bucket.state_names)
        return whole and bucket.refresh() and is_uniform(bucket, self._names)


def keep(algorithm: type[UpdateBody], bucket: Bucket) -> None:
    """Let a bucket be kept for the steps to come, if it is one whose changes are noticed.

    Args:
        algorithm: the class with its buffers.
        bucket: the parameters, gradients and states.
    """
    key = bucket.key
    is_plain = key.layout == torch.strided and key.native and not key.dtype.is_complex
    is_readable = is_plain and key.device.type in DEVICES
    if bucket.kept is not None or not is_readable or key.differentiable or key.capturable:
        return
    if all(algorithm.buffers[name].rules.is_per_element for name in bucket.tensors):
        reader = reader_of(bucket)
        bucket.kept = None if reader is None else KeptBucket(bucket.tensors, reader)


def reader_of(bucket: Bucket) -> Reader | None:
    """Return the native reader, where it can read a bucket's step counters and scalar buffers."""
    # numbers.cpp reads these on the host, as float or as double.
    numbers = (bucket.steps[0], *[bucket.states[0][name] for name in bucket.scalars])
    is_readable = all(n.is_cpu and n.dtype in (torch.float32, torch.float64) for n in numbers)
    return native_reader() if is_readable else None
