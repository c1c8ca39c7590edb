"""No parameter is skipped in silence: every one with a gradient is stepped, or none is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import faults
import pytest
import torch
from bodies import Mixed
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import Columns, Half, Product
from patience import PATIENT
from thirdparty import Descent
from torch import Tensor

import optkit_core
from optkit_core.testing.comparisons import TOLERANCES, is_same

Layout = Callable[[Tensor], Tensor]


def with_gaps(t: Tensor) -> Tensor:
    return torch.zeros(*t.shape, 2, dtype=t.dtype)[..., 1].copy_(t)


def with_an_offset(t: Tensor) -> Tensor:
    return torch.zeros(t.numel() + 3, dtype=t.dtype)[3:].view(t.shape).copy_(t)


def reversed_in_memory(t: Tensor) -> Tensor:
    order = list(reversed(range(t.dim())))
    return t.permute(order).contiguous().permute(order)


def channels_last(t: Tensor) -> Tensor:
    return t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t


def expanded(t: Tensor) -> Tensor:
    return t[..., :1].expand_as(t) if t.dim() and t.shape[-1] else t


def pending(t: Tensor) -> Tensor:
    """Return a view whose memory doesn't hold its values: they are yet to be negated."""
    if t.is_complex():
        return t.conj().clone().conj()
    return torch.complex(t, -t).conj().imag if t.dtype in (torch.float32, torch.float64) else t


DENSE = [Tensor.contiguous, with_an_offset, reversed_in_memory, channels_last]
layouts = st.sampled_from([*DENSE, with_gaps])
gradient_layouts = st.sampled_from([*DENSE, with_gaps, expanded, pending])
shapes = st.one_of(
    st.lists(st.integers(0, 6), max_size=3).map(tuple),
    st.sampled_from([(17,), (33,), (2, 3, 4, 2), (65, 2), (1,), ()]),
)
rows = st.tuples(shapes, layouts, gradient_layouts, layouts, st.integers(0, 3))
"""A shape; how parameter, gradient and buffers lie; in which of two steps there's a gradient."""

UNWALKED: list[Any] = [Product, Half, Columns]
"""Algorithms for which there is no kernel, since a buffer isn't of its parameter's shape."""

ALGORITHMS: list[Any] = [faults.Momentum, Mixed, Descent, *UNWALKED]
IMPLEMENTATIONS = ["forloop", "foreach", "fused", "auto"]


class Case:
    """An optimizer of the rows, with all that a step may change."""

    def __init__(self, cls: Any, drawn: Any, dtype: torch.dtype, cut: int, **options: Any) -> None:
        generator = torch.Generator().manual_seed(0)
        values = [torch.randn(row[0], generator=generator, dtype=torch.double) for row in drawn]
        self.rows = drawn
        self.params = [row[1](value.to(dtype)) for row, value in zip(drawn, values, strict=True)]
        groups = [{"params": self.params[:cut]}, {"params": self.params[cut:], "lr": 0.3}]
        self.optimizer = cls([g for g in groups if g["params"]], **options)

    def give_gradients(self, number: int) -> list[bool]:
        """Return which parameters get one."""
        generator = torch.Generator().manual_seed(number + 1)
        for p, row in zip(self.params, self.rows, strict=True):
            g = torch.randn(p.shape, generator=generator, dtype=torch.double) + 0.5
            p.grad = row[2](g.to(p.dtype)) if row[4] >> number & 1 else None
        return [p.grad is not None for p in self.params]

    def lay_out_buffers(self) -> None:
        """Let the buffers lie otherwise than their parameters, as a loaded state may."""
        for p, row in zip(self.params, self.rows, strict=True):
            for name, value in self.optimizer.state.get(p, {}).items():
                if value.dim():
                    self.optimizer.state[p][name] = row[3](value)

    def seen(self) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Return copies of the parameters and their states."""
        states = [dict(self.optimizer.state.get(p, {})) for p in self.params]
        return [p.clone() for p in self.params], copy.deepcopy(states)


def requested(cls: Any, implementation: str) -> str:
    return "auto" if cls in UNWALKED and implementation == "fused" else implementation


def is_stepped(optimizer: Any) -> bool:
    try:
        optimizer.step()
    except optkit_core.ShapeError:
        return False
    return True


def count(state: Any) -> float:
    return float(state.get("step", 0))


def assert_stepped(case: Case, reference: Case, number: int, dtype: torch.dtype) -> None:
    """Assert that as many counters advanced as there are gradients, by the for-loop's numbers."""
    expected = case.give_gradients(number)
    reference.give_gradients(number)
    before = [count(state) for state in case.seen()[1]]
    case.optimizer.step()
    reference.optimizer.step()
    (mine, states), (others, wanted) = case.seen(), reference.seen()
    advanced = [count(state) - old for state, old in zip(states, before, strict=True)]
    assert sum(advanced) == sum(expected) and advanced == list(map(float, expected))
    for p, q, state, other in zip(mine, others, states, wanted, strict=True):
        assert state.keys() == other.keys()
        for x, y in zip((p, *state.values()), (q, *other.values()), strict=True):
            tolerance = TOLERANCES[dtype]
            torch.testing.assert_close(x, y, rtol=tolerance, atol=tolerance, equal_nan=True)


