"""What is torch's own affair: each name that it doesn't promise, with what stands in for it.

Nothing else in optkit uses such a name. A name that a release of torch lacks costs speed or a
comfort, and never a result.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import profiler
from torch.optim import optimizer as optimizers
from torch.utils.hooks import RemovableHandle, unserializable_hook

HOOK_KINDS = tuple(
    f"{action}_{time}_hook"
    for action in ("step", "state_dict", "load_state_dict")
    for time in ("pre", "post")
)
"""The kinds of hooks that an optimizer has: each is registered by ``register_`` and its kind."""

TRACKED = "_wrapped_by_lr_sched"
"""The mark that a scheduler leaves on the function it puts over an optimizer's ``step``."""

GRADIENT = "_ZNK3c1010TensorImpl4gradEv"
"""The name under which ``libc10`` exports the function that gives a tensor's gradient."""


def is_called_by_compiled_code() -> bool | None:
    """Return whether Dynamo watches the frames that are called; None where torch doesn't tell."""
    callback = _eval_frame_callback()
    return None if callback is None else callback() is not None


def is_profiled() -> bool:
    """Return whether a profiler records; True where torch doesn't tell."""
    return bool(getattr(profiler, "_is_profiler_enabled", True))


def hooks_of(optimizer: torch.optim.Optimizer, kind: str) -> list[Callable[..., Any]]:
    """Return an optimizer's own hooks of one of the `HOOK_KINDS`."""
    tables: list[Mapping[int, Callable[..., Any]]]
    tables = [getattr(optimizer, table, {}) for table in HOOKS if HOOKS[table] == kind]
    return [hook for table in tables for hook in table.values()]


def has_step_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether a hook is to be called around this optimizer's step, True if untold."""
    own = (getattr(optimizer, table, True) for table in STEP_HOOKS)
    shared = (getattr(optimizers, table, True) for table in GLOBAL_HOOKS)
    return any(own) or any(shared)


def reserve_hook_numbers(optimizer: torch.optim.Optimizer) -> None:
    """Let no hook to come have a number under which a table of this optimizer keeps one."""
    taken = [number + 1 for table in HOOKS for number in getattr(optimizer, table, ())]
    if hasattr(RemovableHandle, "next_id"):
        RemovableHandle.next_id = max([RemovableHandle.next_id, *taken])


def let_scale_through(algorithm: type[torch.optim.Optimizer]) -> None:
    """Let ``torch.amp.GradScaler`` hand the scale to a class's ``step``, gradients untouched."""
    algorithm._step_supports_amp_scaling = True  # type: ignore[attr-defined]


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


class _Bare(torch.optim.Optimizer):
    """An optimizer with nothing in it, but for what torch itself adds to a copy."""

    def __init__(self) -> None:
        """Come to be as a copy does."""
        self.__setstate__({"defaults": {}})


def _holding(owner: object, hook: Callable[..., Any]) -> str:
    """Return under which name an object or a module keeps the table with a hook, or ``""``."""
    tables = {name: v for name, v in vars(owner).items() if isinstance(v, dict)}
    found = (n for n, table in tables.items() if any(v is hook for v in table.values()))
    return next(found, "")


def _table(register: Callable[..., RemovableHandle], owner: object) -> str:
    """Return where an owner keeps the hooks that a function of torch registers."""

    def probe(*_: Any) -> None: ...

    with register(probe):
        return _holding(owner, probe)


_bare = _Bare()

HOOKS = {_table(getattr(_bare, f"register_{kind}"), _bare): kind for kind in HOOK_KINDS}
"""Under which names torch keeps an optimizer's hooks, and of which kind each one's are."""

STEP_HOOKS = tuple(table for table, kind in HOOKS.items() if kind.startswith("step"))

GLOBAL_HOOKS = (
    _table(optimizers.register_optimizer_step_pre_hook, optimizers),
    _table(optimizers.register_optimizer_step_post_hook, optimizers),
)
"""Where `torch.optim.optimizer` keeps the step hooks of all optimizers."""

REMADE = frozenset(vars(_bare)) - HOOKS.keys() - {"defaults"}
"""Other attributes that torch gives a copy by itself."""

MAY_STAY: str = next(iter(vars(unserializable_hook(lambda: None))), "")  # type: ignore[no-untyped-call]
"""The mark of ``torch.utils.hooks.unserializable_hook``: nobody misses this one in a pickle."""
