"""The benchmark of the whole family: its rows, and that the kernel of bytes moves all of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS, ELEMENTWISE

import optkit
from benchmarks import models, table
from benchmarks.family import suite, traffic


@pytest.fixture(autouse=True)
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = {"400 small": [(8, 8)] * 3 + [(8,)] * 2, "16 large": [(16, 16)] * 2}
    monkeypatch.setattr(models, "SETS", sets)


@pytest.mark.slow
def test_each_algorithm_has_its_rows() -> None:
    rows = list(suite.measure(1))
    names = [name for name in ALGORITHMS if any(f"{name} " in row["what"] for row in rows)]
    assert {"adam", "sgd", "muon", "adagrad"} <= set(names) and "lbfgs" not in names
    found = {row["what"].rpartition(", ")[0 if "state" in row["what"] else 2] for row in rows}
    assert {"one tensor of as many", "its bytes"} <= found
    lines = table.markdown(rows)
    assert len(lines) == len(rows) + 2 and all(line.count("|") == 7 for line in lines)


def test_a_table_takes_the_place_of_the_one_before() -> None:
    row = {
        "what": "adam",
        "torch": 1234.5,
        "optkit": 0.5,
        "unit": "ms",
        "ratio": 0.1,
        "limit": None,
    }
    page = "before\n<!-- table: family -->\nold\n<!-- end -->\nafter\n<!-- end -->\n"
    once = table.placed(page, "family", table.markdown([row]))
    assert "old" not in once and "| adam | 1,234 | 0.50 | ms | 0.10 |  |" in once
    assert once.startswith("before\n") and once.endswith("after\n<!-- end -->\n")
    assert table.placed(once, "family", table.markdown([row])) == once
    with pytest.raises(SystemExit, match="no place for others"):
        table.placed(page, "others", [])


def rows(name: str) -> dict[str, Any]:
    return {row["what"]: row for row in suite.rows_of(name, optkit.get(name), 1)}


def test_an_elementwise_algorithm_beside_torch_and_beside_its_bytes() -> None:
    found = rows("adamax")
    (beside,) = [what for what in found if "torch's" in what]
    assert found[beside]["limit"] == suite.BESIDE_OTHERS
    assert found["state adamax 16 large"]["ratio"] == 1.0
    assert found["adamax 400 small, one tensor of as many"]["limit"] == suite.BESIDE_ONE
    assert found["adamax 16 large, its bytes"]["limit"] == suite.BESIDE_BYTES
    (beside,) = [row for what, row in rows("adagrad").items() if "torch's" in what]
    assert beside["limit"] == suite.BESIDE_FUSED


def test_one_tensor_has_as_many_elements_with_a_gradient() -> None:
    (one,) = suite.one_of_as_many("400 small")
    assert one.numel() == sum(p.numel() for p in models.parameters("400 small")) == 208
    assert one.grad is not None and one.grad.shape == one.shape


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_kernel_of_bytes_reads_and_writes_what_a_step_does(name: str) -> None:
    params = models.parameters("16 large")
    optimizer = optkit.create(name, models.parameters("16 large"))
    try:
        optimizer.step()
    except optkit.OptkitError:
        pytest.skip("it takes sparse gradients only")
    buffers = traffic.buffers_of(optimizer)
    moving = traffic.moving(buffers)(params, implementation="fused")
    before = [p.detach().clone() for p in params]
    moving.step()
    for p, old in zip(params, before, strict=True):
        assert p.grad is not None and torch.equal(p.detach(), old + p.grad)
        state = moving.state[p]
        assert {key: value.dtype for key, value in state.items() if key != "step"} == buffers
        assert all(torch.equal(state[key], p.grad.to(dtype)) for key, dtype in buffers.items())
