"""What there is for kernels: compilers, devices, the cache, and what comes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import attrs
import torch

from optkit.cli.doctor import compiler_trial, device_trial, kernel_cache
from optkit.cli.doctor.compiler_trial import Compiler
from optkit.cli.doctor.device_trial import Device
from optkit.cli.doctor.findings import Finding
from optkit.cli.doctor.kernel_cache import KernelCache
from optkit_core.errors import OptkitError
from optkit_core.native import tensor_reader_loader
from optkit_core.plugins import entry_points, hook_calls, installed


@attrs.frozen
class Hardware:
    """What a machine has.

    Args:
        compiler: for C++.
        triton: its version, None where it isn't installed.
        devices: the CPU, then the GPUs.
        native_reader: why it isn't used, ``""`` where it is.
        kernel_cache: where compiled kernels lie.
    """

    compiler: Compiler
    triton: str | None
    devices: tuple[Device, ...]
    native_reader: str
    kernel_cache: KernelCache


def examine(_: object) -> Hardware:
    """Look at everything; compiles a kernel or two where the cache hasn't got them.

    It sets a variable, and is made for a process of its own.
    """
    os.environ[hook_calls.DISABLED] = _others()
    torch.set_num_threads(1)  # threads of the process that this one was forked from aren't here
    return Hardware(
        compiler_trial.examine_compiler(),
        _triton(),
        device_trial.examine_devices(),
        _native_reader(),
        kernel_cache.examine_cache(),
    )


def findings(hardware: Hardware) -> Iterator[Finding]:
    """Yield what doesn't work, and what runs slower than it could."""
    compiler = hardware.compiler
    yield from compiler_trial.findings(compiler)
    yield from kernel_cache.findings(hardware.kernel_cache)
    for device in hardware.devices:
        yield from device_trial.findings(device, compiler.works)
    # Without a compiler there is no reader, and that has been said.
    if hardware.native_reader and compiler.works:
        way_out = "Steps take longer than they need to; nothing else depends on it."
        yield Finding("native reader", hardware.native_reader, way_out, is_problem=False)


def _others() -> str:
    """Return all whole plugins, as the variable that blocks them names them."""
    plugins = installed.plugins(entry_points.PLUGINS)
    return ",".join(f"{plugin.provider.name}:{plugin.name}" for plugin in plugins)


def _triton() -> str | None:
    try:
        return version("triton")
    except PackageNotFoundError:
        return None


def _native_reader() -> str:
    try:
        return tensor_reader_loader.unavailable_reason() or ""
    except OptkitError as error:
        return str(error)
