"""Faults of torch.optim with state; the numbers are those of `torch_faults.FAULTS`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest
import torch
from algorithms import COUNTED, COUNTERPARTS, TORCH, declared, with_state
from torch.distributed.checkpoint import state_dict as dcp
from torch_faults import assert_in_torch

import optkit
from optkit_core import Buffer, Elementwise, Optimizer, at_least, hyperparameter

BOTH: dict[str, tuple[Any, Any]] = {
    name: (partial(optkit.get(name), **with_state(name)), partial(cls, **with_state(name)))
    for name, cls in TORCH.items()
}


class Counting(Optimizer):
    """Keeps state of kinds that torch's own algorithms don't have."""

    lr: float = hyperparameter(default=1.0, range=at_least(0.0))
    count = Buffer(kind="opaque", init=0)
    flag = Buffer(kind="opaque", init=0)
    note = Buffer(kind="opaque", init=0)
    phase = Buffer(kind="opaque", init=0)

    def advance(self, closure: Any) -> None:
        for p in self.param_groups[0]["params"]:
            self.state[p] = {
                "count": torch.tensor([2**40 + 1]),
                "flag": torch.tensor([True, False]),
                "note": "warm-up",
                "phase": torch.tensor([1 + 2j]),
            }


class TorchCounting(torch.optim.Optimizer):
    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 1.0})

    step = Counting.advance


def stepped(cls: type, *shapes: Any, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    """Return an optimizer after three steps with gradients of its own for each parameter."""
    params = [torch.nn.Parameter(torch.ones(shape, dtype=dtype)) for shape in shapes]
    optimizer = cls([(f"p{i}", p) for i, p in enumerate(params)], **options)
    for step in range(3):
        for i, p in enumerate(params):
            p.grad = torch.full_like(p, (i + 1) / (step + 3))
        optimizer.step()
    return optimizer


def both_verdicts(number: int, verdict: Callable[[type], bool], ours: type, torchs: type) -> None:
    """Assert that a check holds here, and doesn't in a torch that has the fault."""
    assert verdict(ours)
    assert_in_torch(number, not verdict(torchs))


@pytest.mark.parametrize("name", TORCH)
def test_fault_5_float32_state_of_a_bfloat16_model_keeps_its_bits(name: str) -> None:
    narrow = optkit.get(name).buffers
    buffers = {key: attrs.evolve(buffer, dtype=torch.float32) for key, buffer in narrow.items()}
    ours = type("Wide", (optkit.get(name),), buffers)

    def keeps(cls: type) -> bool:
        p, q = (torch.nn.Parameter(torch.ones(37, dtype=torch.bfloat16)) for _ in range(2))
        optimizer, twin = (cls([x], **with_state(name)) for x in (p, q))
        values = torch.linspace(0.1, 0.9, 37)
        wide = {key: values[5] if b.is_scalar else values.clone() for key, b in narrow.items()}
        count = {"step": torch.tensor(3.0)} if name in COUNTED else {}
        optimizer.state[p] = {**count, **wide}
        saved = optimizer.state_dict()
        twin.load_state_dict(saved)
        loaded = twin.state_dict()["state"][0]
        return all(torch.equal(loaded[key], saved["state"][0][key]) for key in loaded)

    both_verdicts(5, keeps, ours, TORCH[name])


def saved_and_loaded(cls: Any) -> tuple[Any, Any]:
    """Return a state as it is saved, and as another optimizer has it that has loaded it."""
    one, other = (cls([torch.nn.Parameter(torch.ones(3))]) for _ in range(2))
    one.step(None)
    other.load_state_dict(one.state_dict())
    return one.state_dict()["state"][0], other.state_dict()["state"][0]


@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_fault_5_numbers_keep_their_kind() -> None:
    def keeps(cls: type) -> bool:
        saved, loaded = saved_and_loaded(cls)
        return all(
            loaded[key].dtype == saved[key].dtype and torch.equal(loaded[key], saved[key])
            for key in ("count", "flag", "phase")
        )

    both_verdicts(5, keeps, Counting, TorchCounting)


