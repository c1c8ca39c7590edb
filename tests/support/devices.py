"""Where the tests of CUDA kernels run: on an NVIDIA GPU, and on the CPU that stands in for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import interpreted
import pytest
import torch
from algorithms import steady
from problems import gradients, set_gradients
from torch import Tensor

from optkit_core import Layerwise
from optkit_core.implementations.fused import cuda, device_table
from optkit_core.native import tensor_reader_loader
from optkit_core.step.grad_scaler import Scaling

HAS_GPU = torch.cuda.is_available() and not torch.version.hip and not interpreted.IS_ON
STEPS = {"cuda": 12, "cpu": 3}
"""How many steps are compared; the interpreter is slow."""

needs_gpu = pytest.mark.skipif(
    not HAS_GPU, reason="needs an NVIDIA GPU, and TRITON_INTERPRET not to be set"
)
PLACES = [
    pytest.param("cuda", marks=needs_gpu, id="gpu"),
    pytest.param("cpu", marks=interpreted.needed, id="interpreter"),
]
ALL_PLACES = [*PLACES, pytest.param("unread", marks=interpreted.needed, id="no reader")]
"""One more where Python looks at every tensor, as it does on a GPU that counts the steps."""

Params = list[torch.nn.Parameter]


def standing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[torch.device]:
    """Run a test on a GPU, and on the CPU that stands in for one.

    Make it a fixture by ``device = pytest.fixture(params=devices.PLACES)(devices.standing)``.
    """
    if request.param == "cuda":
        yield torch.device("cuda", 0)
        return
    if request.param == "unread":
        monkeypatch.setenv(tensor_reader_loader.SWITCH, "0")
    with contextmanager(interpreted.standing_in)(monkeypatch):
        yield torch.device("cpu")


def skipping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU see to it for itself that a step is skipped, as a GPU does."""
    offers = [attrs.evolve(o, skips=o.skips | {"cpu"}) for o in Layerwise.offers]
    monkeypatch.setattr(Layerwise, "offers", tuple(offers))
    monkeypatch.setattr(Scaling, "is_known_to_skip", False)


def noted_launches(monkeypatch: pytest.MonkeyPatch) -> list[list[list[int]]]:
    """Note for each launch the ends of its rows, and which numbers each row takes."""
    noted: list[list[list[int]]] = []
    launch_tables = device_table.launch_tables

    def noting(table: Any, ends: Any, sets: Any) -> Any:
        noted.append([list(ends), list(sets)])
        return launch_tables(table, ends, sets)

    monkeypatch.setattr(cuda, "launch_tables", noting)
    return noted


def on(device: torch.device, params: Sequence[Tensor]) -> Params:
    """Return parameters of the same values and strides in the memory of a device."""
    made = [torch.empty_strided(p.shape, p.stride(), dtype=p.dtype, device=device) for p in params]
    for own, p in zip(made, params, strict=True):
        own.copy_(p.detach())
    return [torch.nn.Parameter(own) for own in made]


def sized(device: torch.device, sizes: Sequence[int], dtype: torch.dtype = torch.float32) -> Params:
    """Return parameters of so many elements each, the same on every device."""
    generator = torch.Generator().manual_seed(0)
    return on(device, [torch.randn(n, generator=generator).to(dtype) for n in sizes])


def run(optimizer: Any, params: Params, steps: int | None = None) -> list[Tensor]:
    """Take steps with the shared gradients, some of them missing; return the parameters."""
    device = params[0].device
    for grads in gradients([p.cpu() for p in params], steps or STEPS[device.type]):
        set_gradients(params, [None if g is None else g.to(device) for g in grads])
        optimizer.step()
    return [p.detach().cpu() for p in params]


def both(
    algorithm: Any,
    params: Sequence[Tensor],
    device: torch.device,
    groups: Callable[[Params], Any] = list,
    **options: Any,
) -> tuple[list[Tensor], list[Tensor]]:
    """Return where the kernel ends, and where the for-loop on the same device ends.

    Args:
        algorithm: the optimizer class.
        params: what to start from.
        device: where to step them.
        groups: what the optimizer is given for its parameters.
        options: of the optimizer.
    """
    found = []
    options = {**steady(algorithm, params[0].dtype), **options}
    for implementation in ("fused", "forloop"):
        own = on(device, params)
        optimizer = algorithm(groups(own), implementation=implementation, **options)
        found.append(run(optimizer, own))
        assert {choice.name for choice in optimizer.plan} == {implementation}
        state = [optimizer.state[p][key] for p in own for key in sorted(optimizer.state[p])]
        found[-1] += [value.detach().cpu().to(own[0].dtype) for value in state]
    return found[0], found[1]
