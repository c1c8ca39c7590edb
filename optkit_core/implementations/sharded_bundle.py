"""Sharded bundles: the parts that a rank holds of several DTensors, for a body that reduces.

What is computed element by element is computed of the parts. What is reduced is reduced on each
rank first, and completed over the mesh when its value is needed: all reductions that are open by
then are completed together, so that a body makes as many collectives as it has passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core.implementations.bundle import Bundle, Sizes
from optkit_core.implementations.local_reductions import ReductionCall, reduced_part
from optkit_core.implementations.open_reductions import Later, OpenReductions
from optkit_core.implementations.operators import is_in_place, replaced
from optkit_core.shards import spreads
from optkit_core.shards.collectives import Share
from optkit_core.shards.spreads import ONE, Spread
from optkit_core.tracing.reduced import is_reduction


class Rows:
    """The rows that a body updates.

    Args:
        meshes: those of the parameters.
        one_by_one: whether methods are applied tensor by tensor.

    Attributes:
        reductions: those that are yet to be completed.
    """

    def __init__(self, meshes: Sequence[Any], one_by_one: bool = False) -> None:
        """Begin without an open reduction."""
        self.meshes = meshes
        self.one_by_one = one_by_one
        self.reductions = OpenReductions()

    def bundle(self, tensors: Sequence[Tensor], spread: Sequence[Spread]) -> ShardedBundle:
        """Return the rows' tensors as a body sees them.

        Args:
            tensors: the parts, or numbers.
            spread: how the tensors are spread whose parts these are.
        """
        pairs = zip(tensors, spread, strict=True)
        return ShardedBundle(tensors, [_as_real(tensor, own) for tensor, own in pairs], self)

    def beside(self, other: Bundle) -> ShardedBundle:
        """Return numbers that don't depend on shards as a bundle of these rows."""
        return ShardedBundle(other.tensors, [()] * len(other.tensors), self)


