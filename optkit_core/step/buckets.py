"""Buckets: the parameters of an optimizer that can step together, whatever their groups are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from itertools import chain
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.declaration.buffers import STEP
from optkit_core.selection import requests
from optkit_core.step.grad_scaler import Scaling

Allocate = Callable[[list[Tensor], int], Iterable[Iterable[tuple[str, Any]]]]
"""Returns the state before their first step of parameters of a group, given its index."""

Change = tuple[int, str, Any]
"""The index of a group, the name of one of its values, and what it is now."""

NATIVE = (Tensor, torch.nn.Parameter)


@attrs.frozen
class Kind:
    """What all parameters of a bucket have in common."""

    device: torch.device
    dtype: torch.dtype
    layout: torch.layout = torch.strided
    native: bool = True
    differentiable: bool = False
    capturable: bool = False
    compiled: bool = False

    @property
    def special(self) -> str:
        """The layout, and what sets the kind apart beside it: ``"strided capturable"``."""
        words = [str(self.layout).removeprefix("torch.")]
        words += [] if self.native else ["tensor subclass"]
        words += [
            mode for mode in ("differentiable", "capturable", "compiled") if getattr(self, mode)
        ]
        return " ".join(words)

    def __str__(self) -> str:
        special = self.special.removeprefix("strided").lstrip()
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.device} {dtype} {special}".rstrip()


@attrs.define(eq=False, repr=False)
class Bucket:
    """Parameters of one kind with their gradients and states, position by position.

    Args:
        kind: what they have in common.
        maximize: whether the gradients' signs are to be turned.
        scaling: the scale of the gradients, as it is in this step.
        params: the parameters.
        grads: their gradients.
        states: their states.
        groups: for each of them the index of its parameter group.
        hyperparameters: those of each group, as attributes, by its index; as they are now.
        shapes: those that the parameters had when their states were taken in.
        kept: what an implementation has derived from all this, for the steps to come.

    Attributes:
        changed: the hyperparameters that have changed since `kept` was made or took them in.
        new: the positions whose state has just been allocated.
    """

    kind: Kind
    maximize: bool = False
    scaling: Scaling = attrs.Factory(Scaling)
    params: list[Tensor] = attrs.Factory(list)
    grads: list[Tensor] = attrs.Factory(list)
    states: list[dict[str, Any]] = attrs.Factory(list)
    groups: list[int] = attrs.Factory(list)
    hyperparameters: Mapping[int, Any] = attrs.Factory(dict)
    shapes: list[torch.Size] = attrs.Factory(list)
    kept: Any = None
    changed: list[Change] = attrs.field(factory=list, init=False)
    new: frozenset[int] = attrs.field(default=frozenset(), init=False)

    def __len__(self) -> int:
        return len(self.params)

    @property
    def steps(self) -> list[Tensor]:
        """The step counters, one for each parameter."""
        return [state[STEP] for state in self.states]

    @property
    def values(self) -> list[Any]:
        """The hyperparameters of each parameter's group, as attributes."""
        return [self.hyperparameters[group] for group in self.groups]

    def attach(self, state: MutableMapping[Tensor, dict[str, Any]], allocate: Allocate) -> None:
        """Take in the state of every parameter, and allocate it where there is none.

        State on the meta device counts for none once its parameter has memory.
        """
        self.states = [state[p] for p in self.params]
        self.shapes = [p.shape for p in self.params]
        lacking: dict[int, list[int]] = {}
        for position, own in enumerate(self.states):
            if not own or self._is_unmaterialized(own):
                lacking.setdefault(self.groups[position], []).append(position)
        for group, positions in lacking.items():
            allocated = allocate([self.params[i] for i in positions], group)
            for position, buffers in zip(positions, allocated, strict=True):
                self.states[position].update(buffers)
        self.new = frozenset(chain.from_iterable(lacking.values()))

    def _is_unmaterialized(self, state: dict[str, Any]) -> bool:
        if self.kind.device.type == "meta":
            return False
        return any(isinstance(value, Tensor) and value.is_meta for value in state.values())

    @property
    def inverse_scale(self) -> Tensor | None:
        """What the gradients are to be multiplied by, None where they aren't scaled."""
        return self.scaling.inverse

    @property
    def found_inf(self) -> Tensor | None:
        """What isn't zero where nothing may change, None where nobody has looked."""
        return self.scaling.found_inf

    def refresh(self) -> bool:
        """Take the gradients of now; return whether the bucket is of the same kind still.

        What looks at addresses alone, as kernels do, leaves the gradients of an earlier step here.
        """
        grads = [p.grad for p in self.params]
        alike = all(
            g is not None
            and g.layout == self.kind.layout
            and g.dtype == p.dtype == self.kind.dtype
            and p.device == self.kind.device
            and g.shape == p.shape == shape
            for p, g, shape in zip(self.params, grads, self.shapes, strict=True)
        )
        if alike:
            self.grads = [g for g in grads if g is not None]
        return alike

    def directed(self, g: Tensor) -> Tensor:
        """Return a gradient with the scale taken out, and its sign turned to maximize."""
        if self.inverse_scale is not None:
            wide = g.float() if g.itemsize == 2 else g
            g = (wide * self.inverse_scale.to(g.device, wide.dtype.to_real())).to(g.dtype)
        return -g if self.maximize else g

    def directed_grads(self) -> list[Tensor]:
        """Return all gradients as `directed` does, by multi-tensor operations."""
        grads = self.grads
        if self.inverse_scale is not None:
            grads = [self.directed(g) for g in grads]
        elif self.maximize:
            grads = list(torch._foreach_neg(grads))
        return grads

    def as_real(self) -> Bucket:
        """Return the same bucket with every complex tensor viewed as pairs of real numbers."""
        if not self.kind.dtype.is_complex:
            return self
        return attrs.evolve(
            self,
            kept=None,
            params=[real(p) for p in self.params],
            grads=[real(g.resolve_conj()) for g in self.grads],
            states=[{key: real(value) for key, value in state.items()} for state in self.states],
        )

    def chunks(self, limit: float) -> Iterator[Bucket]:
        """Split into buckets of at most `limit` bytes of parameters, or of one parameter."""
        positions: list[int] = []
        size, room = 0, limit / self.kind.dtype.itemsize
        for position, p in enumerate(self.params):
            size += p.numel()
            if positions and size > room:
                yield self.subset(positions)
                positions, size = [], p.numel()
            positions.append(position)
        yield self if len(positions) == len(self) else self.subset(positions)

    def under(self, h: Any) -> Bucket:
        """Return the bucket as one of a single group with these hyperparameters.

        It is the same bucket without them: each parameter's group has its own then.
        """
        if h is None:
            return self
        groups = [0] * len(self)
        return attrs.evolve(self, kept=None, groups=groups, hyperparameters={0: h})

    def subset(self, positions: list[int]) -> Bucket:
        """Return the bucket of the parameters at `positions`."""
        return attrs.evolve(
            self,
            kept=None,
            params=[self.params[i] for i in positions],
            grads=[self.grads[i] for i in positions],
            states=[self.states[i] for i in positions] if self.states else [],
            shapes=[self.shapes[i] for i in positions] if self.shapes else [],
            groups=[self.groups[i] for i in positions],
        )


