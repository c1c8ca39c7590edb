"""The operations of a trace as operations on tensors, or on bundles of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from optkit_core.tracing.extent import Extent
from optkit_core.tracing.operations import OPERATIONS
from optkit_core.tracing.operations.reductions import REDUCTIONS

# A dict of plain functions: that is what Dynamo traces at once, in every release of torch.
_CALLS: dict[str, Callable[..., Any]] = {
    name: operation.tensor for name, operation in OPERATIONS.items() if operation.tensor is not None
}

REDUCED: dict[str, Callable[[Tensor], Tensor]] = {
    name: reduction.tensor for name, reduction in REDUCTIONS.items()
}
"""What computes each reduction of one tensor."""

WHOLE = frozenset(n for n, r in REDUCTIONS.items() if r.is_count or r.over == Extent.ELEMENT)
"""The reductions that result in one number for each tensor."""


def apply(operation: str, operands: Sequence[Any]) -> Any:
    """Apply an operation of a trace.

    Args:
        operation: its name.
        operands: tensors, or bundles of equal length.

    >>> import torch
    >>> apply("add_alpha", [torch.ones(2), torch.ones(2), torch.tensor(3.0)])
    tensor([4., 4.])
    """
    call = _CALLS.get(operation)
    if call is not None:
        return call(*operands)
    return getattr(operands[0], operation)(*operands[1:])
