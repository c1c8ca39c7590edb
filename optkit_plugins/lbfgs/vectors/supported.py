"""Which parameters can be optimized: those whose elements go into plain tensors and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from optkit_core import (
    BucketKey,
    LocalPart,
    ParametersError,
    has_plain_part,
    is_flattened,
    joint_dtype,
)
from optkit_plugins.lbfgs.vectors.own_gradients import real

PLAIN = (Tensor, torch.nn.Parameter)
REALS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DTYPES = frozenset((*REALS, torch.complex32, torch.complex64, torch.complex128))


def unsupported_reason(key: BucketKey, h: Any) -> str | None:
    """Return None: sparse gradients count as dense ones, complex numbers as pairs of real ones.

    Args:
        key: device, dtype, layout and mode of the parameters and their gradients.
        h: the hyperparameters as attributes.
    """
    return None


def require(group: Mapping[str, Any]) -> None:
    """Raise if a parameter of a group can't be optimized, whoever may store its vectors.

    Tensors of another kind than the usual are tried out. One that has no elements yet, of a lazy
    module, is left for later.

    Args:
        group: a parameter group; nothing in it changes.

    Raises:
        ParametersError: there is one; names it and says why.
    """
    names = group.get("param_names")
    for position, p in enumerate(group["params"]):
        name = repr(names[position]) if names else f"params[{position}]"
        if is_flattened(p) and group.get("process_group") is None:
            refuse_part(name, "of a flat parameter of FullyShardedDataParallel")
        # Nested tensors say that they are strided.
        is_usual = type(p) in PLAIN and p.dtype in DTYPES and p.layout == torch.strided
        reason = "" if is_usual and not p.is_nested else _reason(group, p)
        if reason:
            raise ParametersError(
                f"LBFGS can't optimize {name}, a {type(p).__name__} ({p.dtype}, {p.layout}): it "
                "keeps its vectors in plain tensors, and the elements can't be copied between "
                f"those and the parameter ({reason}). Leave out what isn't to be optimized, and "
                "pass plain tensors, or DTensors that are sharded or replicated; or take another "
                "algorithm."
            )


def refuse_part(name: str, whole: str) -> NoReturn:
    """Raise for a plain tensor that is a part of something, of which other ranks have the rest.

    Args:
        name: what it is called.
        whole: what it is a part of, in words.

    Raises:
        ParametersError: always.
    """
    raise ParametersError(
        f"LBFGS can't optimize {name} as if it were whole: it is this rank's part {whole}, and "
        "its sums would miss what other ranks hold. Say which these are by process_group=, "
        "torch.distributed.group.WORLD for all of them; or use fully_shard, whose DTensors say it "
        "themselves."
    )


def _reason(group: Mapping[str, Any], parameter: Tensor) -> str:
    """Return why the elements can't be copied out and in as a step does it, or ``""``."""
    if is_lazy(parameter):
        return ""
    if has_plain_part(group, parameter):
        parameter = LocalPart(parameter).tensor
    try:
        if parameter.numel():
            with torch.no_grad():
                _copy(real(parameter.detach()), joint_dtype([parameter.dtype]))
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0][:200]
    return ""


def _copy(source: Tensor, dtype: torch.dtype) -> None:
    vector = torch.zeros(source.shape, dtype=dtype, device=source.device)
    vector.copy_(source)
    target = source.clone()
    torch.add(vector, vector, alpha=0.0, out=target)
    target.copy_(vector)
