"""Bodies that reduce, in Triton's interpreter: walks over chunks, and what joins them."""

from __future__ import annotations

from typing import Any

import interpreted
import pytest
import torch
from algorithms import FLAT
from interpreted import needed
from reducing import LARGEST, ROWS, WHOLE, Shaped, Whole, reducing
from torch import Tensor

import optkit
import optkit_core
from optkit_core import Elementwise
from optkit_core.implementations import fused
from optkit_core.implementations.fused.triton_signature import CHUNK
from optkit_core.step.bucket_key import BucketKey
from optkit_core.testing import assert_agree

pytestmark = needed
interpreter = pytest.fixture(interpreted.standing_in)
SHAPES = [(), (31,), (0, 3), (CHUNK,), (2, CHUNK + 5)]


def stepped(cls: Any, dtype: torch.dtype, shapes: Any, **options: Any) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)

    def drawn() -> list[Tensor]:
        return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]

    params = drawn()
    optimizer = cls(params, **options)
    for number in range(2):
        for position, (p, g) in enumerate(zip(params, drawn(), strict=True)):
            p.grad = None if (position, number) == (1, 1) else g
        optimizer.step()
    assert {choice.name for choice in optimizer.plan} == {options["implementation"]}
    return params


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", WHOLE)
def test_kernels_agree_with_the_forloop(name: str, dtype: torch.dtype, interpreter: None) -> None:
    cls = reducing(WHOLE[name])
    wanted = stepped(cls, dtype, SHAPES, implementation="forloop")
    assert_agree(stepped(cls, dtype, SHAPES, implementation="fused"), wanted)


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_of_a_tensor(name: str, interpreter: None) -> None:
    cls, shapes = reducing(LARGEST[name]), [(1,), (70,)]
    wanted = stepped(cls, torch.float32, shapes, implementation="forloop")
    assert_agree(stepped(cls, torch.float32, shapes, implementation="fused"), wanted)


REDUCING = [name for name, cls in FLAT.items() if not issubclass(cls, Elementwise)]


@pytest.mark.parametrize("name", REDUCING)
def test_groups_and_counters_of_the_device(name: str, interpreter: None) -> None:
    results: Any = []
    for implementation, capturable in (("forloop", False), ("fused", False), ("fused", True)):
        params = [torch.linspace(-1, 2, 50), torch.linspace(3, 1, 70)]
        groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.5, "adapt": False}]
        options = {"implementation": implementation, "capturable": capturable, "lr": 0.1}
        optimizer = optkit.create(name, groups, **options)
        for number in range(3):
            for p in params:
                p.grad = (p + number).cos()
            optimizer.step()
        results.append(params)
    for other in results[1:]:
        assert_agree(other, results[0])


def test_a_number_of_each_tensor_is_read_by_all_chunks_before_it_is_stored(
    interpreter: None,
) -> None:
    results: Any = []
    for implementation in ("forloop", "fused"):
        params = [torch.linspace(-1, 2, 50), torch.ones(2 * CHUNK + 5), torch.tensor(2.0)]
        optimizer = Whole(params, implementation=implementation)
        for number in range(3):
            for p in params:
                p.grad = (p + number).cos()
            optimizer.step()
        results.append([*params, *(optimizer.state[p]["size"] for p in params)])
    assert_agree(results[1], results[0])


def test_what_is_measured_beforehand(interpreter: None) -> None:
    results: Any = []
    for implementation in ("forloop", "fused"):
        params = [torch.linspace(-1, 2, 50), torch.ones(70)]
        optimizer: Any = optkit.create("prodigy", params, implementation=implementation)
        for number in range(3):
            for p in params:
                p.grad = (p + number).cos()
            optimizer.step()
        assert {choice.name for choice in optimizer.plan} == {implementation}
        results.append(params)
    assert_agree(results[1], results[0])


def test_a_step_that_is_skipped_moves_nothing(interpreter: None) -> None:
    p = torch.ones(50)
    optimizer: Any = optkit.create("lamb", [p], implementation="fused")
    p.grad = torch.full((50,), float("inf"))
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(1.0)
    optimizer.step()
    assert torch.equal(p, torch.ones(50))


@pytest.mark.parametrize("cls", [Shaped, reducing(ROWS["norm"])], ids=["buffers", "rows"])
def test_rows_and_columns_are_a_reason(cls: Any, interpreter: None) -> None:
    with pytest.raises(optkit_core.ImplementationError, match="takes rows or columns apart"):
        cls([torch.ones(3, 3)], implementation="fused")


def test_the_source_shows_every_pass() -> None:
    cls = optkit.get("lamb")
    key = BucketKey(torch.device("cuda"), torch.float32)
    h = cls([torch.ones(2)]).values(cls([torch.ones(2)]).param_groups[0])
    text = fused.source(cls, key, h)
    assert text.count("def fused(") == 2 and "partial" in text
