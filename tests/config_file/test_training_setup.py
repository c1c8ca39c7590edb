"""The step, the state and the intervals of a training setup, beside a loop written by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from config_samples import Random, TinyTransformer, valid
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import optkit
from optkit_core import CheckpointError, ConfigError

CONFIG: dict[str, Any] = {
    "optimizer": {"name": "adamw", "lr": 0.05},
    "schedule": {"name": "step", "step_size": 2, "gamma": 0.5},
    "averaging": {"name": "ema", "decay": 0.5},
    "clipping": {"norm": 0.1},
}


def batch(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    inputs = torch.randint(6, (8,), generator=generator)
    return inputs, (inputs % 3)


def backward(model: nn.Module, count: int, scale: float = 1.0) -> torch.Tensor:
    model.zero_grad()
    inputs, targets = batch(count)
    loss = nn.functional.cross_entropy(model(inputs), targets)
    (loss * scale).backward()
    return loss.detach()


def run(setup: optkit.TrainingSetup, model: nn.Module, counts: range) -> None:
    for count in counts:
        if getattr(setup.optimizer, "requires_closure", False):
            setup.step(lambda count=count: backward(model, count))
        else:
            backward(model, count)
            setup.step()
        if count % 3 == 2:
            setup.end_epoch(metric=1.0)


def parameters(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def new_model() -> TinyTransformer:
    torch.manual_seed(0)
    return TinyTransformer()


@pytest.mark.parametrize("clipping", [{"norm": 0.1}, {"norm": 1, "norm_type": 1}, {"value": 0.01}])
def test_a_step_does_what_a_loop_by_hand_does(clipping: dict[str, Any]) -> None:
    model, by_hand = new_model(), new_model()
    setup = optkit.from_config({**CONFIG, "clipping": clipping}, model)
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=0.05, foreach=False)
    schedule = lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    average = AveragedModel(by_hand, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    with torch.no_grad():
        setup.optimizer.param_groups[0]["implementation"] = "forloop"
    for count in range(5):
        backward(model, count)
        setup.step()
        backward(by_hand, count)
        if "value" in clipping:
            nn.utils.clip_grad_value_(by_hand.parameters(), clipping["value"])
        else:
            norm_type = clipping.get("norm_type", 2.0)
            nn.utils.clip_grad_norm_(by_hand.parameters(), clipping["norm"], norm_type)
        optimizer.step()
        schedule.step()
        average.update_parameters(by_hand)
        assert torch.equal(parameters(model), parameters(by_hand))
        assert torch.equal(parameters(setup.averaging), parameters(average))
        assert setup.schedule.get_last_lr() == schedule.get_last_lr()
    assert setup.steps == 5


def test_a_closure_sees_clipped_gradients_each_time() -> None:
    model, norms = new_model(), []
    config = {"optimizer": {"name": "lbfgs", "max_iter": 3}, "clipping": {"norm": 1e-3}}
    setup = optkit.from_config(config, model)
    clip = setup.clip_gradients

    def observed() -> Any:
        norm = clip()
        norms.append(torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item())
        return norm

    setup.clip_gradients = observed
    loss = setup.step(lambda: backward(model, 0))
    assert len(norms) > 1 and max(norms) < 1.01e-3
    assert loss > 0


class Scaler(torch.amp.GradScaler):
    """A scaler that works on the CPU."""

    def __init__(self, **options: Any) -> None:
        super().__init__("cpu", init_scale=4.0, **options)


def test_a_scaler_unscales_before_the_clipping_and_steps() -> None:
    model, by_hand = new_model(), new_model()
    setup, plain = optkit.from_config(CONFIG, model), optkit.from_config(CONFIG, by_hand)
    scaler = Scaler()
    for count in range(4):
        model.zero_grad()
        inputs, targets = batch(count)
        scaler.scale(nn.functional.cross_entropy(model(inputs), targets)).backward()
        setup.step(scaler=scaler)
        backward(by_hand, count)
        plain.step()
    assert torch.allclose(parameters(model), parameters(by_hand), rtol=1e-5, atol=1e-7)
    assert setup.schedule.get_last_lr() == plain.schedule.get_last_lr()


@pytest.mark.parametrize("clipping", [True, False])
def test_a_step_that_a_scaler_skips_advances_nothing(clipping: bool) -> None:
    model = new_model()
    config = {key: value for key, value in CONFIG.items() if clipping or key != "clipping"}
    setup = optkit.from_config(config, model)
    scaler, before = Scaler(), parameters(model)
    scaler.scale(backward(model, 0))
    for p in model.parameters():
        p.grad = torch.full_like(p, float("inf"))
    setup.step(scaler=scaler)
    assert torch.equal(parameters(model), before)
    assert (setup.steps, setup.schedule.last_epoch, int(setup.averaging.n_averaged)) == (0, 0, 0)
    assert scaler.get_scale() == 2.0


def test_a_scaler_and_a_closure_dont_go_together() -> None:
    setup = optkit.from_config(CONFIG, new_model())
    with pytest.raises(ConfigError, match="no closure"):
        setup.step(lambda: 1.0, scaler=Scaler())
    off = torch.amp.GradScaler("cpu", enabled=False)
    model = setup.model
    assert setup.step(lambda: backward(model, 0), scaler=off) > 0


def test_a_schedule_by_epochs_advances_at_their_ends() -> None:
    model = new_model()
    schedule = {"name": "step", "step_size": 1, "gamma": 0.1, "interval": "epoch"}
    averaging = {"name": "swa", "interval": "epoch", "every": 2, "start": 1}
    config = {"optimizer": {"name": "sgd", "lr": 1.0}, "schedule": schedule, "averaging": averaging}
    setup = optkit.from_config(config, model)
    seen = []
    for epoch in range(5):
        run(setup, model, range(2))
        setup.end_epoch()
        seen.append((round(setup.schedule.get_last_lr()[0], 6), int(setup.averaging.n_averaged)))
        assert setup.epochs == epoch + 1
    assert seen == [(0.1, 0), (0.01, 0), (0.001, 1), (0.0001, 1), (1e-05, 2)]


def test_averages_follow_every_so_many_steps_from_a_start() -> None:
    model = new_model()
    averaging = {"name": "ema", "decay": 0.5, "every": 3, "start": 4}
    setup = optkit.from_config({"optimizer": {"name": "sgd"}, "averaging": averaging}, model)
    seen = []
    for count in range(11):
        backward(model, count)
        setup.step()
        seen.append(int(setup.averaging.n_averaged))
    assert seen == [0] * 6 + [1] * 3 + [2] * 2


def test_a_plateau_is_told_the_metric() -> None:
    model = new_model()
    schedule = {"name": "reduce_on_plateau", "patience": 0, "factor": 0.5}
    config = {"optimizer": {"name": "sgd", "lr": 1.0}, "schedule": schedule}
    setup = optkit.from_config(config, model)
    backward(model, 0)
    setup.step()
    with pytest.raises(ConfigError, match=r"end_epoch\(loss\)"):
        setup.end_epoch()
    for metric in (1.0, 2.0, torch.tensor(2.0)):
        setup.end_epoch(metric)
    assert setup.schedule.get_last_lr() == [0.25]


SCHEDULES: dict[str, dict[str, Any]] = {
    "chained": {"schedules": [{"name": "exponential", "gamma": 0.9}, {"name": "linear"}]},
    "constant": {},
    "cosine_annealing": {"T_max": 7, "warmup": 3},
    "cosine_annealing_warm_restarts": {"T_0": 2},
    "cyclic": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3, "cycle_momentum": False},
    "exponential": {"gamma": 0.8},
    "linear": {"warmup": 2},
    "multi_step": {"milestones": [2, 4]},
    "one_cycle": {"max_lr": 0.1, "total_steps": 20},
    "polynomial": {"total_iters": 8},
    "reduce_on_plateau": {"patience": 0},
    "sequential": {
        "schedules": [{"name": "constant"}, {"name": "exponential", "gamma": 0.9}],
        "milestones": [3],
    },
    "step": {"step_size": 2},
    "swa": {"swa_lr": 0.01, "anneal_epochs": 3},
}


def test_every_schedule_that_a_file_can_say_is_here() -> None:
    with_functions = {"lambda", "multiplicative"}
    assert {*SCHEDULES, *with_functions} >= {*optkit.available("optkit:*", kind="schedule")}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_a_resumed_run_is_the_uninterrupted_one(name: str, interval: str, tmp_path: Path) -> None:
    if name == "reduce_on_plateau" and interval == "step":
        pytest.skip("it watches a metric of each epoch")
    schedule = {"name": name, "interval": interval, **SCHEDULES[name]}
    require_same_after_resuming({**CONFIG, "schedule": schedule}, tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_any_run_resumed_is_the_uninterrupted_one(seed: int, tmp_path: Path) -> None:
    require_same_after_resuming(valid(Random(seed)), tmp_path)


def require_same_after_resuming(config: Any, folder: Path) -> None:
    whole = new_model()
    uninterrupted = optkit.from_config(config, whole)
    run(uninterrupted, whole, range(9))
    first = new_model()
    before = optkit.from_config(config, first)
    run(before, first, range(5))
    file = folder / "run.pt"
    torch.save({"model": first.state_dict(), "setup": before.state_dict()}, file)
    optkit.save(before, folder / "setup.safetensors")
    for how in ("torch.save", "optkit.save"):
        second = TinyTransformer()
        after = optkit.from_config(config, second)
        saved = torch.load(file, weights_only=True)
        second.load_state_dict(saved["model"])
        if how == "torch.save":
            after.load_state_dict(saved["setup"])
        else:
            optkit.load(after, folder / "setup.safetensors")
        run(after, second, range(5, 9))
        require_same(after, second, uninterrupted, whole)


def require_same(
    after: optkit.TrainingSetup,
    second: nn.Module,
    uninterrupted: optkit.TrainingSetup,
    whole: nn.Module,
) -> None:
    assert (after.steps, after.epochs) == (uninterrupted.steps, uninterrupted.epochs) == (9, 3)
    assert torch.equal(parameters(second), parameters(whole))
    if after.averaging is not None:
        assert torch.equal(parameters(after.averaging), parameters(uninterrupted.averaging))
    if after.schedule is not None:
        assert after.schedule.get_last_lr() == uninterrupted.schedule.get_last_lr()


def test_a_loaded_state_shares_nothing_with_what_was_saved() -> None:
    model = new_model()
    setup = optkit.from_config(
        {**CONFIG, "schedule": {"name": "multi_step", "milestones": [9]}}, model
    )
    run(setup, model, range(2))
    saved = copy.deepcopy(setup.state_dict())
    kept = copy.deepcopy(saved)
    setup.load_state_dict(saved)
    setup.schedule.base_lrs[0] = 0.5
    run(setup, model, range(2, 4))
    assert str(saved) == str(kept)


def damaged(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    model = new_model()
    setup = optkit.from_config(CONFIG, model)
    run(setup, model, range(2))
    state = copy.deepcopy(setup.state_dict())
    change(state)
    return state


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no optimizer": (lambda s: s.pop("optimizer"), "optimizer: not in what was saved"),
    "no schedule": (lambda s: s.pop("schedule"), "schedule: not in what was saved"),
    "more": (lambda s: s.update(extra=1), "extra: not in this setup"),
    "steps": (lambda s: s.update(steps=-1), "steps must be a whole number of at least 0, got -1"),
    "epochs": (lambda s: s.update(epochs=True), "epochs must be a whole number"),
    "another schedule": (
        lambda s: s["schedule"].update(T_max=3) or s["schedule"].pop("step_size"),
        "schedule.T_max: only in what was saved",
    ),
    "rates of other groups": (
        lambda s: s["schedule"].update(base_lrs=[0.1, 0.1]),
        "schedule.base_lrs must have 1 entries, got 2",
    ),
    "a text": (
        lambda s: s["schedule"].update(gamma="x"),
        "schedule.gamma must be a number, got 'x'",
    ),
    "no mapping": (lambda s: s.update(schedule=3), "schedule must be a mapping, got 3"),
    "an average of another model": (
        lambda s: s["averaging"].update({"module.head.bias": torch.zeros(5)}),
        r"averaging.module.head.bias must have shape \(3,\), got \(5,\)",
    ),
    "no tensor": (
        lambda s: s["averaging"].update({"module.head.bias": 1}),
        r"must have shape \(3,\), got int",
    ),
    "less of an average": (
        lambda s: s["averaging"].pop("module.head.bias"),
        "averaging.module.head.bias: only in this setup",
    ),
    "an average that is none": (lambda s: s.update(averaging=[]), "averaging must be a mapping"),
    "the optimizer's": (lambda s: s["optimizer"]["param_groups"][0].pop("lr"), "lr"),
    "the optimizer's state": (lambda s: s["optimizer"].pop("state"), "state"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_state_that_doesnt_fit_changes_nothing(kind: str) -> None:
    change, words = DAMAGE[kind]
    model = new_model()
    setup = optkit.from_config(CONFIG, model)
    run(setup, model, range(4))
    before = copy.deepcopy(setup.state_dict())
    with pytest.raises(CheckpointError, match=words):
        setup.load_state_dict(damaged(change))
    after = setup.state_dict()
    assert str(after["schedule"]) == str(before["schedule"])
    assert (after["steps"], after["epochs"]) == (4, 1)
    assert all(map(torch.equal, after["averaging"].values(), before["averaging"].values()))
    assert str(after["optimizer"]) == str(before["optimizer"])


def test_all_that_doesnt_fit_is_told() -> None:
    setup = optkit.from_config({"optimizer": {"name": "adamw"}}, new_model())
    with pytest.raises(CheckpointError) as raised:
        setup.load_state_dict(damaged(lambda state: state.update(steps="x")))
    assert len(str(raised.value).splitlines()) == 4
    with pytest.raises(CheckpointError, match="must be a mapping"):
        setup.load_state_dict([1])


def test_it_says_what_it_consists_of() -> None:
    setup = optkit.from_config(CONFIG, new_model())
    assert repr(setup) == "TrainingSetup(AdamW, StepLR, AveragedModel, Clipping; 0 steps, 0 epochs)"
    assert setup.config() == CONFIG
    setup.config()["optimizer"]["lr"] = 3
    assert setup.config() == CONFIG


def test_a_file_of_a_setup_is_loaded_whole(tmp_path: Path) -> None:
    path = tmp_path / "setup.safetensors"
    setup = optkit.from_config(CONFIG, new_model())
    optkit.save(setup, path)
    with pytest.raises(CheckpointError, match="loaded whole"):
        optkit.load(setup, path, strict=False)
    with pytest.raises(CheckpointError):
        optkit.load(setup.optimizer, path)
    optkit.save(setup.optimizer, path)
    with pytest.raises(CheckpointError, match="schedule: not in what was saved"):
        optkit.load(setup, path)
