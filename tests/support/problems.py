"""Parameters and gradients that the tests share: awkward shapes, strides and gaps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.testing._internal.common_optimizers import optim_db

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64]
INFOS = {info.name.lower(): info for info in optim_db}


def parameters(dtype: torch.dtype, seed: int = 0) -> list[torch.nn.Parameter]:
    """Return parameters of sizes around and above the SIMD width, and of every layout."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    tensors = [
        random(1)[0],
        random(0, 3),
        random(31),
        random(33, 65),
        random(4, 3, 5, 7).to(memory_format=torch.channels_last),
        random(40, 10)[:, ::3],
        random(17, 9).t(),
    ]
    return [torch.nn.Parameter(tensor.clone()) for tensor in tensors[:4]] + [
        torch.nn.Parameter(tensor) for tensor in tensors[4:]
    ]


def copies(params: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    """Return parameters of the same values and strides over memory of their own."""
    return [
        torch.nn.Parameter(p.detach().clone(memory_format=torch.preserve_format)) for p in params
    ]


def gradients(params: list[torch.nn.Parameter], steps: int, seed: int = 1) -> Iterator[list[Any]]:
    """Yield gradients for each step; some are missing, some zero, some laid out otherwise.

    None is zero in float16, where torch's eps vanishes and every answer would be NaN.
    """
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        grads: list[Any] = []
        for position, p in enumerate(params):
            value = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            g = (value * 2.0 ** ((step + position) % 5 - 3)).to(p.dtype)
            if p.is_complex():
                g = g + 1j * torch.randn(p.shape, generator=generator).to(p.real.dtype)
            if (step + position) % 7 == 3 and p.dtype != torch.float16:
                g.zero_()
            missing = (step + position) % 6 == 5
            grads.append(None if missing else g.contiguous())
        yield grads


def set_gradients(params: list[torch.nn.Parameter], grads: list[Any]) -> None:
    """Give each parameter a gradient of its own memory, or none."""
    for p, g in zip(params, grads, strict=True):
        p.grad = None if g is None else g.clone()


def run(optimizer: Any, params: list[torch.nn.Parameter], steps: int = 25) -> list[Tensor]:
    """Take steps with the shared gradients; return where the parameters end."""
    for grads in gradients(params, steps):
        set_gradients(params, grads)
        optimizer.step()
    return [p.detach().clone() for p in params]
