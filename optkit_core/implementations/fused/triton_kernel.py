"""Kernels for CUDA: generated Triton source, made into a function that can be launched."""

from __future__ import annotations

import hashlib
import linecache
from functools import lru_cache
from typing import Any

from optkit_core.implementations.fused.triton_source import Signature, source

OPTIONS = {"num_warps": 4, "enable_fp_fusion": False, "enable_reflect_ftz": False}
"""What every kernel is compiled with.

A product and a sum are rounded one by one unless the source says fma, and the functions of
CUDA's mathematical library keep denormal numbers, both as in torch.
"""


@lru_cache(maxsize=1024)
def kernel(signature: Signature) -> Any:
    """Return the function that is launched; Triton compiles it when it is launched first."""
    return module(source(signature))["fused"]


def module(text: str) -> dict[str, Any]:
    """Run generated source as a module and return what it defines.

    Triton reads the functions' source through `linecache`, as tracebacks do.
    """
    name = f"<optkit kernel {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"__name__": "optkit_kernel"}
    exec(compile(text, name, "exec"), namespace)
    return namespace
