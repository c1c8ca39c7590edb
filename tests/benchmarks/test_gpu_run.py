"""The command that does everything a GPU is needed for: within its time, whatever happens."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import carried
import pytest

from benchmarks.cuda.verdict import CAUTIOUS
from benchmarks.gpu import environment, limited, machine, report, wheels
from benchmarks.gpu.junit import Counts, counted
from benchmarks.gpu.limited import GRACE, Ended
from benchmarks.gpu.parts import CUDA_TESTS, PARTS, REPORT, TOTAL, Part, limit, quick
from benchmarks.gpu.running import Outcome, Run

ROOT = Path(__file__).parents[2]

HOLDING = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
held = open(sys.argv[1], "w")
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(sleep, pass_fds=[held.fileno()])
held.write("x")
held.flush()
"""
"""Starts a process that holds one end of a pipe too, and doesn't hear an interruption either."""


def ran(folder: Path, code: str, *arguments: Any) -> Ended:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return limited.run(command, folder / "log", 600.0, folder, dict(os.environ), grace=0.0)


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_that_ends_by_itself(tmp_path: Path, code: int) -> None:
    found = ran(tmp_path, f"import sys; print('said'); sys.exit({code})")
    assert (found.code, found.is_late, found.is_well) == (code, False, code == 0)
    assert (tmp_path / "log").read_text() == "said\n"


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """Yield where a pipe is written to, and the end from which it is read."""
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    yield tmp_path / "pipe", reading
    os.close(reading)


def awaited(reading: int) -> bytes:
    """Return one byte of a pipe, none at its end; fail where neither comes."""
    assert select.select([reading], [], [], 120)[0], "somebody holds the pipe and says nothing"
    return os.read(reading, 1)


def test_a_command_that_hangs_goes_with_what_it_started(
    tmp_path: Path, pipe: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    has_ended = limited._has_ended

    def once_both_are_there(process: Any, seconds: float) -> bool:
        assert awaited(pipe[1]) == b"x"
        monkeypatch.setattr(limited, "_has_ended", has_ended)
        return has_ended(process, 0.0)

    monkeypatch.setattr(limited, "_has_ended", once_both_are_there)
    found = ran(tmp_path, f"{HOLDING}time.sleep(600)", pipe[0])
    assert found.is_late and not found.is_well and found.code < 0
    assert awaited(pipe[1]) == b""


def test_what_a_command_leaves_running_goes_too(tmp_path: Path, pipe: tuple[Path, int]) -> None:
    assert ran(tmp_path, HOLDING, pipe[0]).is_well
    assert awaited(pipe[1]) == b"x"
    assert awaited(pipe[1]) == b""


def test_an_interrupted_command_may_write_down_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pytest does with the tests that it has run."""
    code = "try:\n  say('x')\n  time.sleep(600)\nfinally:\n  say('y')"
    code = f"import time\nfrom functools import partial\nsay = partial(print, flush=True)\n{code}"
    waits = [lambda: "x" in (tmp_path / "log").read_text(), lambda: True]
    has_ended = limited._has_ended

    def patient(process: Any, seconds: float) -> bool:
        until = waits.pop(0)
        while not until():
            has_ended(process, 0.01)
        return has_ended(process, 0.0 if waits else 120.0)

    monkeypatch.setattr(limited, "_has_ended", patient)
    assert ran(tmp_path, code).is_late
    assert (tmp_path / "log").read_text().startswith("x\ny\n")


@pytest.mark.parametrize("parts", [PARTS, quick(PARTS)], ids=["all", "quick"])
def test_all_parts_fit_though_each_takes_all_its_time(parts: list[Part]) -> None:
    left = TOTAL
    for position, part in enumerate(parts):
        most = limit(parts, position, left)
        assert most >= part.seconds
        left -= most + GRACE
    assert left == pytest.approx(REPORT)


def test_time_that_is_left_over_is_for_the_next_part() -> None:
    first, second = (limit(PARTS, position, TOTAL) for position in (2, 3))
    assert limit(PARTS, 2, TOTAL - 10) == first - 10
    assert second > PARTS[3].seconds


def test_tests_are_the_ones_that_are_there() -> None:
    found = (ROOT / "tests" / "cuda").glob("test_cuda*.py")
    assert set(CUDA_TESTS) == {f"cuda/{path.name}" for path in found}
    assert all((ROOT / "tests" / name).exists() for part in PARTS for name in part.tests)


WELL, FAILING = [sys.executable, "-c", ""], [sys.executable, "-c", "import sys; sys.exit(1)"]


@pytest.mark.parametrize(
    ("failing", "not_run"), [("b", []), ("a", ["b", "c"]), ("c", []), ("", [])]
)
def test_later_parts_run_unless_they_need_the_one_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, not_run: list[str]
) -> None:
    parts = [Part("a", 100, needed=True), Part("b", 100), Part("c", 100)]
    monkeypatch.setattr(environment, "stage", lambda place: None)
    run = Run(tmp_path, tmp_path, tmp_path, is_dry=True)
    command = {part.name: FAILING if part.name == failing else WELL for part in parts}
    monkeypatch.setattr(run, "command", lambda part, seconds: (command[part.name], tmp_path))
    outcomes = run.all(parts, 1000.0)
    assert [outcome.part.name for outcome in outcomes if outcome.ended is None] == not_run
    assert {outcome.part.name for outcome in outcomes if not outcome.is_well} == {
        *not_run,
        *failing,
    }


JUNIT = """<?xml version="1.0"?><testsuites name="pytest tests">
<testsuite name="pytest" errors="{errors}" failures="{failures}" skipped="{skipped}"
tests="{tests}" time="1.0" hostname="a.name"><testcase name="x"/></testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("found", "have_passed"),
    [
        ({"tests": 9}, True),
        ({"tests": 9, "skipped": 8}, True),
        ({"tests": 9, "skipped": 9}, False),
        ({"tests": 9, "failures": 1}, False),
        ({"tests": 9, "errors": 1}, False),
        ({"tests": 0}, False),
    ],
    ids=str,
)
def test_passed_means_that_some_have_run(
    tmp_path: Path, found: dict[str, int], have_passed: bool
) -> None:
    path = tmp_path / "tests.xml"
    path.write_text(JUNIT.format(**{"errors": 0, "failures": 0, "skipped": 0, **found}))
    tests = counted(path)
    assert (tests.run, tests.have_passed) == (found["tests"], have_passed)
    assert "a.name" not in path.read_text() and "testcase" in path.read_text()


