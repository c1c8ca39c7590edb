"""The default step on CPU, which fused kernels run, against torch's default and its fused ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

import optkit
from benchmarks.memory import peak
from benchmarks.models import parameters
from benchmarks.pairs import interleaved, row

RIVALS: dict[str, tuple[str, Callable[..., Any]]] = {
    "torch's default Adamax": ("adamax", torch.optim.Adamax),
    "torch's fused Adam": ("adamax", lambda params: torch.optim.Adam(params, fused=True)),
    "torch's fused Adagrad": ("adagrad", lambda params: torch.optim.Adagrad(params, fused=True)),
}
LIMITS = {
    ("400 small", "torch's default Adamax"): None,
    ("400 small", "torch's fused Adam"): None,
    ("400 small", "torch's fused Adagrad"): None,
    ("16 large", "torch's default Adamax"): 0.55,
    ("16 large", "torch's fused Adam"): 1.05,
}
BESIDE_ONE = {"400 small": 1.25, "16 large": 1.05}
"""How much longer a set's step may take than that of one tensor with as many elements."""
MICROSECONDS_PER_TENSOR = 0.6
TINY = "2000 tiny"
SHARE_OF_STATE = 0.01


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each thread count and limit, then those for memory."""
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for (kind, rival), limit in LIMITS.items():
            name, theirs = RIVALS[rival]
            other, mine = theirs(parameters(kind)), optkit.create(name, parameters(kind))
            pair = interleaved(other.step, mine.step, repeats)
            yield row(f"step {name} {kind}, {rival}", threads, pair, "ms", limit)
        for kind, limit in BESIDE_ONE.items():
            pair = beside_one(kind, repeats)
            yield row(f"step adamax {kind}, one tensor of as many", threads, pair, "ms", limit)
        yield per_tensor(threads, repeats)
    torch.set_num_threads(1)
    yield from memory()


def beside_one(kind: str, repeats: int) -> tuple[float, float, float]:
    """Return the seconds of one tensor with as many elements as a set, the set's, and the ratio."""
    many = parameters(kind)
    flat = torch.nn.Parameter(torch.cat([p.detach().flatten() for p in many]))
    flat.grad = torch.zeros_like(flat)
    one = optkit.create("adamax", [flat], implementation="fused")
    return interleaved(one.step, optkit.create("adamax", many).step, repeats)


def per_tensor(threads: int, repeats: int) -> dict[str, Any]:
    """Return what a tensor of 64 elements costs beyond its share of the memory traffic.

    The traffic is that of one tensor with as many elements as all of them, by the same kernel.
    """
    traffic, step, _ = beside_one(TINY, repeats)
    tiny = parameters(TINY)
    each = (step - traffic) / len(tiny) * 1e6
    pair = (MICROSECONDS_PER_TENSOR / 1e6, each / 1e6, each / MICROSECONDS_PER_TENSOR)
    return row(f"each of {TINY} beyond traffic (torch: allowed)", threads, pair, "us", 1.0)


def memory() -> Iterator[dict[str, Any]]:
    """Yield rows for the peak memory of fused steps, and of foreach beside the for-loop."""
    state = 4 * 64.0  # MiB of parameters, gradients and two buffers in "16 large"
    for name in ("adamax", "adagrad"):
        allowed, used = SHARE_OF_STATE * state, peak("optkit", name, "fused")
        yield _mebibytes(f"peak memory {name} fused (torch: allowed)", allowed, used)
        allowed, used = (peak("optkit", name, kind) for kind in ("forloop", "foreach"))
        yield _mebibytes(f"peak memory {name} foreach (torch: allowed)", allowed + 64, used)


def _mebibytes(what: str, allowed: float, used: float) -> dict[str, Any]:
    figures = {"torch": allowed, "optkit": used, "unit": "MiB", "ratio": used / allowed}
    return {"what": what, "threads": 1, **figures, "limit": 1.0}
