"""Another implementation of an algorithm that isn't ours: ``sgd`` by NumPy, on the CPU.

It is no faster than optkit's own. A vendor's kernel enters in the same way.
"""

from __future__ import annotations

from typing import Any

import torch

import optkit_core
from optkit_core import Offer

DTYPES = (torch.float32, torch.float64)


@optkit_core.hookimpl
def optkit_offers(algorithm: type[torch.optim.Optimizer]) -> list[Offer] | None:
    """Offer an implementation called ``"numpy"`` for SGD, and nothing for all others."""
    if f"{algorithm.__module__}.{algorithm.__qualname__}" == "optkit_plugins.sgd.SGD":
        return [Offer("numpy", make_launcher, unsupported_reason)]
    return None


def make_launcher(algorithm: Any, bucket: Any, h: Any) -> Any:
    """Return what steps the parameters of a bucket."""

    def launch() -> None:
        for p, g in zip(bucket.params, bucket.grads, strict=True):
            parameter, gradient = p.detach().numpy(), bucket.directed(g).resolve_neg().numpy()
            parameter -= float(h.lr) * (gradient + float(h.weight_decay) * parameter)

    return launch


def unsupported_reason(algorithm: Any, key: Any, h: Any) -> str | None:
    """Return why NumPy can't step parameters of a key, None where it can."""
    if key.device.type != "cpu":
        return "NumPy's arrays are in the CPU's memory"
    if key.dtype not in DTYPES:
        return f"it takes float32 and float64, not {str(key.dtype).removeprefix('torch.')}"
    if key.special != "strided":
        return f"it takes plain dense tensors, not {key.special}"
    return "it has no momentum" if h.momentum else None