def test_without_a_file_none_has_passed(tmp_path: Path) -> None:
    assert not counted(tmp_path / "nowhere").have_passed


@pytest.mark.parametrize(
    ("ended", "tests", "is_well", "words"),
    [
        (Ended(0, 3.0, False), Counts(9, 0, 1), True, ["done", "9 tests", "1 skipped"]),
        (Ended(1, 3.0, False), Counts(9, 1, 0), False, ["FAILED", "1 failed"]),
        (Ended(-9, 80.0, True), Counts(), False, ["time is up", "80 of 80 s"]),
        (Ended(0, 3.0, False), Counts(9, 0, 9), False, ["FAILED", "9 skipped"]),
        (None, Counts(), False, ["not run"]),
    ],
)
def test_an_outcome_says_what_became_of_a_part(
    ended: Ended | None, tests: Counts, is_well: bool, words: list[str]
) -> None:
    outcome = Outcome(Part("cuda", 80, tests=CUDA_TESTS), 80.0, ended, tests)
    assert outcome.is_well == report.have_passed([outcome]) == is_well
    for word in words:
        assert word in str(outcome)


def test_what_is_carried_needs_nothing_else_but_torch() -> None:
    from packaging.requirements import Requirement

    carry, torchs = {*wheels.CARRIED, "optkit"}, {"torch", "typing-extensions", "setuptools"}
    for name in carry:
        for line in requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert needed.name.lower() in carry | torchs, (name, line)


def test_versions_are_those_that_are_tested() -> None:
    found = wheels.pinned()
    assert len(found) == len(wheels.CARRIED)
    assert all(line in (ROOT / "constraints.txt").read_text().splitlines() for line in found)


