"""Averages of a model's weights that torch composes of two parts."""

from __future__ import annotations

from typing import Annotated

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from optkit_core import boolean, within


def ema(
    model: torch.nn.Module,
    decay: Annotated[
        float,
        within(0.0, 1.0, closed=True, torch_words=None),
        "the part of the average that an update keeps",
    ] = 0.999,
    device: Annotated[
        torch.device | int | None,
        "where the average is kept; None: where the model is",
    ] = None,
    use_buffers: Annotated[
        bool, boolean(), "whether buffers are averaged too, and not copied"
    ] = False,
) -> AveragedModel:
    """ema: the exponential moving average of all weights since the first update."""
    keep = get_ema_multi_avg_fn(decay)
    return AveragedModel(model, device, multi_avg_fn=keep, use_buffers=use_buffers)
