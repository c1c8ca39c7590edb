"""The default step, never compiled by torch, against a step of torch.optim that it compiles.

torch compiles for tens of seconds. Each set therefore has one process in which both sides
take their first step, from empty caches, and then their steps in turn. A second process
takes its first step with the kernels that the first one has left. A third one only allocates
what such a step allocates.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import product
from statistics import median
from typing import Any

import torch

import optkit
from benchmarks.models import parameters
from benchmarks.pairs import interleaved, row, seconds

COUNTERPARTS: dict[str, Any] = {
    "adadelta": torch.optim.Adadelta,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
    "adamax": torch.optim.Adamax,
    "adagrad": torch.optim.Adagrad,
}
LIMITS = {"400 small": 0.5, "16 large": 1.05}
SOONER = 1 / 20
WARM_MILLISECONDS = 50.0
CACHES = {
    "OPTKIT_CACHE_DIR": "optkit",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "PYTHONPYCACHEPREFIX": "python",
}
START = "import sys; from benchmarks.compiled import {name}; {name}(*sys.argv[1:])"


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of each set and thread count: steady step, first step cold, first warm."""
    for threads in (1, 2):
        for kind, limit in LIMITS.items():
            with tempfile.TemporaryDirectory() as folder:
                cold = in_process("both_sides", folder, kind, threads, repeats)
                first, ordinary = in_process("warm_start", folder, kind, threads)
                state = in_process("allocation", folder, kind, threads)
            what = f"adamax {kind}, torch compiled"
            yield row(f"step {what}", threads, cold["steady"], "ms", limit)
            yield row(f"first step, cold, {what}", threads, cold["first"], "ms", SOONER)
            allowed = WARM_MILLISECONDS / 1e3
            pair = (allowed, first - ordinary, (first - ordinary) / allowed)
            yield row(f"first step, warm, beyond {kind} (torch: allowed)", threads, pair, "ms", 1.0)
            pair = (state, first - ordinary, (first - ordinary) / state)
            yield row(f"the same beside its state, {kind}", threads, pair, "ms", None)


def family(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a steady step with one thread, of every algorithm that torch compiles."""
    for name, kind in product(COUNTERPARTS, LIMITS):
        with tempfile.TemporaryDirectory() as folder:
            try:
                pair = in_process("both_sides", folder, kind, 1, repeats, name)["steady"]
            except subprocess.CalledProcessError:
                continue  # what torch can't compile says so above
        yield row(f"step {name} {kind}, torch compiled", 1, pair, "ms", LIMITS[kind])


def in_process(name: str, folder: str, *arguments: Any) -> Any:
    """Call a function of this module in a process whose caches lie in a folder.

    Python's own is one of them, since installed packages have their bytecode.
    """
    command = [sys.executable, "-c", START.format(name=name), *map(str, arguments)]
    places = {variable: os.path.join(folder, place) for variable, place in CACHES.items()}
    settings = {**os.environ, **places, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=settings)
    return json.loads(done.stdout.splitlines()[-1])


def both_sides(kind: str, threads: str, repeats: str, name: str = "adamax") -> None:
    """Print the seconds of both sides' first steps, and of their steps in turn."""
    torch.set_num_threads(int(threads))
    options = {"momentum": 0.9} if name == "sgd" else {}
    ours = default_step(kind, name, **options)
    mine = seconds(ours)
    theirs = torch.compile(COUNTERPARTS[name](parameters(kind), **options).step)
    other = seconds(theirs)
    steady = interleaved(theirs, ours, int(repeats))
    print(json.dumps({"first": (other, mine, mine / other), "steady": steady}))


def warm_start(kind: str, threads: str) -> None:
    """Print the seconds of the first step and of an ordinary one."""
    torch.set_num_threads(int(threads))
    ours = default_step(kind)
    first = seconds(ours)
    print(json.dumps((first, median(seconds(ours) for _ in range(20)))))


def allocation(kind: str, threads: str) -> None:
    """Print the seconds that torch alone takes to allocate a first step's state."""
    torch.set_num_threads(int(threads))
    params = parameters(kind)
    print(json.dumps(seconds(lambda: [torch.zeros_like(p) for p in 2 * params])))


def default_step(kind: str, name: str = "adamax", **options: Any) -> Callable[[], None]:
    """Return the step of an optimizer whose implementation nobody has asked for."""
    step: Callable[[], None] = optkit.create(name, parameters(kind), **options).step
    return step