def test_numpy_is_installed_only_where_there_is_none(tmp_path: Path) -> None:
    for name in ("optkit-1-py3-none-any.whl", "numpy-2.whl", "attrs-1.whl", "notes.txt"):
        (tmp_path / name).touch()
    names = {path.name.split("-")[0] for path in wheels.to_install(tmp_path, frozenset())}
    assert names == {"optkit", "numpy", "attrs"}
    there = frozenset({"numpy", "attrs", "torch"})
    names = {path.name.split("-")[0] for path in wheels.to_install(tmp_path, there)}
    assert names == {"optkit", "attrs"}


@pytest.mark.parametrize("held", [[], ["optkit-1.whl", "optkit-2.whl"]], ids=str)
def test_a_folder_without_optkits_wheel_is_refused(tmp_path: Path, held: list[str]) -> None:
    for name in held:
        (tmp_path / name).touch()
    with pytest.raises(SystemExit, match=r"must hold one wheel of optkit.*prepare collects it"):
        list(wheels.to_install(tmp_path, frozenset()))


def test_no_setting_comes_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PYTHONPATH", "OPTKIT_IMPLEMENTATION", "PYTEST_ADDOPTS", "TRITON_INTERPRET"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("CC", "mycc")
    found = environment.variables(tmp_path, is_dry=False)
    assert not {"PYTHONPATH", "OPTKIT_IMPLEMENTATION", "PYTEST_ADDOPTS", "TRITON_INTERPRET"} & set(
        found
    )
    assert found["CC"] == "mycc"
    assert environment.variables(tmp_path, is_dry=True)["TRITON_INTERPRET"] == "1"


def test_nothing_of_the_packages_is_staged(tmp_path: Path) -> None:
    environment.stage(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(environment.COPIED)
    assert not (tmp_path / "benchmarks" / "results").exists()


def test_a_missing_compiler_is_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "installed", lambda name: "3.6.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert "needs a C compiler" in machine.launcher_complaint(is_dry=True)
    (tmp_path / "gcc").touch(mode=0o755)
    monkeypatch.setattr(machine.sysconfig, "get_path", lambda name: str(tmp_path))
    assert "needs Python's headers" in machine.launcher_complaint(is_dry=True)
    (tmp_path / "Python.h").touch()
    assert machine.launcher_complaint(is_dry=True) == ""
    monkeypatch.setattr(machine, "installed", lambda name: None)
    assert machine.launcher_complaint(is_dry=True) == "Triton isn't installed"


def test_without_a_gpu_the_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="--dry-run"):
        machine.facts(is_dry=False)


@pytest.mark.slow
def test_a_dry_run(tmp_path: Path) -> None:
    """The quick parts, from a wheel, in an environment of their own, on the CPU."""
    folder, results = tmp_path / "wheels", tmp_path / "results"
    folder.mkdir()
    carried.wheel(folder)
    command = [sys.executable, "-m", "benchmarks.gpu", "run", "--dry-run", "--quick"]
    given = ["--wheels", folder, "--results", results, "--seconds", "6000"]
    done = subprocess.run([*command, *given], cwd=ROOT, capture_output=True, text=True, check=False)
    log = (results / "log.txt").read_text()
    found = json.loads((results / "results.json").read_text())
    by_name = {part["name"]: part for part in found["parts"]}
    assert by_name["lbfgs"]["is well"] and by_name["benchmarks"]["is well"], log
    assert by_name["cuda"]["is well"] == bool(find_spec("triton")), log
    assert done.returncode == (0 if find_spec("triton") else 1), done.stdout + done.stderr
    assert found["rows"][0]["set"] == "400 small"
    assert (found["verdict"]["order"], found["verdict"]["is_decided"]) == ([*CAUTIOUS], False)
    assert found["verdict"]["line"] in done.stdout
    assert found["machine"]["card"].startswith("no GPU")
    assert "| adamax 400 small | float32 |" in (results / "table.md").read_text()
    assert {path.name for path in results.iterdir()} == {
        *("results.json", "table.md", "log.txt", "cuda.xml", "lbfgs.xml"),
    }
    for path in results.iterdir():
        assert "/optkit-gpu-" not in path.read_text()
