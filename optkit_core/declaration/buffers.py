"""Buffers: the state tensors that an algorithm declares, and how they come to be.

A declaration is a class attribute, ``exp_avg = Buffer()``. Its name is the key in
``optimizer.state[p]``, and so in checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Never

import attrs
import torch
from torch import Tensor

from optkit_core.declaration import buffer_arguments, unset_buffers
from optkit_core.declaration.buffer_conditions import Condition, names_for
from optkit_core.declaration.buffer_kinds import (
    KINDS,
    BufferKind,
    PerElementKind,
    ScalarKind,
    ShapedKind,
    TensorKind,
)
from optkit_core.declaration.buffer_kinds.kind import Dtype
from optkit_core.declaration.buffer_kinds.scalar_kind import STEP as STEP
from optkit_core.errors import DeclarationError


@attrs.frozen(eq=False, init=False)
class Buffer:
    """One entry of the state of each parameter: what it is, and what it starts from.

    Args:
        init: the value that every element starts from: a number (default 0), or the name of the
            hyperparameter that holds it. None: the update body sets it in the step in which it
            comes into being, where ``s.is_new`` is true. An opaque buffer takes lists and dicts
            too, and None as a value.
        doc: one phrase, shown by `optkit.describe`.
        dtype: float16, bfloat16, float32 or float64, for a complex parameter that of its parts;
            for a tensor of the parameter's shape or of `shape` also a function that is called
            with the parameter. None (default): the parameter's.
        shape: a function that is called with the parameter, a complex one as pairs of real
            numbers, and returns sizes; None (default): what `kind` says.
        kind: ``"per element"`` (default): a tensor of the parameter's shape, device and
            layout. ``"shaped"`` (default with `shape`): a tensor of that shape. ``"scalar"``: a
            tensor of one number, on the CPU unless ``capturable``, which an update body reads and
            assigns as a number; both are real.
            ``"joint"``: a vector over all elements of all parameters of all groups, or a list
            of such, kept with the first parameter. ``"opaque"``: a number, or a list or dict
            of numbers and tensors, of which nothing is known.
        since: the version of the algorithm's schema that brought it, from 1 (default).
        optional: whether state without it is whole (default False): it comes into being when
            the algorithm writes it, and not before, as every joint buffer does.
        when: the condition under which a parameter has it: the name of a hyperparameter, which
            must not be zero, False or None then, or a function of the parameter and its group.
            None (default): always. Without it there is no memory and no key in the state.

    Raises:
        DeclarationError: an argument is unknown, can't be, or contradicts another.

    Attributes:
        rules: what `kind` makes of these arguments.
        name: the attribute that holds it, ``""`` until there is one.

    >>> import torch
    >>> Buffer(init=0.5).allocate(torch.zeros(2, dtype=torch.float64), {})
    tensor([0.5000, 0.5000], dtype=torch.float64)
    >>> Buffer(shape=lambda p: p.shape[:1]).allocate(torch.zeros(3, 5), {})
    tensor([0., 0., 0.])
    """

    init: Any
    doc: str
    dtype: Dtype | None
    shape: Callable[[Tensor], Sequence[int]] | None
    kind: str
    since: int
    optional: bool
    when: Condition | None
    rules: BufferKind = attrs.field(init=False)
    name: str = attrs.field(init=False, default="")

    def __init__(
        self,
        init: Any = 0.0,
        doc: str = "",
        dtype: Dtype | None = None,
        *,
        shape: Callable[[Tensor], Sequence[int]] | None = None,
        kind: str | None = None,
        since: int = 1,
        optional: bool = False,
        when: Condition | None = None,
        **unknown: Never,
    ) -> None:
        """Refuse what can't be."""
        # `**unknown` lets a misspelled keyword be told what was meant; Python's own error wouldn't.
        known = [field.name for field in attrs.fields(Buffer) if field.init]
        buffer_arguments.require_known(unknown, known)
        if kind is None:
            kind = PerElementKind.name if shape is None else ShapedKind.name
        buffer_arguments.require_kind(kind, KINDS)
        self.__attrs_init__(init, doc, dtype, shape, kind, since, optional, when)
        object.__setattr__(self, "rules", KINDS[kind](dtype, shape))
        complaint = next(self._complaints(), None)
        if complaint:
            raise DeclarationError(f"wrong Buffer: {complaint}")

    def _complaints(self) -> Iterator[str]:
        """Say which arguments can't be, or contradict each other."""
        init_complaint = self.rules.init_complaint(self.init)
        if init_complaint:
            yield init_complaint
        yield from buffer_arguments.complaints(
            self.dtype, self.since, self.doc, self.optional, self.shape, self.when
        )
        yield from self.rules.complaints(self.optional)
        if self.optional and self.init != 0:
            yield f"what is optional starts from nothing: leave out init={self.init!r:.40}."
        if self.optional and self.when is not None:
            yield "the algorithm decides when what is optional comes into being: leave out when=."

    def __set_name__(self, owner: type, name: str) -> None:
        """Note the name for messages, and how the owner steps DTensors."""
        object.__setattr__(self, "name", name)
        self.rules.buffer_name = name
        self.rules.is_exchanged = getattr(owner, "needs_whole_matrices", False)

    def allocate(self, parameter: Tensor, group: Mapping[str, Any]) -> Any:
        """Return the buffer for `parameter` before its first step.

        Args:
            parameter: the parameter.
            group: its group, which holds the hyperparameters that `init` may name.
        """
        return self.allocate_all([parameter], group)[0]

    def allocate_all(self, params: Sequence[Tensor], group: Mapping[str, Any]) -> list[Any]:
        """Return the buffers for parameters of one dtype and group, as `allocate` does."""
        value = group[self.init] if isinstance(self.init, str) else self.init
        if self.is_set_by_body or callable(self.init):
            value = 0.0
        buffers = self.rules.allocate_all(value, params, group)
        # Where steps are recorded, derivatives go on through what a buffer starts from.
        with torch.set_grad_enabled(bool(group.get("differentiable"))):
            for buffer, p in zip(buffers, params, strict=True):
                if self.is_set_by_body:
                    unset_buffers.mark(buffer)
                elif callable(self.init):
                    buffer.copy_(self.init(p))
                elif isinstance(value, Tensor) and value.requires_grad:
                    buffer.copy_(value.reshape(()))
        return buffers

    def empty(self, parameter: Tensor, group: Mapping[str, Any]) -> Tensor:
        """Return a tensor without values to be the buffer of `parameter`.

        Args:
            parameter: the parameter.
            group: its group.
        """
        return self._tensor_rules.empty(parameter, group)

    def shape_for(self, parameter: Tensor) -> torch.Size:
        """Return the shape of the buffer of `parameter`."""
        return self._tensor_rules.shape_of(parameter)

    def dtype_for(self, parameter: Tensor) -> torch.dtype:
        """Return the dtype of the buffer of `parameter`."""
        return self._tensor_rules.dtype_of(parameter)

    def device_for(self, parameter: Tensor, group: Mapping[str, Any]) -> torch.device:
        """Return the device of the buffer of `parameter`.

        Args:
            parameter: the parameter.
            group: its group, which may be ``capturable``.
        """
        return self._tensor_rules.device_of(parameter, group)

    @property
    def is_scalar(self) -> bool:
        """Whether an update body reads and assigns it as a number."""
        return isinstance(self.rules, ScalarKind)

    @property
    def is_set_by_body(self) -> bool:
        """Whether it starts from what the update body writes in its first step."""
        return self.init is None and self.is_tensor

    @property
    def fixed_dtype(self) -> torch.dtype | None:
        """The declared dtype, None where it depends on the parameter."""
        return None if callable(self.dtype) else self.dtype

    @property
    def is_tensor(self) -> bool:
        """Whether it is one tensor for each parameter, of known shape, dtype and device."""
        return self.rules.is_tensor

    @property
    def _tensor_rules(self) -> TensorKind:
        assert isinstance(self.rules, TensorKind)
        return self.rules


