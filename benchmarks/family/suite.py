"""The rows of the suite ``family``, on one thread, all sides of a row in turn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch

import optkit
from benchmarks import models
from benchmarks.family.traffic import traffic_of
from benchmarks.pairs import interleaved, row, seconds
from optkit_core import Elementwise
from optkit_core.plugins.torch_optimizers import counterpart
from optkit_core.selection.capabilities import capabilities

SMALL, LARGE = "400 small", "16 large"

BESIDE_ONE = 1.3
BESIDE_FUSED = 1.05
BESIDE_OTHERS = 0.55
BESIDE_MATRICES = 1.0
BESIDE_BYTES = 1.15
FUSED_BESIDE_FOREACH = 0.5
"""What the ratios are to stay below: beside one tensor of as many elements; torch's fused kernel,
or the best that it has where there is none, or its class for matrices; the bytes; and foreach,
where the body reduces."""

FLAGS: dict[str, dict[str, bool]] = {
    "for-loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
OPTIONS: dict[str, dict[str, Any]] = {"prodigy": {"growth_rate": 1.0}}
"""What isn't a default: along gradients that never change, its estimate would grow to infinity."""

TRIES = 5
"""Of how many steps the quickest of torch's implementations is found."""

FEWEST, MOST_SECONDS = 5, 60.0
"""How many pairs of steps are measured at least, and for how long, after which no more are."""


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of each algorithm that steps dense gradients without a closure.

    L-BFGS has suites of its own.
    """
    torch.set_num_threads(1)
    for name in optkit.available("optkit:*"):
        algorithm = optkit.get(name)
        if capabilities(algorithm).dense and not algorithm.requires_closure:
            yield from rows_of(name, algorithm, repeats)


def rows_of(name: str, algorithm: Any, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of an algorithm."""
    rival = counterpart(algorithm)
    if rival is not None:
        best, theirs = quickest(rival, name)
        pair = in_turn(theirs, step_of(name, params_of(name, LARGE)), repeats)
        yield row(f"{name} {LARGE}, torch's {best}", 1, pair, "ms", limit_beside(rival, algorithm))
        yield state(name, rival)
    if capabilities(algorithm).implementation("fused", "cpu"):
        one, many = one_of_as_many(SMALL), params_of(name, SMALL)
        pair = in_turn(step_of(name, one), step_of(name, many), repeats)
        yield row(f"{name} {SMALL}, one tensor of as many", 1, pair, "ms", BESIDE_ONE)
        yield from rows_of_fused(name, algorithm, repeats)


def rows_of_fused(name: str, algorithm: Any, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a fused step beside its bytes, and beside foreach where it reduces."""
    ours = created(name, params_of(name, LARGE), "fused")
    ours.step()
    is_elementwise = issubclass(algorithm, Elementwise)
    pair = in_turn(traffic_of(ours, params_of(name, LARGE)), ours.step, repeats)
    # A norm has to be known before anything can be written, so that bytes are read twice.
    limit = BESIDE_BYTES if is_elementwise else None
    yield row(f"{name} {LARGE}, its bytes", 1, pair, "ms", limit)
    if not is_elementwise:
        pair = in_turn(step_of(name, params_of(name, LARGE), "foreach"), ours.step, repeats)
        yield row(f"{name} {LARGE}, its foreach", 1, pair, "ms", FUSED_BESIDE_FOREACH)


def in_turn(
    theirs: Callable[[], Any], ours: Callable[[], Any], repeats: int
) -> tuple[float, float, float]:
    """Return what `interleaved` does, with fewer pairs where a step takes seconds."""
    theirs(), ours()
    each = seconds(theirs) + seconds(ours)
    return interleaved(theirs, ours, max(FEWEST, min(repeats, int(MOST_SECONDS / each))))


def step_of(name: str, params: Any, implementation: str = "auto") -> Callable[[], Any]:
    """Return the step of an algorithm."""
    step: Callable[[], Any] = created(name, params, implementation).step
    return step


def created(name: str, params: Any, implementation: str = "auto") -> Any:
    """Return an algorithm's optimizer."""
    return optkit.create(name, params, implementation=implementation, **OPTIONS.get(name, {}))


def params_of(name: str, kind: str) -> list[torch.nn.Parameter]:
    """Return those parameters of a set that an algorithm takes."""
    dims = capabilities(optkit.get(name)).parameter_dims
    return [p for p in models.parameters(kind) if dims is None or p.dim() in dims]


def one_of_as_many(kind: str) -> list[torch.nn.Parameter]:
    """Return a matrix of as many elements as a set has, all of them with a gradient."""
    many = models.parameters(kind)
    width = min(p.shape[-1] for p in many)
    values, grads = (
        torch.cat([t.flatten() for t in tensors]).view(-1, width)
        for tensors in ([p.detach() for p in many], [p.grad for p in many])
    )
    one = torch.nn.Parameter(values)
    one.grad = grads
    return [one]


def quickest(rival: type[Any], name: str) -> tuple[str, Callable[[], Any]]:
    """Return torch's quickest implementation of a class, by a few steps of each in turn."""
    takes = inspect.signature(rival).parameters
    flags = {kind: flag for kind, flag in FLAGS.items() if takes.keys() >= flag.keys()}
    steps = {
        kind: rival(params_of(name, LARGE), **flag).step
        for kind, flag in (flags or {"own": {}}).items()
    }
    times = [{kind: seconds(step) for kind, step in steps.items()} for _ in range(TRIES + 1)][1:]
    best = min(steps, key=lambda kind: median(time[kind] for time in times))
    return best, steps[best]


def limit_beside(rival: type[Any], algorithm: Any) -> float:
    """Return the limit beside torch's quickest implementation."""
    if not capabilities(algorithm).implementation("fused", "cpu"):
        return BESIDE_MATRICES
    return BESIDE_FUSED if "fused" in inspect.signature(rival).parameters else BESIDE_OTHERS


def state(name: str, rival: type[Any]) -> dict[str, Any]:
    """Return the row of the state's memory beside torch's."""
    optimizers = rival(params_of(name, LARGE)), optkit.create(name, params_of(name, LARGE))
    theirs, ours = map(mebibytes, optimizers)
    # Neither has any: equal.
    pair = (theirs, ours, ours / theirs if theirs else 1.0 + ours)
    return row(f"state {name} {LARGE}", 1, pair, "MiB", 1.0)


def mebibytes(optimizer: Any) -> float:
    """Return the size of an optimizer's state after a step, counters aside."""
    optimizer.step()
    values = [value for state in optimizer.state.values() for value in state.values()]
    tensors = [v for v in values if isinstance(v, torch.Tensor) and v.numel() > 1]
    return sum(t.numel() * t.element_size() for t in tensors) / 2**20
