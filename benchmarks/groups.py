"""Many groups, few tensors, first steps: what a step costs beside its work on the elements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

import optkit
from benchmarks.pairs import interleaved, row, seconds

SPLITS = {(12, 33): 1.2, (100, 4): 2.0, (400, 1): None, (1000, 1): None}
"""Groups, and tensors of each: the highest ratio to the step of one group of them all."""

OF_TORCHS_DEFAULT = 0.12
"""The highest ratio of a step of groups of one tensor to that of torch's default."""

MICROSECONDS_PER_GROUP = 2.0
MICROSECONDS_PER_CHANGE = 3.0
FEW = (1, 2, 4, 8, 16)
MANY = (16_000, 50_000)
SHAPES = ((10,), (50, 50))

DEFAULT = {"adamax": torch.optim.Adamax, "adagrad": torch.optim.Adagrad}
FUSED: dict[str, Callable[..., Any]] = {
    "adamax": lambda params: torch.optim.Adam(params, fused=True),
    "adagrad": lambda params: torch.optim.Adagrad(params, fused=True),
}
RIVAL = {"adamax": "torch's fused Adam", "adagrad": "torch's fused Adagrad"}


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of groups and of few tensors for each thread count, then of first steps."""
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name in DEFAULT:
            for (count, each), limit in SPLITS.items():
                yield from _groups(name, count, each, limit, threads, repeats)
            yield from _few(name, threads, repeats)
    torch.set_num_threads(1)
    for count in MANY:
        yield _first(count, max(3, repeats // 10))


def parameters(count: int, shape: tuple[int, ...]) -> list[torch.nn.Parameter]:
    params = [torch.nn.Parameter(torch.ones(shape)) for _ in range(count)]
    for p in params:
        p.grad = torch.full(shape, 0.1)
    return params


def grouped(count: int, each: int) -> list[dict[str, Any]]:
    """Return so many groups of so many tensors, with a learning rate of its own for each."""
    params = parameters(count * each, (256,))
    parts = [params[i * each : (i + 1) * each] for i in range(count)]
    return [{"params": part, "lr": 1e-3 * (1 + i / count)} for i, part in enumerate(parts)]


def _groups(
    name: str, count: int, each: int, limit: float | None, threads: int, repeats: int
) -> Iterator[dict[str, Any]]:
    what = f"{name}, {count} groups of {each}"
    one = optkit.create(name, parameters(count * each, (256,)))
    many = optkit.create(name, grouped(count, each))
    pair = interleaved(one.step, many.step, repeats)
    yield row(f"{what}, one group", threads, pair, "us", limit)
    further = (pair[1] - pair[0]) / (count - 1)
    yield _allowed(f"each further group, {what}", threads, MICROSECONDS_PER_GROUP, further)
    theirs = DEFAULT[name](grouped(count, each))
    limit = OF_TORCHS_DEFAULT if each == 1 else None
    pair = interleaved(theirs.step, many.step, max(5, repeats // 4))
    yield row(f"{what}, torch's default", threads, pair, "us", limit)
    pair = interleaved(many.step, lambda: (_schedule(many), many.step()), repeats)
    own = interleaved(lambda: None, lambda: _schedule(many), repeats)[1]
    change = (pair[1] - pair[0] - own) / count
    yield _allowed(f"each changed rate, {what}", threads, MICROSECONDS_PER_CHANGE, change)


def _schedule(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["lr"] *= 0.9999


def _allowed(what: str, threads: int, most: float, found: float) -> dict[str, Any]:
    """Return a row of microseconds beside those that are allowed."""
    pair = (most / 1e6, found, found * 1e6 / most)
    return row(f"{what} (torch: allowed)", threads, pair, "us", 1.0)


def _few(name: str, threads: int, repeats: int) -> Iterator[dict[str, Any]]:
    for count in FEW:
        for shape in SHAPES:
            theirs = FUSED[name](parameters(count, shape))
            mine = optkit.create(name, parameters(count, shape))
            pair = interleaved(theirs.step, mine.step, 5 * repeats)
            size = "x".join(map(str, shape))
            yield row(f"{name}, {count} of {size}, {RIVAL[name]}", threads, pair, "us", 1.0)


def _first(count: int, repeats: int) -> dict[str, Any]:
    """Return the row of first steps, each of a new optimizer over new parameters."""

    def first(create: Callable[..., Any]) -> float:
        optimizer = create(parameters(count, (16,)))
        return seconds(optimizer.step)

    sides = (FUSED["adamax"], lambda params: optkit.create("adamax", params))
    first(sides[1])  # compiles
    pairs = [(first(sides[0]), first(sides[1])) for _ in range(repeats)]
    return row(f"first step, {count} tensors, {RIVAL['adamax']}", 1, medians(pairs), "ms", 1.0)


def medians(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Return the medians of both sides and of the ratios."""
    middle = len(pairs) // 2
    columns = zip(*((one, other, other / one) for one, other in pairs), strict=True)
    one, other, ratio = (sorted(column)[middle] for column in columns)
    return one, other, ratio
