"""The sets of parameters that steps are measured on."""

from __future__ import annotations

import torch

SETS = {
    "400 small": [(64, 64)] * 200 + [(64,)] * 200,
    "16 large": [(1024, 1024)] * 16,
    "2000 tiny": [(64,)] * 2000,
}
TORCH = {"adamax": torch.optim.Adamax, "adagrad": torch.optim.Adagrad}
FLAG = {"forloop": False, "foreach": True}


def parameters(name: str) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in SETS[name]]
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator) * 0.1
    return params
