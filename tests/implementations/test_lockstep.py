"""In lock step with torch.optim, over every input that torch's own tests list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from algorithms import COUNTED, TORCH, declared
from problems import DTYPES, INFOS, copies, gradients, parameters, set_gradients
from torch._subclasses.fake_tensor import FakeTensorMode

import optkit
from optkit_core.testing import assert_agree

STEPS = 25
CASES = [
    pytest.param(name, case.kwargs, id=f"{name}-{case.desc.replace(' ', '_')}")
    for name in TORCH
    for case in INFOS[name].optim_inputs_func(device="cpu")
]


def step_both(ours: Any, theirs: Any, mine: Any, other: Any) -> Any:
    """Step both optimizers; yield after each step so that the caller compares."""
    for grads in gradients(mine, STEPS):
        for params, optimizer in ((mine, ours), (other, theirs)):
            set_gradients(params, grads)
            optimizer.step()
        yield


def assert_same_bits(ours: Any, theirs: Any) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype
        torch.testing.assert_close(mine, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_forloop_equals_torch_bit_for_bit(name: str, options: Any, dtype: torch.dtype) -> None:
    mine, other = parameters(dtype), parameters(dtype)
    ours = optkit.create(name, mine, implementation="forloop", **options)
    theirs = TORCH[name](other, foreach=False, **options)
    # torch's vector code rounds half types otherwise than its code for strided tensors, and
    # gives a buffer that starts from the first gradient the strides of that one.
    has_own_strides = any(buffer.is_set_by_body for buffer in ours.buffers.values())
    for _ in step_both(ours, theirs, mine, other):
        if dtype.is_complex or (dtype.itemsize == 2 and has_own_strides):
            assert_agree(mine, other)
        else:
            assert_same_bits(mine, other)
    for p, q in zip(mine, other, strict=True):
        assert ours.state[p].keys() == theirs.state[q].keys()
        for key, value in theirs.state[q].items():
            wanted = value.double() if key == "step" else value
            assert_agree([ours.state[p][key]], [wanted])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_foreach_agrees_with_forloop(name: str, options: Any, dtype: torch.dtype) -> None:
    mine, other = parameters(dtype), parameters(dtype)
    foreach = optkit.create(name, mine, implementation="foreach", **options)
    forloop = optkit.create(name, other, implementation="forloop", **options)
    for _ in step_both(foreach, forloop, mine, other):
        assert_agree(mine, other)
    assert {choice.name for choice in foreach.plan} == {"foreach"}


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", TORCH)
def test_tensor_lr_of_any_rank(name: str, implementation: str, shape: tuple[int, ...]) -> None:
    mine, other = parameters(torch.float64), parameters(torch.float64)
    lr = torch.full(shape, 0.01)
    ours = optkit.create(name, mine, lr=lr, implementation=implementation)
    theirs = TORCH[name](other, lr=lr.clone(), foreach=False)
    for _ in step_both(ours, theirs, mine, other):
        assert_agree(mine, other, dtype=torch.float32)
        ours.param_groups[0]["lr"].mul_(0.9)
        theirs.param_groups[0]["lr"].mul_(0.9)


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "maximize": True}], ids=str)
def test_differentiable_has_torchs_values_and_gradients(name: str, options: Any) -> None:
    options = declared(name, **options)
    results = []
    for cls in (optkit.get(name), TORCH[name]):
        lr_of_loss = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        theta = torch.linspace(-1, 1, 37, dtype=torch.float64) * lr_of_loss
        optimizer = cls([theta], lr=0.1, differentiable=True, **options)
        theta.grad = (theta.detach() + 1) * lr_of_loss
        optimizer.step()
        (gradient,) = torch.autograd.grad(theta.sin().sum(), lr_of_loss)
        results.append((theta.detach(), gradient))
    (ours, our_gradient), (theirs, their_gradient) = results
    # In this mode torch computes Adam's corrections from its counter, in float32.
    assert_agree([ours, our_gradient], [theirs, their_gradient], dtype=torch.float32)
    assert our_gradient != 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("name", TORCH)
def test_differentiable_unrolls_many_steps(name: str, dtype: torch.dtype) -> None:
    """torch.optim.Adamax can't: its second step overwrites what the first one saved."""

    def unrolled(scale: torch.Tensor) -> torch.Tensor:
        turned = scale * (1 + 0.5j) if dtype.is_complex else scale
        theta = torch.linspace(-1, 1.1, 37, dtype=torch.float64) * turned
        options = declared(name, weight_decay=0.1, differentiable=True)
        optimizer = optkit.get(name)([theta], lr=0.1, **options)
        for step in range(4):
            theta.grad = (theta.clone() + step + 1) * scale
            optimizer.step()
        return torch.view_as_real(theta).sin().sum() if dtype.is_complex else theta.sin().sum()

    assert torch.autograd.gradcheck(
        unrolled, torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    )


