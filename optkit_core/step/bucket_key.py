"""What the parameters of a bucket have in common, by which they are sorted into buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.declaration.tensor_types import PLAIN_TYPES

Refusals = tuple[tuple[str, str], ...]
"""Names of implementations that aren't to run, each with the reason."""


@attrs.frozen
class BucketKey:
    """What all parameters of a bucket have in common.

    Args:
        device: where they are.
        dtype: of the parameters.
        layout: of their gradients.
        native: whether they are plain tensors, not of a subclass.
        differentiable: whether autograd records the step.
        capturable: whether their step counters are on the device.
        compiled: whether compiled code calls the step.
        buffers: the names of the buffers that they have, in the declared order; None where
            it is left to their hyperparameters.
        sharded: whether they are the parts that this rank holds of DTensors, of which an
            algorithm completes its reductions over the mesh.
        refused: what isn't to run, since other ranks that hold the same DTensors can't run it,
            each with the reason.
    """

    device: torch.device
    dtype: torch.dtype
    layout: torch.layout = torch.strided
    native: bool = True
    differentiable: bool = False
    capturable: bool = False
    compiled: bool = False
    buffers: tuple[str, ...] | None = None
    sharded: bool = False
    refused: Refusals = ()

    def refusal_of(self, name: str) -> str:
        """Return why an implementation isn't to run, ``""`` where nobody minds.

        Args:
            name: of the implementation.
        """
        return dict(self.refused).get(name, "")

    @property
    def special(self) -> str:
        """The layout, and what sets the bucket apart beside it: ``"strided capturable"``."""
        words = [str(self.layout).removeprefix("torch.")]
        words += [] if self.native else ["tensor subclass"]
        words += ["sharded"] if self.sharded else []
        words += [
            mode for mode in ("differentiable", "capturable", "compiled") if getattr(self, mode)
        ]
        return " ".join(words)

    def __str__(self) -> str:
        special = self.special.removeprefix("strided").lstrip()
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.device} {dtype} {special}".rstrip()


def bucket_key_of(
    group: Mapping[str, Any],
    parameter: Tensor,
    layout: torch.layout = torch.strided,
    is_compiled: bool = False,
    is_native: bool | None = None,
    buffers: tuple[str, ...] | None = None,
    is_sharded: bool = False,
    refused: Refusals = (),
) -> BucketKey:
    """Return the key of the bucket that a parameter steps in.

    Args:
        group: the parameter's group.
        parameter: of any shape.
        layout: of its gradient. Default: dense.
        is_compiled: whether compiled code calls the step. Default: False.
        is_native: whether parameter and gradient are plain tensors. Default: None, the
            parameter's type says it.
        buffers: the names of its buffers. Default: None, its hyperparameters say it.
        is_sharded: whether its reductions are completed over a mesh. Default: False.
        refused: implementations that aren't to run, each with the reason. Default: none.

    >>> print(bucket_key_of({"capturable": True}, torch.ones(2)))
    cpu float32 capturable
    """
    return BucketKey(
        parameter.device,
        parameter.dtype,
        layout,
        type(parameter) in PLAIN_TYPES if is_native is None else is_native,
        bool(group.get("differentiable", False)),
        bool(group.get("capturable", False)),
        is_compiled,
        buffers,
        is_sharded,
        refused,
    )
