"""Buckets: the parameters of one group that can step together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.buffers import STEP
from optkit_core.scaling import Scaling

Allocate = Callable[[Tensor], dict[str, Any]]

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
        kept: what an implementation has derived from all this, for the steps to come.
    """

    kind: Kind
    maximize: bool = False
    scaling: Scaling = attrs.Factory(Scaling)
    params: list[Tensor] = attrs.Factory(list)
    grads: list[Tensor] = attrs.Factory(list)
    states: list[dict[str, Any]] = attrs.Factory(list)
    kept: Any = None

    def __len__(self) -> int:
        return len(self.params)

    @property
    def steps(self) -> list[Tensor]:
        """The step counters, one for each parameter."""
        return [state[STEP] for state in self.states]

    def attach(self, state: MutableMapping[Tensor, dict[str, Any]], allocate: Allocate) -> None:
        """Take in the state of every parameter, and allocate it where there is none."""
        for p in self.params:
            own = state[p]
            if not own:
                own.update(allocate(p))
            self.states.append(own)

    @property
    def inverse_scale(self) -> Tensor | None:
        """What the gradients are to be multiplied by, None where they aren't scaled."""
        return self.scaling.inverse

    @property
    def found_inf(self) -> Tensor | None:
        """What isn't zero where nothing may change, None where nobody has looked."""
        return self.scaling.found_inf

    def refresh(self) -> bool:
        """Take the gradients of now; return whether the bucket is of the same kind still."""
        grads = [p.grad for p in self.params]
        alike = all(
            g is not None
            and g.layout == self.kind.layout
            and g.dtype == p.dtype == self.kind.dtype
            and p.device == self.kind.device
            for p, g in zip(self.params, grads, strict=True)
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

    def subset(self, positions: list[int]) -> Bucket:
        """Return the bucket of the parameters at `positions`."""
        return attrs.evolve(
            self,
            kept=None,
            params=[self.params[i] for i in positions],
            grads=[self.grads[i] for i in positions],
            states=[self.states[i] for i in positions],
        )


def real(value: Any) -> Any:
    """Return a complex tensor as pairs of real numbers, and anything else as it is."""
    if isinstance(value, Tensor) and value.is_complex():
        return torch.view_as_real(value)
    return value


def gather(
    group: Mapping[str, Any], scaling: Scaling | None = None, is_compiled: bool = False
) -> list[Bucket]:
    """Sort the parameters of a group that have a gradient into buckets, as yet without state.

    Args:
        group: one of the optimizer's parameter groups.
        scaling: the scale of the gradients.
        is_compiled: whether compiled code calls the step.

    Returns:
        The buckets, in the order in which their first parameter comes.
    """
    buckets: dict[Any, Bucket] = {}
    for p in group["params"]:
        g = p.grad
        if g is None:
            continue
        key = (p.device, p.dtype, g.layout, type(p))
        bucket = buckets.get(key)
        if bucket is None:
            maximize = bool(group.get("maximize", False))
            kind = kind_of(group, p, g.layout, is_compiled)
            bucket = buckets[key] = Bucket(kind, maximize, scaling or Scaling())
        bucket.params.append(p)
        bucket.grads.append(g)
    return list(buckets.values())


def kind_of(
    group: Mapping[str, Any],
    parameter: Tensor,
    layout: torch.layout = torch.strided,
    is_compiled: bool = False,
) -> Kind:
    """Return the kind of bucket for a parameter of a group and its gradient's layout."""
    return Kind(
        parameter.device,
        parameter.dtype,
        layout,
        type(parameter) in NATIVE,
        bool(group.get("differentiable", False)),
        bool(group.get("capturable", False)),
        is_compiled,
    )
