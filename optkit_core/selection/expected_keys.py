"""The buckets that parameters are going to step in, known before there is any gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from torch import Tensor

from optkit_core.declaration.buffer_conditions import names_for
from optkit_core.declaration.tensor_types import is_plain
from optkit_core.shards.completed_bodies import steps_part
from optkit_core.step.bucket_key import BucketKey, bucket_key_of
from optkit_core.step.sort_into_buckets import Facts, agreed_options


class Expected(NamedTuple):
    """What is known of a parameter's bucket.

    Args:
        parameter: the parameter.
        facts: what it has in common with all others of the bucket.
        key: of the bucket, if the gradient is dense and every implementation may run.
    """

    parameter: Tensor
    facts: Facts
    key: BucketKey


def expected(
    algorithm: Any, group: Mapping[str, Any], h: SimpleNamespace, params: Iterable[Tensor]
) -> Iterator[Expected]:
    """Yield what is known of the buckets of a group's parameters.

    Args:
        algorithm: the optimizer's class.
        group: the parameter group.
        h: its hyperparameters as attributes.
        params: all of its parameters, or some.
    """
    names_of = names_for(getattr(algorithm, "buffers", {}), group)
    agreed = agreed_options(group, getattr(algorithm, "step_options", ()))
    for p in params:
        is_part = not is_plain(p) and steps_part(algorithm, group, h, p)
        is_sharded = is_part and algorithm.completes_reductions()
        is_native, names = is_plain(p) or is_part, names_of(p)
        facts = (p.device, p.dtype, is_native, is_sharded, names, agreed)
        key = bucket_key_of(group, p, is_native=is_native, buffers=names, is_sharded=is_sharded)
        yield Expected(p, facts, key)