cases = st.tuples(
    st.sampled_from(ALGORITHMS),
    st.lists(rows, min_size=1, max_size=6),
    st.sampled_from([torch.float32, torch.bfloat16, torch.complex64]),
    st.integers(0, 6),
)


@pytest.mark.slow
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=150, **PATIENT)
@given(drawn=cases)
def test_every_parameter_with_a_gradient_is_stepped(implementation: str, drawn: Any) -> None:
    cls, given_rows, dtype, cut = drawn
    case = Case(cls, given_rows, dtype, cut, implementation=requested(cls, implementation))
    reference = Case(cls, given_rows, dtype, cut, implementation="forloop")
    assert_stepped(case, reference, 0, dtype)
    case.lay_out_buffers()
    assert_stepped(case, reference, 1, dtype)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=40, **PATIENT)
@given(drawn=cases, place=st.integers(0, 5))
def test_a_step_that_cannot_be_taken_changes_nothing(
    implementation: str, drawn: Any, place: int
) -> None:
    """One of the parameters is expanded: each of its elements would be updated many times."""
    cls, given_rows, dtype, cut = drawn
    place %= len(given_rows)
    given_rows[place] = ((3, 4), expanded, Tensor.contiguous, Tensor.contiguous, 3)
    case = Case(cls, given_rows, dtype, cut, implementation=requested(cls, implementation))
    case.give_gradients(0)
    before = case.seen()[0]
    with pytest.raises(optkit_core.GroupError, match="is expanded"):
        case.optimizer.step()
    params, states = case.seen()
    assert all(map(is_same, params, before))
    assert not any(map(count, states))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=60, **PATIENT)
@given(drawn=cases, place=st.integers(0, 5), shape=shapes)
def test_a_parameter_that_takes_another_shape_is_stepped_or_refused(
    implementation: str, drawn: Any, place: int, shape: Any
) -> None:
    cls, given_rows, dtype, cut = drawn
    case = Case(cls, given_rows, dtype, cut, implementation=requested(cls, implementation))
    case.give_gradients(0)
    case.optimizer.step()
    odd = case.params[place % len(given_rows)]
    odd.data = torch.ones(shape, dtype=dtype)
    expected = case.give_gradients(1)
    before = case.seen()
    steps = is_stepped(case.optimizer)
    params, states = case.seen()
    advanced = [count(new) - count(old) for new, old in zip(states, before[1], strict=True)]
    assert advanced == [float(wanted and steps) for wanted in expected]
    assert steps or (odd.grad is not None and all(map(is_same, params, before[0])))