def real(value: Any) -> Any:
    """Return a complex tensor as pairs of real numbers, and anything else as it is."""
    if isinstance(value, Tensor) and value.is_complex():
        return torch.view_as_real(value)
    return value


def gather(
    param_groups: Sequence[Mapping[str, Any]],
    hyperparameters: Mapping[int, Any],
    scaling: Scaling | None = None,
    is_compiled: bool = False,
    only_with_gradient: bool = True,
    step_options: Sequence[str] = (),
) -> list[Bucket]:
    """Sort parameters into buckets, as yet without state.

    Args:
        param_groups: the optimizer's groups.
        hyperparameters: those of each group by its index.
        scaling: the scale of the gradients.
        is_compiled: whether compiled code calls the step.
        only_with_gradient: whether parameters without a gradient are left out; otherwise they
            are where they would be with a dense one.
        step_options: the names of the options that parameters of one bucket must agree in.

    Returns:
        The buckets, in the order in which their first parameter comes.
    """
    buckets: dict[Any, Bucket] = {}
    shared = scaling or Scaling()
    for index, group in enumerate(param_groups):
        agreed = agreed_options(group, step_options)
        for p in group["params"]:
            g = p.grad
            if g is None and only_with_gradient:
                continue
            layout = p.layout if g is None else g.layout
            types = () if _is_native(p, g) else (type(p), type(g))
            key = (p.device, p.dtype, layout, types, agreed)
            bucket = buckets.get(key)
            if bucket is None:
                kind = kind_of(group, p, layout, is_compiled, not types)
                maximize = bool(group.get("maximize", False))
                bucket = Bucket(kind, maximize, shared, hyperparameters=hyperparameters)
                buckets[key] = bucket
            bucket.params.append(p)
            bucket.groups.append(index)
            if g is not None:
                bucket.grads.append(g)
    return list(buckets.values())


def agreed_options(group: Mapping[str, Any], step_options: Sequence[str]) -> tuple[Any, ...]:
    """Return those options of a group that parameters of one bucket must agree in."""
    values = [group.get(name) for name in step_options]
    # Flags are compared as they are; what an algorithm of others declares may have no hash.
    flags = (value if type(value) is bool else str(value) for value in values)
    return (requests.wish_of(group), *flags)


def _is_native(p: Tensor, g: Tensor | None) -> bool:
    return type(p) in NATIVE and (g is None or type(g) in NATIVE)


def kind_of(
    group: Mapping[str, Any],
    parameter: Tensor,
    layout: torch.layout = torch.strided,
    is_compiled: bool = False,
    is_native: bool | None = None,
) -> Kind:
    """Return the kind of bucket for a parameter of a group and its gradient's layout."""
    return Kind(
        parameter.device,
        parameter.dtype,
        layout,
        type(parameter) in NATIVE if is_native is None else is_native,
        bool(group.get("differentiable", False)),
        bool(group.get("capturable", False)),
        is_compiled,
    )