@pytest.mark.parametrize("name", TORCH)
def test_mixed_dtypes_and_strides_in_one_group(name: str) -> None:
    mine = [p for dtype in DTYPES for p in parameters(dtype)]
    other = copies(mine)
    ours = optkit.create(name, mine, implementation="foreach")
    theirs = TORCH[name](other, foreach=False)
    for _ in step_both(ours, theirs, mine, other):
        assert_agree(mine, other)
    assert {choice.key.dtype for choice in ours.plan} == set(DTYPES)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_sparse_adagrad(implementation: str, dtype: torch.dtype) -> None:
    mine = [torch.nn.Parameter(torch.randn(50, 9, dtype=dtype)) for _ in range(3)]
    other = copies(mine)
    ours = optkit.create("adagrad", mine, lr_decay=0.1, implementation=implementation)
    theirs = torch.optim.Adagrad(other, lr_decay=0.1, foreach=False)
    for step in range(STEPS):
        for params, optimizer in ((mine, ours), (other, theirs)):
            generator = torch.Generator().manual_seed(step)
            for position, p in enumerate(params):
                at = torch.randint(0, 50, (1, 12), generator=generator)
                values = torch.randn(12, 9, generator=generator, dtype=dtype)
                sparse = torch.sparse_coo_tensor(at, values, p.shape, check_invariants=True)
                p.grad = sparse if position else sparse.to_dense()
            optimizer.step()
        assert_same_bits(mine, other)


@pytest.fixture
def warn_always() -> Iterator[None]:
    """Let torch warn of everything each time, not once in a process."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("warn_always")
def test_a_sparse_step_warns_of_nothing() -> None:
    p = torch.nn.Parameter(torch.ones(4))
    p.grad = torch.eye(4)[0].to_sparse()
    optkit.create("adagrad", [p]).step()
    assert (p != 1).tolist() == [True, False, False, False]


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"maximize": True}], ids=str)
def test_gradients_are_never_modified(name: str, implementation: str, options: Any) -> None:
    params, options = parameters(torch.float32), declared(name, **options)
    optimizer = optkit.create(name, params, implementation=implementation, **options)
    for grads in gradients(params, 3):
        set_gradients(params, grads)
        before = [None if p.grad is None else (p.grad, p.grad.clone()) for p in params]
        optimizer.step()
        for p, kept in zip(params, before, strict=True):
            assert (p.grad is None) == (kept is None)
            if kept is not None:
                assert p.grad is kept[0]
                assert torch.equal(p.grad, kept[1])


@pytest.mark.parametrize("name", COUNTED)
def test_torchs_step_counter_under_another_default_dtype_is_ours(name: str) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        ours, theirs = optkit.get(name), TORCH[name]
        counters = []
        for cls in (ours, theirs):
            p = torch.nn.Parameter(torch.ones(3))
            p.grad = torch.ones(3)
            optimizer = cls([p])
            optimizer.step()
            counters.append(optimizer.state[p]["step"])
        assert counters[0].dtype == counters[1].dtype == torch.float64
        assert torch.equal(*counters)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", COUNTED)
def test_counters_count_under_any_default_device(name: str, implementation: str) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = optkit.create(name, [p], implementation=implementation)
    optimizer.step()
    with torch.device("meta"):
        optimizer.step()
    assert optimizer.state[p]["step"] == 2


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", TORCH)
def test_steps_on_fake_tensors(name: str, implementation: str) -> None:
    with FakeTensorMode():
        p = torch.nn.Parameter(torch.ones(3))
        optimizer = optkit.create(name, [p], implementation=implementation)
        for _ in range(2):
            p.grad = torch.ones(3)
            optimizer.step()


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", TORCH)
def test_lazily_conjugated_gradients_and_foreign_entries_in_the_state(
    name: str, implementation: str
) -> None:
    found = []
    for grad in (torch.tensor([1 + 2j, -3j]).conj(), torch.tensor([1 - 2j, 3j])):
        p = torch.nn.Parameter(torch.ones(2, dtype=torch.complex64))
        p.grad = grad
        optimizer = optkit.create(name, [p], implementation=implementation)
        optimizer.step()
        optimizer.state[p]["note"] = "kept"
        optimizer.step()
        assert optimizer.state[p]["note"] == "kept"
        found.append(p)
    assert found[0].grad.is_conj()
    assert torch.equal(*found)


@pytest.mark.parametrize("limit", [1, 2_000, 10_000])
@pytest.mark.parametrize("name", TORCH)
def test_any_size_of_chunk_gives_the_same(monkeypatch: Any, name: str, limit: int) -> None:
    mine, other = parameters(torch.float32), parameters(torch.float32)
    monkeypatch.setenv("OPTKIT_FOREACH_BYTES", str(limit))
    options = declared(name, weight_decay=0.1, maximize=True)
    foreach = optkit.create(name, mine, implementation="foreach", **options)
    forloop = optkit.create(name, other, implementation="forloop", **options)
    for _ in step_both(foreach, forloop, mine, other):
        assert_agree(mine, other)


@pytest.mark.parametrize("value", ["0", "-1", "4MiB", "1e6"])
def test_a_wrong_size_of_chunk_is_named_and_moves_nothing(monkeypatch: Any, value: str) -> None:
    monkeypatch.setenv("OPTKIT_FOREACH_BYTES", value)
    params = parameters(torch.float32)
    before = [p.detach().clone() for p in params]
    optimizer = optkit.create("adamax", params, implementation="foreach")
    for p in params:
        p.grad = torch.ones_like(p)
    with pytest.raises(optkit.OptkitError, match="OPTKIT_FOREACH_BYTES must be a number of bytes"):
        optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(params, before, strict=True))
