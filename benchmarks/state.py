"""State as dicts and as files: saving and loading beside torch's, time and peak memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import optkit
from benchmarks.pairs import interleaved, row
from benchmarks.processes import MEASURABLE, printed

SETS = {
    "16 large": [(1024, 1024)] * 16,
    "1,600 small": [(16, 16)] * 1_600,
    "16,000 small": [(16, 16)] * 16_000,
}
REPEATS = {"16 large": 20, "1,600 small": 10, "16,000 small": 3}
TIMES_SAVED = 10
"""How much oftener state_dict is called, which takes microseconds."""
FILE = [(1024, 1024)] * 48
"""384 MiB of Adamax's state."""

PEAK = """
import sys
import torch
from benchmarks.processes import rise
from benchmarks.state import SETS, make
side, kind, what = sys.argv[1:]
torch.set_num_threads(1)
optimizer, saved = make(side, SETS[kind]), make(side, SETS[kind]).state_dict()
work = optimizer.state_dict if what == "state_dict" else lambda: optimizer.load_state_dict(saved)
print(rise(work))
"""


def make(side: str, shapes: list[tuple[int, ...]]) -> Any:
    """Return an Adamax of torch or of optkit with the state of one step."""
    params = [torch.nn.Parameter(torch.zeros(shape)) for shape in shapes]
    optimizer = torch.optim.Adamax(params) if side == "torch" else optkit.create("adamax", params)
    for p in params:
        p.grad = torch.full_like(p, 0.1)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows for dicts and for files; `repeats` bounds how often each is run."""
    torch.set_num_threads(1)
    for kind in SETS:
        yield from dicts(kind, min(repeats, REPEATS[kind]))
    yield from files(min(repeats, 8))
    yield from peaks()


def dicts(kind: str, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows for ``state_dict`` and ``load_state_dict``."""
    theirs, ours = make("torch", SETS[kind]), make("optkit", SETS[kind])
    saved = theirs.state_dict(), ours.state_dict()
    pair = interleaved(theirs.state_dict, ours.state_dict, TIMES_SAVED * repeats)
    yield row(f"state_dict {kind}", 1, pair, "us", 2.0)
    pair = interleaved(
        lambda: theirs.load_state_dict(saved[0]), lambda: ours.load_state_dict(saved[1]), repeats
    )
    yield row(f"load_state_dict {kind}", 1, pair, "ms", None)


def files(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows for files; both sides write to the disk, not only to the system's cache."""
    theirs, ours = make("torch", FILE), make("optkit", FILE)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        theirs_path, ours_path = Path(folder, "theirs.pt"), Path(folder, "ours.safetensors")
        jobs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "save, on the disk": (
                lambda: torch_save(theirs, theirs_path),
                lambda: optkit.save(ours, ours_path),
            ),
            "load into live state": (
                lambda: torch_load(theirs, theirs_path),
                lambda: optkit.load(ours, ours_path),
            ),
            "load into a new optimizer": (
                lambda: torch_load(
                    torch.optim.Adamax(theirs.param_groups[0]["params"]), theirs_path
                ),
                lambda: optkit.load(
                    optkit.create("adamax", ours.param_groups[0]["params"]), ours_path
                ),
            ),
        }
        for what, (other, mine) in jobs.items():
            yield row(f"{what}, 384 MiB", 1, interleaved(other, mine, repeats), "ms", 1.0)


def torch_save(optimizer: Any, path: Path) -> None:
    """Do what optkit.save does, with torch.save: beside, to the disk, renamed."""
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        torch.save(optimizer.state_dict(), file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def torch_load(optimizer: Any, path: Path) -> None:
    optimizer.load_state_dict(torch.load(path, weights_only=True))


def peaks() -> Iterator[dict[str, Any]]:
    """Yield the rows for memory, each side in a process of its own; Linux only, like /proc."""
    if not MEASURABLE:
        return
    for kind in SETS:
        for what in ("state_dict", "load_state_dict"):
            theirs, ours = (peak(side, kind, what) for side in ("torch", "optkit"))
            pair = (theirs, ours, ours / max(theirs, 1.0))
            yield row(f"peak memory {what} {kind}", 1, pair, "MiB", None)


def peak(side: str, kind: str, what: str) -> float:
    return printed(PEAK, side, kind, what)