COUNTER = Buffer(doc="number of steps so far", dtype=torch.float64, kind=ScalarKind.name)
"""The step counter of every elementwise algorithm. In torch it is float32, where adding one
to 2**24 changes nothing; torch.optim takes and continues either."""

# Python calls it in class bodies alone, and `ScalarKind` knows a counter by its name.
COUNTER.__set_name__(Buffer, STEP)


def collect(cls: type) -> dict[str, Buffer]:
    """Return the buffers that `cls` and its bases declare, bases first."""
    declared: dict[str, Buffer] = {}
    for base in reversed(cls.__mro__):
        declared.update({k: v for k, v in vars(base).items() if isinstance(v, Buffer)})
    return declared


def allocate_all(
    buffers: Mapping[str, Buffer], params: Sequence[Tensor], group: Mapping[str, Any]
) -> Iterator[Iterable[tuple[str, Any]]]:
    """Return names and values of the buffers that parameters without state are to have.

    The parameters are of one dtype and group. Buffers are ordinary tensors in
    `torch.inference_mode` too: later steps may be outside of it.

    Args:
        buffers: the declared buffers by name.
        params: the parameters.
        group: their group.
    """
    required = {name: item for name, item in buffers.items() if not item.optional}
    names_of = names_for(required, group)
    chosen = [names_of(p) for p in params]
    rows: list[list[tuple[str, Any]]] = [[] for _ in params]
    with torch.inference_mode(False), torch.no_grad():
        for name, buffer in required.items():
            having = [i for i, names in enumerate(chosen) if name in names]
            values = buffer.allocate_all([params[i] for i in having], group) if having else ()
            for i, value in zip(having, values, strict=True):
                rows[i].append((name, value))
    return iter(rows)


def allocate(
    buffers: Mapping[str, Buffer],
    parameter: Tensor,
    group: Mapping[str, Any],
    existing: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the required buffers of `parameter` that don't exist yet.

    Args:
        buffers: the declared buffers by name.
        parameter: the parameter.
        group: its group.
        existing: the names of the buffers that exist.
    """
    lacking = {name: item for name, item in buffers.items() if name not in existing}
    return dict(next(allocate_all(lacking, [parameter], group)))
