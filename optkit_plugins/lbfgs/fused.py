"""``fused`` on CPU: an iteration's work on the long vectors in three passes, compiled."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from optkit_core import Kind, UnavailableError, compiled_library, joint_dtype
from optkit_plugins.lbfgs.block import LARGEST, LOSS, Block
from optkit_plugins.lbfgs.history import Aim, History, Move
from optkit_plugins.lbfgs.line import Trial
from optkit_plugins.lbfgs.space import Space

CHUNK = 2048
"""How many elements of a vector are treated at a time; the same number stands in passes.cpp."""

GRAIN = 1 << 19
"""How many elements are worth a thread of their own."""

REALS = {torch.float64: "double", torch.float32: "float"}

Address, Index = ctypes.c_void_p, ctypes.c_longlong


class Job(ctypes.Structure):
    """The structure called Space in passes.cpp."""

    _fields_ = (
        *((name, Index) for name in ("size", "room", "stride", "threads")),
        ("vectors", Address * 5),
        *((name, Address) for name in ("rows", "inverse", "squares", "curvatures")),
        *((name, Address) for name in ("products", "before", "coefficients", "partial", "numbers")),
        *((name, Index) for name in ("follows", "pieces")),
        *((name, Address) for name in ("ends", "places")),
    )


def source(dtype: torch.dtype) -> tuple[str, str]:
    """Return the text of the passes for vectors of a dtype, and its title."""
    text = Path(__file__).with_name("passes.cpp").read_text()
    return f"typedef {REALS[dtype]} Real;\n{text}", f"LBFGS {REALS[dtype]}"


@cache
def library(dtype: torch.dtype) -> ctypes.CDLL:
    """Return the compiled passes for vectors of a dtype.

    Raises:
        UnavailableError: they can't be had; says why.
    """
    found = compiled_library(*source(dtype))
    number, job = ctypes.c_double, ctypes.POINTER(Job)
    found.measure.argtypes = [job, Index, Index]
    found.receive.argtypes = [job, Index, Index, number]
    found.move.argtypes = [job, number]
    found.take_in.argtypes = [job, Index, Index, number, Index, Index, number, number, number]
    found.aim.argtypes = [job, Index, Index, number]
    for function in (found.measure, found.receive, found.move, found.take_in, found.aim):
        function.restype = None
    return found


def refuse(algorithm: Any, kind: Kind, h: Any) -> str:
    """Return why the passes can't be used for a kind of parameters, or ``""``; compiles them."""
    if kind.device.type != "cpu" or not kind.native:
        return "there are compiled passes for plain tensors on the CPU only"
    if getattr(h, "history_dtype", None) is not None:
        return "history_dtype keeps the pairs in another dtype than the vectors"
    try:
        library(joint_dtype([kind.dtype]))
    except UnavailableError as error:
        return str(error)
    return ""


def _is_plain(tensor: Tensor, dtype: torch.dtype, size: int) -> bool:
    """Whether the elements lie one after the other as they are, so many of a dtype."""
    return (
        type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.dtype == dtype
        and tensor.layout == torch.strided
        and tensor.numel() == size
        and tensor.is_contiguous()
        and not tensor.is_neg()
    )


@attrs.define(eq=False)
class FusedBlock(Block):
    """A block on the CPU whose passes over its vectors are compiled."""

    job: Job = attrs.field(init=False)
    passes: ctypes.CDLL = attrs.field(init=False)
    _scratch: list[Any] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Allocate every vector, and tell the passes where they are."""
        super().__attrs_post_init__()
        self.passes = library(self.dtype)
        self.numbers = torch.zeros(LOSS + 1, dtype=torch.float64)
        self.places = list(self.numbers)
        size, rows = self.vectors.shape[1], self.rows.data
        chunks = -(-size // CHUNK)
        count = len(self.params)
        ends, places = (Index * count)(*accumulate(self.sizes)), (Address * count)()
        self._scratch = [
            torch.zeros(chunks * max(2 * self.room, 4), dtype=torch.float64),
            torch.zeros(2 * self.room, dtype=torch.float64),
            ends,
            places,
        ]
        self.job = Job(size=size, room=self.room, stride=rows.stride(0), rows=rows.data_ptr())
        self.job.vectors[:] = [vector.data_ptr() for vector in self.flat]
        self.job.partial, self.job.coefficients = (part.data_ptr() for part in self._scratch[:2])
        self.job.numbers = self.numbers.data_ptr()
        self.job.pieces = count
        self.job.ends, self.job.places = ctypes.addressof(ends), ctypes.addressof(places)

    def measure(self, slot: int, other: int | None = None) -> None:
        """Write down what is known of a gradient, by one pass."""
        self.set_threads(4)
        self.passes.measure(self.job, slot, -1 if other is None else other)

    def receive(self, slot: int, other: int | None = None) -> None:
        """Copy the gradients of the parameters into a slot while they are measured."""
        if not self._points_at([p.grad for p in self.params]):
            super().receive(slot, other)
            return
        self.set_threads(5)
        factor = self.scale * self.sign
        self.passes.receive(self.job, slot, -1 if other is None else other, factor)

    def move(self, step: float) -> None:
        """Put the parameters at a step, and the start to where they were if it follows them."""
        if not self._points_at(self.params):
            self.settle()
            super().move(step)
            return
        self.set_threads(4)
        self.passes.move(self.job, step * self.scale)
        increment_version(self.params)

    def follow(self) -> None:
        """Let the start be where the parameters are; it is copied when they move."""
        self.job.follows = 1

    def settle(self) -> None:
        """Copy the parameters into the start, if it follows them."""
        if self.job.follows:
            self.save()
            self.job.follows = 0

    def restore(self) -> None:
        """Put the parameters back to the start, where they are if it follows them."""
        self.settle()
        super().restore()

    def _points_at(self, tensors: Sequence[Tensor | None]) -> bool:
        """Tell the passes where the elements are; whether they can be told."""
        rows = zip(tensors, self.sizes, strict=True)
        if not all(t is None or _is_plain(t, self.dtype, size) for t, size in rows):
            return False
        self._scratch[3][:] = [None if t is None else t.data_ptr() for t in tensors]
        return True

    def set_threads(self, rows: int) -> None:
        """Let a pass over so many rows take as many threads as it is worth."""
        elements = rows * self.vectors.shape[1]
        self.job.threads = min(torch.get_num_threads(), max(1, elements // GRAIN))


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

    def _take_in(self, move: Move, here: Trial, curvature: float) -> None:
        origin, block = move.origin, self.block
        along = move.step * origin.slope
        across = here.reading.products[origin.slot] - origin.reading.square
        block.set_threads(2 * self.count)
        block.passes.take_in(
            block.job, self.slot, self.count, move.step, origin.slot, here.slot,
            along, across, curvature,
        )  # fmt: skip
        self.is_known = True

    def _quasi_newton(self, here: Trial) -> Aim:
        block = self.block
        block.set_threads(2 * self.count)
        block.passes.aim(block.job, self.count, here.slot, self.gamma)
        numbers = block.numbers.tolist()
        return Aim(numbers[0], numbers[LARGEST] * block.scale)


def history_of(space: Space, room: int) -> History:
    """Return a history without pairs, compiled where the space is one fused block."""
    is_fused = len(space.blocks) == 1 and isinstance(space.blocks[0], FusedBlock)
    return (FusedHistory if is_fused else History).empty(space, room)
