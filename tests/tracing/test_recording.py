"""Calls of update bodies that were recorded before are recorded alike when they come again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from optkit_core import Buffer
from optkit_core.tracing import recording
from optkit_core.tracing.operations.lookup import UntraceableError
from optkit_core.tracing.program import Program
from optkit_core.tracing.trace import trace

Body = Callable[[Any, Any, Any, Any, Any], Any]
TENSOR = torch.tensor(0.5)

BODIES: list[Body] = [
    lambda p, g, s, h, t: p.add_(g, alpha=2.5),
    lambda p, g, s, h, t: p.add_(g, alpha=0.5),
    lambda p, g, s, h, t: p.add_(0.5 * t),
    lambda p, g, s, h, t: p.add_(TENSOR),
    lambda p, g, s, h, t: p.add_(g),
    lambda p, g, s, h, t: p.pow_(2),
    lambda p, g, s, h, t: p.pow_(3),
    lambda p, g, s, h, t: p.pow_(t + 0.25),
    lambda p, g, s, h, t: p.copy_(2.5**p),
    lambda p, g, s, h, t: (s.a.copy_(p), p.mul_(2.5)),
    lambda p, g, s, h, t: (s.a.copy_(p), s.a.mul_(2.5)),
    lambda p, g, s, h, t: p.copy_(g.clone().mul_(t)),
    lambda p, g, s, h, t: p.clamp_(-t, 7.5),
    lambda p, g, s, h, t: p.clamp_(max=7.5, min=-t),
    lambda p, g, s, h, t: p.clamp_(None, 7.5),
    lambda p, g, s, h, t: p.clamp_(g, 7.5),
    lambda p, g, s, h, t: p.zero_(),
    lambda p, g, s, h, t: p.fill_(t),
    lambda p, g, s, h, t: p.fill_(value=t),
    lambda p, g, s, h, t: p.copy_(torch.where(g > 0, p, g)),
    lambda p, g, s, h, t: p.copy_(torch.where(g > 0, 7.5, g)),
    lambda p, g, s, h, t: p.copy_(g.where(g > 0, 7.5)),
    lambda p, g, s, h, t: p.addcdiv_(g, s.a, value=-t) if t < 4 else p.addcdiv_(g, s.a),
]


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    recording._root.cache_clear()
    yield
    recording._root.cache_clear()


def traced(body: Body, t: float) -> tuple[Program, list[Any]]:
    algorithm = SimpleNamespace(buffers={"a": Buffer()}, counts_steps=True, update=body)
    return trace(algorithm, None, t)


def anew(body: Body, t: float) -> tuple[Program, list[Any]]:
    recording._root.cache_clear()
    return traced(body, t)


def test_whatever_was_recorded_before_makes_no_difference() -> None:
    wanted = {(number, t): anew(b, t) for number, b in enumerate(BODIES) for t in (3.0, 5.0)}
    recording._root.cache_clear()
    for order in (wanted, reversed(wanted), wanted):
        for number, t in order:
            assert traced(BODIES[number], t) == wanted[number, t]


def test_bodies_differ() -> None:
    """So that what was recorded for one of them can't pass for another's."""
    found = [anew(body, 3.0) for body in BODIES]
    pairs = [(i, j) for i, j in permutations(range(len(found)), 2) if found[i] == found[j]]
    alike = {i for pair in pairs for i in pair}
    assert len(alike) <= 4, alike  # fill_(t) and clamp_() in two spellings each


def test_a_known_call_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    body = BODIES[0]
    first = traced(body, 3.0)
    monkeypatch.setattr(recording.Recording, "append", None)
    again = traced(body, 5.0)
    assert again == first
    assert again[0] is first[0]


def test_numbers_are_those_of_now() -> None:
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.lerp_(g, 1 / t).clamp_(max=9.5 + t, min=-t)

    for t in (1.0, 2.0, 3.0):
        assert traced(update, t)[1] == [1 / t, -t, 9.5 + t]


def test_a_gradient_is_never_changed_though_its_clone_was() -> None:
    traced(lambda p, g, s, h, t: p.copy_(g.clone().mul_(t)), 3.0)
    for _ in range(2):
        with pytest.raises(UntraceableError, match="gradient in place"):
            traced(lambda p, g, s, h, t: p.copy_(g.mul_(t)), 3.0)


def test_what_cannot_be_recorded_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(UntraceableError, match=r"uses tensor\("):
            traced(lambda p, g, s, h, t: p.add_(torch.ones(2)), 3.0)
        with pytest.raises(UntraceableError, match=r"softmax\(\), which no fused kernel knows"):
            traced(lambda p, g, s, h, t: p.copy_(g.softmax(0)), 3.0)
