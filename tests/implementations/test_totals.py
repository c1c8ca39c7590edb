"""Reductions over all parameters: measured by every implementation, concluded once for a step."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Mapping
from contextlib import redirect_stdout
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import optkit
from optkit_core import (
    Buffer,
    CheckpointError,
    DeclarationError,
    Elementwise,
    HyperparameterError,
    ImplementationError,
    Total,
    UnknownHyperparameterError,
    WithTotals,
    at_least,
    estimate,
    hyperparameter,
)
from optkit_core.implementations.fused import prebuild
from optkit_core.step import measured_buckets
from optkit_core.tracing.trace import trace

IMPLEMENTATIONS = ("forloop", "foreach", "fused")
SHAPES = ((3,), (4, 5), (), (2, 3, 4), (70, 33), (0,))


class Clipped(WithTotals, Elementwise):
    """Descent along the gradient, cut to a norm of all parameters together."""

    counts_steps = False
    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    max_norm: float = hyperparameter(default=1.0, range=at_least(0.0))

    share = estimate(start=1.0)
    steps = estimate(start=0)

    square = Total()

    @staticmethod
    def measure(p: Any, g: Any, s: Any, h: Any) -> Mapping[str, Any]:
        return {"square": (g * g).sum()}

    @staticmethod
    def conclude(totals: Any, h: Any) -> Mapping[str, Any]:
        norm = totals.square**0.5
        return {"share": h.max_norm / max(norm, h.max_norm), "steps": h.steps + 1}

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g, alpha=h.lr * h.share)


class Travelled(Clipped):
    """The same with a mean that is updated while the parameters are measured."""

    mean = Buffer()
    length = Total()

    @staticmethod
    def measure(p: Any, g: Any, s: Any, h: Any) -> Mapping[str, Any]:
        s.mean.lerp_(g, 0.5)
        return {"square": s.mean.norm() ** 2, "length": 0.5 if h.lr else 0.0}

    @staticmethod
    def conclude(totals: Any, h: Any) -> Mapping[str, Any] | None:
        return {"share": 1 / (1 + totals.square), "steps": totals.length}

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(s.mean, alpha=h.lr * h.share)


def parameters(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in SHAPES]


def give_gradients(params: list[Tensor], number: int, missing: bool = True) -> None:
    generator = torch.Generator().manual_seed(number)
    for position, p in enumerate(params):
        drawn = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
        is_missing = missing and (number + position) % 4 == 3
        p.grad = None if is_missing else p.detach() + drawn


def stepped(optimizer: Any, steps: int = 6, missing: bool = True) -> Any:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for number in range(steps):
        give_gradients(params, number, missing)
        optimizer.step()
    return optimizer


def estimates(optimizer: Any, position: int = 0) -> dict[str, Any]:
    return {name: optimizer.param_groups[position][name] for name in optimizer.estimate_names}


def assert_close(found: list[Tensor], wanted: list[Tensor], tolerance: float = 2e-6) -> None:
    for p, q in zip(found, wanted, strict=True):
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_norm_over_all_groups_is_torchs(implementation: str) -> None:
    params, theirs = parameters(), parameters()
    groups = [{"params": params[:2], "lr": 0.2}, {"params": params[2:]}]
    stepped(Clipped(groups, implementation=implementation))
    sgd = torch.optim.SGD([{"params": theirs[:2], "lr": 0.2}, {"params": theirs[2:]}], lr=0.1)
    for number in range(6):
        give_gradients(theirs, number)
        torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        sgd.step()
    assert_close(params, theirs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("algorithm", [Clipped, Travelled])
def test_implementations_agree(algorithm: Any, dtype: torch.dtype) -> None:
    reference = parameters(dtype)
    wanted = stepped(algorithm(reference, implementation="forloop"))
    for implementation in ("foreach", "fused"):
        params = parameters(dtype)
        found = stepped(algorithm(params, implementation=implementation))
        assert_close(params, reference, {torch.float64: 1e-13}.get(dtype, 0.02))
        assert estimates(found) == pytest.approx(estimates(wanted), rel=1e-2)
        assert found.param_groups[0]["steps"] == wanted.param_groups[0]["steps"] > 1


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradients_stay_as_they_are(implementation: str) -> None:
    params = parameters()
    optimizer = Travelled(params, implementation=implementation)
    give_gradients(params, 0, missing=False)
    before = [p.grad.clone() for p in params if p.grad is not None]
    optimizer.step()
    assert all(map(torch.equal, before, [p.grad for p in params]))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_total_doesnt_depend_on_groups(implementation: str) -> None:
    one, several = parameters(torch.float64), parameters(torch.float64)
    each = Clipped([{"params": [p]} for p in reversed(several)], implementation=implementation)
    for number in range(4):
        for params in (one, several):
            give_gradients(params, number)
        wanted = Clipped(one, implementation=implementation)
        wanted.step()
        each.step()
        assert estimates(each)["share"] == estimates(wanted)["share"]


def test_small_contributions_count_beside_a_large_one() -> None:
    """One after another, each would be lost in rounding, but for those that come first."""
    shares = []
    for order in (1, -1):
        params = [torch.ones((), dtype=torch.float64) for _ in range(65)][::order]
        for p, g in zip(params, [1e8, *[1.0] * 64][::order], strict=True):
            p.grad = torch.tensor(g, dtype=torch.float64)
        optimizer = Clipped(params)
        optimizer.step()
        shares.append(optimizer.param_groups[0]["share"])
    assert shares == [1 / (1e16 + 64) ** 0.5] * 2


def test_parameters_of_several_dtypes_have_one_total() -> None:
    params = [torch.ones(3), torch.ones(2, dtype=torch.float64), torch.ones(1).bfloat16()]
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer = Clipped(params)
    optimizer.step()
    assert optimizer.param_groups[0]["share"] == pytest.approx(6**-0.5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_plan_is_kept(implementation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[None] = []
    made = Travelled.plan_buckets

    def counted(self: Any, *arguments: Any, **keywords: Any) -> Any:
        plans.append(None)
        return made(self, *arguments, **keywords)

    monkeypatch.setattr(Travelled, "plan_buckets", counted)
    params, others = parameters(), parameters()
    optimizer = stepped(Travelled(params, implementation=implementation), missing=False)
    assert len(plans) == 1
    again = Travelled(others, implementation=implementation)
    for number in range(6):
        give_gradients(others, number, missing=False)
        again.step()
        again.forget_plans()
    assert len(plans) == 7
    assert all(map(torch.equal, params, others))
    assert estimates(again) == estimates(optimizer)


def test_all_buckets_are_waited_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    sums = measured_buckets.totals
    monkeypatch.setattr(
        "optkit_core.with_totals.totals_of",
        lambda names, measured: read.append(len(measured)) or sums(names, measured),
    )
    params = [torch.ones(3), torch.ones(3, dtype=torch.float64)]
    for p in params:
        p.grad = torch.ones_like(p)
    Clipped([{"params": [p]} for p in params]).step()
    assert read == [2]


def test_without_a_gradient_nothing_is_concluded() -> None:
    optimizer = Clipped(parameters())
    optimizer.step()
    assert optimizer.param_groups[0]["steps"] == 0


def test_no_update_where_there_is_no_conclusion() -> None:
    params = parameters()
    optimizer = optkit.create("prodigy", params, weight_decay=0.1)
    for p in params:
        p.grad = torch.zeros_like(p)
    before = estimates(optimizer)
    optimizer.step()
    assert estimates(optimizer) == before
    assert all(map(torch.equal, params, parameters()))
    stepped(optimizer)
    assert optimizer.param_groups[0]["k"] == 6


def test_gradients_that_arent_finite_leave_a_group_valid() -> None:
    params = parameters()
    optimizer = optkit.create("prodigy", params)
    for p in params:
        p.grad = torch.full_like(p, float("inf"))
    for _ in range(3):
        optimizer.step()
    assert optimizer.param_groups[0]["d"] == 1e-6


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_skipped_step_changes_nothing(implementation: str) -> None:
    params = parameters()
    optimizer = stepped(optkit.create("prodigy", params, implementation=implementation))
    before = copy.deepcopy((params, optimizer.state_dict()))
    give_gradients(params, 7)
    optimizer.found_inf = torch.ones(())
    optimizer.step()
    del optimizer.found_inf
    assert all(map(torch.equal, params, before[0]))
    assert str(optimizer.state_dict()) == str(before[1])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_scaled_gradients_are_measured_unscaled(implementation: str) -> None:
    params, scaled = parameters(), parameters()
    stepped(Clipped(params, implementation=implementation))
    optimizer: Any = Clipped(scaled, implementation=implementation)
    optimizer.grad_scale = torch.tensor(4.0)
    for number in range(6):
        give_gradients(scaled, number)
        for p in scaled:
            p.grad = None if p.grad is None else 4 * p.grad
        optimizer.step()
    assert_close(scaled, params)


def test_a_group_that_is_added_has_the_estimates_of_the_others() -> None:
    optimizer = stepped(Clipped(parameters()))
    known = estimates(optimizer)
    optimizer.add_param_group({"params": [torch.ones(2)]})
    assert estimates(optimizer, 1) == known
    stepped(optimizer, 1)
    assert estimates(optimizer, 1) == estimates(optimizer, 0) != known


def test_copies_go_on(tmp_path: Any) -> None:
    optimizer = stepped(optkit.create("prodigy", parameters(), d0=1e-3))
    twins = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    optkit.save(optimizer, tmp_path / "it.safetensors")
    loaded = optkit.create("prodigy", copy.deepcopy(optimizer.param_groups[0]["params"]))
    optkit.load(loaded, tmp_path / "it.safetensors")
    assert estimates(loaded)["d"] > 1e-3
    stepped(optimizer)
    for twin in (*twins, loaded):
        assert estimates(stepped(twin)) == estimates(optimizer)


def test_a_checkpoint_without_an_estimate_isnt_whole() -> None:
    optimizer = stepped(Clipped(parameters()))
    saved = optimizer.state_dict()
    del saved["param_groups"][0]["share"]
    with pytest.raises(CheckpointError, match="saved group 0 has no share"):
        optimizer.load_state_dict(saved)


def test_members_measure_their_own_groups() -> None:
    params, alone = parameters(), parameters()
    optkit.register("clipped-test", Clipped)
    try:
        groups = [
            {"params": params[:3], "algorithm": "clipped-test"},
            {"params": params[3:]},
        ]
        optimizer: Any = optkit.create("adagrad", groups)
        own = Clipped(alone[:3])
        for number in range(4):
            give_gradients(params, number)
            give_gradients(alone, number)
            optimizer.step()
            own.step()
    finally:
        optkit.unregister("clipped-test")
    assert all(map(torch.equal, params[:3], alone[:3]))
    assert estimates(own)["share"] == optimizer.param_groups[0]["share"]


@pytest.mark.slow
def test_compiled_code_steps_the_same() -> None:
    params, wanted = parameters(), parameters()
    optimizer = Clipped(params)
    compiled = torch.compile(lambda: optimizer.step(), backend="eager")
    for number in range(3):
        give_gradients(params, number)
        compiled()
    stepped(Clipped(wanted), 3)
    assert all(map(torch.equal, params, wanted))


@pytest.mark.parametrize("option", ["capturable", "differentiable"])
def test_what_the_host_has_a_part_in_isnt_recorded(option: str) -> None:
    with pytest.raises(HyperparameterError, match=f"{option} must be False, got True"):
        Clipped(parameters(), **{option: True})


def test_a_constructor_takes_no_estimate() -> None:
    with pytest.raises(UnknownHyperparameterError, match="takes no 'share'"):
        Clipped(parameters(), share=0.5)
    assert estimates(optkit.create("prodigy", parameters(), d0=0.5))["d_max"] == 0.5


def test_a_start_must_be_declared() -> None:
    with pytest.raises(DeclarationError, match="start='lrr' isn't a hyperparameter"):
        type("Wrong", (Clipped,), {"other": estimate(start="lrr"), "__annotations__": {}})


def wrong(**bodies: Any) -> Any:
    """Return an optimizer of one parameter with another body."""
    body = {name: staticmethod(function) for name, function in bodies.items()}
    p = torch.ones(3)
    p.grad = torch.ones(3)
    return type("Wrong", (Clipped,), body)([p], implementation="forloop")


def test_all_totals_must_be_measured() -> None:
    with pytest.raises(DeclarationError, match=r"returned \['squares'\], and .* \['square'\]"):
        wrong(measure=lambda p, g, s, h: {"squares": g.sum()}).step()


def test_only_estimates_can_be_concluded() -> None:
    with pytest.raises(DeclarationError, match=r"conclude returned sharing; .* share, steps"):
        wrong(conclude=lambda totals, h: {"sharing": 1.0}).step()


def test_a_refusal_comes_before_anything_is_measured() -> None:
    def measure(p: Any, g: Any, s: Any, h: Any) -> Mapping[str, Any]:
        return {"square": g.cumsum(0).sum()}

    algorithm = type("Odd", (Clipped,), {"measure": staticmethod(measure)})
    with pytest.raises(ImplementationError, match="cumsum"):
        algorithm([torch.ones(3)], implementation="fused")
    optimizer = algorithm([torch.ones(3)])
    assert "cumsum" in str(optimizer.explain())
    assert stepped(optimizer).plan[0].name != "fused"


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.1, "use_bias_correction": True, "growth_rate": 1.3, "d0": 1e-3},
        {"weight_decay": 0.1, "decouple": False, "safeguard_warmup": True, "beta3": 0.8},
        {"lr": 0.5, "d_coef": 2.0, "betas": (0.5, 0.9)},
    ],
)
def test_prodigy_is_the_authors(options: dict[str, Any], implementation: str) -> None:
    theirs = pytest.importorskip("prodigyopt").Prodigy
    ours, wanted = parameters(torch.float64), parameters(torch.float64)
    optimizer = optkit.create("prodigy", ours, implementation=implementation, **options)
    with redirect_stdout(io.StringIO()):  # it says there that it decays weights
        reference = theirs(wanted, **options)
    for number in range(25):
        give_gradients(ours, number)
        give_gradients(wanted, number)
        optimizer.step()
        reference.step()
        assert_close(ours, wanted, 1e-11)
    known = SimpleNamespace(**reference.param_groups[0])
    assert estimates(optimizer)["d"] == pytest.approx(known.d, rel=1e-10)
    assert known.d > 10 * known.d0
    assert estimates(optimizer)["k"] == known.k


def test_kernels_of_both_bodies_are_built_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []
    monkeypatch.setattr(prebuild, "compile_kernel", lambda program, *_: built.append(program))
    prebuild.build(Clipped, torch.float32)
    optimizer = Clipped([torch.ones(3)])
    h = optimizer.values(optimizer.param_groups[0])
    for body in (Clipped, Clipped.measuring):
        assert trace(body, h, 1.0, dtype=torch.float32)[0] in built
