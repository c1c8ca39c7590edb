"""What two ranks do in tests of state dicts of torch's distributed layer, under FSDP2."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from algorithms import SHORT, with_state
from resharded import alone
from sharded import forgetting_meshes, mesh_of
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    get_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

import optkit
from optkit_core.errors import CheckpointError

NAMES = ("adamw", "lbfgs")
Outcome = tuple[str, bool]
"""What was said, and whether nothing had changed."""


class WithUnused(torch.nn.Module):
    """A model of which some parameters never have a gradient."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        last = torch.nn.Linear(17, 1, bias=False)
        self.used = torch.nn.Sequential(torch.nn.Linear(9, 17), torch.nn.Tanh(), last)
        self.unused = torch.nn.Linear(3, 5)

    def forward(self, inputs: Tensor) -> Any:
        """Leave the other layer out."""
        return self.used(inputs)


def sharded(name: str, steps: int, mesh: DeviceMesh) -> tuple[Any, Any]:
    """Return a model under FSDP2 and its optimizer after some steps."""
    torch.manual_seed(0)
    model = WithUnused()
    fully_shard(model, mesh=mesh)
    optimizer: Any = optkit.create(
        name, model.named_parameters(), lr=0.1, **SHORT.get(name, {}), **with_state(name)
    )
    train(model, optimizer, steps)
    return model, optimizer


def train(model: Any, optimizer: Any, steps: int) -> None:
    """Take steps."""
    inputs = torch.linspace(-1, 1, 72).reshape(8, 9)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = model(inputs).square().mean()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


def whole(value: Any) -> Any:
    """Return a copy of nested state with whole tensors in it."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, DTensor):
        return value.full_tensor().clone()
    return value.clone() if isinstance(value, Tensor) else value


def same(one: Any, other: Any) -> bool:
    """Return whether two nested states are equal, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


def state(model: Any, optimizer: Any) -> Any:
    """Return what a checkpoint would hold, whole."""
    return whole(get_optimizer_state_dict(model, optimizer)["state"])


def gathered_and_distributed(mesh: DeviceMesh) -> dict[str, bool]:
    """Gather the state on the first rank, and distribute it from there, or from all ranks."""
    found = {}
    for name in NAMES:
        model, optimizer = sharded(name, 3, mesh)
        expected = state(model, optimizer)
        for offload in (False, True):
            options = StateDictOptions(full_state_dict=True, cpu_offload=offload)
            gathered = get_optimizer_state_dict(model, optimizer, options=options)
            gathered = copy.deepcopy(gathered)
            is_here = not offload or dist.get_rank() == 0
            found[f"{name} gathered {offload}"] = same(
                gathered.get("state", {}), expected if is_here else {}
            )
            options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=offload)
            other, fresh = sharded(name, 0, mesh)
            set_optimizer_state_dict(other, fresh, gathered, options=options)
            found[f"{name} set {offload}"] = same(state(other, fresh), expected)
    return found


def saved_meanwhile(mesh: DeviceMesh, folder: Path) -> dict[str, bool]:
    """Save while steps are taken, and load what was there when the saving began."""
    found = {}
    # Two threads in one group would meet in another order on another rank.
    group = dist.new_group(backend="gloo")
    for name in NAMES:
        model, optimizer = sharded(name, 2, mesh)
        expected = state(model, optimizer)
        content = {"optimizer": get_optimizer_state_dict(model, optimizer)}
        with alone():
            pending: Any = dcp.async_save(content, checkpoint_id=folder / name, process_group=group)
        train(model, optimizer, 2)
        pending.result()
        other, fresh = sharded(name, 0, mesh)
        content = {"optimizer": get_optimizer_state_dict(other, fresh)}
        with alone():
            dcp.load(content, checkpoint_id=folder / name)
        set_optimizer_state_dict(other, fresh, content["optimizer"])
        found[name] = same(state(other, fresh), expected)
    return found


class AppState:
    """A model and its optimizer as one thing that is saved, as torch's tutorial writes it."""

    def __init__(self, model: Any, optimizer: Any) -> None:
        """Keep both."""
        self.model, self.optimizer = model, optimizer

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint is to hold."""
        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optim": optimizer}

    def load_state_dict(self, given: dict[str, Any]) -> None:
        """Go on from what it held."""
        set_state_dict(
            self.model,
            self.optimizer,
            model_state_dict=given["model"],
            optim_state_dict=given["optim"],
        )


WRAPS: dict[str, Callable[[Any, Any], Any]] = {
    "itself": lambda model, optimizer: optimizer,
    "application": AppState,
}


def asked_by_position(mesh: DeviceMesh, folder: Path) -> dict[str, bool]:
    """Let the optimizer itself stand in what is saved, or what has it: torch asks for its state.

    It is loaded before a step, and after some.
    """
    found = {}
    for name in NAMES:
        model, optimizer = sharded(name, 2, mesh)
        expected = state(model, optimizer)
        for how, wrap in WRAPS.items():
            path = folder / f"{name} {how}"
            with alone():
                dcp.save({"saved": wrap(model, optimizer)}, checkpoint_id=path)
            for steps in (0, 3):
                other, fresh = sharded(name, steps, mesh)
                with alone():
                    dcp.load({"saved": wrap(other, fresh)}, checkpoint_id=path)
                found[f"{name} {how} {steps}"] = same(state(other, fresh), expected)
    return found


def refused(mesh: DeviceMesh, folder: Path) -> dict[str, Outcome]:
    """Set the state of another algorithm, or a wrong one, and use files of one process."""
    model, optimizer = sharded("adamw", 2, mesh)
    before = whole(state(model, optimizer)), whole(dict(model.state_dict()))
    rates = copy.deepcopy(optimizer.param_groups[0]["lr"])

    def outcome(action: Callable[[], Any]) -> Outcome:
        try:
            action()
        except CheckpointError as error:
            after = state(model, optimizer), whole(dict(model.state_dict()))
            return str(error), all(map(same, before, after))
        return "", optimizer.param_groups[0]["lr"] == rates

    found = {}
    for is_flat in (False, True):
        options = StateDictOptions(flatten_optimizer_state_dict=is_flat)
        others: Any = get_optimizer_state_dict(*sharded("adam", 1, mesh), options=options)
        found[f"another algorithm {is_flat}"] = outcome(
            lambda given=others, options=options: set_optimizer_state_dict(
                model, optimizer, given, options=options
            )
        )
    plain = whole(get_optimizer_state_dict(model, optimizer))
    found["plain tensors"] = outcome(lambda: set_optimizer_state_dict(model, optimizer, plain))
    path = folder / f"file{dist.get_rank()}"
    found["save"] = outcome(lambda: optkit.save(optimizer, path))
    found["load"] = outcome(lambda: optkit.load(optimizer, path))
    assert not path.exists()
    return found


@forgetting_meshes
def all_ways(rank: int, folder: Path) -> dict[str, Any]:
    """Return what each of the functions above has found."""
    mesh = mesh_of(dist.get_world_size())
    return {
        "gathered_and_distributed": gathered_and_distributed(mesh),
        "saved_meanwhile": saved_meanwhile(mesh, folder),
        "asked_by_position": asked_by_position(mesh, folder),
        "refused": refused(mesh, folder),
    }