@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_fault_10_strings_stay_what_they_are() -> None:
    def keeps(cls: type) -> bool:
        return bool(saved_and_loaded(cls)[1]["note"] == "warm-up")

    both_verdicts(10, keeps, Counting, TorchCounting)


@pytest.mark.parametrize("name", TORCH)
def test_fault_6_state_follows_names(name: str) -> None:
    def follows(cls: type) -> bool:
        optimizer = stepped(cls, 33, 33, 33)
        names = ["p2", "p0", "p1"]
        twin = cls([(n, torch.nn.Parameter(torch.ones(33))) for n in names])
        twin.load_state_dict(optimizer.state_dict())
        wanted = {f"p{i}": s for i, s in optimizer.state_dict()["state"].items()}
        found = dict(zip(names, twin.state_dict()["state"].values(), strict=True))
        return all(torch.equal(found[n][key], wanted[n][key]) for n in wanted for key in wanted[n])

    both_verdicts(6, follows, *BOTH[name])


@pytest.mark.parametrize("foreign", [torch.optim.Adam, torch.optim.RMSprop, "lacking"])
@pytest.mark.parametrize("name", TORCH)
def test_fault_6_what_cannot_be_continued_is_refused(name: str, foreign: Any) -> None:
    if foreign is COUNTERPARTS[name] or (foreign == "lacking" and name not in COUNTED):
        pytest.skip("it can be continued")

    def refuses(cls: type) -> bool:
        source = stepped(cls if foreign == "lacking" else foreign, 5).state_dict()
        if foreign == "lacking":
            del source["state"][0][next(k for k in source["state"][0] if k != "step")]
        target = cls([("p0", torch.nn.Parameter(torch.ones(5)))])
        try:
            target.load_state_dict(source)
        except ValueError:
            return True
        except KeyError:  # torch misses a number when it has replaced the state
            return False
        return False

    both_verdicts(6, refuses, *BOTH[name])


@pytest.mark.parametrize("name", TORCH)
def test_fault_7_loading_never_shares(name: str) -> None:
    def stay_apart(cls: type) -> bool:
        one = stepped(cls, 19)
        other = cls([("p0", torch.nn.Parameter(torch.ones(19)))])
        other.load_state_dict(one.state_dict())
        for moving, resting in ((one, other), (other, one)):
            before = copy.deepcopy(resting.state_dict()["state"][0])
            moving.param_groups[0]["params"][0].grad = torch.ones(19)
            moving.step()
            after = resting.state_dict()["state"][0]
            if not all(torch.equal(after[key], before[key]) for key in before):
                return False
        return True

    both_verdicts(7, stay_apart, *BOTH[name])


@pytest.mark.parametrize("lr", [0.1, "tensor"])
@pytest.mark.parametrize("name", TORCH)
def test_fault_8_asking_for_state_is_no_step(name: str, lr: Any) -> None:
    def changes_nothing(cls: type) -> bool:
        ends = []
        for ask in (False, True):
            model = torch.nn.Linear(3, 17)
            torch.nn.init.ones_(model.weight)
            torch.nn.init.ones_(model.bias)
            rate = torch.tensor(0.1) if lr == "tensor" else lr
            optimizer = cls(model.parameters(), lr=rate, **declared(name, weight_decay=0.1))
            if ask:
                dcp.get_optimizer_state_dict(model, optimizer)
            for _ in range(2):
                model(torch.ones(2, 3)).square().mean().backward()
                optimizer.step()
            ends.append(
                [*(p.detach() for p in model.parameters()), optimizer.state_dict()["state"]]
            )
        return repr(ends[0]) == repr(ends[1]) and all(map(torch.equal, ends[0][:2], ends[1][:2]))

    ours, torchs = BOTH[name]
    assert changes_nothing(ours)
    if not torchs([torch.nn.Parameter(torch.ones(1))]).state:  # else nobody makes it step
        assert_in_torch(8, not changes_nothing(torchs))


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", COUNTED)
def test_fault_13_steps_are_counted_beyond_float32(name: str, implementation: str) -> None:
    def counts(cls: type) -> bool:
        flag = {"foreach": implementation == "foreach"}
        optimizer = stepped(cls, 5, **flag)
        p = optimizer.param_groups[0]["params"][0]
        optimizer.state[p]["step"].fill_(2**24 - 1)
        for _ in range(3):
            p.grad = torch.ones(5)
            optimizer.step()
        return bool(optimizer.state[p]["step"] == 2**24 + 2)

    both_verdicts(13, counts, *BOTH[name])