class ShardedBundle(Bundle):
    """Parts of DTensors, or what has been computed of them.

    Args:
        tensors: the parts, or what computes them once they are needed.
        spread: how the tensors are spread whose parts these are.
        rows: to which they belong.
    """

    takes_over = True

    def __init__(
        self, tensors: Sequence[Tensor] | Later, spread: Sequence[Spread], rows: Rows
    ) -> None:
        """Hold the parts, or what is to compute them."""
        self._later = tensors if isinstance(tensors, Later) else None
        self._tensors = [] if isinstance(tensors, Later) else list(tensors)
        self.spread = spread
        self.rows = rows

    @property
    def tensors(self) -> list[Tensor]:  # type: ignore[override]
        """The parts; reductions that they depend on are completed."""
        return self._tensors if self._later is None else list(self._later.tensors())

    @property
    def is_open(self) -> bool:
        """Whether the parts may depend on reductions that are open."""
        return self._later is not None

    def like(self, tensors: Sequence[Tensor]) -> ShardedBundle:
        """Return tensors that have been computed of these."""
        return ShardedBundle(tensors, self.spread, self.rows)

    def beside(self, other: Bundle) -> ShardedBundle:
        """Return numbers that don't depend on shards as a bundle of the same rows."""
        return self.rows.beside(other)

    def frozen(self) -> ShardedBundle:
        """Return the same parts, for what is computed later: the body may change its own."""
        return ShardedBundle(self._later or self._tensors, self.spread, self.rows)

    def apply(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Apply a tensor method to every part, or to what the parts are parts of."""
        if method in ("numel", "size"):
            dims = (*arguments, *keywords.values())
            return self._counts(dims or None)
        if is_reduction(method, arguments):
            return self._reduced(ReductionCall.of(method, arguments, keywords))
        if is_in_place(method):
            if self._later is not None:  # which others may depend on too
                self._tensors = [tensor.clone() for tensor in self._later.tensors()]
                self._later = None
            return super().apply(method, *arguments, **keywords)
        return _computed(Bundle.apply, (self, method, *arguments), keywords)

    @classmethod
    def call(
        cls, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """Call a function of torch with the parts at each index.

        Args:
            function: ``torch.where``, for example.
            arguments: its positional arguments.
            keywords: its keyword arguments.
        """
        return _computed(Bundle.call, (function, arguments, keywords), {})

    def multi_tensor_operation(
        self, method: str, arguments: Sequence[Any]
    ) -> Callable[..., Any] | None:
        """Return torch's multi-tensor operation for a method, unless each tensor goes alone."""
        return None if self.rows.one_by_one else super().multi_tensor_operation(method, arguments)

    def _counts(self, over: tuple[int, ...] | None) -> Sizes:
        """Return how many elements the whole tensors have along some dims."""
        counts = [float(spreads.count(own, over)) for own in self.spread]
        return Sizes(torch.tensor(counts, dtype=torch.float64, device="cpu").unbind())

    def _reduced(self, asked: ReductionCall) -> Any:
        """Reduce the parts, and let the rest be done with other reductions."""
        local = self._reduced_here(asked)
        after = [spreads.without(own, asked.over, asked.keepdim) for own in self.spread]
        rows = zip(local, self.rows.meshes, self.spread, after, strict=True)
        shares = [
            Share(
                value,
                mesh,
                spreads.reduced_mesh_dims(own, asked.over),
                asked.combine,
                spreads.varying_mesh_dims(left),
            )
            for value, mesh, own, left in rows
        ]
        result: Any = ShardedBundle(self.rows.reductions.values_of(shares), after, self.rows)
        return result / self._counts(asked.over) if asked.method == "mean" else result

    def _reduced_here(self, asked: ReductionCall) -> list[Tensor]:
        method = {"mean": "sum", "max": "amax", "min": "amin"}.get(asked.method, asked.method)
        if method == "norm" and asked.over is None and asked.combine == "hypot":
            norms: list[Tensor] = super().apply("norm").tensors
            return norms
        return [reduced_part(tensor, method, asked) for tensor in self.tensors]


def must_complete(method: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> bool:
    """Return whether a call needs reductions that are open.

    Args:
        method: of a tensor; ``""`` for a function.
        arguments: by position, the bundle of a method among them.
        keywords: by name.
    """
    given = bundles_in((*arguments, *keywords.values()))
    if method in ("numel", "size") or not any(map(_is_open, given)):
        return False
    waits = not (is_in_place(method) or is_reduction(method, arguments[1:]))
    return not (waits and all(map(_can_wait, given)))


def _computed(
    compute: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:
    """Return what is computed of bundles element by element; later, if all of it can wait."""
    given = bundles_in((*arguments, *keywords.values()))
    sharded = [value for value in given if isinstance(value, ShardedBundle)]
    spread, rows = _joined([value.spread for value in sharded]), sharded[0].rows
    if not (any(value.is_open for value in sharded) and all(map(_can_wait, given))):
        return ShardedBundle(compute(*arguments, **keywords).tensors, spread, rows)
    own, named = replaced(arguments, _frozen), replaced(keywords, _frozen)
    return ShardedBundle(Later(lambda: compute(*own, **named).tensors), spread, rows)


def _joined(several: Sequence[Sequence[Spread]]) -> Sequence[Spread]:
    # What is computed of a parameter is mostly spread as it is.
    if all(each is several[0] for each in several):
        return several[0]
    return [spreads.together(*own) for own in zip(*several, strict=True)]


def bundles_in(values: Iterable[Any]) -> list[Bundle]:
    """Return the bundles among arguments, which may be the arguments of a function."""
    found = []
    for value in values:
        if isinstance(value, Bundle):
            found.append(value)
        elif isinstance(value, (tuple, list)):
            found += bundles_in(value)
        elif isinstance(value, Mapping):
            found += bundles_in(value.values())
    return found


def _is_open(value: Bundle) -> bool:
    return isinstance(value, ShardedBundle) and value.is_open


def _can_wait(value: Bundle) -> bool:
    """Return whether a value stays what it is until it is needed."""
    return isinstance(value, Sizes) or _is_open(value)


def _frozen(value: Any) -> Any:
    """Return arguments whose bundles stay what they are."""
    if isinstance(value, (tuple, list, Mapping)):
        return replaced(value, _frozen)
    return value.frozen() if isinstance(value, ShardedBundle) else value


def _as_real(tensor: Tensor, spread: Spread) -> Spread:
    """Return how a tensor is spread that is that of a complex one as pairs of real numbers."""
    if tensor.dim() == len(spread):
        return spread
    return (*spread, ONE._replace(size=2)) if spread else spreads.spread_of(tensor)
