"""Traces: what an update body does to one element, recorded by symbols as a program.

Symbols answer tensor methods. Numbers that the body computes on the host, a learning rate
divided by a bias correction for example, become the kernel's arguments: neither a schedule
nor the count of steps makes another kernel, and a branch of the body does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from optkit_core.declaration.buffer_conditions import names_under
from optkit_core.implementations import scalar_buffers
from optkit_core.implementations.operators import Operators, is_in_place
from optkit_core.implementations.scalar_buffers import Cells
from optkit_core.implementations.state_view import StateView
from optkit_core.selection.offer import UpdateBody
from optkit_core.step.buckets import Bucket
from optkit_core.tracing.buffer_extents import shaped_inputs
from optkit_core.tracing.extent import Extent
from optkit_core.tracing.operations.lookup import UntraceableError
from optkit_core.tracing.program import Program
from optkit_core.tracing.recording import Number, Recording, TracedTensor
from optkit_core.tracing.reduced import is_reduction, reduced
from optkit_core.tracing.scalar_program import TracedScalar

PARAMETER, GRADIENT = 0, 1
"""The indices of the first two values; those of the buffers follow, then the step's."""


class Symbol(TracedTensor, Operators):
    """Stands for a tensor in a trace: what its methods do is recorded.

    Args:
        recording: what records them.
        value: the index of the value that it stands for.
        fixed: whether it stands for that value for good, and no method may work in place.
    """

    def __init__(self, recording: Recording, value: int, fixed: bool = False) -> None:
        """Stand for a value."""
        self.recording = recording
        self.value = value
        self.fixed = fixed
        self.shaped_like = value  # which methods in place leave as it is

    def apply(self, method: str, *arguments: Any, **keywords: Any) -> Symbol:
        """Record a tensor method; an in-place one changes what this symbol stands for."""
        if method == "detach" or (method == "double" and self._is_per_tensor):
            return self  # a value of a whole tensor is float64 in every kernel
        if is_reduction(method, arguments):
            result: Symbol = reduced(self, method, arguments, keywords)
            return result
        if method == "zero_":
            return self.apply("fill_", 0.0)
        in_place = is_in_place(method)
        operands = (self, *arguments, *keywords.values())
        name = method.removesuffix("_") if in_place else method
        value = self.recording.call(name, operands, tuple(keywords))
        if not in_place:
            return Symbol(self.recording, value)
        # No step modifies p.grad: the third contract of docs/explanation/architecture.md.
        if self.fixed:
            raise UntraceableError("the update body changes its gradient in place")
        self.value = value
        return self

    def record(self, operation: str) -> Symbol:
        """Record a reduction of this value, and return what stands for its result."""
        extent = self.recording.extent
        if extent(self.value) != extent(self.shaped_like):
            raise UntraceableError(f"the update body computes {operation} of what it has filled")
        return Symbol(self.recording, self.recording.call(operation, (self,)))

    @property
    def _is_per_tensor(self) -> bool:
        return self.recording.extent(self.value) == Extent.TENSOR

    @classmethod
    def call(
        cls, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Symbol:
        """Record a function of torch as the method of its first argument that it is.

        Args:
            function: one that isn't a method of a symbol itself, such as ``torch.where``.
            arguments: its positional arguments.
            keywords: its keyword arguments.
        """
        # The condition comes first in the function, and second in the method.
        if function is torch.where and len(arguments) == 3:
            arguments = (arguments[1], arguments[0], arguments[2])
        recording = next(value.recording for value in arguments if isinstance(value, Symbol))
        operands = (*arguments, *keywords.values())
        return Symbol(recording, recording.call(function.__name__, operands, tuple(keywords)))

    @property
    def dtype(self) -> torch.dtype:
        """The parameter's dtype, for ``torch.finfo(p.dtype).eps``."""
        dtype = self.recording.dtype
        if dtype is None or self.shaped_like != PARAMETER:
            raise UntraceableError("the update body asks for the dtype of something else than p")
        return dtype

    def __bool__(self) -> bool:
        raise UntraceableError("the update body branches on the values of a tensor")

    def __getattr__(self, method: str) -> Any:
        """Return the tensor method of that name, which records itself."""
        try:
            return super().__getattr__(method)
        except AttributeError:
            if method.startswith("__"):
                raise
            raise UntraceableError(f"the update body asks for a tensor's {method}") from None


def trace(
    algorithm: type[UpdateBody],
    h: Any,
    t: float | TracedScalar | None,
    maximize: bool = False,
    inverse_scale: Number | None = None,
    buffers: tuple[str, ...] | None = None,
    is_new: bool = False,
    cells: Cells | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[Program, list[Number]]:
    """Record what an algorithm's update body does with these hyperparameters.

    Args:
        algorithm: the class, with its ``update`` and ``buffers``.
        h: the hyperparameters as attributes.
        t: the number of the step, or None where it comes from memory.
        maximize: whether the gradient's sign is turned.
        inverse_scale: what the gradient is multiplied by first, if it is scaled.
        buffers: the names of the buffers that there are; None: those that the hyperparameters
            ask for.
        is_new: whether buffers come into being that the body sets.
        cells: the scalar buffers, in which the body leaves what it assigns. Default: as they are
            before a first step.
        dtype: of the parameters, which a body may ask for; None: it must not.

    Returns:
        The program, and the numbers that a launch of its kernel needs.

    Raises:
        UntraceableError: the body does something that no kernel can be written for.
    """
    present = {n: algorithm.buffers[n] for n in names_under(algorithm.buffers, h, buffers)}
    names = [name for name, buffer in present.items() if not buffer.is_scalar]
    inputs = ("p", "g", *names, "t")
    recording = Recording(inputs, shaped_inputs({name: algorithm.buffers[name] for name in names}))
    recording.dtype = None if dtype is None else dtype.to_real()
    symbols = [Symbol(recording, value, value == GRADIENT) for value in range(len(inputs))]
    g = symbols[GRADIENT]
    # Scale before sign, as in `Bucket.directed`: every implementation does the same.
    if inverse_scale is not None:
        g = g.apply("mul", inverse_scale)
    if maximize:
        g = g.apply("neg")
    view = StateView(is_new)
    held = scalar_buffers.first_cells(present, h) if cells is None else cells
    view.show(dict(zip(names, symbols[2:-1], strict=True)), held)
    counted = symbols[-1] if t is None else t
    count = counted if algorithm.counts_steps else None
    try:
        algorithm.update(symbols[PARAMETER], g, view, h, count)
    except (AttributeError, TypeError, NotImplementedError) as error:
        raise UntraceableError(f"the update body can't be traced: {error}") from error
    stores = tuple((i, s.value) for i, s in enumerate(symbols[:-1]) if s.value != i)
    return recording.program(stores), recording.numbers


def trace_bucket(
    algorithm: type[UpdateBody], bucket: Bucket, h: Any, t: float | None, cells: Cells
) -> tuple[Program, list[Number]]:
    """Record what an algorithm's update body does with the rows of a bucket.

    Args:
        algorithm: the class, with its ``update`` and ``buffers``.
        bucket: the rows.
        h: the hyperparameters of their group as attributes.
        t: the number of the step, or None where it comes from memory.
        cells: the scalar buffers, in which the body leaves what it assigns.

    Raises:
        UntraceableError: the body does something that no kernel can be written for.
    """
    common = (bucket.maximize, bucket.inverse_scale, bucket.names, bucket.is_new, cells)
    return trace(algorithm, h, t, *common, bucket.key.dtype)
