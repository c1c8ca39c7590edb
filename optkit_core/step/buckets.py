"""A bucket: parameters of an optimizer that step together, whatever their groups are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.declaration.buffers import STEP
from optkit_core.deprecation import warn_of_former_name
from optkit_core.shards.local_part import LocalPart
from optkit_core.shards.sharded_rows import ShardedRow
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.grad_scaler import Scaling
from optkit_core.step.group_values import read

NO_COUNT = torch.zeros((), dtype=torch.float64, device="cpu")
"""What stands for the step counter of a parameter that has none; nobody writes to it."""

Change = tuple[int, str, Any]
"""The index of a group, the name of one of its values, and what it is now."""


@attrs.define(eq=False, repr=False)
class Bucket:
    """Parameters of one key with their gradients and states, position by position.

    Args:
        key: what they have in common.
        maximize: whether the gradients' signs are to be turned.
        scaling: the scale of the gradients, as it is in this step.
        params: the parameters.
        grads: their gradients.
        states: their states.
        groups: for each of them the index of its parameter group.
        hyperparameters: those of each group, as attributes, by its index; as they are now.
        shapes: those that the parameters had when their states were taken in.
        sizes: how many elements each of them counts for where memory is limited; empty where
            these are its own.
        kept: what an implementation has derived from all this, for the steps to come.
        counts_steps: whether the states have step counters.
        is_new: whether this is the step in which buffers come into being that the body sets.
        scalars: the names of the buffers that are numbers.
        sharded: for each of them how it is spread over its mesh, if the key says that they are.
        parts: for each of them what it is of a DTensor, None for a tensor of its own; empty where
            none is a part.
        show: gives all parts their gradients, whichever bucket they are in; returns whether they
            still are the parameters' parts. None where there are no parts.

    Attributes:
        changed: the hyperparameters that have changed since `kept` was made or took them in.
        new: the positions where state has just been allocated.
        unset: the positions of states with a buffer that the body is to set in this step.
    """

    key: BucketKey
    maximize: bool = False
    scaling: Scaling = attrs.Factory(Scaling)
    params: list[Tensor] = attrs.Factory(list)
    grads: list[Tensor] = attrs.Factory(list)
    states: list[dict[str, Any]] = attrs.Factory(list)
    groups: list[int] = attrs.Factory(list)
    hyperparameters: Mapping[int, SimpleNamespace] = attrs.Factory(dict)
    shapes: list[torch.Size] = attrs.Factory(list)
    sizes: list[int] = attrs.Factory(list)
    kept: Any = None
    counts_steps: bool = True
    is_new: bool = False
    scalars: tuple[str, ...] = ()
    sharded: list[ShardedRow] = attrs.Factory(list)
    parts: list[LocalPart | None] = attrs.Factory(list)
    show: Callable[[], bool] | None = None
    changed: list[Change] = attrs.field(factory=list, init=False)
    new: frozenset[int] = attrs.field(default=frozenset(), init=False)
    unset: frozenset[int] = attrs.field(default=frozenset(), init=False)

    def __len__(self) -> int:
        return len(self.params)

    @property
    def kind(self) -> BucketKey:
        """What `key` was called before."""
        warn_of_former_name("Bucket.kind")
        return self.key

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the buffers in each state."""
        return self.key.buffers or ()

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the buffers that an update body sees as tensors."""
        return tuple([name for name in self.names if name not in self.scalars])

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of everything that each state holds: the buffers, and the step counter."""
        return (*self.names, STEP) if self.counts_steps else self.names

    @property
    def dicts(self) -> list[dict[str, Any]]:
        """The dicts of the optimizer's state, in which anybody may put something else."""
        return [getattr(state, "whole", state) for state in self.states]

    @property
    def counters(self) -> list[Tensor]:
        """The step counters, one for each parameter; none where steps aren't counted."""
        return [state[STEP] for state in self.states] if self.counts_steps else []

    @property
    def steps(self) -> list[Tensor]:
        """What is read as a count of steps, where it matters or not, for each parameter."""
        return self.counters or [NO_COUNT] * len(self)

    @property
    def values(self) -> list[SimpleNamespace]:
        """The hyperparameters of each parameter's group as attributes, in numbers of now."""
        own = {group: self.hyperparameters[group] for group in set(self.groups)}
        if not self.key.capturable:  # a graph reads tensors whenever it runs
            own = {group: read(h) for group, h in own.items()}
        return [own[group] for group in self.groups]

    def is_as_kept(self) -> bool:
        """Return whether what an implementation has kept finds the bucket as it was."""
        return self.kept is not None and bool(self.kept.holds(self))

    def takes_in_values(self) -> bool:
        """Return whether what is kept goes on with changed hyperparameters, all else as it was."""
        return self.kept is not None and bool(self.kept.takes_in_values(self))

    @property
    def inverse_scale(self) -> Tensor | None:
        """What the gradients are to be multiplied by, None where they aren't scaled."""
        return self.scaling.inverse

    @property
    def found_inf(self) -> Tensor | None:
        """What isn't zero where nothing may change, None where nobody has looked."""
        return self.scaling.found_inf

    def refresh(self) -> bool:
        """Take the gradients of now; return whether the bucket's key is still the same.

        Kernels look at addresses alone, and leave the gradients of an earlier step in `grads`.
        """
        if self.show is not None and not self.show():
            return False
        grads = [p.grad for p in self.params]
        # Only what anybody may have changed since the plan was made: assigning `p.data`, `p.grad`.
        alike = all(
            g is not None
            and g.layout == self.key.layout
            and g.dtype == p.dtype == self.key.dtype
            and p.device == self.key.device
            and g.shape == p.shape == shape
            for p, g, shape in zip(self.params, grads, self.shapes, strict=True)
        )
        if alike:
            self.grads = [g for g in grads if g is not None]
        return alike

    def directed(self, g: Tensor) -> Tensor:
        """Return a gradient with the scale taken out, and its sign turned to maximize."""
        if self.inverse_scale is not None:
            wide = g.float() if g.itemsize == 2 else g  # 1 / 2**16 is denormal in float16
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
        if not self.key.dtype.is_complex:
            return self
        return attrs.evolve(
            self,
            kept=None,
            params=[real(p) for p in self.params],
            # `view_as_real` refuses a tensor that is yet to be conjugated.
            grads=[real(g.resolve_conj()) for g in self.grads],
            states=[{key: real(value) for key, value in state.items()} for state in self.states],
        )

    def chunks(self, limit: float) -> Iterator[Bucket]:
        """Split into buckets of at most `limit` bytes of parameters, or of one parameter."""
        positions: list[int] = []
        total, capacity = 0, limit / self.key.dtype.itemsize
        for position, size in enumerate(self.sizes or map(Tensor.numel, self.params)):
            total += size
            if positions and total > capacity:  # at least one, however large it is
                yield self.subset(positions)
                positions, total = [], size
            positions.append(position)
        yield self if len(positions) == len(self) else self.subset(positions)

    def under(self, h: SimpleNamespace | None) -> Bucket:
        """Return the bucket as one of a single group with these hyperparameters.

        It is the same bucket without them: each parameter's group has its own then.
        """
        if h is None:
            return self
        groups = [0] * len(self)
        return attrs.evolve(self, kept=None, groups=groups, hyperparameters={0: h})

    def split_by_novelty(self) -> list[Bucket]:
        """Return a bucket of the rows whose buffers the body is to set, and one of the others."""
        old = [i for i in range(len(self)) if i not in self.unset]
        if not self.unset:
            return [self]
        parts = [self.subset(sorted(self.unset)), self.subset(old)] if old else [self]
        parts[0].is_new = True
        return parts

    def subset(self, positions: list[int]) -> Bucket:
        """Return the bucket of the parameters at `positions`."""
        return attrs.evolve(
            self,
            kept=None,
            params=[self.params[i] for i in positions],
            grads=[self.grads[i] for i in positions],
            # What `gather` returns has no states yet.
            states=[self.states[i] for i in positions] if self.states else [],
            shapes=[self.shapes[i] for i in positions] if self.shapes else [],
            sizes=[self.sizes[i] for i in positions] if self.sizes else [],
            groups=[self.groups[i] for i in positions],
            sharded=[self.sharded[i] for i in positions] if self.sharded else [],
            parts=[self.parts[i] for i in positions] if self.parts else [],
        )


def real(value: Any) -> Any:
    """Return a complex tensor as pairs of real numbers, and anything else as it is."""
    if isinstance(value, Tensor) and value.is_complex():
        return torch.view_as_real(value)
    return value
