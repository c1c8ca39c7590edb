"""CUDA graphs: a step that one captures must leave its counters on the device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from optkit_core.errors import ImplementationError


def require_capturable(name: str, groups: Iterable[Mapping[str, Any]]) -> None:
    """Raise where a CUDA graph is being captured, and a group can't be part of it.

    Args:
        name: of the optimizer, for the message.
        groups: its parameter groups.

    Raises:
        ImplementationError: a group hasn't ``capturable=True``.
    """
    if not torch.cuda.is_initialized():
        return
    capturing = torch.cuda.is_current_stream_capturing()
    if capturing and not all(group.get("capturable") for group in groups):
        raise ImplementationError(
            f"{name} is being captured in a CUDA graph, but not every group has capturable=True; "
            "construct it with capturable=True. [Attempting CUDA graph capture of step()]"
        )