@pytest.mark.parametrize("name", COUNTED)
def test_fault_13_torch_continues_the_wide_counter(name: str) -> None:
    ours, torchs = BOTH[name]
    optimizer = stepped(ours, 5)
    p = optimizer.param_groups[0]["params"][0]
    optimizer.state[p]["step"].fill_(2**24)
    other = torchs([p])
    other.load_state_dict(optimizer.state_dict())
    other.step()
    assert other.state[p]["step"] == 2**24 + 1


@pytest.mark.parametrize("flag", ["foreach", "differentiable"])
@pytest.mark.parametrize("name", TORCH)
def test_fault_16_how_to_run_stays_the_live_choice(name: str, flag: str) -> None:
    def loaded(cls: type) -> bool:
        source = cls([torch.nn.Parameter(torch.ones(3))], lr=0.5, **{flag: True})
        target = cls([torch.nn.Parameter(torch.ones(3))], **{flag: False})
        target.load_state_dict(source.state_dict())
        assert target.param_groups[0]["lr"] == 0.5
        return bool(target.param_groups[0][flag])

    ours, torchs = BOTH[name]
    assert_in_torch(16, loaded(torchs))
    assert loaded(ours) == (flag == "differentiable")  # that is mathematics, and restored


class Scanned(list[int]):
    """A list that counts how many of its elements are looked at for one."""

    looked_at = 0

    def __contains__(self, item: object) -> bool:
        Scanned.looked_at += len(self)
        return super().__contains__(item)


@pytest.mark.parametrize("name", TORCH)
def test_fault_18_loading_looks_through_all_parameters_for_each(name: str) -> None:
    def looked_at(cls: type, count: int) -> int:
        params = [torch.nn.Parameter(torch.ones(1)) for _ in range(count)]
        optimizer = cls(params)
        for p in params:
            p.grad = torch.ones(1)
        optimizer.step()
        saved = optimizer.state_dict()
        saved["param_groups"][0]["params"] = Scanned(saved["param_groups"][0]["params"])
        Scanned.looked_at = 0
        optimizer.load_state_dict(saved)
        return Scanned.looked_at

    ours, torchs = BOTH[name]
    assert_in_torch(18, looked_at(torchs, 100) >= 100 * 100)
    assert looked_at(ours, 100) <= 100


class Complex(Elementwise):
    """Has a buffer of parts of a complex number, in a dtype of its own."""

    lr: float = hyperparameter(default=1.0, range=at_least(0.0))
    mean = Buffer(dtype=torch.float64)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.add_(g)
        p.add_(g, alpha=-h.lr)


def test_complex_state_has_its_declared_parts() -> None:
    optimizer = stepped(Complex, 9, dtype=torch.complex64)
    twin = Complex([("p0", torch.nn.Parameter(torch.ones(9, dtype=torch.complex64)))])
    twin.load_state_dict(optimizer.state_dict())
    mean = twin.state_dict()["state"][0]["mean"]
    assert mean.dtype == torch.complex128
    assert torch.equal(mean, optimizer.state_dict()["state"][0]["mean"])
