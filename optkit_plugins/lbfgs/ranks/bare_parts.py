"""Bare parts: plain tensors in which a DTensor of a model keeps what this rank has of it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from optkit_core import LocalPart, has_plain_part
from optkit_plugins.lbfgs.vectors.supported import PLAIN, refuse_part


class BareParts:
    """Finds out whether parameters are parts, by the models that are called.

    Nothing about the tensor itself tells, but its memory is the DTensor's.

    Args:
        params: those of an optimizer that was told of no process group.
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        """Note where the elements of plain parameters are."""
        self._positions = {
            p.data_ptr(): i for i, p in enumerate(params) if type(p) in PLAIN and p.numel()
        }
        self._seen: set[nn.Module] = set()

    def require_none(self, module: nn.Module) -> None:
        """Raise if a model has a DTensor of which a parameter is the part.

        Args:
            module: a model that is called, or a part of one that was looked at.
        """
        if module in self._seen:
            return
        self._seen.update(module.modules())
        for name, whole in module.named_parameters():
            if has_plain_part({}, whole):
                position = self._positions.get(LocalPart(whole).tensor.data_ptr())
                if position is not None:
                    refuse_part(f"params[{position}]", f"of {name!r}, a DTensor")
