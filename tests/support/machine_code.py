"""Compile kernels for a GPU without having one, and print what they consist of as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
import triton
from bodies import CALLS, Mixed, calling
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.runtime.jit import MockTensor, create_function_from_signature

import optkit
from optkit_core.implementations.fused.triton_kernel import OPTIONS, kernel_function
from optkit_core.implementations.fused.triton_signature import Signature
from optkit_core.tracing.trace import trace

TYPES = {"chunks": "*i32", "total": "i64", "table": "*i64", "rows": "i64"}
MIXED = (torch.float16, torch.bfloat16, torch.float64, torch.bfloat16)
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
H = SimpleNamespace(lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, lr_decay=0.0)


def every_operation(x: Any, y: Any, z: Any) -> Any:
    total = x
    for call in CALLS.values():
        total = total + call(x, y, z)
    return total


def cases() -> Iterator[tuple[str, Any, torch.dtype, int]]:
    for dtype in DTYPES:
        yield f"adamax {name(dtype)}", optkit.get("adamax"), dtype, 90
    for dtype in (torch.float32, torch.bfloat16):
        yield f"adamax {name(dtype)} on 7.5", optkit.get("adamax"), dtype, 75
    yield "mixed", Mixed, torch.float16, 90
    yield "x * y + z", calling(lambda x, y, z: x * y + z), torch.float32, 90
    yield "adagrad float32", optkit.get("adagrad"), torch.float32, 90
    for dtype in (torch.float32, torch.float64):
        yield f"every operation {name(dtype)}", calling(every_operation), dtype, 90


def name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def compiled(algorithm: Any, dtype: torch.dtype, capability: int) -> Any:
    program, numbers = trace(algorithm, H, 3.0)
    dtypes = MIXED if algorithm is Mixed else (dtype,) * program.operands
    found = kernel_function(Signature(program, dtypes, numbers=(None,) * len(numbers)))
    types = {argument: TYPES.get(argument, "fp64") for argument in found.arg_names}
    target = GPUTarget("cuda", capability, 32)
    options = {**OPTIONS, "num_warps": 4 if len(program.instructions) < 20 else 32}
    return triton.compile(ASTSource(found, types, {}), target=target, options=options)


def facts(built: Any) -> dict[str, Any]:
    code = built.asm["ptx"]
    return {
        "size": len(built.asm["cubin"]),
        "wide loads": len(re.findall(r"ld\.global\.v[24]\.b(?:32|64)", code)),
        "wide stores": len(re.findall(r"st\.global\.v[24]\.b(?:32|64)", code)),
        "fma": len(re.findall(r"\bfma\.rn\.f32", code)),
        "mul": len(re.findall(r"\bmul\.rn\.f32|\bmul\.f32", code)),
        "sqrt": len(re.findall(r"\bsqrt\.rn\.f32", code)),
        "div": len(re.findall(r"\bdiv\.rn\.f32", code)),
        "flushing": re.findall(r"(?:fma|mul|add)\.rn\.ftz\S*", code),
        "approximate": re.findall(r"\S+\.(?:approx|full|ftz)\S*", code),
    }


def specializations() -> list[str]:
    """Return what Triton would compile one kernel for, given arguments of several values."""
    program, numbers = trace(optkit.get("adamax"), H, 3.0)
    places = (torch.float32, *(None for _ in numbers[1:]))
    found = kernel_function(
        Signature(program, (torch.float32,) * 4, torch.float32, places, torch.float32)
    )
    binder = create_function_from_signature(
        found.signature, found.params, make_backend(GPUTarget("cuda", 90, 32))
    )
    words, chunks, flag = (
        torch.zeros(8, dtype=d) for d in (torch.int64, torch.int32, torch.float32)
    )
    given = [
        (chunks[start:], count, words[start:], count, flag[start:], flag[start:], *[number] * 3)
        for start, count, number in ((0, 16, 0.5), (1, 1, 1.0), (0, 2**40, 1e300), (1, 7, 0.0))
    ]
    given.append((torch.int32, 0, torch.int64, 0, torch.float32, torch.float32, 0.0, 0.0, 0.0))
    return [repr(binder(*map(MockTensor.wrap_dtype, some))[1]) for some in given]


if __name__ == "__main__":
    found = {case: facts(compiled(*what)) for case, *what in cases()}
    print(json.dumps({**found, "specializations": specializations()}))
