"""``fused`` on CPU: an iteration's work on the long vectors in three compiled passes."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from optkit_core import BucketKey, Elements, UnavailableError, joint_dtype
from optkit_plugins.lbfgs.vectors.block import START, Block
from optkit_plugins.lbfgs.vectors.gradient_info import HAS_MOVED, LOSS, ORIGIN_SLOPE, SLOPE
from optkit_plugins.lbfgs.vectors.pair_matrix import PairMatrix
from optkit_plugins.lbfgs.vectors.passes import CHUNK, Address, Index, Workspace, library

MIN_ELEMENTS_PER_THREAD = 1 << 17


def impossible_reason(algorithm: Any, key: BucketKey, h: Any) -> str | None:
    """Return why the passes can't be used on any machine, None where they can."""
    if key.device.type != "cpu" or not key.native:
        return "there are compiled passes for plain tensors on the CPU only"
    if getattr(h, "history_dtype", None) is not None:
        return "history_dtype keeps the pairs in another dtype than the vectors"
    return None


def unsupported_reason(algorithm: Any, key: BucketKey, h: Any) -> str | None:
    """Return why the passes can't be used, None where they can; compiles them."""
    reason = impossible_reason(algorithm, key, h)
    if reason:
        return reason
    try:
        library(joint_dtype([key.dtype]))
    except UnavailableError as error:
        return str(error)
    return None


@attrs.define(eq=False)
class FusedPairs(PairMatrix):
    """Pairs whose rows lie in the order in which the passes have put them.

    Args:
        addresses: where each row begins.
        vectors: all rows by their addresses.
    """

    addresses: ctypes.Array[ctypes.c_void_p] = attrs.field(kw_only=True)
    vectors: Mapping[int, Tensor] = attrs.field(kw_only=True)

    def row(self, number: int) -> Tensor:
        """Return a row."""
        return self.vectors[self.addresses[number]]  # type: ignore[index]  # an int to Python


