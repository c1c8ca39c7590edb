"""Devices and compilers that the doctor tries: what it says where they don't work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("typer")

from optkit.cli.doctor import compiler_trial, device_trial, kernel_cache
from optkit_core.native import cache_dirs, compiler


def test_a_gpu_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one that can")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    cpu, gpu = device_trial.examine_devices()
    assert (cpu.name, cpu.reason) == ("cpu", "") and cpu.runs
    assert (gpu.name, gpu.runs) == ("cuda:0", "") and gpu.reason
    (problem,) = device_trial.findings(gpu, True)
    assert problem.is_problem and gpu.reason in problem.what


def test_a_step_that_goes_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "allclose", lambda *_, **__: False)
    (cpu, *_) = device_trial.examine_devices()
    assert "went wrong" in cpu.reason and cpu.runs == ""


COMPILERS = {
    "none": ("no-such-compiler", None, "isn't a program here", False),
    "unclosed quote": ("g++ 'x", None, "quotation", False),
    "failing": ("false", "false", "failed", True),
}


@pytest.mark.parametrize(
    ("command", "found", "reason", "is_problem"), COMPILERS.values(), ids=COMPILERS
)
def test_a_compiler_that_does_not_work(
    monkeypatch: pytest.MonkeyPatch, command: str, found: str | None, reason: str, is_problem: bool
) -> None:
    monkeypatch.setenv(compiler.VARIABLE, command)
    tried = compiler_trial.examine_compiler()
    assert tried.command == found and reason in tried.reason.lower() and not tried.works
    (finding,) = compiler_trial.findings(tried)
    assert finding.is_problem is is_problem and finding.way_out


def test_the_cache_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(cache_dirs.VARIABLE, str(tmp_path))
    found = kernel_cache.examine_cache()
    assert found == kernel_cache.KernelCache(str(tmp_path / "optkit-kernels"), 0, 0, "")
    library = tmp_path / "optkit-kernels" / f"{'0' * 20}-{'1' * 20}-{'2' * 20}.so"
    library.write_bytes(b"12345")
    found = kernel_cache.examine_cache()
    assert (found.kernels, found.bytes) == (1, 5) and not list(kernel_cache.findings(found))


def test_a_cache_that_cannot_be_written(monkeypatch: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv(cache_dirs.VARIABLE, str(file))
    found = kernel_cache.examine_cache()
    (problem,) = kernel_cache.findings(found)
    assert problem.is_problem and str(file) in problem.what
    assert cache_dirs.VARIABLE in problem.way_out
