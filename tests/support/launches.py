"""Step with Triton's own launcher, compiled for a GPU, and print as JSON what is launched.

A driver that runs nothing stands in for CUDA's.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

import optkit
from optkit_core.implementations import fused
from optkit_core.implementations.fused import cuda

STEPS = 4
launched: list[Any] = []


class Launcher:
    def __init__(self, source: Any, metadata: Any) -> None:
        self.types = list(source.signature.values())

    def __call__(self, *arguments: Any) -> None:
        given = arguments[-len(self.types) :]
        plain = [value for value in given if not isinstance(value, torch.Tensor)]
        launched.append({"grid": arguments[:3], "types": self.types, "plain": plain})


class Utilities:
    def get_device_properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": 100_000}

    def load_binary(self, *arguments: Any) -> tuple[int, ...]:
        return 1, 2, 40, 0, 1024


class Driver:
    utils = Utilities()
    launcher_cls = Launcher

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)


def main() -> None:
    driver.set_active(Driver())
    fused.MODULES["cpu"] = "cuda"
    cuda.unsupported_device_reason = lambda device: None
    params = [torch.nn.Parameter(torch.zeros(n)) for n in (5, 0, 5000)]
    optimizer = optkit.create("adamax", params, lr=0.1, implementation="fused")
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = float(step)
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
    print(json.dumps(launched))


if __name__ == "__main__":
    main()
