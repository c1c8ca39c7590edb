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
from optkit_plugins.lbfgs.hessian.history import Aim, History, Move
from optkit_plugins.lbfgs.hessian.rows import Rows
from optkit_plugins.lbfgs.solve.line import Trial
from optkit_plugins.lbfgs.vectors.block import EXTRA, LARGEST, LOSS, START, Block
from optkit_plugins.lbfgs.vectors.passes import CHUNK, Address, Index, Job, Known, library
from optkit_plugins.lbfgs.vectors.space import Space

GRAIN = 1 << 17
"""How many elements are worth a thread of their own."""


def unsupported_reason(algorithm: Any, key: BucketKey, h: Any) -> str | None:
    """Return why the passes can't be used, None where they can; compiles them."""
    if key.device.type != "cpu" or not key.native:
        return "there are compiled passes for plain tensors on the CPU only"
    if getattr(h, "history_dtype", None) is not None:
        return "history_dtype keeps the pairs in another dtype than the vectors"
    try:
        library(joint_dtype([key.dtype]))
    except UnavailableError as error:
        return str(error)
    return None


@attrs.define(eq=False)
class FusedRows(Rows):
    """Rows in the order in which the passes have put them.

    Args:
        addresses: where each row begins.
        vectors: the rows of all matrices, by their addresses.
    """

    addresses: Any = None
    vectors: Mapping[int, Tensor] = attrs.Factory(dict)

    def view(self, row: int) -> Tensor:
        """Return a row."""
        return self.vectors[self.addresses[row]]


@attrs.define(eq=False)
class FusedBlock(Block):
    """A block on the CPU whose passes over its vectors are compiled.

    The passes exchange a vector and a row instead of copying one into the other; where each of
    them is, only their job knows.
    """

    job: Job = attrs.field(init=False)
    passes: ctypes.CDLL = attrs.field(init=False)
    coefficients: Tensor = attrs.field(init=False)
    elements: Elements = attrs.field(init=False)
    _numbers: Any = attrs.field(init=False)
    _vectors: dict[int, Tensor] = attrs.field(init=False)
    _parts: dict[int, list[Tensor]] = attrs.field(factory=dict, init=False)
    _kept: list[Any] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Allocate every vector, and tell the passes where they are."""
        super().__attrs_post_init__()
        self.passes = library(self.dtype)
        self.numbers, self.products, self.coefficients = (
            torch.zeros(length, dtype=torch.float64, device="cpu")
            for length in (LOSS + 1, *[2 * self.room] * 2)
        )
        self.places = list(self.numbers)
        size, rows = self.vectors.shape[1], list(self.rows.data)
        self._vectors = {vector.data_ptr(): vector for vector in (*self.flat, *rows)}
        addresses = (Address * len(rows))(*[row.data_ptr() for row in rows])
        self.rows = FusedRows(self.rows.data, addresses=addresses, vectors=self._vectors)
        partial = torch.zeros(
            -(-size // CHUNK) * max(2 * self.room, 4), dtype=torch.float64, device="cpu"
        )
        ends = (Index * len(self.sizes))(*accumulate(self.sizes))
        self.elements = Elements(self.params, self.dtype)
        self._numbers = (ctypes.c_double * len(self.numbers)).from_address(self.numbers.data_ptr())
        self._kept = [addresses, partial, ends]
        self.job = Job(size=size, room=self.room, pieces=len(self.sizes), fresh=-1, at=math.nan)
        self.job.vectors[:] = [vector.data_ptr() for vector in self.flat]
        self.job.rows, self.job.ends = ctypes.addressof(addresses), ctypes.addressof(ends)
        self.job.places = self.elements.address
        self.job.partial, self.job.numbers = partial.data_ptr(), self.numbers.data_ptr()
        self.job.coefficients = self.coefficients.data_ptr()

    def vector(self, row: int) -> Tensor:
        """Return a vector, as a flat tensor."""
        return self._vectors[self.job.vectors[row]]

    def parts(self, row: int) -> list[Tensor]:
        """Return a vector's views in the shapes of the parameters."""
        address = self.job.vectors[row]
        if address not in self._parts:
            self._parts[address] = self.divided(self._vectors[address])
        return self._parts[address]

    def look(self, count: int, slot: int, out: Tensor) -> None:
        """Write the products of the rows of `count` pairs with a gradient, in float64."""
        self.set_threads(2 * count)
        self.passes.look(self.job, slot, count, out.data_ptr())

    def combine(self, count: int, coefficients: Tensor, slot: int, gamma: float) -> None:
        """Make the direction from the rows of `count` pairs and a gradient."""
        self.set_threads(2 * count)
        self.coefficients.copy_(coefficients)
        self.passes.combine(self.job, count, slot, gamma, math.nan)

    def measure(self, slot: int, other: int | None = None) -> None:
        """Write down what is known of a gradient, by one pass."""
        self.set_threads(4)
        self.passes.measure(self.job, slot, -1 if other is None else other)

    def read(self, loss: float | Tensor) -> tuple[list[float], float]:
        """Return the numbers that were written down, and a loss; nobody need be waited for."""
        return self._numbers[:], loss.item() if isinstance(loss, Tensor) else float(loss)

    def receive(self, slot: int, other: int | None = None) -> None:
        """Copy the gradients of the parameters into a slot while they are measured."""
        self.job.at = math.nan  # the closure has been called, and may have changed anything
        if not self.elements.find_gradients():
            super().receive(slot, other)
            return
        self.set_threads(5)
        factor = self.scale * self.sign
        self.passes.receive(self.job, slot, -1 if other is None else other, factor)

    def move(self, step: float) -> None:
        """Put the parameters at a step, and the start to where they were if it follows them."""
        if self.job.at == step * self.scale:
            return
        if not self.elements.find():
            self.settle()
            self.job.at = math.nan
            super().move(step)
            return
        self.set_threads(4)
        self.passes.move(self.job, step * self.scale)
        increment_version(self.params)

    def compare(self, slot: int, origin: int, last: int) -> None:
        """Write down what `Block.compare` does, by one pass."""
        self.set_threads(6)
        if self.elements.find():
            self.passes.compare(self.job, slot, origin, last)
            return
        # The same sums wherever the elements are: the pass compares the start with itself.
        self.elements.addresses[:] = [piece.data_ptr() for piece in self.parts(START)]
        self.passes.compare(self.job, slot, origin, last)
        self.places[EXTRA].fill_(self.has_moved())

    def follow(self) -> None:
        """Let the start be where the parameters are; it is copied when they move."""
        self.job.follows, self.job.at = 1, math.nan

    def save(self) -> None:
        """Copy the parameters into the start."""
        super().save()
        self.job.follows, self.job.at = 0, math.nan

    def settle(self) -> None:
        """Copy the parameters into the start, if it follows them."""
        if self.job.follows:
            self.save()

    def restore(self) -> None:
        """Put the parameters back to the start, where they are if it follows them."""
        self.settle()
        self.job.at = math.nan
        super().restore()

    def set_threads(self, rows: int) -> None:
        """Let a pass over so many rows take as many threads as it is worth."""
        most = rows * self.job.size // GRAIN
        self.job.threads = min(torch.get_num_threads(), most) if most > 1 else 1


