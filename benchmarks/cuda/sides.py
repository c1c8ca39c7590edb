"""The sides that are compared: optkit's implementations, and what torch.optim has to offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import optkit
from benchmarks.cuda.cases import OURS, Case, groups_of
from optkit_core.implementations.fused import cuda

Make = Callable[[list[dict[str, Any]]], Any]


def makers(algorithm: str) -> dict[str, Make]:
    """Return what makes each side's optimizer of parameter groups."""
    torchs: Any = {"adamax": torch.optim.Adamax, "adagrad": torch.optim.Adagrad}[algorithm]
    fused: Any = {"adamax": torch.optim.Adam, "adagrad": torch.optim.Adagrad}[algorithm]
    return {
        **{name: _ours(algorithm, name) for name in OURS},
        "torch's default": torchs,
        "torch's foreach": lambda groups: torchs(groups, foreach=True),
        f"torch's fused {fused.__name__}": lambda groups: fused(groups, fused=True),
    }


def _ours(algorithm: str, implementation: str) -> Make:
    return lambda groups: optkit.create(algorithm, groups, implementation=implementation)


def steps(
    case: Case, device: torch.device, is_dry: bool = False
) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    """Return the step of each side that can take one, and why the others can't.

    Every side has parameters of its own, and has taken its first step.
    """
    found, refused = {}, {}
    for name, make in makers(case.algorithm).items():
        try:
            step = make(groups_of(case, device, is_dry)).step
            step()
        except (RuntimeError, ValueError, NotImplementedError) as error:
            refused[name] = (str(error).strip() or type(error).__name__).splitlines()[0]
        else:
            found[name] = step
    return found, refused


class Operations(TorchDispatchMode):
    """Counts the operations on tensors; records for a profiler are none."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.namespace == "aten"
        return func(*args, **(kwargs or {}))


def operations(step: Callable[[], Any]) -> int:
    """Return how many operations and kernels a step hands to the device, counted on the host."""
    launches = mock.patch.object(cuda, "launch_tables", wraps=cuda.launch_tables)
    with launches as launched, Operations() as dispatched:
        step()
    return int(dispatched.count + launched.call_count)
