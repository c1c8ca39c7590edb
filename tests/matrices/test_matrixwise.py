"""Bodies over whole matrices: what they are called with, and which parameters they take."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from checked import STEPS
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.testing._internal.distributed.fake_pg import FakeStore

import optkit
from optkit_core import (
    Buffer,
    GradientError,
    GroupError,
    ImplementationError,
    Matrixwise,
    Optimizer,
    Total,
    WithTotals,
    at_least,
    hyperparameter,
    testing,
)
from optkit_core.testing import assert_agree

SHAPES = [(3, 2), (3, 2), (2, 3), (3, 2), (4, 4), (2, 3), (0, 2)]
SEEN: list[tuple[Any, ...]] = []


class Whitened(Matrixwise):
    """Descent along gradients that are whitened by the mean of their products."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    product = Buffer(shape=lambda p: (p.shape[0], p.shape[0]), dtype=torch.float32)
    count = Buffer(kind="scalar")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        SEEN.append((tuple(p.shape), tuple(s.product.shape), t, h.lr))
        s.product.lerp_(g @ g.mT, 0.5)
        s.count = s.count + 2.0
        eye = torch.eye(p.shape[-2], dtype=p.dtype)
        p.sub_(torch.linalg.solve(s.product + eye, g), alpha=h.lr)


def parameters(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]
    params[3] = params[3].t().contiguous().t()
    return [p.to(dtype) for p in params]


def step(optimizer: Any, number: int, missing: int | None = None) -> None:
    generator = torch.Generator().manual_seed(1 + number)
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for position, p in enumerate(params):
        g = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
        p.grad = None if position == missing else g
    optimizer.step()


def seen(optimizer: Any, number: int = 0, missing: int | None = None) -> list[tuple[Any, ...]]:
    SEEN.clear()
    step(optimizer, number, missing)
    return list(SEEN)


def test_the_for_loop_shows_one_matrix_after_another() -> None:
    optimizer = Whitened(parameters(), implementation="forloop")
    assert seen(optimizer) == [(shape, (shape[0], shape[0]), 1, 0.1) for shape in SHAPES]


def test_foreach_shows_matrices_of_equal_shape_as_a_batch() -> None:
    optimizer = Whitened(parameters(), implementation="foreach")
    calls = seen(optimizer)
    assert [shape for shape, *_ in calls] == [(3, 3, 2), (2, 2, 3), (1, 4, 4), (1, 0, 2)]
    assert calls[0] == ((3, 3, 2), (3, 3, 3), 1, 0.1)


def test_a_batch_shares_its_count_and_its_hyperparameters() -> None:
    first, *others = parameters()
    optimizer = Whitened(
        [{"params": [first], "lr": 0.5}, {"params": others}], implementation="foreach"
    )
    assert [call[::3] for call in seen(optimizer)][:2] == [((1, 3, 2), 0.5), ((2, 3, 2), 0.1)]
    optimizer.param_groups[0]["lr"] = 0.1
    seen(optimizer, 1, missing=1)
    calls = [(shape, t) for shape, _, t, _ in seen(optimizer, 2) if shape[1:] == (3, 2)]
    assert calls == [((2, 3, 2), 3), ((1, 3, 2), 2)]


def test_a_limit_of_bytes_holds_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTKIT_FOREACH_BYTES", str(2 * 6 * 8))
    calls = seen(Whitened(parameters(), implementation="foreach"))
    assert [shape for shape, *_ in calls][:2] == [(2, 3, 2), (1, 3, 2)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_foreach_is_the_for_loop(dtype: torch.dtype) -> None:
    """Of a bfloat16 parameter with a float32 buffer, too, which both compute in float32."""
    ends = []
    for implementation in ("forloop", "foreach"):
        params = parameters(dtype)
        optimizer = Whitened(params, implementation=implementation)
        for number in range(6):
            step(optimizer, number, missing=number)
        ends.append((params, [optimizer.state[p] for p in params]))
    (params, states), (others, theirs) = ends
    assert_agree(others, params)
    for one, other in zip(states, theirs, strict=True):
        assert one.keys() == other.keys() == {"step", "product", "count"}
        assert one["step"] == other["step"] == 5 + (one["count"] == 12.0)
        assert one["product"].dtype == torch.float32
        torch.testing.assert_close(one["product"], other["product"])


def test_the_conformance_check_takes_matrices_alone() -> None:
    report = testing.check(Whitened, torch.float64, only=STEPS)
    assert report.implementations == ("forloop", "foreach")
    assert report.refused == {
        "fused": "a kernel computes element by element, and Whitened needs whole matrices"
    }


def test_what_runs_is_explained() -> None:
    explanation = Whitened(parameters()).explain().buckets[0]
    assert explanation.implementation == "foreach"
    assert explanation.rejected["forloop"] == "not preferred"
    with pytest.raises(ImplementationError, match=r"computes element by element.* could run: for"):
        Whitened(parameters(), implementation="fused")


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)], ids=str)
def test_other_numbers_of_dimensions_are_refused_by_name(shape: tuple[int, ...]) -> None:
    named = [("weight", torch.zeros(2, 3)), ("other", torch.zeros(shape))]
    what = (
        f"parameter 1 of group 0 ('other') has shape {shape}, and Whitened takes 2D parameters "
        "alone. Let a group of its own name another algorithm"
    )
    with pytest.raises(GroupError, match=re.escape(what)):
        Whitened(named)
    optimizer = Whitened(named[:1])
    with pytest.raises(GroupError, match="parameter 0 of group 1"):
        optimizer.add_param_group({"params": [named[1]]})
    assert len(optimizer.param_groups) == 1
    step(optimizer, 0)


