"""What the PyTorch world does with an optimizer: schedulers, scaling, averaging, compiling."""

from __future__ import annotations

import gc
import inspect
import sys
import warnings
import weakref
from importlib import import_module
from typing import Any

import pytest
import torch
from algorithms import COUNTED, NAMES, TORCH
from states import fingerprint
from torch.distributed.checkpoint import state_dict as dcp
from torch.optim import lr_scheduler, swa_utils

import optkit
from optkit import OptimizerProtocol
from optkit_core.implementations import step_counters
from optkit_core.testing import assert_agree

SCHEDULERS = {
    "step": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    "one_cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.2, 20, cycle_momentum=False),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.2, 3, cycle_momentum=False),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.95**epoch),
    "polynomial": lambda o: lr_scheduler.PolynomialLR(o, 10),
    "warm_restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    "chained": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.5), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "swa": lambda o: swa_utils.SWALR(o, swa_lr=0.05, anneal_epochs=5),
}


def problem(tensor_lr: bool = False) -> tuple[torch.nn.Module, torch.Tensor, Any]:
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(9, 17), torch.nn.Tanh(), torch.nn.Linear(17, 1))
    return model, torch.randn(32, 9), torch.tensor(0.1) if tensor_lr else 0.1


@pytest.mark.parametrize("tensor_lr", [False, True])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("name", TORCH)
def test_schedulers_drive_it_as_they_drive_torchs(
    name: str, scheduler: str, tensor_lr: bool
) -> None:
    models = []
    for cls in (optkit.get(name), TORCH[name]):
        model, inputs, lr = problem(tensor_lr)
        model, inputs = model.double(), inputs.double()  # a large rate makes much of a rounding
        lr = lr.double() if tensor_lr else lr
        optimizer = cls(model.parameters(), lr=lr)
        schedule = SCHEDULERS[scheduler](optimizer)
        for _ in range(12):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
            schedule.step()
        models.append(model)
    assert_agree(list(models[0].parameters()), list(models[1].parameters()))


@pytest.mark.parametrize("name", TORCH)
def test_reduce_on_plateau_and_saved_schedulers(name: str) -> None:
    model, _, _ = problem()
    optimizer = optkit.create(name, model.named_parameters(), lr=0.1)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    for _ in range(3):
        schedule.step(1.0)
    assert optimizer.param_groups[0]["lr"] == 0.025
    again = optkit.create(name, model.named_parameters())
    again.load_state_dict(optimizer.state_dict())
    assert again.param_groups[0]["lr"] == 0.025


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", TORCH)
def test_grad_scaler_unscales_and_skips(name: str, implementation: str) -> None:
    p = torch.nn.Parameter(torch.ones(37))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    optimizer = optkit.create(name, [p], lr=0.1, implementation=implementation)
    scaler.scale((p * 3).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    plain = torch.nn.Parameter(torch.ones(37))
    plain.grad = torch.full((37,), 3.0)
    optkit.create(name, [plain], lr=0.1, implementation=implementation).step()
    torch.testing.assert_close(p, plain)
    optimizer.zero_grad()
    scaler.scale((p * float("inf")).sum()).backward()
    before, state = p.detach().clone(), fingerprint(optimizer.state_dict())
    scaler.step(optimizer)
    assert torch.equal(p, before)
    assert fingerprint(optimizer.state_dict()) == state
    assert name not in COUNTED or optimizer.state[p]["step"].item() == 1


@pytest.mark.parametrize("name", TORCH)
def test_averaged_models_and_ema(name: str) -> None:
    model, inputs, _ = problem()
    ema = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9))
    # Small enough that no algorithm overshoots, after which an average may be the better one.
    optimizer = optkit.create(name, model.parameters(), lr=0.001)
    start = model(inputs).square().mean().item()
    for _ in range(30):
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
        ema.update_parameters(model)
    averaged, last = (m(inputs).square().mean().item() for m in (ema, model))
    assert last < averaged < start  # an average lags behind


@pytest.mark.parametrize("name", NAMES)
def test_the_protocol_and_isinstance(name: str) -> None:
    optimizer = optkit.create(name, [torch.nn.Parameter(torch.ones(2))])
    assert isinstance(optimizer, OptimizerProtocol)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert not isinstance(object(), OptimizerProtocol)


@pytest.mark.parametrize("name", TORCH)
def test_the_signature_is_torchs_and_more(name: str) -> None:
    ours = inspect.signature(optkit.get(name)).parameters
    theirs = inspect.signature(TORCH[name]).parameters
    by_position = [n for n, a in theirs.items() if a.kind is a.POSITIONAL_OR_KEYWORD]
    assert list(ours)[: len(by_position)] == by_position
    for key, argument in theirs.items():
        assert ours[key].default == argument.default
    assert "implementation" in ours


@pytest.mark.parametrize("name", TORCH)
def test_the_closure_is_called_once_with_gradients_on(name: str) -> None:
    p = torch.nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = optkit.create(name, [p], lr=0.1)
    calls = []

    def closure() -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert loss.item() == 5.0
    assert optimizer.step() is None


