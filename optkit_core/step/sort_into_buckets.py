"""Sorting the parameters of an optimizer into buckets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol

from torch import Tensor

from optkit_core.declaration.buffer_conditions import names_for
from optkit_core.declaration.buffers import Buffer
from optkit_core.declaration.tensor_types import PLAIN_TYPES
from optkit_core.selection import requests
from optkit_core.step.bucket_key import Refusals, bucket_key_of
from optkit_core.step.buckets import Bucket
from optkit_core.step.grad_scaler import Scaling

Facts = tuple[Any, ...]
"""What a parameter has in common with all that may step with it, whatever their gradients."""


class SteppedAlgorithm(Protocol):
    """What sorting needs of an algorithm's class."""

    step_options: ClassVar[tuple[str, ...]]
    buffers: ClassVar[Mapping[str, Buffer]]
    counts_steps: ClassVar[bool]

    @classmethod
    def completes_reductions(cls) -> bool:
        """Return whether what a part is reduced to has to be completed over the mesh."""


def gather(
    param_groups: Sequence[Mapping[str, Any]],
    hyperparameters: Mapping[int, SimpleNamespace],
    scaling: Scaling | None = None,
    is_compiled: bool = False,
    only_with_gradient: bool = True,
    algorithm: type[SteppedAlgorithm] | None = None,
    counts_as_plain: Callable[[Tensor, Tensor | None], bool] = lambda *_: False,
    refused_by: Callable[[Tensor, Facts], Refusals] | None = None,
) -> list[Bucket]:
    """Sort parameters into buckets, as yet without state.

    Args:
        param_groups: the optimizer's groups.
        hyperparameters: those of each group by its index.
        scaling: the scale of the gradients.
        is_compiled: whether compiled code calls the step.
        only_with_gradient: whether parameters without a gradient are left out; otherwise they
            are where they would be with a dense one.
        algorithm: its class, which says in which options parameters of one bucket must agree,
            and which buffers they have. Default: None, in none, and no buffers.
        counts_as_plain: tells whether a parameter of a subclass, with its gradient, steps like
            plain tensors do, and with them. Default: None does.
        refused_by: tells which implementations aren't to run a parameter. Default: None, each may.

    Returns:
        The buckets, in the order in which their first parameter comes.
    """
    buckets: dict[Any, Bucket] = {}
    shared = scaling or Scaling()
    step_options = algorithm.step_options if algorithm else ()
    buffers = algorithm.buffers if algorithm else {}
    counts_steps = algorithm.counts_steps if algorithm else True
    for index, group in enumerate(param_groups):
        agreed = agreed_options(group, step_options)
        names_of = names_for(buffers, group)
        for p in group["params"]:
            g = p.grad
            if g is None and only_with_gradient:
                continue
            layout = p.layout if g is None else g.layout
            # Subclasses of different types may compute differently, and don't step together.
            is_native = _is_native(p, g)
            is_part = not is_native and counts_as_plain(p, g)
            types = () if is_native or is_part else (type(p), type(g))
            is_sharded = is_part and algorithm is not None and algorithm.completes_reductions()
            names = names_of(p)
            is_plain = is_native or is_part
            facts = (p.device, p.dtype, is_plain, is_sharded, names, agreed)
            refused = refused_by(p, facts) if refused_by else ()
            key = (facts, layout, types, refused)
            bucket = buckets.get(key)
            if bucket is None:
                # What isn't plain no compiler is shown: compiled code has it stepped as always.
                special = (is_compiled and is_plain, is_plain, names, is_sharded, refused)
                common = bucket_key_of(group, p, layout, *special)
                maximize = bool(group.get("maximize", False))
                bucket = Bucket(
                    common,
                    maximize,
                    shared,
                    hyperparameters=hyperparameters,
                    counts_steps=counts_steps,
                    scalars=tuple([name for name in names if buffers[name].is_scalar]),
                )
                buckets[key] = bucket
            bucket.params.append(p)
            bucket.groups.append(index)
            if g is not None:
                bucket.grads.append(g)
    return list(buckets.values())


def agreed_options(group: Mapping[str, Any], step_options: Sequence[str]) -> tuple[Any, ...]:
    """Return those options of a group that parameters of one bucket must agree in.

    Args:
        group: a parameter group.
        step_options: the names of the options that say what a step does.
    """
    values = [group.get(name) for name in step_options]
    # Flags are compared as they are; what an algorithm of others declares may have no hash.
    flags = (value if type(value) is bool else str(value) for value in values)
    return (requests.request_key(group), *flags)


def _is_native(p: Tensor, g: Tensor | None) -> bool:
    return type(p) in PLAIN_TYPES and (g is None or type(g) in PLAIN_TYPES)