def test_a_class_says_how_many_dimensions_it_takes() -> None:
    class Any2(Whitened):
        parameter_dims = (2, 3)

    with pytest.raises(GroupError, match="takes 2D/3D parameters alone"):
        Any2([torch.zeros(3)])
    Any2([torch.zeros(2, 3, 4), torch.zeros(2, 3)])
    assert Matrixwise.needs_whole_matrices
    assert not optkit.get("adamax").needs_whole_matrices


def test_complex_and_sparse_gradients_are_refused() -> None:
    p = torch.zeros(2, 3, dtype=torch.complex64)
    p.grad = torch.ones_like(p)
    with pytest.raises(GradientError, match="Whitened does not support complex parameters"):
        Whitened([p]).step()
    q = torch.zeros(2, 3)
    q.grad = torch.ones(2, 3).to_sparse()
    with pytest.raises(GradientError, match="Whitened does not support sparse gradients"):
        Whitened([q]).step()


@pytest.fixture
def mesh() -> Any:
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield init_device_mesh("cpu", (2,))
    torch.distributed.destroy_process_group()


def placed(tensor: Tensor, mesh: Any, placement: Any) -> torch.nn.Parameter:
    return torch.nn.Parameter(DTensor.from_local(tensor, mesh, [placement], run_check=False))


def test_a_shard_is_taken_where_ranks_exchange_it(mesh: Any) -> None:
    """Each matrix has one owner of two; this rank has all of the one that counts as whole here."""
    whole = torch.randn(4, 4, dtype=torch.float64)
    shard = placed(whole, mesh, Shard(0))
    optimizer = optkit.create("muon", [shard])
    state = optimizer.allocate(shard, optimizer.param_groups[0])
    assert state["momentum_buffer"].placements == (Shard(0),)
    explanation = optimizer.explain().buckets[0]
    assert explanation.implementation == "foreach"
    assert explanation.placements == ("S(0) over 2",)


def test_a_replica_steps_as_a_plain_matrix_does(mesh: Any) -> None:
    whole = torch.randn(4, 4, dtype=torch.float64)
    replica, plain = placed(whole.clone(), mesh, Replicate()), torch.nn.Parameter(whole.clone())
    replica.grad = DTensor.from_local(torch.ones_like(whole), mesh, [Replicate()], run_check=False)
    plain.grad = torch.ones_like(whole)
    for p in (replica, plain):
        optkit.create("muon", [p]).step()
    torch.testing.assert_close(replica.to_local(), plain.data, rtol=0, atol=0)


def test_what_can_not_be_exchanged_is_refused_by_name(mesh: Any) -> None:
    class Summed(WithTotals, Whitened):
        total = Total()

    class Alone(Optimizer):
        needs_whole_matrices = True

    shard = placed(torch.ones(4, 4), mesh, Shard(0))
    for algorithm in (Summed, Alone):
        words = f"parameter 0 of group 0 is sharded, and {algorithm.__name__} needs whole matrices"
        with pytest.raises(GroupError, match=words):
            algorithm([shard])
    unlike = DTensor.from_local(
        torch.ones(4, 4), mesh, [Shard(0)], run_check=False, shape=(9, 4), stride=(4, 1)
    )
    with pytest.raises(GroupError, match=re.escape("is placed as S(0) over 2, and of such parts")):
        Whitened([torch.nn.Parameter(unlike)])
