"""The benchmark of CUDA: its verdict, its tables and its clock; what it measures is told there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch

import optkit
from benchmarks.cuda import cases, sides, suite, table, targets
from benchmarks.cuda import device as clocks
from benchmarks.cuda.cases import CASES, NEEDED, SMALL, Case
from benchmarks.cuda.device import Gpu, StandIn
from benchmarks.cuda.verdict import ALLOWED, CAUTIOUS, Verdict, verdict
from optkit_core.selection.select_implementation import PREFERENCE

Row = dict[str, Any]
RIVALS = {"torch's default": 3.0, "torch's foreach": 3.1, "torch's fused Adam": 1.5}


def row(case: Case, fused: float | None, foreach: float = 2.0, forloop: float = 8.0) -> Row:
    """Return a row as the suite writes it, with made-up milliseconds."""
    steps = {"fused": fused, "foreach": foreach, "forloop": forloop, **RIVALS}
    return {
        "algorithm": case.algorithm,
        "set": case.set,
        "dtype": str(case.dtype).removeprefix("torch."),
        "rounds": 9,
        "sides": {
            name: {"refused": "it can't"}
            if step is None
            else {"step": step / 1e3, "host": step / 3e3, "operations": 1200}
            for name, step in steps.items()
        },
        "moved": 7 * 2**20,
        "kernel": 1.25e-4,
        "copy": 1e-4,
    }


def rows(change: Callable[[Case], Any] = lambda case: None, found: Any = NEEDED) -> list[Row]:
    """Return rows in which fused takes half of foreach's time, but for what is changed."""
    return [row(case, **(change(case) or {"fused": 1.0})) for case in found]


def on(name: str, **steps: Any) -> Callable[[Case], Any]:
    return lambda case: steps if case.set == name else None


def test_fused_comes_first_where_it_is_never_slower() -> None:
    found = verdict(rows())
    assert found.order == ("fused", "foreach", "forloop")
    assert found.is_decided
    assert found.line == '    "cuda": ("fused", "foreach", "forloop"),'
    assert "0.50" in found.reasons[0]


@pytest.mark.parametrize(
    ("name", "ratio", "is_first"),
    [
        ("16 large", 1.0, True),
        ("64M elements", ALLOWED, True),
        ("64M elements", ALLOWED + 0.01, False),
        *((name, 0.99, True) for name in SMALL),
        *((name, 1.0, False) for name in SMALL),
    ],
)
def test_how_slow_a_fused_step_may_be(name: str, ratio: float, is_first: bool) -> None:
    found = verdict(rows(on(name, fused=2.0 * ratio)))
    assert found.order == (
        ("fused", "foreach", "forloop") if is_first else ("foreach", "forloop", "fused")
    )
    assert found.is_decided
    if not is_first:
        assert [name in reason for reason in found.reasons] == [True, True]


def test_the_best_of_the_others_counts() -> None:
    found = verdict(rows(lambda case: {"fused": 1.0, "foreach": 2.0, "forloop": 0.5}))
    assert found.order == ("forloop", "foreach", "fused")


def test_half_types_count_too() -> None:
    slow = verdict(
        rows(lambda case: {"fused": 9.0} if case.dtype != torch.float32 else None, CASES)
    )
    assert slow.order[-1] == "fused"
    assert {"bfloat16", "float16"} == {reason.split()[-1] for reason in slow.reasons}


def test_wrong_kernels_are_never_preferred() -> None:
    found = verdict(rows(), are_right=False)
    assert (found.order, found.is_decided) == (("foreach", "forloop", "fused"), False)
    assert "test" in found.reasons[0]


@pytest.mark.parametrize("missing", NEEDED, ids=str)
def test_without_a_needed_set_nothing_is_decided(missing: Case) -> None:
    found = verdict(rows(found=[case for case in NEEDED if case != missing]))
    assert found == Verdict(CAUTIOUS, False, (f"not measured: {missing}",))


def test_where_fused_takes_no_step_the_others_are_ordered() -> None:
    found = verdict(rows(on("2000 tiny", fused=None)))
    assert found.order == ("foreach", "forloop", "fused")
    assert found.is_decided and "took no step" in found.reasons[0]


def test_until_measured_the_cautious_order_holds() -> None:
    """The line in the selector is the one that a run without results proposes."""
    undecided = verdict([])
    assert PREFERENCE["cuda"] == undecided.order
    assert undecided.line == '    "cuda": ("foreach", "forloop", "fused"),'


def test_tables_are_markdown_of_equal_columns() -> None:
    text = table.markdown([*rows(), row(CASES[-1], None)])
    for block in text.split("\n\n")[:3]:
        head, ruler, *lines = block.splitlines()
        assert len({line.count("|") for line in (head, ruler, *lines)}) == 1
        assert len(lines) == len(NEEDED) + 1
    steps, host, kernels, refused = text.split("\n\n")
    assert "| adamax 400 small | float32 | 1 | 2 | 8 | 3 | 3.1 | 1.5 | 0.67 |" in steps
    assert "| 333 (1,200) |" in host and host.count("| 9 |") == len(NEEDED) + 1
    assert "| 7 | 125 | 100 | 0.80 |" in kernels
    assert refused == "- fused (adagrad): it can't"


