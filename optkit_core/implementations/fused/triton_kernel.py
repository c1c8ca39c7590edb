"""Kernels for CUDA: generated Triton source, made into a function that can be launched."""

from __future__ import annotations

import hashlib
import linecache
from functools import lru_cache
from typing import Any

import torch

from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused.triton_signature import Combination, Signature
from optkit_core.implementations.fused.triton_source import source

OPTIONS = {"num_warps": 4, "enable_fp_fusion": False, "enable_reflect_ftz": False}
"""What every kernel is compiled with.

A product and a sum are rounded one by one unless the source says fma, and the functions of
CUDA's mathematical library keep denormal numbers, both as in torch.
"""


@lru_cache(maxsize=1024)
def compile_kernel(signature: Signature | Combination, device: torch.device) -> Any:
    """Return the kernel of a signature, ready to be launched on a device.

    What Triton has compiled is launched as it is: to look at every argument once more takes
    the host as long as the launch itself. The interpreter has nothing to compile.

    Args:
        signature: what the kernel is for.
        device: where it is to run.

    Raises:
        UnavailableError: Triton can't compile it; says why.
    """
    function = kernel_function(signature)
    try:
        # Triton compiles for the device that is the current one.
        with torch.accelerator.device_index(device.index):
            compiled = function.warmup(*_argument_types(signature), grid=(1,), **OPTIONS)
            if compiled is not None:
                compiled[1, 1, 1]  # loads it
    except Exception as error:  # Triton, its compiler and its driver have errors of their own
        raise UnavailableError(f"Triton can't compile the kernel: {error}") from error
    return function if compiled is None else compiled


def _argument_types(signature: Signature | Combination) -> list[torch.dtype | int | float]:
    """Return what stands for the arguments: a dtype for a pointer, a number for a number."""
    reductions: list[torch.dtype] = [torch.float64, torch.float64]
    if isinstance(signature, Combination):
        return [torch.int32, 0, torch.int64, 0, *reductions]
    numbers: list[torch.dtype | float] = [torch.float64]
    if not signature.is_tabled:
        # A float for those that `_number_arguments` calls fp64, a dtype for a pointer.
        numbers = [0.0 if dtype is None else dtype for dtype in signature.numbers]
    flag = [] if signature.found_inf is None else [signature.found_inf]
    own = reductions if signature.slots else []
    return [torch.int32, 0, torch.int64, 0, *flag, *numbers, *own]


@lru_cache(maxsize=1024)
def kernel_function(signature: Signature | Combination) -> Any:
    """Return the function that is launched, which Triton compiles for each device anew."""
    return run_source(source(signature))["fused"]


def run_source(text: str) -> dict[str, Any]:
    """Run generated source as a module and return what it defines.

    Triton reads the functions' source through `linecache`, as tracebacks do, and takes their
    annotations as they are, not as the strings that they would be in this module.
    """
    name = f"<optkit kernel {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"__name__": "optkit_kernel"}
    exec(compile(text, name, "exec", dont_inherit=True), namespace)
    return namespace
