"""Any model, groups, names and order: saved, loaded elsewhere, and continued as if uncut."""

from __future__ import annotations

import copy
import io
from typing import Any

import torch
from algorithms import TORCH
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT

import optkit
from optkit_core.testing import assert_agree

IMPLEMENTATIONS = ["forloop", "foreach"]

shapes = st.lists(st.lists(st.integers(0, 6), max_size=3).map(tuple), min_size=1, max_size=6)


@st.composite
def problems(draw: st.DrawFn) -> dict[str, Any]:
    wanted = draw(shapes)
    count = len(wanted)
    return {
        "shapes": wanted,
        "groups": draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)),
        "order": draw(st.permutations(range(count))),
        "group_order": draw(st.permutations(range(3))),
        "lrs": draw(st.lists(st.floats(1e-3, 1.0), min_size=3, max_size=3)),
        "named": draw(st.booleans()),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16])),
        "gaps": draw(st.integers(0, 2**20)),
        "cut": draw(st.integers(0, 3)),
        "name": draw(st.sampled_from(sorted(TORCH))),
        "one": draw(st.sampled_from(IMPLEMENTATIONS)),
        "other": draw(st.sampled_from(IMPLEMENTATIONS)),
        "through_a_file": draw(st.booleans()),
    }


def parameters(problem: dict[str, Any]) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(
            torch.randn(s, generator=generator, dtype=torch.float64).to(problem["dtype"])
        )
        for s in problem["shapes"]
    ]


def create(problem: dict[str, Any], params: Any, implementation: str, shuffled: bool) -> Any:
    """Return an optimizer; shuffled is another order of parameters and of groups, by name."""
    order = problem["order"] if shuffled else range(len(params))
    groups = []
    for number in problem["group_order"] if shuffled else range(3):
        own = [i for i in order if problem["groups"][i] == number]
        entries: list[Any] = [(f"p{i}", params[i]) if problem["named"] else params[i] for i in own]
        if own or not problem["named"]:
            groups.append({"params": entries, "lr": problem["lrs"][number]})
    return optkit.create(problem["name"], groups, implementation=implementation)


def step(optimizer: Any, params: Any, number: int, gaps: int) -> None:
    generator = torch.Generator().manual_seed(number)
    for position, p in enumerate(params):
        g = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
        p.grad = None if gaps >> (number * 5 + position) & 1 else g
    optimizer.step()


def saved(optimizer: Any, through_a_file: bool) -> Any:
    if not through_a_file:
        return copy.deepcopy(optimizer.state_dict())
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@settings(max_examples=120, **PATIENT)
@given(problem=problems())
def test_continues_as_if_uncut(problem: dict[str, Any]) -> None:
    whole, cut = parameters(problem), parameters(problem)
    uncut = create(problem, whole, problem["one"], shuffled=False)
    first = create(problem, cut, problem["one"], shuffled=False)
    for number in range(problem["cut"]):
        step(uncut, whole, number, problem["gaps"])
        step(first, cut, number, problem["gaps"])
    second = create(problem, cut, problem["other"], shuffled=problem["named"])
    for group in second.param_groups:
        group["lr"] = 0.123
    report = second.load_state_dict(saved(first, problem["through_a_file"]))
    assert not (report.missing or report.unexpected or report.shape_mismatched)
    for number in range(problem["cut"], 4):
        step(uncut, whole, number, problem["gaps"])
        step(second, cut, number, problem["gaps"])
    if problem["one"] == problem["other"]:
        for p, q in zip(whole, cut, strict=True):
            torch.testing.assert_close(p, q, rtol=0, atol=0, equal_nan=True)
    else:
        assert_agree(whole, cut)


@settings(max_examples=60, **PATIENT)
@given(problem=problems(), back=st.booleans())
def test_torch_continues_and_is_continued(problem: dict[str, Any], back: bool) -> None:
    problem = {**problem, "named": False}
    whole, cut = parameters(problem), parameters(problem)
    uncut = create(problem, whole, "forloop", shuffled=False)
    cls = TORCH[problem["name"]]
    ours = create(problem, cut, "forloop", shuffled=False)
    theirs = cls([{"params": g["params"], "lr": 0.5} for g in ours.param_groups], foreach=False)
    source, target = (ours, theirs) if back else (theirs, ours)
    source.load_state_dict(copy.deepcopy(uncut.state_dict()))  # torch's would share it
    for number in range(problem["cut"]):
        step(uncut, whole, number, problem["gaps"])
        step(source, cut, number, problem["gaps"])
    target.load_state_dict(saved(source, problem["through_a_file"]))
    for number in range(problem["cut"], 4):
        step(uncut, whole, number, problem["gaps"])
        step(target, cut, number, problem["gaps"])
    for p, q in zip(whole, cut, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0, equal_nan=True)
