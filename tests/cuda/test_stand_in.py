"""What stands in for a GPU does so for as long as it is asked to, whatever ran before."""

from __future__ import annotations

from contextlib import contextmanager
from unittest import mock

import interpreted
import pytest
import torch

import optkit
from optkit_core.implementations.fused import cpu, cuda


def kernels_of_a_step() -> list[str]:
    """Return which kernels a fused step on the CPU runs, C++ or Triton's."""
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    with (
        mock.patch.object(cpu, "make_launcher", wraps=cpu.make_launcher) as by_cpp,
        mock.patch.object(cuda, "make_launcher", wraps=cuda.make_launcher) as by_triton,
    ):
        optkit.create("adamax", [p], implementation="fused").step()
    return ["C++"] * by_cpp.call_count + ["Triton"] * by_triton.call_count


@interpreted.needed
def test_the_interpreter_runs_kernels_within_its_context_only() -> None:
    standing_in = contextmanager(interpreted.standing_in)
    for _ in range(2):
        assert kernels_of_a_step() == ["C++"]
        with pytest.MonkeyPatch.context() as patch, standing_in(patch):
            assert kernels_of_a_step() == ["Triton"]
        with (
            pytest.raises(ArithmeticError),
            pytest.MonkeyPatch.context() as patch,
            standing_in(patch),
        ):
            raise ArithmeticError
