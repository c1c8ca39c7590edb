"""The records of the operations: complete, unambiguous, and what a lacking form leads to."""

from __future__ import annotations

import string
from typing import Any

import pytest
import torch
from bodies import CALLS, calling
from torch import Tensor

from optkit_core import ImplementationError
from optkit_core.implementations.fused import cpp_kernel
from optkit_core.tracing.operations import OPERATIONS, Operation, Rounding
from optkit_core.tracing.operations.lookup import (
    FACTORS,
    METHODS,
    POWERS,
    UntraceableError,
    expression,
    operation_of,
)

EACH = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda o: o.name)


def forms(operation: Operation) -> dict[str, str | None]:
    return {"cpp": operation.cpp, "triton": operation.triton}


def test_there_is_a_use_of_every_operation() -> None:
    assert CALLS.keys() == OPERATIONS.keys()


@EACH
def test_a_record_has_each_form_or_says_why_not(operation: Operation) -> None:
    is_whole = None not in forms(operation).values()
    assert is_whole or operation.lacking
    is_method = callable(getattr(Tensor, operation.name, None))
    assert is_method or operation.tensor is not None


@EACH
def test_a_form_uses_each_operand(operation: Operation) -> None:
    for form in filter(None, forms(operation).values()):
        fields = {name for _, name, _, _ in string.Formatter().parse(form) if name is not None}
        assert fields == {"x", *operation.arguments}


@EACH
def test_methods_are_tensor_methods_with_these_arguments(operation: Operation) -> None:
    methods = (operation.name,) if operation.methods is None else operation.methods
    values = dict.fromkeys(operation.arguments, 0.5)
    for method in methods:
        assert callable(getattr(Tensor, method))
        assert operation_of(method, (), values) == (operation, list(values.values()))
    for method in methods[:1]:
        assert operation_of(method, list(values.values()), {})[0] == operation


def test_no_two_operations_are_the_same_call() -> None:
    for method, candidates in METHODS.items():
        calls = [frozenset(operation.arguments) for operation in candidates]
        assert len(set(calls)) == len(calls), method


def test_powers_and_factors() -> None:
    assert POWERS == {
        2: "square",
        3: "cube",
        0.5: "sqrt",
        -0.5: "rsqrt",
        -1: "reciprocal",
        -2: "pow_minus_2",
    }
    assert FACTORS == {
        "add": "alpha",
        "sub": "alpha",
        "subtract": "alpha",
        "addcmul": "value",
        "addcdiv": "value",
    }


def test_operands_are_in_the_order_of_the_arguments() -> None:
    operation, operands = operation_of("clamp", (), {"max": 2.0, "min": 1.0})
    assert (operation.name, operands) == ("clamp_min_max", [1.0, 2.0])
    operation, operands = operation_of("clip", (None,), {"max": 2.0})
    assert (operation.name, operands) == ("clamp_max", [2.0])
    with pytest.raises(UntraceableError, match=r"calls clamp\(\) without min"):
        operation_of("clamp", (), {})


@pytest.fixture
def half_written(monkeypatch: pytest.MonkeyPatch) -> str:
    """An operation that has a form in neither language, and says why."""
    lacking = "nobody has written its tails yet"
    half = OPERATIONS["erf"]._replace(cpp=None, triton=None, lacking=lacking)
    monkeypatch.setitem(OPERATIONS, "erf", half)
    cpp_kernel.load_kernel.cache_clear()
    return lacking


def test_a_lacking_form_is_a_reason(half_written: str) -> None:
    for language in ("cpp", "triton"):
        with pytest.raises(UntraceableError, match=half_written):
            expression("erf", language, ["v0"])
    params = [torch.nn.Parameter(torch.ones(2))]
    with pytest.raises(ImplementationError, match=rf"uses erf, .* {half_written}"):
        calling(CALLS["erf"])(params, implementation="fused")


def test_other_implementations_run_without_it(half_written: str) -> None:
    params = [torch.nn.Parameter(torch.full((100,), 0.5)) for _ in range(8)]
    optimizer: Any = calling(CALLS["erf"])(params)
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert half_written in dict(optimizer.plan[0].rejected)["fused"]
    assert torch.equal(params[0].detach(), torch.full((100,), 0.5).erf())


def test_conditions_are_exact() -> None:
    assert all(o.rounding is Rounding.EXACT for o in OPERATIONS.values() if o.is_condition)