@pytest.mark.parametrize("name", TORCH)
def test_an_exception_in_the_closure_changes_nothing(name: str) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = optkit.create(name, [p])

    def closure() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert torch.equal(p, torch.ones(3))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("tensor_lr", [False, True])
@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_capturable_has_torchs_numbers(
    monkeypatch: Any, implementation: str, tensor_lr: bool
) -> None:
    """Counters stay tensors throughout; here with the CPU standing in for a device."""
    monkeypatch.setattr(step_counters, "CAPTURABLE_DEVICES", frozenset({"cpu"}))
    torchs_module = sys.modules["torch.optim.adamax"]
    monkeypatch.setattr(torchs_module, "_get_capturable_supported_devices", lambda **_: ["cpu"])
    lr = torch.tensor(0.1, dtype=torch.float64) if tensor_lr else 0.1
    options = {"lr": lr, "weight_decay": 0.1, "maximize": True, "capturable": True}
    found = []
    for cls, more in (
        (optkit.get("adamax"), {"implementation": implementation}),
        (torch.optim.Adamax, {"foreach": False}),
    ):
        torch.manual_seed(1)
        params = [torch.nn.Parameter(torch.randn(n, dtype=torch.float64)) for n in (1, 37, 64)]
        optimizer = cls(params, **options, **more)
        for step in range(12):
            for position, p in enumerate(params):
                p.grad = None if (step + position) % 4 == 1 else torch.randn_like(p)
            optimizer.step()
        found.append(params)
    assert_agree(*found, dtype=torch.float32)  # the counters, and so beta1**t, are float32


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", TORCH)
def test_capturable_on_a_device_that_cant(name: str, implementation: str) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = optkit.create(name, [p], capturable=True, implementation=implementation)
    with pytest.raises(RuntimeError, match="capturable=True needs parameters and step counters"):
        optimizer.step()
    assert torch.equal(p, torch.ones(3))


@pytest.mark.parametrize("name", TORCH)
def test_moving_the_model_after_construction(name: str) -> None:
    model, inputs, _ = problem()
    optimizer = optkit.create(name, model.parameters())
    model.double()
    inputs = inputs.double()
    model(inputs).square().mean().backward()
    optimizer.step()
    assert all(torch.isfinite(p).all() for p in model.parameters())


def minimize(optimizer: Any, model: torch.nn.Module, inputs: torch.Tensor) -> None:
    """Take two steps, and leave no gradients."""
    for _ in range(2):

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = model(inputs).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)
    optimizer.zero_grad()


@pytest.mark.parametrize("implementation", [None, "forloop", "foreach", "fused"])
@pytest.mark.parametrize("name", NAMES)
def test_modules_may_exchange_whole_tensors(name: str, implementation: str | None) -> None:
    results = []
    for exchanges in (False, True):
        model, inputs, _ = problem()
        optimizer = optkit.create(name, model.parameters(), implementation=implementation)
        minimize(optimizer, model, inputs)
        torch.__future__.set_swap_module_params_on_conversion(exchanges)
        try:
            model.load_state_dict(problem()[0].state_dict())
        finally:
            torch.__future__.set_swap_module_params_on_conversion(False)
        minimize(optimizer, model, inputs)
        results.append(list(model.parameters()))
    assert_agree(*results)


@pytest.mark.parametrize("name", [*NAMES, "torch-adam"])
def test_no_cycle_keeps_a_dropped_optimizer_alive(name: str) -> None:
    # Once ZeRO is imported, whoever makes an optimizer is looked through for it, by frames.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        import_module("torch.distributed.optim.zero_redundancy_optimizer")
    optkit.register("torch-adam", torch.optim.Adam)
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = optkit.create(name, [p])
    optimizer.step(lambda: 1.0)
    alive = weakref.ref(optimizer)
    gc.disable()
    try:
        del optimizer
        assert alive() is None
    finally:
        gc.enable()
        optkit.unregister("torch-adam")


@pytest.mark.parametrize("tensor_lr", [False, True])
@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_a_checkpoint_of_the_distributed_layer_goes_both_ways(
    implementation: str, tensor_lr: bool
) -> None:
    model, inputs, lr = problem(tensor_lr)
    optimizer = optkit.create("adamax", model.parameters(), lr=lr, implementation=implementation)
    model(inputs).square().mean().backward()
    optimizer.step()
    saved = dcp.get_optimizer_state_dict(model, optimizer)
    again = optkit.create("adamax", model.parameters(), implementation=implementation)
    dcp.set_optimizer_state_dict(model, again, saved)
    for p in model.parameters():
        assert_agree([again.state[p]["exp_inf"]], [optimizer.state[p]["exp_inf"]])
        assert again.state[p]["step"] == 1


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", TORCH)
def test_a_profiler_sees_the_step(name: str, implementation: str) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = optkit.create(name, [p], implementation=implementation)
    with torch.profiler.profile(acc_events=True) as profile:
        optimizer.step()
    names = {event.key for event in profile.key_averages()}
    assert f"Optimizer.step#{type(optimizer).__name__}.step" in names
