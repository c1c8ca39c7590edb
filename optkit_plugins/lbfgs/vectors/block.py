"""Blocks: the parameters of one device and group as one real vector, with all its companions."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from optkit_plugins.lbfgs.vectors.gradient_info import (
    DIRECTION_NORM,
    GRADIENTS,
    HAS_CHANGED,
    HAS_MOVED,
    LOSS,
    MAX_NORM,
    ORIGIN_SLOPE,
)
from optkit_plugins.lbfgs.vectors.own_gradients import copy_gradients, real, set_gradients
from optkit_plugins.lbfgs.vectors.pair_matrix import (
    PairMatrix,
    add_rows,
    aligned_matrix,
    multiply_rows,
    split_views,
    views_of_rows,
)
from optkit_plugins.lbfgs.vectors.readback import read_back

START, DIRECTION, FIRST_GRADIENT = 0, 1, 2
"""Which row of a block's vectors is which."""

ROUNDINGS = 4
"""By how many roundings parameters may differ, and be those that a step has led to."""


@attrs.define(eq=False)
class Block:
    r"""Parameters of one device and group, whose vectors are one flat tensor each.

    Args:
        params: the parameters, none of them empty.
        dtype: of the vectors.
        history_dtype: of the remembered pairs.
        capacity: the number of pairs that can be remembered.
        scale: :math:`\sigma`: the block is minimized over :math:`z = x / \sigma`, so that its
            steps are :math:`\sigma^2` times as long where nothing is known of the curvature.
        sign: -1 to ascend, otherwise 1.
        is_owner: whether its elements count here in sums over all ranks, and on no other one.
    """

    params: list[Tensor]
    dtype: torch.dtype
    history_dtype: torch.dtype
    capacity: int
    scale: float = 1.0
    sign: int = 1
    is_owner: bool = True
    shapes: list[torch.Size] = attrs.field(init=False)
    sizes: list[int] = attrs.field(init=False)
    pairs: PairMatrix = attrs.field(init=False)
    vectors: Tensor = attrs.field(init=False)
    flat: list[Tensor] = attrs.field(init=False)
    shaped: list[list[Tensor]] = attrs.field(init=False)
    numbers: Tensor = attrs.field(init=False)
    scalars: list[Tensor] = attrs.field(init=False)
    products: Tensor = attrs.field(init=False)
    _multiplied: tuple[Tensor, Tensor] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Allocate every vector that there will ever be."""
        self.shapes = [real(p).shape for p in self.params]
        self.sizes = [shape.numel() for shape in self.shapes]
        size, device = sum(self.sizes), self.device
        self.pairs = PairMatrix(aligned_matrix(2 * self.capacity, size, self.history_dtype, device))
        self.vectors = aligned_matrix(FIRST_GRADIENT + GRADIENTS, size, self.dtype, device)
        self.flat = views_of_rows(self.vectors)
        self.shaped = [self.as_shaped(row) for row in self.flat]
        self.numbers = torch.zeros(LOSS + 1, dtype=self.dtype, device=device)
        self.scalars = views_of_rows(self.numbers)
        # One product for four numbers: the rows from the direction on are in the numbers' order.
        self._multiplied = self.vectors[DIRECTION:], self.numbers[:MAX_NORM]
        self.products = torch.zeros(2 * self.capacity, dtype=self.dtype, device=device)

    @property
    def device(self) -> torch.device:
        """Where the block lies."""
        return self.params[0].device

    @property
    def direction(self) -> Tensor:
        """The search direction, as a flat tensor."""
        return self.vector(DIRECTION)

    def gradient(self, index: int) -> Tensor:
        """Return one of the gradients, as a flat tensor."""
        return self.vector(FIRST_GRADIENT + index)

    def vector(self, row: int) -> Tensor:
        """Return a vector, as a flat tensor."""
        return self.flat[row]

    def views(self, row: int) -> list[Tensor]:
        """Return a vector's views in the shapes of the parameters."""
        return self.shaped[row]

    def as_shaped(self, vector: Tensor) -> list[Tensor]:
        """Return views of a vector in the shapes of the parameters, complex ones as pairs."""
        views = split_views(vector, self.sizes)
        return [view.view(shape) for view, shape in zip(views, self.shapes, strict=True)]

    def gather(self, index: int) -> None:
        """Copy the parameters' gradients into one of the gradients; a missing one is zero."""
        copy_gradients(self.params, self.views(FIRST_GRADIENT + index))
        factor = self.scale * self.sign
        if factor != 1.0:
            self.gradient(index).mul_(factor)

    def scatter(self, index: int) -> None:
        """Give the parameters that have a gradient this one, in tensors of their own."""
        # A rate of 0 is a scale of 0, by which `gather` has multiplied the gradient.
        factor = self.sign / self.scale if self.scale else 0.0
        set_gradients(self.params, self.views(FIRST_GRADIENT + index), factor)

    def receive(self, index: int, other: int | None = None) -> None:
        """Gather the parameters' gradients and measure them.

        Args:
            index: which of the gradients they become.
            other: as for `measure`.
        """
        self.gather(index)
        self.measure(index, other)

    def measure(self, index: int, other: int | None = None) -> None:
        r"""Write :math:`g^\top d`, :math:`g^\top g_i` and :math:`\lVert g \rVert_\infty` down.

        Args:
            index: which gradient :math:`g` is.
            other: the one gradient beside :math:`g` whose product is of interest.
        """
        g = self.gradient(index)
        vectors, products = self._multiplied
        torch.mv(vectors, g, out=products)
        torch.linalg.vector_norm(g, torch.inf, out=self.scalars[MAX_NORM])

    def measure_direction(self, origin: int) -> None:
        r"""Write :math:`g^\top d` of a gradient and :math:`\lVert d \rVert_\infty` down.

        Args:
            origin: the gradient where the line begins.
        """
        self.scalars[ORIGIN_SLOPE].copy_(torch.dot(self.gradient(origin), self.direction))
        norm = torch.linalg.vector_norm(self.direction, torch.inf)
        self.scalars[DIRECTION_NORM].copy_(norm)

    def unscaled(self, norm: float) -> float:
        r"""Return the norm of :math:`\nabla_x f`, from that of :math:`\nabla_z f`."""
        return norm / self.scale if self.scale else 0.0

    def read(self, loss: float | Tensor) -> tuple[list[float], float]:
        """Return the numbers that were written down, and a loss."""
        (numbers,), value = read_back([self.numbers], loss)
        return numbers, value

    def project(self, count: int, index: int, out: Tensor) -> None:
        r"""Write :math:`S^\top g` and :math:`Y^\top g`.

        Args:
            count: the number of pairs.
            index: which gradient :math:`g` is.
            out: takes the products, of shape ``(2 * capacity,)``.
        """
        multiply_rows(self.pairs.data, count, self.gradient(index), out=out)

    def descend(self, index: int) -> None:
        r"""Make the direction :math:`-g` of a gradient."""
        torch.neg(self.gradient(index), out=self.direction)

    def combine(
        self,
        count: int,
        coefficients: Tensor,
        index: int,
        gamma: float,
        length: float = math.nan,
    ) -> None:
        r"""Make the direction :math:`d = \sum_j c_j w_j - \gamma g`, see `add_rows`.

        Args:
            count: the number of pairs.
            coefficients: :math:`c`, of shape ``(2 * capacity,)``.
            index: which gradient :math:`g` is.
            gamma: :math:`\gamma`.
            length: a step that is tried next, for blocks that can go there on the way; or NaN.
        """
        factors = coefficients.to(self.device, self.dtype)
        gradient = self.gradient(index)
        add_rows(self.pairs.data, count, factors, gradient, gamma, out=self.direction)

    def store_pair(self, slot: int, length: float, after: int, before: int | None) -> None:
        """Remember a step along the direction as a pair.

        Args:
            slot: where.
            length: the step length.
            after: the gradient after the step; its change, if there is no `before`.
            before: the gradient before the step.
        """
        s, y, g = self.pairs.s(slot), self.pairs.y(slot), self.gradient(after)
        if self.history_dtype != self.dtype:
            s.copy_(self.direction * length)
            y.copy_(g if before is None else g - self.gradient(before))
            return
        torch.mul(self.direction, length, out=s)
        if before is None:
            y.copy_(g)
        else:
            torch.sub(g, self.gradient(before), out=y)

    def push_pair(
        self, slot: int, count: int, length: float, after: int, before: int, out: Tensor
    ) -> None:
        r"""Do as `store_pair`, and write the products of the other pairs with :math:`g`.

        Args:
            slot: where the pair goes.
            count: the number of pairs with it.
            length: the step length.
            after: the gradient :math:`g` after the step.
            before: the gradient before it, which may be overwritten.
            out: takes the products, of shape ``(2 * capacity,)``.
        """
        self.store_pair(slot, length, after, before)
        self.project(count, after, out)

    def move(self, length: float) -> None:
        r"""Put the parameters at :math:`x + t\,\sigma d`, with :math:`x` the start."""
        factor = length * self.scale
        views = zip(self.params, self.views(START), self.views(DIRECTION), strict=True)
        for p, start, direction in views:
            # From the start, not from the last trial: a step is the same point each time.
            torch.add(start, direction, alpha=factor, out=real(p))

    def save(self) -> None:
        """Copy the parameters into the start."""
        for p, start in zip(self.params, self.views(START), strict=True):
            start.copy_(real(p))

    def save_lazily(self) -> None:
        """Let the start be where the parameters are; it may be copied when they `move`."""
        self.save()

    def flush(self) -> None:
        """Do what `save_lazily` has put off."""

    def restore(self) -> None:
        """Put the parameters back to the start, bit for bit."""
        for p, start in zip(self.params, self.views(START), strict=True):
            real(p).copy_(start)

    def compare(self, index: int, origin: int, end: int) -> None:
        """Write down what has changed since the last step.

        These are whether the parameters aren't at the start any more, the slope that the
        direction has at the step's origin, and whether the gradient isn't what it was.

        Args:
            index: the gradient of now.
            origin: the gradient where the step began.
            end: the gradient where it led.
        """
        self.scalars[HAS_MOVED].copy_(self.has_moved())
        self.scalars[ORIGIN_SLOPE].copy_(torch.dot(self.gradient(origin), self.direction))
        self.scalars[HAS_CHANGED].copy_((self.gradient(index) != self.gradient(end)).any())

    def has_moved(self) -> Tensor:
        """Return whether the parameters aren't at the start any more."""
        pairs = zip(self.params, self.views(START), strict=True)
        return torch.stack([(real(p) != start).any() for p, start in pairs]).any()

    def direction_norm(self) -> float:
        r"""Return :math:`\lVert d \rVert_\infty` in units of the parameters."""
        norm: float = torch.linalg.vector_norm(self.direction, torch.inf).item()
        return self.scale * norm

    def is_near_start(self, moved: float) -> bool:
        """Return whether the parameters are as near to the start as other rounding puts them.

        Args:
            moved: the most by which the step that led to the start has changed a parameter.
        """
        precision = ROUNDINGS * torch.finfo(self.dtype).eps
        pairs = zip(self.params, self.views(START), strict=True)
        return all(
            bool(((real(p) - start).abs() <= precision * (start.abs() + moved)).all())
            for p, start in pairs
        )
