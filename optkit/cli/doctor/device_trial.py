"""Devices: which there are, and what steps parameters on them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import attrs
import torch

from optkit.cli.doctor.findings import Finding
from optkit_core.errors import OptkitError, UnavailableError


@attrs.frozen
class Device:
    """A device, and what steps parameters on it.

    Args:
        name: as torch has it.
        description: what it is.
        runs: the implementation that ``"auto"`` takes; ``""`` where nothing could be stepped.
        fused: why ``"fused"`` can't run there, ``""`` where it can.
        reason: why nothing could be stepped.
    """

    name: str
    description: str
    runs: str
    fused: str
    reason: str = ""


def examine_devices() -> tuple[Device, ...]:
    """Step a small parameter on the CPU, and on each GPU."""
    gpus = (f"cuda:{number}" for number in range(torch.cuda.device_count()))
    return tuple(_device(name) for name in ("cpu", *gpus))


def _device(name: str) -> Device:
    try:
        return Device(name, _description(name), _stepped(name, "auto"), _fused_reason(name))
    # torch raises the last two for a device that it can't use.
    except (OptkitError, RuntimeError, AssertionError) as error:
        return Device(name, "", "", "", _first_line(error))


def _description(name: str) -> str:
    if name == "cpu":
        return f"{os.cpu_count()} cores"
    properties = torch.cuda.get_device_properties(name)
    memory = properties.total_memory / 2**30
    return f"{properties.name}, {memory:.0f} GiB, capability {properties.major}.{properties.minor}"


def _fused_reason(name: str) -> str:
    try:
        _stepped(name, "fused")
    except Exception as error:  # whatever a compiler of kernels may raise
        return _first_line(error)
    return ""


def _first_line(error: Exception) -> str:
    # CUDA's errors go on for lines about how to debug kernels.
    return next(iter(str(error).splitlines()), type(error).__name__)


def _stepped(name: str, implementation: str) -> str:
    """Step a small parameter, and return which implementation did it."""
    # Not by its name, which somebody may have replaced.
    from optkit_plugins.adamax import Adamax

    parameter = torch.nn.Parameter(torch.ones(8, device=name))
    parameter.grad = torch.ones_like(parameter)
    optimizer = Adamax([parameter], lr=0.5, implementation=implementation)
    optimizer.step()
    # The first step of Adamax goes by lr along the gradient's sign.
    if not torch.allclose(parameter.detach().cpu(), torch.full((8,), 0.5), atol=1e-5):
        raise UnavailableError(f"a step by {implementation!r} went wrong: it led to {parameter}")
    return optimizer.explain().buckets[0].implementation


def findings(device: Device, has_compiler: bool) -> Iterator[Finding]:
    """Yield what can't be done on a device.

    Args:
        device: what was found out about it.
        has_compiler: for C++; without one there is no ``fused`` on the CPU, and that is said there.
    """
    if device.reason:
        yield Finding(device.name, f"nothing can be stepped: {device.reason}", "See the message.")
    elif device.fused and (device.name != "cpu" or has_compiler):
        way_out = "Optimizers there take foreach or the for-loop."
        yield Finding(device.name, f"no fused: {device.fused}", way_out, is_problem=False)
