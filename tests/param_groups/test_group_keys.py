"""Keys of groups that nobody declares: kept with a warning, unless they are slips of the pen."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS, NAMES, TORCH, declared

import optkit
from optkit import LBFGS, Adamax, UnusedGroupKeyWarning
from optkit_core import OptkitError, UnknownHyperparameterError
from optkit_core.declaration.roles import ANNOTATIONS
from optkit_core.param_groups.group_keys import misspelled_name

KEPT = [
    "lr_mult",
    "lr_scale",
    "layer_id",
    "use_muon",
    "tag",
    "is_last_layer",
    "rho",
    "adaptive",
    "momentum",
    "amsgrad",
    "nesterov",
    "dampening",
    "lr_decay",
    "decoupled_weight_decay",
    "weight_decay_mult",
    "wd_mult",
    "no_decay",
    "etas",
    "l1",
    "id",
]

SLIPS = {
    "lrr": "lr",
    "Lr": "lr",
    "lr0": "lr",
    "learning_rate": "lr",
    "beta": "betas",
    "beta1": "betas",
    "bteas": "betas",
    "eps_": "eps",
    "esp": "eps",
    "epsilon": "eps",
    "weight_decy": "weight_decay",
    "weight-decay": "weight_decay",
    "weightDecay": "weight_decay",
    "wd": "weight_decay",
    "maximise": "maximize",
    "foreech": "foreach",
}


def parameter(size: int = 3) -> torch.nn.Parameter:
    p = torch.nn.Parameter(torch.ones(size))
    p.grad = torch.ones(size)
    return p


@pytest.fixture(params=[ALGORITHMS[name] for name in NAMES], ids=NAMES)
def cls(request: pytest.FixtureRequest) -> Any:
    """A class that hasn't warned of anything yet, with the schema of its base."""
    return type("Own", (request.param,), {})


def warned(caught: Any) -> list[str]:
    return [str(item.message) for item in caught if item.category is UnusedGroupKeyWarning]


@pytest.mark.parametrize("key", KEPT)
def test_a_key_of_somebody_elses_is_kept(key: str) -> None:
    own: Any = type("Own", (Adamax,), {})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optimizer = own([{"params": [parameter()], key: "mine"}], lr=0.5)
    assert optimizer.param_groups[0][key] == "mine"
    assert len(warned(caught)) == (key not in ANNOTATIONS)
    assert all(repr(key) in message and "Own" in message for message in warned(caught))
    optimizer.step()
    assert torch.equal(optimizer.param_groups[0]["params"][0], torch.full((3,), 0.5))


@pytest.mark.parametrize("way", ["constructor", "add_param_group"])
@pytest.mark.parametrize(("key", "meant"), SLIPS.items())
def test_a_misspelled_name_a_declared_name_is_refused(key: str, meant: str, way: str) -> None:
    group = {"params": [parameter()], key: 0.5}
    before = dict(group)
    with pytest.raises(UnknownHyperparameterError) as raised:
        if way == "constructor":
            Adamax([group])
        else:
            Adamax([parameter()]).add_param_group(group)
    assert isinstance(raised.value, OptkitError)
    for word in (f"takes no {key!r} (got {key}=0.5)", f"Did you mean {meant!r}?", "Adamax"):
        assert word in str(raised.value)
    assert group == before


def test_a_name_is_a_slip_only_where_the_other_is_declared() -> None:
    assert misspelled_name("wd", Adamax.declarations) == "weight_decay"
    assert misspelled_name("wd", LBFGS.declarations) == ""
    assert misspelled_name("max_itr", LBFGS.declarations) == "max_iter"
    assert misspelled_name(7, Adamax.declarations) == ""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["lr_mult", "momentum_of_mine", "tag", "lrr"])
def test_the_constructors_own_keywords_stay_strict(name: str, key: str) -> None:
    with pytest.raises(UnknownHyperparameterError, match=f"takes no '{key}'"):
        optkit.create(name, [parameter()], **{key: 1})


def test_each_key_is_warned_of_once_for_each_class(cls: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optimizer = cls([{"params": [parameter()], "tag": 1, "layer_id": 2}])
        optimizer.add_param_group({"params": [parameter()], "tag": 3, "use_muon": False})
        cls([{"params": [parameter()], "tag": 1, "use_muon": True}])
    first, second = warned(caught)
    assert "'tag', 'layer_id'" in first
    assert "'use_muon'" in second and "'tag'" not in second
    assert all(item.filename == __file__ for item in caught)


def test_where_warnings_are_errors_nothing_has_changed(cls: Any) -> None:
    optimizer, group = cls([parameter()]), {"params": parameter(), "tag": 1}
    before = dict(group)
    for _ in range(2):
        with pytest.raises(UnusedGroupKeyWarning, match="'tag'"):
            optimizer.add_param_group(group)
        assert group == before
        assert len(optimizer.param_groups) == 1


class Sharpened(torch.optim.Optimizer):
    """A wrapper that hands its groups on, as sharpness-aware minimization does."""

    def __init__(self, params: Any, base: Any, rho: float = 0.05, **options: Any) -> None:
        super().__init__(params, {"rho": rho, "adaptive": False, **options})
        self.base = base(self.param_groups, **options)
        self.param_groups = self.base.param_groups

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["old"] = p.detach().clone()
                p.data.add_(p.grad, alpha=group["rho"])
                p.data.copy_(self.state[p]["old"])
        return self.base.step(closure)

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self.base.param_groups = self.param_groups


@pytest.mark.parametrize("name", TORCH)
def test_a_wrapper_that_hands_its_groups_on(name: str) -> None:
    own = type(TORCH[name].__name__, (ALGORITHMS[name],), {})
    ends = []
    for base in (own, TORCH[name]):
        p = parameter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            optimizer = Sharpened([p], base, lr=0.1, **declared(name, weight_decay=0.1))
        assert len(warned(caught)) == (base is own)
        for _ in range(3):
            optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        optimizer.base.load_state_dict(optimizer.base.state_dict())
        optimizer.step()
        ends.append(p.detach())
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    "other", [torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adadelta]
)
def test_the_groups_of_another_optimizer(other: Any, cls: Any) -> None:
    p = parameter()
    groups = other([p], lr=0.5).param_groups
    # Adan has three betas, Adafactor two eps.
    counts = {key: len(own) for key, own in cls.default_values.items() if isinstance(own, tuple)}
    for key in counts.keys() & groups[0].keys():
        if not isinstance(groups[0][key], tuple) or len(groups[0][key]) != counts[key]:
            groups[0][key] = cls.default_values[key]
    if cls.values_complaint({**cls.default_values, **groups[0]}):
        pytest.skip("the group has a value that the algorithm refuses")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedGroupKeyWarning)
        optimizer = cls(groups, lr=0.25)
    assert optimizer.param_groups[0] is groups[0]
    assert groups[0]["lr"] == 0.5
    optimizer.step(lambda: torch.tensor(1.0))
    assert not torch.equal(p, torch.ones(3))