def test_targets_are_met_or_missed_by_name() -> None:
    kept = targets.judged([row(case, 0.4) for case in NEEDED])
    assert [line.rpartition(" ")[2] for line in kept] == ["met"] * 3 + ["MISSED"]
    assert kept[0] == "400 small, step, of torch's foreach: 0.129, at most 0.5: met"
    assert "1.25, at most 1.18" in kept[3]
    late = targets.judged([row(case, 1.6) for case in NEEDED if case.algorithm == "adamax"])
    assert [line.rpartition(" ")[2] for line in late] == ["MISSED"] * 4
    for found in ([], [row(case, 9.0) for case in NEEDED if case.algorithm == "adagrad"]):
        assert all("not measured" in line for line in targets.judged(found))


def test_every_case_can_be_made_and_moves_what_it_says() -> None:
    for case in CASES:
        groups = cases.groups_of(case, torch.device("cpu"), is_dry=True)
        params = [p for group in groups for p in group["params"]]
        assert {p.dtype for p in params} == {case.dtype}
        assert all(p.grad is not None and p.grad.dtype == p.dtype for p in params)
        state = optkit.create(case.algorithm, groups, eager_state=True).state
        buffers = [len(state[p]) - 1 for p in params]  # beside the step counter
        touched = [2 + 1 + 2 * count for count in buffers]  # p twice, g once, buffers twice
        moved = sum(
            p.numel() * p.itemsize * times for p, times in zip(params, touched, strict=True)
        )
        assert cases.bytes_moved(case, is_dry=True) == moved
    assert [len(cases.groups_of(c, torch.device("cpu"), is_dry=True)) for c in NEEDED[3:6]] == [
        1, 6, 2,
    ]  # fmt: skip


def test_a_side_that_raises_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(groups: Any) -> Any:
        raise RuntimeError("`fused=True` isn't there\nat all")

    makers = {**sides.makers("adagrad"), "torch's fused Adagrad": refuse}
    monkeypatch.setattr(sides, "makers", lambda algorithm: makers)
    steps, refused = sides.steps(CASES[6], torch.device("cpu"), is_dry=True)
    assert refused["torch's fused Adagrad"] == "`fused=True` isn't there"
    assert steps.keys() == makers.keys() - refused.keys()


def test_operations_are_counted() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = torch.optim.SGD([p], lr=0.1, foreach=False)
    assert sides.operations(optimizer.step) == 1


@pytest.mark.parametrize("repeats", [1, 7])
def test_sides_take_turns(repeats: int) -> None:
    called: list[str] = []
    steps = {name: lambda name=name: called.append(name) for name in "abc"}
    times = suite.in_turn(steps, StandIn(), repeats, seconds=60.0)
    measured = called[-3 * repeats :]
    assert measured == [name for k in range(repeats) for name in ("abc" * 2)[k % 3 : k % 3 + 3]]
    assert {len(each) for each in times.values()} == {repeats}


def test_time_that_is_up_leaves_cases_out(capsys: pytest.CaptureFixture[str]) -> None:
    found = list(suite.measure(1, seconds=0.0, is_dry=True))
    assert [row["set"] for row in found] == ["400 small"]
    assert "no time left for adamax 16 large float32" in capsys.readouterr().err


def test_without_a_gpu_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert list(suite.measure(1)) == []
    assert "no NVIDIA GPU" in capsys.readouterr().err


class FakeGpu:
    """A GPU that sleeps for some cycles, on whose clock a millisecond is 2,000,000 of them."""

    def __init__(self, host_cycles: int) -> None:
        self.host_cycles = host_cycles
        self.slept: list[int] = []

    def sleep(self, cycles: int) -> None:
        self.slept.append(cycles)

    def event(self, enable_timing: bool) -> FakeEvent:
        assert enable_timing
        return FakeEvent(self)


class FakeEvent:
    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu

    def record(self) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def query(self) -> bool:
        return self.gpu.slept[-1] < self.gpu.host_cycles

    def elapsed_time(self, other: FakeEvent) -> float:
        return 12.5


@pytest.mark.parametrize(
    ("host_cycles", "sleeps"), [(1, 1), (3_000_000, 2), (20_000_000, 3), (2**40, 5)]
)
def test_the_device_sleeps_until_the_host_is_ahead(
    monkeypatch: pytest.MonkeyPatch, host_cycles: int, sleeps: int
) -> None:
    gpu = FakeGpu(host_cycles)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "fake")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "_sleep", gpu.sleep, raising=False)
    monkeypatch.setattr(torch.cuda, "Event", gpu.event)
    calls: list[int] = []
    found = Gpu().busy(lambda: calls.append(1))
    assert len(gpu.slept) == len(calls) == sleeps
    assert found == (0.0125 if host_cycles < 2**40 else None)
    assert Gpu().timed(lambda: None).step == 0.0125


def test_the_rows_have_what_the_tables_and_the_verdict_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suite, "stand_in", lambda: nullcontext(clocks.StandIn()))
    found = list(suite.measure(1, seconds=600.0, is_dry=True))
    assert [(r["algorithm"], r["set"], f"torch.{r['dtype']}") for r in found] == [
        (case.algorithm, case.set, str(case.dtype)) for case in CASES
    ]
    assert all(r["rounds"] == 1 and r["kernel"] and r["copy"] for r in found)
    assert all(r.pop("printed") for r in found)
    assert verdict(found).is_decided
    assert len(table.markdown(found).splitlines()) > 3 * len(CASES)
