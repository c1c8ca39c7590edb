"""Blocks: the parameters of one device and group as one real vector, with all its companions."""

from __future__ import annotations

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from optkit_plugins.lbfgs.hessian.rows import (
    Rows,
    add_rows,
    matrix,
    multiply_rows,
    pieces_of,
    rows_of,
)
from optkit_plugins.lbfgs.vectors.readback import read_back

GRADIENTS = 3
"""Gradients that are held: where a line starts, the best of its trials, and the latest."""

START, DIRECTION, FIRST = 0, 1, 2
"""Which row of a block's vectors is which; the gradients follow from the third on."""

ROUNDINGS = 4
"""By how many roundings parameters may differ, and be those that a step has led to."""

LARGEST, EXTRA, LOSS = 1 + GRADIENTS, 2 + GRADIENTS, 5 + GRADIENTS
"""Places among the numbers that are read back: before `LARGEST` stand the products of a gradient
with the direction and with all gradients; from `EXTRA` on there is room for three more, and last
comes the loss."""


@attrs.define(eq=False)
class Block:
    r"""Parameters of one device and group, whose vectors are one flat tensor each.

    Args:
        params: the parameters, none of them empty.
        dtype: of the vectors.
        history_dtype: of the remembered pairs.
        room: the number of pairs that can be remembered.
        scale: :math:`\sigma`: the block is minimized over :math:`z = x / \sigma`, so that its
            steps are :math:`\sigma^2` times as long where nothing is known of the curvature.
        sign: -1 to ascend, otherwise 1.
    """

    takes_one: ClassVar[bool] = False

    params: list[Tensor]
    dtype: torch.dtype
    history_dtype: torch.dtype
    room: int
    scale: float = 1.0
    sign: int = 1
    shapes: list[torch.Size] = attrs.field(init=False)
    sizes: list[int] = attrs.field(init=False)
    rows: Rows = attrs.field(init=False)
    vectors: Tensor = attrs.field(init=False)
    flat: list[Tensor] = attrs.field(init=False)
    pieces: list[list[Tensor]] = attrs.field(init=False)
    numbers: Tensor = attrs.field(init=False)
    places: list[Tensor] = attrs.field(init=False)
    _compared: tuple[Tensor, Tensor] = attrs.field(init=False)
    products: Tensor = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Allocate every vector that there will ever be."""
        self.shapes = [real(p).shape for p in self.params]
        self.sizes = [shape.numel() for shape in self.shapes]
        size, device = sum(self.sizes), self.device
        self.rows = Rows(matrix(2 * self.room, size, self.history_dtype, device))
        self.vectors = matrix(FIRST + GRADIENTS, size, self.dtype, device)
        self.flat = rows_of(self.vectors)
        self.pieces = [self.divided(row) for row in self.flat]
        self.numbers = torch.zeros(LOSS + 1, dtype=self.dtype, device=device)
        self.places = rows_of(self.numbers)
        self._compared = self.vectors[DIRECTION:], self.numbers[:LARGEST]
        self.products = torch.zeros(2 * self.room, dtype=self.dtype, device=device)

    @property
    def device(self) -> torch.device:
        """Where the block lies."""
        return self.params[0].device

    @property
    def direction(self) -> Tensor:
        """The direction, as a flat tensor."""
        return self.vector(DIRECTION)

    def gradient(self, slot: int) -> Tensor:
        """Return the gradient in a slot, as a flat tensor."""
        return self.vector(FIRST + slot)

    def vector(self, row: int) -> Tensor:
        """Return a vector, as a flat tensor."""
        return self.flat[row]

    def parts(self, row: int) -> list[Tensor]:
        """Return a vector's views in the shapes of the parameters."""
        return self.pieces[row]

    def divided(self, vector: Tensor) -> list[Tensor]:
        """Return views of a vector in the shapes of the parameters, complex ones as pairs."""
        parts = pieces_of(vector, self.sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def gather(self, slot: int) -> None:
        """Copy the gradients of the parameters into a slot; a missing one is zero."""
        targets, sources = [], []
        for p, piece in zip(self.params, self.parts(FIRST + slot), strict=True):
            if p.grad is None:
                piece.zero_()
            else:
                targets.append(piece)
                sources.append(real(_dense(p.grad)))
        if len(targets) == 1:
            targets[0].copy_(sources[0])
        elif targets:
            torch._foreach_copy_(targets, sources)
        factor = self.scale * self.sign
        if factor != 1.0:
            self.gradient(slot).mul_(factor)

    def scatter(self, slot: int) -> None:
        """Write a gradient into those of the parameters that have one."""
        factor = self.sign / self.scale if self.scale else 0.0
        for p, piece in zip(self.params, self.parts(FIRST + slot), strict=True):
            if p.grad is None:
                continue
            value = piece if factor == 1.0 else piece * factor
            if p.grad.layout == torch.strided:
                real(p.grad).copy_(value)
            else:
                dense = torch.view_as_complex(value) if p.is_complex() else value
                p.grad = dense.to(p.dtype).to_sparse(p.grad.sparse_dim())

    def receive(self, slot: int, other: int | None = None) -> None:
        """Put the gradients of the parameters into a slot, and `measure` there."""
        self.gather(slot)
        self.measure(slot, other)

    def measure(self, slot: int, other: int | None = None) -> None:
        r"""Write :math:`g^\top d`, :math:`g^\top g_i` and :math:`\lVert g \rVert_\infty` down.

        Args:
            slot: where :math:`g` is.
            other: the slot of the one gradient beside :math:`g` that is of interest.
        """
        g = self.gradient(slot)
        vectors, products = self._compared
        torch.mv(vectors, g, out=products)
        torch.linalg.vector_norm(g, torch.inf, out=self.places[LARGEST])

    def unscaled(self, norm: float) -> float:
        """Return the norm of a gradient for the parameters as they are, from that of a slot's."""
        return norm / self.scale if self.scale else 0.0

    def read(self, loss: float | Tensor) -> tuple[list[float], float]:
        """Return the numbers that were written down, and a loss."""
        (numbers,), value = read_back([self.numbers], loss)
        return numbers, value

    def look(self, count: int, slot: int, out: Tensor) -> None:
        """Write the products of the rows of `count` pairs with a gradient."""
        multiply_rows(self.rows.data, count, self.gradient(slot), out=out)

    def combine(self, count: int, coefficients: Tensor, slot: int, gamma: float) -> None:
        """Make the direction from the rows of `count` pairs and a gradient."""
        factors = coefficients.to(self.device, self.dtype)
        gradient = self.gradient(slot)
        add_rows(self.rows.data, count, factors, gradient, gamma, out=self.direction)

    def store(self, slot: int, step: float, after: int, before: int | None) -> None:
        """Remember a step along the direction as a pair.

        Args:
            slot: where.
            step: how far it led.
            after: the slot of the gradient after it; of the change, if there is no `before`.
            before: the slot of the gradient before it.
        """
        s, y, g = self.rows.step(slot), self.rows.change(slot), self.gradient(after)
        if self.history_dtype != self.dtype:
            s.copy_(self.direction * step)
            y.copy_(g if before is None else g - self.gradient(before))
            return
        torch.mul(self.direction, step, out=s)
        if before is None:
            y.copy_(g)
        else:
            torch.sub(g, self.gradient(before), out=y)

    def move(self, step: float) -> None:
        r"""Put the parameters at :math:`x + t\,\sigma d`, with :math:`x` the start."""
        factor = step * self.scale
        pairs = zip(self.params, self.parts(START), self.parts(DIRECTION), strict=True)
        for p, start, direction in pairs:
            torch.add(start, direction, alpha=factor, out=real(p))

    def save(self) -> None:
        """Copy the parameters into the start."""
        for p, piece in zip(self.params, self.parts(START), strict=True):
            piece.copy_(real(p))

    def follow(self) -> None:
        """Let the start be where the parameters are, at the latest when they `move`."""
        self.save()

    def settle(self) -> None:
        """Make sure that the start holds what it is said to."""

    def restore(self) -> None:
        """Put the parameters back to the start, bit for bit."""
        for p, piece in zip(self.params, self.parts(START), strict=True):
            real(p).copy_(piece)

    def compare(self, slot: int, origin: int, last: int) -> None:
        """Write down what has changed since the last move.

        These are whether the parameters aren't at the start any more, the slope that the
        direction has at the move's origin, and whether the gradient isn't what it was.

        Args:
            slot: of the gradient of now.
            origin: of the gradient where the move began.
            last: of the gradient where it led.
        """
        moved, slope, changed = self.places[EXTRA:LOSS]
        moved.copy_(self.has_moved())
        slope.copy_(torch.dot(self.gradient(origin), self.direction))
        changed.copy_((self.gradient(slot) != self.gradient(last)).any())

    def has_moved(self) -> Tensor:
        """Return whether the parameters aren't at the start any more."""
        pairs = zip(self.params, self.parts(START), strict=True)
        return torch.stack([(real(p) != piece).any() for p, piece in pairs]).any()

    def is_near(self, step: float) -> bool:
        """Return whether the parameters are as near to the start as other rounding puts them.

        Args:
            step: how far along the direction the start was reached.
        """
        precision = ROUNDINGS * torch.finfo(self.dtype).eps
        moved = step * self.scale * torch.linalg.vector_norm(self.direction, torch.inf)
        pairs = zip(self.params, self.parts(START), strict=True)
        return all(
            bool(((real(p) - start).abs() <= precision * (start.abs() + moved)).all())
            for p, start in pairs
        )


@attrs.define(eq=False)
class SingleBlock(Block):
    """A block of one parameter."""

    takes_one: ClassVar[bool] = True


@attrs.define(eq=False)
class ForeachBlock(Block):
    """A block whose parameters are moved by multi-tensor operations."""

    def move(self, step: float) -> None:
        r"""Put the parameters at :math:`x + t\,\sigma d`, with :math:`x` the start."""
        params = [real(p) for p in self.params]
        torch._foreach_copy_(params, self.parts(START))
        torch._foreach_add_(params, self.parts(DIRECTION), alpha=step * self.scale)

    def save(self) -> None:
        """Copy the parameters into the start."""
        torch._foreach_copy_(self.parts(START), [real(p) for p in self.params])

    def restore(self) -> None:
        """Put the parameters back to the start, bit for bit."""
        torch._foreach_copy_([real(p) for p in self.params], self.parts(START))


def free_slot(*taken: int | None) -> int:
    """Return where a gradient can be put without overwriting those that are taken."""
    slot = 0
    while slot in taken:
        slot += 1
    return slot


def real(tensor: Tensor) -> Tensor:
    """Return a tensor as it is, a complex one as pairs of real numbers."""
    if not tensor.is_complex():
        return tensor
    return torch.view_as_real(tensor.resolve_conj() if tensor.is_conj() else tensor)


def _dense(gradient: Tensor) -> Tensor:
    return gradient if gradient.layout == torch.strided else gradient.to_dense()
