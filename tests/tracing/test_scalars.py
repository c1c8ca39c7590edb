"""What a body computes from hyperparameters and counts, recorded and computed natively."""

from __future__ import annotations

import math
import operator
from array import array
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from algorithms import ELEMENTWISE
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from patience import PATIENT

import optkit
from optkit_core import Elementwise, at_least, hyperparameter
from optkit_core.implementations.fused.row_numbers import OtherBranchError, RowNumbers
from optkit_core.implementations.scalar_buffers import first_cells
from optkit_core.native import tensor_reader_loader
from optkit_core.tracing.flat_hyperparameters import FlatHyperparameters, flatten, unflatten
from optkit_core.tracing.program import Program
from optkit_core.tracing.recorded_body import RecordedBody, matching_body, record_body
from optkit_core.tracing.scalar_program import (
    COMPARISONS,
    SCALAR_OPERATIONS,
    ScalarRecorder,
    recorded,
)

FUNCTIONS = ("sqrt", "exp", "log", "min", "max", "float32")
CALLS = {
    **SCALAR_OPERATIONS,
    "pow": operator.pow,
    **{name: partial(recorded, name) for name in FUNCTIONS},
}
FLOATS = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def expressions(draw: st.DrawFn, depth: int = 4) -> Any:
    """Return a function of a list of numbers, made of what can be recorded."""
    kind = draw(st.sampled_from(["input", "constant", *SCALAR_OPERATIONS])) if depth else "input"
    if kind == "input":
        place = draw(st.integers(0, 2))
        return lambda x: x[place]
    if kind == "constant":
        number = draw(FLOATS)
        return lambda x: number
    left, right = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    call = CALLS[kind]
    if kind in COMPARISONS:
        other = draw(expressions(depth - 1))
        return lambda x: left(x) if call(left(x), right(x)) else other(x)
    return lambda x: call(left(x), right(x))


def computed(function: Any, numbers: list[float]) -> float | None:
    try:
        result = function(numbers)
    except (ArithmeticError, ValueError, TypeError):  # the last of complex numbers
        return None
    return result if isinstance(result, float) and math.isfinite(result) else None


@settings(max_examples=300, **PATIENT)
@given(expressions(), st.lists(FLOATS, min_size=3, max_size=3), st.lists(FLOATS, min_size=3))
def test_recorded_numbers_are_pythons(function: Any, first: Any, second: Any) -> None:
    """Bit for bit, in Python and in compiled code, for the numbers recorded and for others."""
    assume(computed(function, first) is not None)
    recorder = ScalarRecorder(first)
    try:
        program = recorder.program([function(recorder.inputs)])
    except ValueError:
        assume(False)  # a complex number on the way
    assert recorder.is_complete
    assume(program.numbers(first) is not None)  # a number on the way may be infinite
    for numbers in (first, second[:3]):
        wanted = computed(function, numbers)
        if wanted is None:
            continue
        found = program.numbers(numbers)  # None on a way that the function doesn't go
        assert found == [wanted] or (found is None and numbers is not first)
        assert natively(program, numbers) == found


def natively(program: Any, numbers: list[float]) -> list[float] | None:
    """Return the numbers as compiled code computes them, the last input being the count."""
    slots = flatten(SimpleNamespace(a=0.0, b=0.0))
    assert slots is not None
    body = RecordedBody(Program((), (), (), 1), program, slots.slots)
    counter = array("d", [numbers[2] - 1])
    if counter[0] + 1 != numbers[2]:
        return program.numbers(numbers)
    addresses = array("Q", [counter.buffer_info()[0]])
    given = {0: FlatHyperparameters(slots.slots, numbers[:2], ())}
    reader = tensor_reader_loader.reader()
    assert reader is not None
    rows = RowNumbers(body, given, [0], addresses.buffer_info()[0], True, reader)
    try:
        assert rows.compute(None) == 1
    except OtherBranchError:
        return None
    return list(rows.numbers)[:1]


