"""Faults of torch.optim.LBFGS; the numbers are those of `torch_faults.FAULTS`."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from minimization import Problem, Run, flat, mlp, rosenbrock, run
from torch import Tensor
from torch_faults import torch_has_fault

from optkit_plugins.lbfgs import LBFGS

TORCH = torch.optim.LBFGS
both = pytest.mark.parametrize("cls", [LBFGS, TORCH], ids=["optkit", "torch"])


def has_fault(number: int, cls: type[Any]) -> bool:
    return cls is TORCH and torch_has_fault(number)


@both
@pytest.mark.parametrize("max_iter", [1, 2])
def test_fault_20_strong_wolfe_stands_still_with_few_iterations_a_step(
    cls: type[Any], max_iter: int
) -> None:
    start = Problem(
        [torch.full((2,), 0.1, dtype=torch.float64)], lambda ps: (50 * ps[0]).cosh().sum()
    )
    ours = run(cls, start, max_iter=max_iter, line_search_fn="strong_wolfe").step(50)
    assert (ours.returned[-1] > 10) == has_fault(20, cls)
    assert has_fault(20, cls) or ours.returned[-1] == pytest.approx(2.0)


@both
@pytest.mark.parametrize("factor", [1e-10, 1e-8])
def test_fault_21_a_loss_in_small_units_is_not_minimized(cls: type[Any], factor: float) -> None:
    problem = mlp(torch.float64)
    tiny = Problem(problem.start, lambda params: factor * problem.loss(params))
    given = {"tolerance_grad": 0.0, "tolerance_change": 0.0, "line_search_fn": "strong_wolfe"}
    ours = run(cls, tiny, max_iter=80, max_eval=200, **given).step()
    plain = run(cls, problem, max_iter=80, max_eval=200, **given).step()
    left = problem.loss(ours.params).item() / problem.loss(plain.params).item()
    assert (left > 10) == has_fault(21, cls)


@both
def test_fault_22_the_history_ends_near_an_optimum(cls: type[Any]) -> None:
    given = {"tolerance_grad": 0.0, "tolerance_change": 0.0, "line_search_fn": "strong_wolfe"}
    scales = torch.logspace(0, 4, 30, dtype=torch.float64)
    start = [torch.full((30,), 1e-8, dtype=torch.float64)]
    ours = run(cls, Problem(start, lambda ps: (scales * ps[0] ** 2).sum()), **given)
    ours.optimizer.param_groups[0].update(max_iter=20, max_eval=40)
    ours.step()
    assert (not ours.optimizer.state_dict()["state"][0]["old_dirs"]) == has_fault(22, cls)


@both
def test_fault_23_a_trial_that_is_nan_is_followed(cls: type[Any]) -> None:
    def loss(params: Any) -> Tensor:
        x = params[0]
        return (1000 * x - x.log()).sum()

    start = Problem([torch.full((3,), 0.9, dtype=torch.float64)], loss)
    ours = run(cls, start, lr=1e4, line_search_fn="strong_wolfe", max_iter=50, max_eval=300)
    ours.step()
    is_sane = bool((ours.path[-1] > 0).all()) and ours.path[-1].isfinite().all().item()
    assert is_sane != has_fault(23, cls)


@both
def test_fault_24_a_start_that_is_nan_destroys_the_parameters(cls: type[Any]) -> None:
    ours = run(cls, Problem([torch.ones(3)], lambda ps: (ps[0] * math.nan).sum())).step()
    assert torch.equal(ours.path[-1], torch.ones(3)) != has_fault(24, cls)


@both
def test_fault_25_a_start_that_is_infinite_raises(cls: type[Any]) -> None:
    ours = run(
        cls, Problem([torch.ones(3)], lambda ps: (ps[0] * 1e30 * 1e30).sum()),
        line_search_fn="strong_wolfe",
    )  # fmt: skip
    if has_fault(25, cls):
        try:
            ours.step()
        except IndexError:
            return
        assert not flat(ours.params).isfinite().all()
    else:
        ours.step()
        assert torch.equal(ours.path[-1], torch.ones(3))


@both
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_fault_17_a_copy_of_lbfgs_cannot_step(
    cls: type[Any], duplicate: Callable[[Any], Any]
) -> None:
    original = run(cls, mlp(torch.float64)).step()
    optimizer, params = duplicate((original.optimizer, original.params))
    twin = Run(optimizer, params, original.loss)
    if has_fault(17, cls):
        with pytest.raises(AttributeError, match="_params"):
            twin.step()
    else:
        twin.step()
        assert torch.equal(twin.path[-1], original.step().path[-1])


@both
def test_fault_26_an_exception_leaves_a_trial_point(cls: type[Any]) -> None:
    ours = run(cls, rosenbrock(torch.float64), line_search_fn="strong_wolfe")
    before = flat(ours.params)

    def closure() -> Any:
        loss = ours.closure()
        if ours.calls == 2:
            raise FloatingPointError
        return loss

    with pytest.raises(FloatingPointError):
        ours.optimizer.step(closure)
    assert torch.equal(flat(ours.params), before) != has_fault(26, cls)


@both
def test_fault_7_a_loaded_state_is_shared_with_its_source(cls: type[Any]) -> None:
    source = run(cls, mlp(torch.float64), history_size=4, max_iter=3).step()
    target = run(cls, mlp(torch.float64), history_size=4, max_iter=3)
    saved = source.optimizer.state_dict()
    target.optimizer.load_state_dict(saved)
    before = saved["state"][0]["prev_flat_grad"].clone()
    target.step(4)
    after = saved["state"][0]["prev_flat_grad"]
    assert torch.equal(after, before) != has_fault(7, cls)


@both
def test_fault_27_a_gradient_that_is_not_contiguous_raises(cls: type[Any]) -> None:
    weight = torch.zeros(3, 4, requires_grad=True)
    optimizer = cls([weight], lr=0.1)

    def closure() -> float:
        weight.grad = torch.ones(4, 3).t()
        return 1.0

    if has_fault(27, cls):
        with pytest.raises(RuntimeError, match="view size is not compatible"):
            optimizer.step(closure)
    else:
        optimizer.step(closure)
        assert (weight < 0).all()


@both
def test_fault_28_a_group_without_elements_raises(cls: type[Any]) -> None:
    empty = torch.zeros(0, requires_grad=True)
    optimizer = cls([empty])
    if has_fault(28, cls):
        with pytest.raises((RuntimeError, IndexError)):
            optimizer.step(lambda: 1.0)
    else:
        assert optimizer.step(lambda: 1.0) == 1.0


@both
def test_fault_29_no_evaluations_at_all_raise(cls: type[Any]) -> None:
    ours = run(cls, rosenbrock(torch.float64), max_eval=0, line_search_fn="strong_wolfe")
    if has_fault(29, cls):
        with pytest.raises(UnboundLocalError):
            ours.step()
    else:
        ours.step()
        assert ours.optimizer.result.reason == "max_eval"


@both
def test_fault_30_parameter_groups_are_refused(cls: type[Any]) -> None:
    groups = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr": 0.5}]
    if has_fault(30, cls):
        with pytest.raises(ValueError, match="doesn't support per-parameter options"):
            cls(groups)
    else:
        assert [group["lr"] for group in cls(groups).param_groups] == [1.0, 0.5]


@both
def test_fault_31_max_eval_is_overshot(cls: type[Any]) -> None:
    over = False
    for max_eval in range(2, 12):
        given = {"line_search_fn": "strong_wolfe", "max_iter": 20, "max_eval": max_eval}
        over |= run(cls, rosenbrock(torch.float64), **given).step().calls > max_eval
    assert over == has_fault(31, cls)