@attrs.define(eq=False)
class FusedBlock(Block):
    """A block on the CPU whose passes over its vectors are compiled.

    The passes exchange a vector and a row of the pairs instead of copying one into the other;
    where each of them is, only their workspace knows.
    """

    workspace: Workspace = attrs.field(init=False)
    passes: ctypes.CDLL = attrs.field(init=False)
    coefficients: Tensor = attrs.field(init=False)
    elements: Elements = attrs.field(init=False)
    _is_measured: bool = attrs.field(default=False, init=False)
    _numbers: ctypes.Array[ctypes.c_double] = attrs.field(init=False)
    _vectors: dict[int, Tensor] = attrs.field(init=False)
    _views: dict[int, list[Tensor]] = attrs.field(factory=dict, init=False)
    _owned: list[object] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Allocate every vector, and tell the passes where they are."""
        super().__attrs_post_init__()
        self.passes = library(self.dtype)
        size, rows = self.vectors.shape[1], list(self.pairs.data)
        # The last one is of the sums: one a row in `project`, and 4 in `measure`, for each chunk.
        lengths = LOSS + 1, len(rows), len(rows), -(-size // CHUNK) * max(len(rows), 4)
        self.numbers, self.products, self.coefficients, sums = (
            torch.zeros(length, dtype=torch.float64, device="cpu") for length in lengths
        )
        self.scalars = list(self.numbers)
        self._numbers = (ctypes.c_double * len(self.numbers)).from_address(self.numbers.data_ptr())
        self._vectors = {vector.data_ptr(): vector for vector in (*self.flat, *rows)}
        addresses = (Address * len(rows))(*[row.data_ptr() for row in rows])
        self.pairs = FusedPairs(self.pairs.data, addresses=addresses, vectors=self._vectors)
        ends = (Index * len(self.sizes))(*accumulate(self.sizes))
        self.elements = Elements(self.params, self.dtype)
        self._owned = [addresses, sums, ends]  # the workspace holds their addresses only
        self.workspace = Workspace(
            size=size,
            capacity=self.capacity,
            tensors=len(self.sizes),
            pending=-1,
            position=math.nan,
            pairs=ctypes.addressof(addresses),
            ends=ctypes.addressof(ends),
            addresses=self.elements.address,
            sums=sums.data_ptr(),
            numbers=self.numbers.data_ptr(),
            coefficients=self.coefficients.data_ptr(),
        )
        self.workspace.vectors[:] = [vector.data_ptr() for vector in self.flat]

    def vector(self, row: int) -> Tensor:
        """Return a vector, as a flat tensor."""
        return self._vectors[self.workspace.vectors[row]]

    def views(self, row: int) -> list[Tensor]:
        """Return a vector's views in the shapes of the parameters."""
        address = self.workspace.vectors[row]
        if address not in self._views:
            self._views[address] = self.as_shaped(self._vectors[address])
        return self._views[address]

    def project(self, count: int, index: int, out: Tensor) -> None:
        """Write the products of `count` pairs with a gradient, in float64."""
        self.set_threads(2 * count)
        self.passes.project(self.workspace, count, index, out.data_ptr())

    def descend(self, index: int) -> None:
        """Make the direction the opposite of a gradient."""
        super().descend(index)
        self._is_measured = False

    def combine(
        self,
        count: int,
        coefficients: Tensor,
        index: int,
        gamma: float,
        length: float = math.nan,
    ) -> None:
        """Make the direction of `count` pairs and a gradient, by one pass that measures it."""
        self.coefficients.copy_(coefficients)
        position = self.position_at(length)
        self.set_threads(2 * count)
        self.passes.combine(self.workspace, count, index, gamma, position)
        self.note_moved(position)
        # Where the line begins, until `receive` writes another slope into its place.
        self._numbers[ORIGIN_SLOPE] = self._numbers[SLOPE]
        self._is_measured = True

    def measure_direction(self, origin: int) -> None:
        """Write down what `Block.measure_direction` does, unless the direction came with it."""
        if not self._is_measured:
            super().measure_direction(origin)

    def push_pair(
        self, slot: int, count: int, length: float, after: int, before: int, out: Tensor
    ) -> None:
        """Remember a step by exchanging rows, in the pass that multiplies the others."""
        self.set_threads(2 * count)
        self.passes.store_pair(self.workspace, slot, count, length, before, after, out.data_ptr())

    def measure(self, index: int, other: int | None = None) -> None:
        """Write down what `Block.measure` does, by one pass."""
        self.set_threads(4)
        self.passes.measure(self.workspace, index, -1 if other is None else other)

    def read(self, loss: float | Tensor) -> tuple[list[float], float]:
        """Return the numbers that were written down, and a loss, without waiting for a device."""
        return self._numbers[:], loss.item() if isinstance(loss, Tensor) else float(loss)

    def receive(self, index: int, other: int | None = None) -> None:
        """Gather the parameters' gradients while they are measured."""
        self.workspace.position = math.nan  # the closure may have changed the parameters
        if not self.elements.find_gradients():
            super().receive(index, other)
            return
        self.set_threads(5)
        factor = self.scale * self.sign
        self.passes.receive(self.workspace, index, -1 if other is None else other, factor)

    def move(self, length: float) -> None:
        """Put the parameters at a step; they may be there, or the start be copied on the way."""
        if self.workspace.position == length * self.scale:
            return
        if not self.elements.find():
            # `Block.move` reads the start, which may not have been copied yet.
            self.flush()
            self.workspace.position = math.nan
            super().move(length)
            return
        self.set_threads(4)
        self.passes.move(self.workspace, length * self.scale)
        self.note_moved(length)

    def position_at(self, length: float) -> float:
        """Return where a pass has to put the parameters for a step; NaN where it can't."""
        moves = not math.isnan(length) and self.elements.find()
        return length * self.scale if moves else math.nan

    def note_moved(self, position: float) -> None:
        """Let autograd know that a pass has put the parameters somewhere, unless that is NaN."""
        if not math.isnan(position):
            # It doesn't see what compiled code writes, and would walk a graph that is outdated.
            increment_version(self.params)

    def compare(self, index: int, origin: int, end: int) -> None:
        """Write down what `Block.compare` does, by one pass."""
        self.set_threads(6)
        if self.elements.find():
            self.passes.compare(self.workspace, index, origin, end)
            return
        # The same sums wherever the elements are: the pass compares the start with itself.
        self.elements.addresses[:] = [view.data_ptr() for view in self.views(START)]
        self.passes.compare(self.workspace, index, origin, end)
        self.scalars[HAS_MOVED].fill_(self.has_moved())

    def save_lazily(self) -> None:
        """Let the start be where the parameters are; it is copied when they move."""
        self.workspace.is_lazy, self.workspace.position = 1, math.nan

    def save(self) -> None:
        """Copy the parameters into the start."""
        super().save()
        self.workspace.is_lazy, self.workspace.position = 0, math.nan

    def flush(self) -> None:
        """Copy the parameters into the start, if `save_lazily` has put it off."""
        if self.workspace.is_lazy:
            self.save()

    def restore(self) -> None:
        """Put the parameters back to the start, where they are if it hasn't been copied."""
        self.flush()
        self.workspace.position = math.nan
        super().restore()

    def set_threads(self, rows: int) -> None:
        """Let a pass over so many rows take as many threads as it is worth."""
        most = rows * self.workspace.size // MIN_ELEMENTS_PER_THREAD
        self.workspace.threads = min(torch.get_num_threads(), most) if most > 1 else 1
