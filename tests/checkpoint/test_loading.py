"""Loading: all or nothing, every mismatch named, by name where there are names."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS, ELEMENTWISE, NAMES
from problems import parameters, run
from stepped import frozen, named, step, stepped

import optkit
from optkit_core import CheckpointError, OptkitError
from optkit_core.testing.comparisons import is_same

Change = Callable[[dict[str, Any]], Any]


def set_in_group(key: str, value: Any) -> Change:
    return lambda saved: saved["param_groups"][0].__setitem__(key, value)


def set_in_state(key: str, value: Any) -> Change:
    return lambda saved: saved["state"][0].__setitem__(key, value)


WRONG: dict[str, Change] = {
    "no state": lambda saved: saved.pop("state"),
    "no groups": lambda saved: saved.pop("param_groups"),
    "state a list": lambda saved: saved.__setitem__("state", []),
    "groups a dict": lambda saved: saved.__setitem__("param_groups", {}),
    "a group a list": lambda saved: saved.__setitem__("param_groups", [[]]),
    "no params": lambda saved: saved["param_groups"][0].pop("params"),
    "params twice": set_in_group("params", [0, 0, 1]),
    "too few params": set_in_group("params", [0, 1]),
    "names twice": set_in_group("param_names", ["p0", "p0", "p1"]),
    "too few names": set_in_group("param_names", ["p0"]),
    "other names": set_in_group("param_names", ["p0", "p1", "p9"]),
    "a second group": lambda saved: saved["param_groups"].append(
        {**saved["param_groups"][0], "params": [], "param_names": []}
    ),
    "another schema": set_in_group("schema", "signum/1"),
    "no schema's name": set_in_group("schema", "adamax"),
    "a schema of another kind": set_in_group("schema", 7),
    "a future version": lambda saved: set_in_group(
        "schema", saved["param_groups"][0]["schema"][:-1] + "99"
    )(saved),
    "no lr": lambda saved: saved["param_groups"][0].pop("lr"),
    "a negative lr": set_in_group("lr", -1.0),
    "lr a string": set_in_group("lr", "0.1"),
    "lr not a number": set_in_group("lr", float("nan")),
    "lr beyond all floats": set_in_group("lr", 10**400),
    "lr None": set_in_group("lr", None),
    "maximize a string": set_in_group("maximize", "yes"),
    "an unknown group key": set_in_group("lrr", 0.1),
    "a group's value that has no copy": set_in_group("initial_lr", threading.Lock()),
    "state of nobody": lambda saved: saved["state"].__setitem__(77, saved["state"][0]),
    "state a number": lambda saved: saved["state"].__setitem__(0, 3),
    "an unknown state key": set_in_state("exp_avg_cube", torch.ones(33)),
    "a negative count": set_in_state("step", torch.tensor(-1.0)),
    "half a step": set_in_state("step", 1.5),
    "not a number of steps": set_in_state("step", float("nan")),
    "a flag as count": set_in_state("step", True),
    "a vector as count": set_in_state("step", torch.ones(2)),
    "no count": lambda saved: [saved["state"][0].pop(key, None) for key in ("step", "n_iter")],
}
ELEMENTWISE_BUFFERS = {
    "another shape": torch.ones(34),
    "another rank": torch.ones(33, 1),
    "whole numbers": torch.ones(33, dtype=torch.int64),
    "flags": torch.ones(33, dtype=torch.bool),
    "complex": torch.ones(33, dtype=torch.complex64),
    "sparse": torch.ones(33).to_sparse(),
    "without values": torch.ones(33, device="meta"),
    "a list": [1.0] * 33,
    "nothing": None,
}


@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("name", NAMES)
def test_a_refusal_changes_nothing(name: str, fault: str) -> None:
    if fault == "no count" and not ALGORITHMS[name].counts_steps:
        pytest.skip("it has none")
    source = stepped(name, named())
    target = stepped(name, named(), steps=2, lr=0.5)
    saved = source.state_dict()
    WRONG[fault](saved)
    before, given = frozen(target), repr(saved)
    with pytest.raises(CheckpointError) as caught:
        target.load_state_dict(saved)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, OptkitError)
    assert len(str(caught.value).splitlines()) < 30
    assert frozen(target) == before
    assert repr(saved) == given


@pytest.mark.parametrize("given", [None, [], "state"], ids=repr)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_dict_is_refused(name: str, given: Any) -> None:
    target = stepped(name, named())
    before = frozen(target)
    with pytest.raises(CheckpointError, match=f"must be a dict, got {type(given).__name__}"):
        target.load_state_dict(given)
    assert frozen(target) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda groups: groups[1].update(schema="signum/1"), "belong to different schemas"),
        (lambda groups: groups[1].update(param_names=["p0"]), "two saved .* are called 'p0'"),
    ],
    ids=["schemas", "names"],
)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_groups_that_contradict_each_other_are_refused(name: str, change: Any, words: str) -> None:
    def grouped() -> list[dict[str, Any]]:
        return [{"params": named()[:2]}, {"params": named()[2:]}]

    saved, target = stepped(name, grouped()).state_dict(), stepped(name, grouped(), steps=1)
    change(saved["param_groups"])
    before = frozen(target)
    with pytest.raises(CheckpointError, match=words):
        target.load_state_dict(saved)
    assert frozen(target) == before


@pytest.mark.parametrize("fault", ELEMENTWISE_BUFFERS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_wrong_buffer_is_refused(name: str, fault: str) -> None:
    source, target = stepped(name, named()), stepped(name, named(), steps=2)
    saved = source.state_dict()
    key = next(key for key in saved["state"][1] if key != "step")
    if fault == "nothing" and ELEMENTWISE[name].buffers[key].is_set_by_body:
        pytest.skip("torch's state has None until the first step")
    saved["state"][1][key] = ELEMENTWISE_BUFFERS[fault]
    before = frozen(target)
    with pytest.raises(CheckpointError, match=rf"{key} of p1 "):
        target.load_state_dict(saved)
    assert frozen(target) == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("d", torch.ones(98)),
        ("d", None),
        ("d", "north"),
        ("prev_flat_grad", torch.ones(99, dtype=torch.int64)),
        ("old_dirs", [torch.ones(99), torch.ones(3)]),
        ("old_dirs", []),
        ("old_stps", torch.ones(99)),
        ("ro", [None]),
        ("ro", 3.0),
        ("t", "far"),
        ("H_diag", torch.ones(2)),
        ("prev_loss", True),
        ("n_iter", -1),
        ("n_iter", 1.0),
        ("func_evals", "many"),
    ],
)
def test_wrong_state_of_lbfgs_is_refused(key: str, value: Any) -> None:
    source, target = stepped("lbfgs", named()), stepped("lbfgs", named(), steps=1)
    saved = source.state_dict()
    saved["state"][0][key] = value
    if key == "d" and value is None:
        saved["state"][0].pop("n_iter")
    before = frozen(target)
    with pytest.raises(CheckpointError):
        target.load_state_dict(saved)
    assert frozen(target) == before


def test_all_mismatches_are_told_at_once_and_at_most_a_screen() -> None:
    source, target = stepped("adamax", named(40)), stepped("adamax", named(40))
    saved = source.state_dict()
    for state in saved["state"].values():
        state["exp_avg"] = torch.ones(3)
    saved["param_groups"][0].update(lr=-1.0, betas=(0.9, 2.0))
    with pytest.raises(CheckpointError) as caught:
        target.load_state_dict(saved)
    lines = str(caught.value).splitlines()
    assert "lr must be in [0, inf), got -1.0" in str(caught.value)
    assert "betas[1] must be in [0, 1), got 2.0" in str(caught.value)
    assert "- exp_avg of p0 has shape [3], not [33]" in lines
    assert lines[-1] == "- ... and 22 more"


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([2, 1], "loaded state dict has a different number of parameter groups"),
        ([2], "doesn't match the size of optimizer's group"),
    ],
)
def test_torchs_words_are_kept(groups: list[int], words: str) -> None:
    def unnamed(*sizes: int) -> list[dict[str, Any]]:
        return [{"params": [torch.nn.Parameter(torch.ones(3)) for _ in range(n)]} for n in sizes]

    target = optkit.create("adamax", unnamed(*groups))
    with pytest.raises(ValueError, match=words):
        target.load_state_dict(optkit.create("adamax", unnamed(3)).state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_names_count_in_any_order(name: str) -> None:
    straight, other = named(), named()
    source = stepped(name, straight, lr=0.05)
    order = [2, 0, 1]
    for (_, p), (_, q) in zip(straight, other, strict=True):
        q.data.copy_(p.data)
    shuffled = optkit.create(name, [other[i] for i in order])
    report = shuffled.load_state_dict(source.state_dict())
    assert report.missing == report.unexpected == report.shape_mismatched == ()
    assert shuffled.param_groups[0]["param_names"] == ["p2", "p0", "p1"]
    step(source, 3)
    step(shuffled, 3)
    for (_, p), (_, q) in zip(straight, other, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_groups_follow_their_names(name: str) -> None:
    a, b, c = named()
    source = stepped(name, [{"params": [a, b], "lr": 0.3}, {"params": [c], "lr": 0.7}])
    x, y, z = named()
    target = optkit.create(name, [{"params": [z]}, {"params": [y, x]}])
    target.load_state_dict(source.state_dict())
    assert [group["lr"] for group in target.param_groups] == [0.7, 0.3]
    for (_, mine), (_, other) in zip((a, b, c), (x, y, z), strict=True):
        for key, value in source.state[mine].items():
            assert torch.equal(target.state[other][key], value)


def test_groups_that_are_cut_otherwise_need_equal_options() -> None:
    def grouped(*lrs: float) -> Any:
        a, b, c = named()
        return [{"params": [a, b], "lr": lrs[0]}, {"params": [c], "lr": lrs[1]}]

    def regrouped() -> Any:
        a, b, c = named()
        return optkit.create("adamax", [{"params": [a]}, {"params": [b, c]}])

    regrouped().load_state_dict(stepped("adamax", grouped(0.3, 0.3)).state_dict())
    with pytest.raises(CheckpointError, match="differ in lr"):
        regrouped().load_state_dict(stepped("adamax", grouped(0.3, 0.7)).state_dict())


@pytest.mark.parametrize("named_side", ["saved", "live", "neither"])
@pytest.mark.parametrize("name", NAMES)
def test_without_names_on_both_sides_positions_count(name: str, named_side: str) -> None:
    source = stepped(name, named() if named_side == "saved" else [p for _, p in named()])
    target = optkit.create(name, named() if named_side == "live" else [p for _, p in named()])
    target.load_state_dict(source.state_dict())
    assert ("param_names" in target.param_groups[0]) == (named_side != "neither")
    assert repr(target.state_dict()["state"]) == repr(source.state_dict()["state"])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_strict_false_loads_what_matches_and_reports(name: str) -> None:
    source = stepped(name, named(4))
    saved = source.state_dict()
    saved["state"][1] = {k: v[:5] if v.dim() else v for k, v in saved["state"][1].items()}
    saved["param_groups"][0].update(note="mine", lrr=0.5)
    own = [named(4)[i] for i in (0, 1, 2)]
    new = ("new", torch.nn.Parameter(torch.ones(7)))
    target = stepped(name, [*own, new], steps=1)
    before = copy.deepcopy([dict(target.state[p]) for _, p in (own[1], new)])
    report = target.load_state_dict(saved, strict=False)
    assert report.loaded == ("p0", "p2")
    assert report.missing == ("new isn't in the checkpoint",)
    assert any("p3" in line for line in report.unexpected)
    assert any("'lrr'" in line for line in report.unexpected)
    assert target.param_groups[0]["note"] == "mine"
    assert "lrr" not in target.param_groups[0]
    assert all("of p1 has shape [5], not [33]" in line for line in report.shape_mismatched)
    assert "missing: 1" in str(report)
    assert repr([dict(target.state[p]) for _, p in (own[1], new)]) == repr(before)
    if ELEMENTWISE[name].counts_steps:
        assert torch.equal(target.state[own[2][1]]["step"], torch.tensor(3.0, dtype=torch.float64))


@pytest.mark.parametrize("fault", ["a negative lr", "another schema", "a future version"])
def test_strict_false_is_no_way_around_what_is_wrong(fault: str) -> None:
    source, target = stepped("adamax", named()), stepped("adamax", named(), steps=1)
    saved = source.state_dict()
    WRONG[fault](saved)
    before = frozen(target)
    with pytest.raises(CheckpointError):
        target.load_state_dict(saved, strict=False)
    assert frozen(target) == before


def test_an_explicit_request_that_the_checkpoint_defeats_is_refused_whole() -> None:
    source = stepped("adamax", named(), steps=0, differentiable=True)
    target = stepped("adamax", named(), implementation="foreach")
    before = frozen(target)
    with pytest.raises(optkit.ImplementationError):
        target.load_state_dict(source.state_dict())
    assert frozen(target) == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_another_width_is_converted_to_the_declared_one(name: str, dtype: torch.dtype) -> None:
    source, target = stepped(name, named()), optkit.create(name, named())
    saved = source.state_dict()
    declared = {k: v.dtype for state in saved["state"].values() for k, v in state.items()}
    for state in saved["state"].values():
        state.update({k: v.to(dtype) for k, v in state.items() if v.dim()})
    target.load_state_dict(saved)
    for index, state in target.state_dict()["state"].items():
        for key, value in state.items():
            assert value.dtype == declared[key]
            assert torch.equal(value, saved["state"][index][key].to(value.dtype))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_buffers_stay_the_same_tensors_and_follow_the_parameters_layout(name: str) -> None:
    mine, other = parameters(torch.float32), parameters(torch.float32)
    source, target = optkit.create(name, mine), optkit.create(name, other)
    run(source, mine, 5)
    run(target, other, 3)
    saved = source.state_dict()
    for state in saved["state"].values():
        state.update({k: v.contiguous() for k, v in state.items()})
    before = {(p, k): v for p, state in target.state.items() for k, v in state.items()}
    target.load_state_dict(saved)
    for p, q in zip(mine, other, strict=True):
        for key, value in target.state[q].items():
            assert is_same(value, source.state[p][key])
            if (q, key) in before:
                assert value is before[q, key]
            if value.shape == q.shape:
                assert value.stride() == torch.empty_like(q).stride()


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_loading_its_own_live_tensors_permuted(name: str) -> None:
    optimizer = stepped(name, named())
    saved = optimizer.state_dict()
    wanted = copy.deepcopy(saved["state"])
    saved["param_groups"][0]["param_names"] = ["p1", "p2", "p0"]
    optimizer.load_state_dict(saved)
    found = optimizer.state_dict()["state"]
    for here, there in enumerate((2, 0, 1)):
        assert repr(found[here]) == repr(wanted[there])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_checkpoint_replaces_state_as_a_whole(name: str) -> None:
    early = optkit.create(name, named())
    target = stepped(name, named())
    target.load_state_dict(early.state_dict())
    assert repr(target.state_dict()["state"]) == repr(early.state_dict()["state"])
    target.load_state_dict({**early.state_dict(), "state": {}})
    assert repr(target.state_dict()["state"]) == repr(early.state_dict()["state"])


def test_scheduler_keys_and_own_notes_come_back() -> None:
    source = optkit.create("adamax", named())
    torch.optim.lr_scheduler.OneCycleLR(source, 0.5, 20, cycle_momentum=False)
    source.param_groups[0]["note"] = {"epoch": 3}
    target = optkit.create("adamax", named())
    target.param_groups[0]["note"] = None
    target.load_state_dict(source.state_dict())
    for key in ("initial_lr", "max_lr", "min_lr", "note"):
        assert target.param_groups[0][key] == source.param_groups[0][key]


def test_lists_become_the_tuples_that_they_were() -> None:
    source, target = stepped("adamax", named(), betas=(0.8, 0.9)), optkit.create("adamax", named())
    saved = source.state_dict()
    saved["param_groups"][0]["betas"] = [0.8, 0.9]
    target.load_state_dict(saved)
    assert target.param_groups[0]["betas"] == (0.8, 0.9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_joint_vectors_follow_the_order_of_names(dtype: torch.dtype) -> None:
    sizes = {"a": 2, "b": 3, "c": 1}
    first = {n: torch.nn.Parameter(torch.full((k,), 2.0, dtype=dtype)) for n, k in sizes.items()}
    source = optkit.create("lbfgs", list(first.items()))
    width = 2 if dtype.is_complex else 1
    vector = torch.arange(6.0 * width, dtype=torch.float64)
    whole = {
        **{"d": vector, "t": 1.0, "old_dirs": [vector], "old_stps": [vector], "ro": [1.0]},
        **{"H_diag": 1, "prev_flat_grad": vector, "prev_loss": 1.0},
    }
    source.state[first["a"]] = {"func_evals": 1, "n_iter": 1, **whole}
    target = optkit.create("lbfgs", [(n, first[n].clone().detach()) for n in ("c", "a", "b")])
    target.load_state_dict(source.state_dict())
    a, b, c = vector.split([2 * width, 3 * width, width])
    loaded = target.state_dict()["state"][0]
    for found in (loaded["d"], loaded["old_dirs"][0], loaded["old_stps"][0]):
        assert torch.equal(found, torch.cat([c, a, b]))


def test_buffers_that_autograd_or_inference_holds_are_replaced() -> None:
    source = stepped("adamax", named())
    for spoil in (lambda t: t.clone().requires_grad_(), inference_copy):
        target = stepped("adamax", named())
        p = target.param_groups[0]["params"][0]
        target.state[p]["exp_avg"] = spoil(target.state[p]["exp_avg"])
        target.load_state_dict(source.state_dict())
        assert repr(target.state_dict()["state"]) == repr(source.state_dict()["state"])
        assert not target.state[p]["exp_avg"].requires_grad


def inference_copy(tensor: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return tensor.clone()


def test_hooks_may_replace_what_is_saved_and_loaded() -> None:
    source, target = stepped("adamax", named(), lr=0.5), optkit.create("adamax", named())
    source.register_state_dict_post_hook(lambda _, saved: {"wrapped": saved})
    target.register_load_state_dict_pre_hook(lambda _, saved: saved["wrapped"])
    seen: list[Any] = []
    target.register_load_state_dict_post_hook(seen.append)
    target.load_state_dict(source.state_dict())
    assert target.param_groups[0]["lr"] == 0.5
    assert seen == [target]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_buffer_of_another_layout_than_the_parameter_is_replaced(name: str) -> None:
    p, q = (torch.nn.Parameter(torch.ones(5, 7)) for _ in range(2))
    source, target = stepped(name, [p]), stepped(name, [q])
    keys = [key for key, value in target.state[q].items() if value.shape == q.shape]
    if not keys:
        pytest.skip("none of its buffers is laid out as the parameter is")
    key = keys[0]
    target.state[q][key] = target.state[q][key].t().contiguous().t()
    target.load_state_dict(source.state_dict())
    assert target.state[q][key].stride() == (7, 1)
    assert torch.equal(target.state[q][key], source.state[p][key])


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_shared_with_what_was_loaded(name: str) -> None:
    def tensors(value: Any) -> list[torch.Tensor]:
        if isinstance(value, torch.Tensor):
            return [value]
        if isinstance(value, dict):
            value = list(value.values())
        return [t for item in value for t in tensors(item)] if isinstance(value, list) else []

    source, target = stepped(name, named(), lr=torch.tensor(0.1)), optkit.create(name, named())
    saved = source.state_dict()
    target.load_state_dict(saved)
    live = [*target.state.values(), *({**g, "params": []} for g in target.param_groups)]
    addresses = {t.data_ptr() for t in tensors(live)}
    assert len(addresses) > 2
    assert addresses.isdisjoint(t.data_ptr() for t in tensors(saved))
