"""Saved state of past versions and of other programs, from small stored files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import optkit
import optkit_core
from optkit_core import Buffer, CheckpointError, Elementwise, RegistrationError, at_least
from optkit_core.checkpoint import conversion_registry as registry
from optkit_core.checkpoint.load.importers import imported

STATES = Path(__file__).parents[1] / "data" / "states"
FROM_ELSEWHERE = {
    "deepspeed-adagrad": "deepspeed",
    "bitsandbytes-adagrad": "bitsandbytes",
    "bitsandbytes-0.50-adagrad": "bitsandbytes",
    "torch-1.4-adagrad": "torch 1.4",
}


def stored(name: str) -> dict[str, Any]:
    """Read a stored state; numbers that are tensors say so, and keys become numbers again."""

    def revived(item: dict[str, Any]) -> Any:
        if item.keys() == {"tensor", "dtype"}:
            return torch.tensor(item["tensor"], dtype=getattr(torch, item["dtype"]))
        return {int(key) if key.isdigit() else key: value for key, value in item.items()}

    state: dict[str, Any] = json.loads((STATES / f"{name}.json").read_text(), object_hook=revived)
    return state


class Drift(Elementwise):
    """An algorithm whose third version it is."""

    schema_name = "drift"
    schema_version = 3

    lr: float = optkit_core.hyperparameter(default=1.0, range=at_least(0.0))
    exp_avg = Buffer(since=2)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.exp_avg.lerp_(g, 0.5)
        p.add_(s.exp_avg, alpha=-h.lr)


@pytest.fixture(autouse=True)
def nothing_stays_registered() -> Iterator[None]:
    optkit.get("adagrad")  # brings its own
    before = {*registry.migrations, *registry.importers}
    yield
    registry.forget({*registry.migrations, *registry.importers} - before)


def register_drift() -> None:
    @optkit_core.migration("drift", 1)
    def rename_mean(state_dict: dict[str, Any]) -> None:
        for state in state_dict["state"].values():
            state["exp_avg"] = state.pop("mean")

    @optkit_core.migration("drift", 2)
    def count_steps(state_dict: dict[str, Any]) -> dict[str, Any]:
        groups = [
            {**{k: v for k, v in group.items() if k != "rate"}, "lr": group["rate"]}
            for group in state_dict["param_groups"]
        ]
        state = {key: {"step": 0, **own} for key, own in state_dict["state"].items()}
        return {"state": state, "param_groups": groups}


def drift() -> tuple[Tensor, Drift]:
    p = torch.nn.Parameter(torch.ones(3))
    return p, Drift([p])


@pytest.mark.parametrize("version", [1, 2, 3])
def test_migrations_are_chained_from_each_past_version(version: int) -> None:
    register_drift()
    p, optimizer = drift()
    saved = stored(f"drift-{version}")
    before = repr(saved)
    report = optimizer.load_state_dict(saved)
    assert report.migrated == ("drift/1 to drift/2", "drift/2 to drift/3")[version - 1 :]
    assert repr(saved) == before
    assert optimizer.param_groups[0]["lr"] == 0.5
    p.grad = torch.zeros(3)
    optimizer.step()
    assert torch.equal(p.detach(), 1 - 0.25 * torch.tensor([0.25, -0.5, 1.0]))
    assert optimizer.state_dict()["param_groups"][0]["schema"] == "drift/3"


def test_a_future_version_names_what_to_install() -> None:
    _, optimizer = drift()
    with pytest.raises(CheckpointError, match=r"drift/4, saved by drift 0\.9.* up to 3.* Install"):
        optimizer.load_state_dict(stored("drift-4"))


def test_a_missing_migration_is_named() -> None:
    _, optimizer = drift()
    with pytest.raises(CheckpointError, match="no migration to drift/2 is registered"):
        optimizer.load_state_dict(stored("drift-1"))


def test_a_migration_that_fails_is_named_and_changes_nothing() -> None:
    register_drift()
    _p, optimizer = drift()
    damaged = stored("drift-1")
    del damaged["state"][0]["mean"]
    with pytest.raises(CheckpointError, match=r"migration from drift/1 failed.*KeyError: 'mean'"):
        optimizer.load_state_dict(damaged)
    assert len(optimizer.state) == 0


@pytest.mark.parametrize("what", ["migration", "importer"])
def test_a_taken_place_is_refused(what: str) -> None:
    register = getattr(optkit_core, what)
    key = 1 if what == "migration" else "elsewhere"
    register("drift", key)(lambda state_dict: None)
    register("drift", key)(lambda state_dict: None)  # the same place of the same module, reloaded

    def other(state_dict: dict[str, Any]) -> None:
        pass

    with pytest.raises(RegistrationError, match="is taken by"):
        register("drift", key)(other)


@pytest.mark.parametrize("version", [0, -1, "1", None])
def test_a_migration_starts_from_a_version(version: Any) -> None:
    with pytest.raises(RegistrationError, match="at least 1"):
        optkit_core.migration("drift", version)


def test_whole_plugins_register_by_the_same_door() -> None:
    class Plugin:
        fails = True

        @optkit_core.hookimpl
        def optkit_register(self, registrar: Any) -> None:
            registrar.migration("drift", 1, lambda saved: self.renamed(saved))
            registrar.migration("drift", 2, lambda saved: self.counted(saved))
            registrar.importer("drift", "elsewhere", lambda saved: None)
            if self.fails:
                raise ZeroDivisionError

        def renamed(self, saved: Any) -> None:
            saved["state"][0]["exp_avg"] = saved["state"][0].pop("mean")

        def counted(self, saved: Any) -> None:
            saved["state"][0]["step"] = 7
            saved["param_groups"][0]["lr"] = saved["param_groups"][0].pop("rate")

    plugin = Plugin()
    with pytest.raises(optkit_core.PluginError):
        optkit_core.register_plugin(plugin, "drift")
    assert not any(key[0] == "drift" for key in [*registry.migrations, *registry.importers])
    plugin.fails = False
    optkit_core.register_plugin(plugin, "drift")
    p, optimizer = drift()
    optimizer.load_state_dict(stored("drift-1"))
    assert optimizer.state[p]["step"] == 7
    optkit_core.unregister_plugin("drift")


@pytest.mark.parametrize("name", [*FROM_ELSEWHERE, "torch-1.9-adagrad"])
def test_adagrad_continues_what_others_began(name: str) -> None:
    source = FROM_ELSEWHERE.get(name)
    ends = []
    for cls in (optkit.get("adagrad"), torch.optim.Adagrad):
        p = torch.nn.Parameter(torch.tensor([0.5, -1.25, 2.0]))
        optimizer = cls([p], lr=0.1, weight_decay=0.01)
        if cls is torch.optim.Adagrad:
            sums = torch.tensor([0.5, 2.0, 0.0])
            optimizer.state[p] = {"step": torch.tensor(3.0), "sum": sums}
        else:
            saved = stored(name)
            before = repr(saved)
            report = optimizer.load_state_dict(saved)
            assert report.migrated == ((f"from {source}",) if source else ())
            assert repr(saved) == before
        p.grad = torch.tensor([1.0, -2.0, 0.5])
        optimizer.step()
        ends.append((p.detach(), optimizer.state[p]["sum"], optimizer.state[p]["step"].item()))
    assert repr(ends[0]) == repr(ends[1])


@pytest.mark.parametrize("name", ["lion", "rmsprop", "8bit-adagrad"])
def test_what_only_looks_like_adagrad_is_refused(name: str) -> None:
    optimizer = optkit.create("adagrad", [torch.nn.Parameter(torch.ones(3))])
    with pytest.raises(CheckpointError, match=r"isn't certain that it is of adagrad/1.*state1"):
        optimizer.load_state_dict(stored(f"bitsandbytes-{name}"))


def test_what_two_importers_know_is_ambiguous_until_one_is_named() -> None:
    @optkit_core.importer("adagrad", "elsewhere")
    def from_elsewhere(state_dict: dict[str, Any]) -> dict[str, Any] | None:
        is_known = "exp_avg_sq" in state_dict["state"][0]
        return imported("adagrad", "deepspeed", state_dict) if is_known else None

    p = torch.nn.Parameter(torch.ones(3))
    optimizer = optkit.create("adagrad", [p])
    with pytest.raises(CheckpointError, match="deepspeed or elsewhere saves it"):
        optimizer.load_state_dict(stored("deepspeed-adagrad"))
    saved = imported("adagrad", "elsewhere", stored("deepspeed-adagrad"))
    optimizer.load_state_dict(saved)
    assert optimizer.state[p]["step"] == 3


def test_importing_what_is_not_there() -> None:
    with pytest.raises(CheckpointError, match=r"there are bitsandbytes, deepspeed, torch 1\.4"):
        imported("adagrad", "keras", stored("deepspeed-adagrad"))
    with pytest.raises(CheckpointError, match="isn't state of adagrad as bitsandbytes saves it"):
        imported("adagrad", "bitsandbytes", stored("deepspeed-adagrad"))


@pytest.mark.parametrize(
    ("foreign", "words"),
    [
        (torch.optim.Adam, "torch.optim.Adam"),
        (torch.optim.NAdam, "torch.optim.NAdam"),
        (torch.optim.RMSprop, "torch.optim.RMSprop"),
        (torch.optim.LBFGS, "torch.optim.LBFGS"),
    ],
)
@pytest.mark.parametrize("steps", [0, 1])
def test_state_of_another_of_torchs_optimizers_is_named(
    foreign: Any, words: str, steps: int
) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    source = foreign([p])
    for _ in range(steps):
        source.step(*([lambda: torch.tensor(1.0)] if foreign is torch.optim.LBFGS else []))
    with pytest.raises(CheckpointError, match=words) as caught:
        optkit.create("adamax", [p]).load_state_dict(source.state_dict())
    assert "adamax/1" in str(caught.value)


def test_a_subclass_that_declares_nothing_is_the_same_algorithm() -> None:
    base: Any = optkit.get("adamax")

    class Loud(base):
        def advance(self, closure: Any) -> Any:
            return super().advance(closure)

    class Other(base):
        extra = Buffer()

    p = torch.nn.Parameter(torch.ones(3))
    saved = base([p]).state_dict()
    Loud([p]).load_state_dict(saved)
    base([p]).load_state_dict(Loud([p]).state_dict())
    with pytest.raises(CheckpointError, match=r"of adamax/1, this optimizer is Other, of other/1"):
        Other([p]).load_state_dict(saved)