@pytest.mark.parametrize(
    "escape",
    [
        float,
        int,
        math.sqrt,
        round,
        lambda x: x // 1,
        lambda x: x % 2,
        lambda x: x.is_integer(),
        lambda x: {x: 1.0}[x],
        lambda x: f"{x:.3f}",
        lambda x: torch.tensor(float(x)),
    ],
)
def test_a_number_that_escapes_is_noticed(escape: Any) -> None:
    recorder = ScalarRecorder([2.0])
    assert recorder.is_complete
    escape(recorder.inputs[0])
    assert not recorder.is_complete


def test_a_condition_is_part_of_what_is_recorded() -> None:
    recorder = ScalarRecorder([0.5])
    (x,) = recorder.inputs
    result = min(x, 1.0) * 2 if x else 3.0
    program = recorder.program([result])
    assert program.numbers([0.5]) == [1.0]
    assert program.numbers([0.25]) == [0.5]
    assert program.numbers([2.0]) is None
    assert program.numbers([0.0]) is None


def recorded_body(name: str, t: float) -> tuple[Any, Any, list[float]]:
    """Return an algorithm's recorded body, its hyperparameters and scalar buffers."""
    algorithm: Any = optkit.get(name)
    h = SimpleNamespace(**{n: algorithm.default_values[n] for n in algorithm.value_names})
    own = flatten(h)
    assert own is not None
    cells = first_cells(algorithm.buffers, h)
    body = record_body(algorithm, h, own, t, cells=cells, dtype=torch.float32)
    return body, h, [cell.value for cell in cells.values()]


# SparseAdam has no body for dense gradients, and Prodigy's is given a rate of all parameters.
@pytest.mark.parametrize("name", sorted(ELEMENTWISE.keys() - {"sparseadam", "prodigy"}))
def test_every_shipped_body_is_recorded_once(name: str) -> None:
    """From its tenth step on, as RAdam's goes another way in its first ones."""
    body, h, held = recorded_body(name, 10.0)
    assert body is not None
    own = flatten(h)
    assert own is not None
    assert matching_body([body], own, 1000.0, None, held) is body


def test_a_body_is_another_with_weight_decay() -> None:
    body, h, held = recorded_body("adamax", 1.0)
    h.weight_decay = 0.1
    decayed = flatten(h)
    assert decayed is not None
    assert matching_body([body], decayed, 2.0, None, held) is None


class Raised(Elementwise):
    """Descent by a power of the gradient's magnitude, which a hyperparameter says."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    power: float = hyperparameter(default=1.5, range=at_least(0.0))

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g.abs().pow(h.power), alpha=h.lr)


@pytest.mark.parametrize(("power", "others"), [(1.5, {2.0, 0.5}), (2.0, {1.5, 0.5})])
def test_a_power_that_a_hyperparameter_says_is_recorded(power: float, others: set[float]) -> None:
    """As one operation for all powers but those that have an operation of their own."""
    h = SimpleNamespace(lr=0.1, power=power)
    own = flatten(h)
    assert own is not None
    body = record_body(Raised, h, own, 1.0)
    assert body is not None
    for other in (power, *others):
        given = flatten(SimpleNamespace(lr=0.2, power=other))
        assert given is not None
        assert (matching_body([body], given, 2.0, None) is body) is (other == power)
    near = flatten(SimpleNamespace(lr=0.1, power=1.25))
    assert near is not None
    assert (matching_body([body], near, 2.0, None) is body) is (power == 1.5)


def test_hyperparameters_come_back_as_they_were() -> None:
    h = SimpleNamespace(lr=0.1, betas=(0.9, 0.99), nesterov=True, mode="x", limit=None, count=3)
    own = flatten(h)
    assert own is not None and own.numbers == [0.1, 0.9, 0.99, 3.0]
    assert unflatten(own.slots, own.numbers) == h
    assert flatten(SimpleNamespace(lr=[0.1])) is None
    assert flatten(SimpleNamespace(lr=torch.ones(1, device="meta").sum())) is None
