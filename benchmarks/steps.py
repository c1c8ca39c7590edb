"""One step of each implementation against torch's of the same kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

import optkit
from benchmarks.models import FLAG, TORCH, parameters
from benchmarks.pairs import interleaved, row


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each thread count, set, algorithm and implementation."""
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for kind in ("400 small", "16 large"):
            for name, theirs in TORCH.items():
                for implementation, flag in FLAG.items():
                    other = theirs(parameters(kind), foreach=flag)
                    mine = optkit.create(name, parameters(kind), implementation=implementation)
                    pair = interleaved(other.step, mine.step, repeats)
                    what = f"step {name} {implementation} {kind}"
                    yield row(what, threads, pair, "ms", 1.0)
    torch.set_num_threads(1)
