"""What is torch's own affair: each name that it doesn't promise, with what stands in for it.

Nothing else in optkit uses such a name. A name that a release of torch lacks costs speed or a
comfort, and never a result.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd import profiler
from torch.optim import optimizer as optimizers
from torch.utils.hooks import RemovableHandle

HOOKS = {
    f"_optimizer_{action}_{time}_hooks": f"{action}_{time}_hook"
    for action in ("step", "state_dict", "load_state_dict")
    for time in ("pre", "post")
}
"""Where torch keeps an optimizer's hooks, and what it calls one of each kind."""

GRADIENT = "_ZNK3c1010TensorImpl4gradEv"
"""The name under which ``libc10`` exports the function that gives a tensor's gradient."""

T = TypeVar("T", bound=Callable[..., Any])


def is_called_by_compiled_code() -> bool:
    """Return whether Dynamo watches the frames that are called; False where it doesn't tell."""
    callback = _eval_frame_callback()
    return callback is not None and callback() is not None


def break_graph() -> None:
    """End the graph that Dynamo is tracing, if it can be told to."""
    dynamo = getattr(torch, "_dynamo", None)
    if dynamo is not None and hasattr(dynamo, "graph_break"):
        dynamo.graph_break()


def uncompiled(function: T) -> T:
    """Return a function that Dynamo leaves alone, while it compiles those that it calls."""
    try:
        from torch._dynamo.decorators import skip
    except ImportError:
        skip = partial(torch.compiler.disable, recursive=False)
    skipped: Any = skip(function)
    return cast(T, skipped)


def is_profiled() -> bool:
    """Return whether a profiler records; True where torch doesn't tell."""
    return bool(getattr(profiler, "_is_profiler_enabled", True))


def hooks_of(optimizer: torch.optim.Optimizer, table: str) -> list[Callable[..., Any]]:
    """Return the hooks in one of an optimizer's tables of `HOOKS`; none where it is missing."""
    found: Mapping[int, Callable[..., Any]] = getattr(optimizer, table, {})
    return list(found.values())


def has_step_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether a hook is to be called around this optimizer's step."""
    return bool(
        getattr(optimizer, "_optimizer_step_pre_hooks", None)
        or getattr(optimizer, "_optimizer_step_post_hooks", None)
        or getattr(optimizers, "_global_optimizer_pre_hooks", None)
        or getattr(optimizers, "_global_optimizer_post_hooks", None)
    )


def reserve_hook_numbers(optimizer: torch.optim.Optimizer) -> None:
    """Let no hook to come have a number under which a table of this optimizer keeps one."""
    taken = [number + 1 for table in HOOKS for number in getattr(optimizer, table, ())]
    if hasattr(RemovableHandle, "next_id"):
        RemovableHandle.next_id = max([RemovableHandle.next_id, *taken])


def note_tracked_step(optimizer: Any) -> None:
    """Tell a scheduler that its optimizer has stepped."""
    optimizer._opt_called = True


def handles(tensors: Sequence[Tensor]) -> list[int] | None:
    """Return new references to tensors, as torch's functions for C take them.

    Whoever has them has to give each to ``aoti_torch_delete_tensor_object``. None where torch
    makes none.
    """
    make = getattr(getattr(torch._C, "_aoti", None), "unsafe_alloc_void_ptrs_from_tensors", None)
    if make is None:
        return None
    return [_pointer(capsule, None) for capsule in make(list(tensors))]


def exported(names: Sequence[str]) -> list[int] | None:
    """Return the addresses of functions that torch exports for C, None where it lacks one."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        found = [ctypes.cast(library[name], ctypes.c_void_p).value for name in names]
    except (OSError, AttributeError):
        return None
    return [address for address in found if address is not None]


def gradient_function() -> int | None:
    """Return the address of torch's function that gives a tensor's gradient, None without it.

    It takes what `implementation_of` returns. Python's attribute ``grad`` stands in for it.
    """
    library = Path(torch.__file__).parent / "lib" / "libc10.so"
    try:
        return ctypes.cast(ctypes.CDLL(str(library))[GRADIENT], ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None


def implementation_of(tensor: Tensor) -> int:
    """Return where torch keeps what stands behind Python's object of a tensor, 0 if untold."""
    address: int = getattr(tensor, "_cdata", 0)
    return address


def exchange_api() -> int | None:
    """Return where torch's table of DLPack's C functions stands, or None."""
    capsule = getattr(Tensor, "__dlpack_c_exchange_api__", None)
    return None if capsule is None else _pointer(capsule, b"dlpack_exchange_api")


def _pointer(capsule: Any, name: bytes | None) -> int:
    function = ctypes.pythonapi.PyCapsule_GetPointer
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address: int = function(capsule, name)
    return address


@cache
def _eval_frame_callback() -> Callable[[], Any] | None:
    try:
        from torch._C._dynamo.eval_frame import get_eval_frame_callback
    except ImportError:
        return None
    found: Callable[[], Any] = get_eval_frame_callback
    return found