@attrs.define(eq=False)
class FusedHistory(History):
    """The history of a space of one fused block, whose small matrices are compiled work too."""

    def __attrs_post_init__(self) -> None:
        """Tell the passes where the small matrices are."""
        job, compact = self.block.job, self.compact
        job.inverse, job.squares = compact.inverse.data_ptr(), compact.squares.data_ptr()
        job.curvatures = compact.curvatures.data_ptr()
        job.products, job.before = self.products.all.data_ptr(), self.before.all.data_ptr()

    @property
    def block(self) -> FusedBlock:
        """The only block of the space."""
        (block,) = self.space.blocks
        assert isinstance(block, FusedBlock)
        return block

    def clear(self) -> None:
        """Forget all pairs."""
        super().clear()
        self.block.job.fresh = -1

    def _take_in(self, move: Move, here: Trial, curvature: float, square: float) -> None:
        origin, block, g = move.origin, self.block, here.reading
        known = Known(move.step * g.slope, g.square - g.products[origin.slot], curvature, square)
        block.set_threads(2 * self.count)
        block.passes.take_in(
            block.job, self.slot, self.count, move.step, origin.slot, here.slot, known
        )
        self.is_known = True

    def _quasi_newton(self, here: Trial, step: float) -> Aim:
        block = self.block
        moves = not math.isnan(step) and block.elements.find()
        block.set_threads(2 * self.count)
        block.passes.aim(
            block.job, self.count, here.slot, self.gamma, step * block.scale if moves else math.nan
        )
        if moves:
            increment_version(block.params)
        numbers, _ = block.read(math.nan)
        return Aim(numbers[0], numbers[LARGEST] * block.scale)


def history_of(space: Space, room: int) -> History:
    """Return a history without pairs, compiled where the space is one fused block."""
    is_fused = len(space.blocks) == 1 and isinstance(space.blocks[0], FusedBlock)
    return (FusedHistory if is_fused else History).empty(space, room)
