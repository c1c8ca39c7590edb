"""Buckets: the parameters of one group that can step together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.buffers import STEP

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

    def __str__(self) -> str:
        words = [str(self.device), str(self.dtype).removeprefix("torch.")]
        if self.layout != torch.strided:
            words.append(str(self.layout).removeprefix("torch."))
        words += [] if self.native else ["tensor subclass"]
        words += ["differentiable"] if self.differentiable else []
        return " ".join([*words, "capturable"] if self.capturable else words)


@attrs.define(eq=False, repr=False)
class Bucket:
    """Parameters of one kind with their gradients and states, position by position."""

    kind: Kind
    maximize: bool = False
    params: list[Tensor] = attrs.Factory(list)
    grads: list[Tensor] = attrs.Factory(list)
    states: list[dict[str, Any]] = attrs.Factory(list)

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

    def as_real(self) -> Bucket:
        """Return the same bucket with every complex tensor viewed as pairs of real numbers."""
        if not self.kind.dtype.is_complex:
            return self
        return attrs.evolve(
            self,
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
            params=[self.params[i] for i in positions],
            grads=[self.grads[i] for i in positions],
            states=[self.states[i] for i in positions],
        )


def real(value: Any) -> Any:
    """Return a complex tensor as pairs of real numbers, and anything else as it is."""
    if isinstance(value, Tensor) and value.is_complex():
        return torch.view_as_real(value)
    return value


def gather(group: Mapping[str, Any]) -> list[Bucket]:
    """Sort the parameters of a group that have a gradient into buckets, as yet without state.

    Args:
        group: one of the optimizer's parameter groups.

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
            maximize = group.get("maximize", False)
            bucket = buckets[key] = Bucket(kind_of(group, p, g.layout), bool(maximize))
        bucket.params.append(p)
        bucket.grads.append(g)
    return list(buckets.values())


def kind_of(
    group: Mapping[str, Any], parameter: Tensor, layout: torch.layout = torch.strided
) -> Kind:
    """Return the kind of bucket for a parameter of a group and its gradient's layout."""
    return Kind(
        parameter.device,
        parameter.dtype,
        layout,
        type(parameter) in NATIVE,
        bool(group.get("differentiable", False)),
        bool(group.get("capturable", False)),
    )