@pytest.mark.parametrize(("flag", "runs"), [("foreach", "foreach"), ("fused", "fused")])
def test_torchs_flags_in_a_group_say_what_runs_even_where_the_class_has_none(
    flag: str, runs: str
) -> None:
    optimizer: Any = LBFGS([{"params": [parameter()], "foreach": None, "fused": None, flag: True}])
    optimizer.step(lambda: torch.tensor(1.0))
    assert [choice.name for choice in optimizer.plan] == [runs]


@pytest.mark.filterwarnings("ignore::optkit.UnusedGroupKeyWarning")
@pytest.mark.parametrize("way", ["state_dict", "torch.save", "optkit.save"])
def test_such_keys_go_into_checkpoints_and_come_back(cls: Any, way: str, tmp_path: Path) -> None:
    source = cls([{"params": [parameter()], "tag": "head", "layer_id": 3}])
    target = cls([parameter()])
    source.step(lambda: torch.tensor(1.0))
    if way == "optkit.save":
        optkit.save(source, tmp_path / "file")
        optkit.load(target, tmp_path / "file")
    else:
        state = source.state_dict()
        if way == "torch.save":
            torch.save(state, file := io.BytesIO())
            file.seek(0)
            state = torch.load(file, weights_only=True)
        assert target.load_state_dict(state).unexpected == ()
    group = target.param_groups[0]
    assert (group["tag"], group["layer_id"]) == ("head", 3)


@pytest.mark.parametrize("key", ["temperature", "layer_id", "stage"])
@pytest.mark.parametrize("name", TORCH)
def test_torchs_state_with_a_wrappers_keys_loads(name: str, key: str) -> None:
    cls, theirs = ALGORITHMS[name], TORCH[name]
    source, target = theirs([{"params": [parameter()], key: 0.5}], lr=0.25), cls([parameter()])
    source.step()
    target.load_state_dict(source.state_dict())
    assert target.param_groups[0][key] == 0.5
    assert target.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("other", [torch.optim.Adam, torch.optim.NAdam, torch.optim.RAdam])
def test_state_of_a_relative_is_still_refused(other: Any) -> None:
    with pytest.raises(optkit.CheckpointError, match="it isn't certain"):
        Adamax([parameter()]).load_state_dict(other([parameter()]).state_dict())


def test_a_slip_in_a_checkpoint_is_unexpected() -> None:
    source, target = Adamax([parameter()], lr=0.5), Adamax([parameter()])
    state = source.state_dict()
    state["param_groups"][0]["weight_decy"] = 0.5
    with pytest.raises(optkit.CheckpointError, match="weight_decy"):
        target.load_state_dict(state)
    assert target.param_groups[0]["lr"] == 0.002


LISTS = {
    "ParameterList": lambda: torch.nn.ParameterList([parameter(2), parameter(3)]),
    "values of a ParameterDict": lambda: torch.nn.ParameterDict(
        {"a": parameter(2), "b": parameter(3)}
    ).values(),
    "a module that iterates over tensors": lambda: Tensors(),
}


class Tensors(torch.nn.Module):
    def __iter__(self) -> Any:
        return iter([parameter(2), parameter(3)])


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("way", ["constructor", "group", "add_param_group"])
def test_lists_of_parameters_that_are_modules(kind: str, way: str, cls: Any) -> None:
    given = LISTS[kind]()
    if way == "add_param_group":
        optimizer = cls([parameter()])
        optimizer.add_param_group({"params": given})
    else:
        optimizer = cls(given if way == "constructor" else [{"params": given}])
    assert [len(p) for p in optimizer.param_groups[-1]["params"]] == [2, 3]
    optimizer.step(lambda: torch.tensor(1.0))


@pytest.mark.parametrize(
    "module",
    [
        torch.nn.ParameterDict({"a": parameter()}),
        torch.nn.Sequential(torch.nn.Linear(2, 2)),
        torch.nn.ModuleList([torch.nn.Linear(2, 2)]),
        torch.nn.Linear(2, 2),
    ],
    ids=lambda module: type(module).__name__,
)
def test_other_modules_are_refused_with_the_way_out(module: torch.nn.Module, cls: Any) -> None:
    for params in (module, [{"params": module}]):
        with pytest.raises(TypeError, match=r"pass its named_parameters\(\)"):
            cls(params)
    cls(module.named_parameters())
