"""What an optimizer is used for: each use here checks by itself that it goes well."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import torch
from algorithms import TORCH
from problems import copies, parameters, run
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.optim import lr_scheduler
from torch.optim import optimizer as optimizers
from torch.testing._internal.distributed.fake_pg import FakeStore

import optkit
from optkit_core.testing import assert_agree

KINDS = [
    f"{action}_{time}_hook"
    for action in ("step", "state_dict", "load_state_dict")
    for time in ("pre", "post")
]
noted: list[tuple[str, Any]] = []


class Note:
    """A hook that notes which optimizer it was called with."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, optimizer: Any, *_: Any) -> None:
        noted.append((self.kind, optimizer))


def pair(name: str, **options: Any) -> tuple[Any, Any, Any, Any]:
    """Return one of optkit's optimizers, torch's, and the parameters of each."""
    mine = parameters(torch.float32)
    other = copies(mine)
    return optkit.create(name, mine, **options), TORCH[name](other, foreach=False), mine, other


def hooked() -> Any:
    """Return an optimizer with a hook of each kind that has stepped."""
    optimizer, _, mine, _ = pair("adamax")
    for kind in KINDS:
        getattr(optimizer, f"register_{kind}")(Note(kind))
    run(optimizer, mine, 2)
    return optimizer


def assert_each_hook_is_called_once(optimizer: Any) -> None:
    noted.clear()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert noted == [(kind, optimizer) for kind in KINDS]


def step_by(implementation: str) -> None:
    for name in TORCH:
        ours, theirs, mine, other = pair(name, implementation=implementation)
        run(ours, mine), run(theirs, other)
        assert {choice.name for choice in ours.plan} == {implementation}
        assert_agree(mine, other)


def step_compiled() -> None:
    ours, theirs, mine, other = pair("adamax")
    step = torch.compile(ours.step, backend="eager")
    for _ in range(2):
        for p, q in zip(mine, other, strict=True):
            p.grad, q.grad = p.detach().clone(), q.detach().clone()
        step(), theirs.step()
    assert_agree(mine, other)


def call_hooks() -> None:
    assert_each_hook_is_called_once(hooked())
    optimizer = optkit.create("adamax", [torch.nn.Parameter(torch.ones(2))])
    noted.clear()
    with optimizers.register_optimizer_step_pre_hook(Note("pre")):
        optimizer.step()
    with optimizers.register_optimizer_step_post_hook(Note("post")):
        optimizer.step()
    assert noted == [("pre", optimizer), ("post", optimizer)]


def save_and_load() -> None:
    for name in TORCH:
        ours, theirs, mine, other = pair(name)
        run(ours, mine, 3), run(theirs, other, 3)
        twin, _, parts, _ = pair(name)
        twin.load_state_dict(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())
        for p, q in zip(parts, mine, strict=True):
            p.data.copy_(q)
        run(twin, parts, 3), run(theirs, other, 3)
        assert_agree(parts, other)


def copy_by(duplicate: Callable[[Any], Any]) -> None:
    original = hooked()
    twin = duplicate(original)
    assert_each_hook_is_called_once(twin)
    with twin.register_step_pre_hook(Note("another")):
        assert_each_hook_is_called_once(original)


def schedule() -> None:
    for name in TORCH:
        ours, theirs, mine, other = pair(name)
        both = [(ours, mine), (theirs, other)]
        schedules = [lr_scheduler.ExponentialLR(optimizer, 0.5) for optimizer, _ in both]
        for _ in range(3):
            for (optimizer, params), one in zip(both, schedules, strict=True):
                run(optimizer, params, 1)
                one.step()
        assert_agree(mine, other)
        twin, one = copy.deepcopy((ours, schedules[0]))
        twin.step()
        one.step()
        assert twin.param_groups[0]["lr"] == ours.param_groups[0]["lr"] / 2


def schedule_a_sequence() -> None:
    optimizer = optkit.create("adamax", [torch.nn.Parameter(torch.ones(2))], lr=1.0)
    schedule = optkit.create_schedule("exponential", optimizer, gamma=0.5, warmup=1)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == [0.5, 1.0, 0.5, 0.25]


def step_shards() -> None:
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        whole, other = (torch.nn.Parameter(torch.linspace(-1, 1, 33)) for _ in range(2))
        p = torch.nn.Parameter(distribute_tensor(whole.data.clone(), mesh, [Shard(0)]))
        theirs, ours = torch.optim.Adamax([other]), optkit.create("adamax", [p])
        for number in range(3):
            g = torch.linspace(0, 1, 33) * (number + 1)
            other.grad, p.grad = g, distribute_tensor(g.clone(), mesh, [Shard(0)])
            theirs.step()
            ours.step()
        torch.testing.assert_close(p.to_local().data, other.data)
    finally:
        torch.distributed.destroy_process_group()


def scale() -> None:
    for name in TORCH:
        ours, theirs, mine, other = pair(name)
        for optimizer, params in ((ours, mine), (theirs, other)):
            scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
            for number in range(4):
                loss = sum((p * (number + 1)).square().sum() for p in params)
                optimizer.zero_grad()
                scaler.scale(loss).backward()
                if number == 1:
                    params[2].grad.fill_(float("inf"))
                scaler.step(optimizer)
                scaler.update()
            # SGD counts no steps, and has no state without a momentum.
            assert optimizer.state[params[0]].get("step", 3) == 3
        assert_agree(mine, other)


def profile() -> None:
    optimizer = optkit.create("adamax", [torch.nn.Parameter(torch.ones(2))])
    with torch.profiler.profile(acc_events=True) as records:
        optimizer.step()
    assert "Optimizer.step#Adamax.step" in {event.key for event in records.key_averages()}


USES: dict[str, Callable[[], None]] = {
    "forloop": lambda: step_by("forloop"),
    "foreach": lambda: step_by("foreach"),
    "fused": lambda: step_by("fused"),
    "compiled": step_compiled,
    "hooks": call_hooks,
    "state": save_and_load,
    "copy": lambda: copy_by(copy.copy),
    "deepcopy": lambda: copy_by(copy.deepcopy),
    "pickle": lambda: copy_by(lambda optimizer: pickle.loads(pickle.dumps(optimizer))),
    "schedulers": schedule,
    "sequences of schedules": schedule_a_sequence,
    "shards": step_shards,
    "GradScaler": scale,
    "profiler": profile,
}
