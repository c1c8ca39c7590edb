"""A kernel cache of one test's own, and steps and compilers to try it with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import optkit
from optkit_core.implementations.fused import cpp_kernel
from optkit_core.native import cache_dirs, compile_failures, compiler

SOURCE = 'extern "C" int answer() { return 42; }\n'


def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a directory for kernels that no kernel of this process comes from; a fixture.

    Make it one by ``named = pytest.fixture(kernels.named)``.
    """
    made = tmp_path / "kernels"
    monkeypatch.setenv(cache_dirs.VARIABLE, str(made))
    monkeypatch.delenv(compiler.VARIABLE, raising=False)
    forget()
    yield made
    forget()


def forget() -> None:
    """Let this process know neither kernels nor refusals."""
    cpp_kernel.load_kernel.cache_clear()
    compile_failures.forget_all()


def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the command line wide tables; a fixture like `named`."""
    monkeypatch.setenv("COLUMNS", "200")


def optimizer_for_fused(**options: Any) -> Any:
    """Return an optimizer of parameters with gradients, for which fused pays."""
    params = [torch.nn.Parameter(torch.ones(5000)) for _ in range(4)]
    for p in params:
        p.grad = torch.ones_like(p)
    return optkit.create("adamax", params, **options)


def stepped(**options: Any) -> Any:
    """Take a step that fused pays for, and return the choice."""
    optimizer = optimizer_for_fused(**options)
    optimizer.step()
    return optimizer.plan[0]


def script(path: Path, text: str) -> Path:
    """Write a shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be no compiler."""
    monkeypatch.setenv(compiler.VARIABLE, "/nonexistent/c++")
