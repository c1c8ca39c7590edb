"""Which implementations can step an algorithm here, as the selection itself knows it."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from algorithms import ALGORITHMS

import optkit
from optkit_core.selection.collect_offers import offers_of
from optkit_core.step.bucket_key import bucket_key_of


@cache
def implementations(name: str, dtype: torch.dtype = torch.float64) -> tuple[str, ...]:
    """Return the names of those that can step a matrix of a dtype, by an algorithm's defaults."""
    p = torch.ones(3, 3, dtype=dtype)
    optimizer: Any = optkit.create(name, [p])
    if not hasattr(optimizer, "values"):  # a class of torch in the place of an algorithm
        return ("forloop", "foreach") if "foreach" in optimizer.defaults else ("its own",)
    (group,) = optimizer.param_groups
    key, h = bucket_key_of(group, p), optimizer.values(group)
    cls = ALGORITHMS[name]
    return tuple(o.name for o in offers_of(cls) if o.unsupported_reason(cls, key, h) is None)


def create(name: str, params: Any, implementation: str, **options: Any) -> Any:
    """Return an optimizer by an implementation that `implementations` named."""
    asked = {} if implementation == "its own" else {"implementation": implementation}
    return optkit.create(name, params, **asked, **options)
