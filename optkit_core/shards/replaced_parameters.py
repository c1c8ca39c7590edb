"""Parameters that a model has replaced by DTensors after its optimizer took them in.

``fully_shard`` and ``parallelize_module`` put new parameters into a module. An optimizer that was
created before goes on holding those of before, which get no gradient any more: its steps would
change nothing, in silence. Nothing leads from a parameter to its module, so all modules are looked
through, which takes a tenth of a second in a large process; it is done where a group takes its
first step, and where no parameter has a gradient.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from optkit_core.errors import ParametersError
from optkit_core.param_groups.groups import label
from optkit_core.shards.placements import is_distributed

SHOWN = 3
"""How many parameters a message names."""


class ReplacedParameters:
    """Looks for replaced parameters when there is a reason to, and only then."""

    def __init__(self) -> None:
        """Know of no group."""
        self._count = 0
        self._is_idle = False

    def require_none(self, param_groups: Sequence[Mapping[str, Any]]) -> None:
        """Raise where a module has DTensors in place of parameters without a gradient.

        Args:
            param_groups: the optimizer's groups, before a step that is planned anew.

        Raises:
            ParametersError: naming the parameters.
        """
        was_idle, self._is_idle = self._is_idle, not any(_with_gradient(param_groups))
        if len(param_groups) == self._count and (was_idle or not self._is_idle):
            return
        self._count = len(param_groups)
        found = _replaced(param_groups) if _has_distributed_tensors() else []
        if found:
            self._count, self._is_idle = 0, False  # the next step says it again
            raise ParametersError(_message(param_groups, found))


def _with_gradient(param_groups: Sequence[Mapping[str, Any]]) -> Iterator[bool]:
    return (p.grad is not None for group in param_groups for p in group["params"])


def _has_distributed_tensors() -> bool:
    """Return whether this process may have made a DTensor over several ranks."""
    # Not imported here: it takes a third of a second.
    return "torch.distributed.tensor" in sys.modules and torch.distributed.is_initialized()


def _replaced(param_groups: Sequence[Mapping[str, Any]]) -> list[Tensor]:
    """Return parameters without a gradient that are in no module, but for a DTensor of the like."""
    params = [p for group in param_groups for p in group["params"]]
    lacking = {id(p): p for p in params if isinstance(p, nn.Parameter) and p.grad is None}
    lacking = {key: p for key, p in lacking.items() if p.requires_grad and not is_distributed(p)}
    own, others = set(map(id, params)), set()
    for p in _parameters_of_modules() if lacking else ():
        lacking.pop(id(p), None)
        if is_distributed(p) and id(p) not in own:
            others.add((p.shape, p.dtype))
    return [p for p in lacking.values() if (p.shape, p.dtype) in others]


def _parameters_of_modules() -> Iterator[Tensor]:
    """Yield the parameters of all modules of this process, those of several more than once."""
    for found in gc.get_objects():
        # By its type: a proxy may do anything when it is asked for its class.
        if issubclass(type(found), nn.Module):
            with contextlib.suppress(AttributeError):  # one that is being made has none yet
                yield from found.parameters(recurse=False)


def _message(param_groups: Sequence[Mapping[str, Any]], found: Sequence[Tensor]) -> str:
    names = ", ".join(label(param_groups, p) for p in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return (
        f"{names}{more}: a module has a DTensor in place of what this optimizer holds, which gets "
        "no gradient any more. The model was distributed after the optimizer had been created; "
        "create it after fully_shard() or parallelize_module(), from the parameters that the "
        "model has then."
    )
