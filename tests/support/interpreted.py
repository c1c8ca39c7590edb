"""Triton's interpreter, mended where it computes otherwise than a GPU does.

It knows no function of CUDA's library, truncates on the way to bfloat16, rounds a fused
multiply-add twice, and takes the comparison of two scalars for a number where it meets a block;
that of Triton 3.6 has numpy convert arrays of one element to numbers, which numpy 2.4 doesn't.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from optkit_core.implementations import fused, step_counters
from optkit_core.tracing.operations import OPERATIONS

CALLED = {
    name
    for operation in OPERATIONS.values()
    for name in re.findall(r"libdevice\.(\w+)", operation.triton or "")
}
LIBRARY: dict[str, Callable[..., torch.Tensor]] = {
    name: torch.round if name == "rint" else getattr(torch, name) for name in CALLED
}
"""What stands in for each function of ``triton.language.extra.libdevice``."""


@contextmanager
def mended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Mend the interpreter within this context; numpy's warnings are off."""
    from triton.language.extra import libdevice
    from triton.runtime import interpreter

    for name, function in LIBRARY.items():
        monkeypatch.setattr(libdevice, name, _on_handles(function))
    patch_tensor = interpreter._patch_lang_tensor

    def patch_and_mend(tensor: Any, scope: Any) -> None:
        patch_tensor(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patch_and_mend)
    builder = interpreter.InterpreterBuilder
    convert = builder.cast_impl
    monkeypatch.setattr(builder, "create_fma", _fma)
    monkeypatch.setattr(builder, "create_splat", _splat)
    monkeypatch.setattr(builder, "cast_impl", lambda *args: _cast(convert, *args))
    monkeypatch.setattr(
        builder, "create_fp_to_fp", lambda self, x, to, _: _cast(convert, self, x, to)
    )
    with np.errstate(all="ignore"):
        yield


def _on_handles(function: Callable[..., torch.Tensor]) -> Callable[..., Any]:
    def call(*operands: Any) -> Any:
        import triton.language as tl
        from triton.runtime.interpreter import TensorHandle

        data = np.broadcast_arrays(*(x.handle.data for x in operands))
        result = function(*(torch.from_numpy(np.array(x)) for x in data)).numpy()
        shaped = max(operands, key=lambda x: len(x.shape))
        return tl.tensor(TensorHandle(result, shaped.handle.dtype), shaped.type)

    return call


def _splat(self: Any, to: Any, x: Any) -> Any:
    from triton.runtime.interpreter import TensorHandle

    return TensorHandle(np.full(to.shape, np.ravel(x.data)[0]), x.dtype.scalar)


def _fma(self: Any, x: Any, y: Any, z: Any) -> Any:
    from triton.runtime.interpreter import TensorHandle

    wide = np.longdouble if z.data.dtype == np.float64 else np.float64
    exact = x.data.astype(wide) * y.data + z.data
    return TensorHandle(exact.astype(z.data.dtype), z.dtype.scalar)


def _cast(convert: Callable[..., Any], self: Any, x: Any, to: Any) -> Any:
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle

    if tl.bfloat16 not in (x.dtype.scalar, to.scalar):
        return convert(self, x, to)
    data = np.ascontiguousarray(x.data)
    if to.scalar == tl.bfloat16:
        rounded = torch.from_numpy(data).to(torch.bfloat16).view(torch.int16).numpy()
        return TensorHandle(rounded.view(np.uint16), tl.bfloat16)
    widened = torch.from_numpy(data.view(np.int16)).view(torch.bfloat16).float().numpy()
    return TensorHandle(widened, to.scalar)


IS_ON = bool(importlib.util.find_spec("triton")) and os.environ.get("TRITON_INTERPRET") == "1"

needed = pytest.mark.skipif(not IS_ON, reason="needs Triton, and TRITON_INTERPRET=1")


def standing_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the CPU stand in for a CUDA device, with kernels in the interpreter.

    Make it a fixture by ``interpreter = pytest.fixture(interpreted.standing_in)``.
    """
    from optkit_core.implementations.fused import cuda

    monkeypatch.setitem(fused.MODULES, "cpu", "cuda")
    monkeypatch.setattr(cuda, "unsupported_device_reason", lambda device: None)
    monkeypatch.setattr(step_counters, "CAPTURABLE_DEVICES", frozenset({"cpu"}))
    fused._module.cache_clear()
    try:
        with mended(monkeypatch):
            yield
    finally:
        fused._module.cache_clear()
