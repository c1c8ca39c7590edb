"""Clipping of gradients, by torch's own functions."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_


@attrs.frozen
class Clipping:
    """What is done to gradients before a step.

    Args:
        norm: the largest norm of all gradients together; None: it isn't limited.
        value: the largest absolute value of an entry; None: it isn't limited.
        norm_type: the p of the norm (default 2.0); infinity is the largest entry.
        error_if_nonfinite: whether a norm that isn't finite is an error (default False).
    """

    norm: float | None = None
    value: float | None = None
    norm_type: float = 2.0
    error_if_nonfinite: bool = False

    def clip(self, optimizer: torch.optim.Optimizer) -> Tensor | None:
        """Clip the gradients of all parameters of an optimizer.

        Args:
            optimizer: whose parameters they are.

        Returns:
            The norm of all gradients before; None where entries are clipped.

        Raises:
            RuntimeError: the norm isn't finite, and `error_if_nonfinite`.
        """
        params = [p for group in optimizer.param_groups for p in group["params"]]
        if self.norm is not None:
            return clip_grad_norm_(
                params,
                self.norm,
                norm_type=self.norm_type,
                error_if_nonfinite=self.error_if_nonfinite,
            )
        if self.value is not None:
            clip_grad_value_(params, self.value)
        return None
