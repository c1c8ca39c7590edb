"""What is torch's own affair: each name that it doesn't promise, with what stands in for it.

Nothing else in optkit uses such a name. A name that a release of torch lacks costs speed or a
comfort, and never a result.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import profiler

TRACKED = "_wrapped_by_lr_sched"
"""The mark that a scheduler leaves on the function it puts over an optimizer's ``step``."""

SCHEDULES = "_schedulers"
"""Where torch's sequences of schedulers have their members, and the states of these."""

LOCAL_PART = "_local_tensor"
"""Where a DTensor has what this process holds of it."""

SPLIT_FACTOR = "split_factor"
"""Where a placement says in how many pieces a dim was before it was sharded again."""

SPEC = "_spec"
"""Where a DTensor has its mesh and placements; one object serves many tensors."""

PART_AND_SPEC = attrgetter(LOCAL_PART, SPEC)
"""Returns both of a DTensor; raises AttributeError for what has them not."""

FLATTENED = "_fsdp_flattened"
"""The mark of FullyShardedDataParallel on parameters that it has put into a flat one."""

GRADIENT = "_ZNK3c1010TensorImpl4gradEv"
"""The name under which ``libc10`` exports the function that gives a tensor's gradient."""


def is_called_by_compiled_code() -> bool | None:
    """Return whether Dynamo watches the frames that are called; None where torch doesn't tell."""
    callback = _eval_frame_callback()
    return None if callback is None else callback() is not None


def is_profiled() -> bool:
    """Return whether a profiler records; True where torch doesn't tell."""
    # A record at which nobody looks costs 20 µs; one that is missing spoils a profile.
    return bool(getattr(profiler, "_is_profiler_enabled", True))


def let_scale_through(optimizer: Any, is_let_through: bool = True) -> None:
    """Let ``torch.amp.GradScaler`` hand the scale to ``step``, and leave gradients untouched.

    Args:
        optimizer: an optimizer or a class of such.
        is_let_through: whether it is so; otherwise the scaler divides gradients itself.
    """
    optimizer._step_supports_amp_scaling = is_let_through


def note_tracked_step(optimizer: Any) -> None:
    """Tell a scheduler that its optimizer has stepped."""
    optimizer._opt_called = True


def sequence_of(schedule: Any) -> tuple[list[Any], list[int]] | None:
    """Return the schedules and milestones of torch's SequentialLR, None where it doesn't tell."""
    schedules = getattr(schedule, SCHEDULES, None)
    milestones = getattr(schedule, "_milestones", None)
    if not isinstance(schedules, (list, tuple)) or not isinstance(milestones, (list, tuple)):
        return None
    return list(schedules), list(milestones)


def handles(tensors: Sequence[Tensor]) -> list[Any] | None:
    """Return new references to tensors, as torch's functions for C take them, in capsules.

    Whoever has them has to give each to ``aoti_torch_delete_tensor_object``. None where torch
    makes none.
    """
    make = getattr(getattr(torch._C, "_aoti", None), "unsafe_alloc_void_ptrs_from_tensors", None)
    if make is None:
        return None
    capsules: list[Any] = make(list(tensors))
    return capsules


def exported(names: Sequence[str]) -> list[int] | None:
    """Return the addresses of functions that torch exports for C, None where it lacks one."""
    try:
        # Loaded already, so that this loads nothing; on other systems than Linux it isn't found.
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        found = [ctypes.cast(library[name], ctypes.c_void_p).value for name in names]
    except (OSError, AttributeError):
        return None
    return [address for address in found if address is not None]


def gradient_function() -> int | None:
    """Return the address of torch's function that gives a tensor's gradient, None without it.

    It takes what `implementation_of` returns, and is of no use where that is untold. Python's
    attribute ``grad`` stands in for it.
    """
    if not implementation_of(torch.empty(0, device="cpu")):
        return None
    library = Path(torch.__file__).parent / "lib" / "libc10.so"
    try:
        return ctypes.cast(ctypes.CDLL(str(library))[GRADIENT], ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None


def implementation_of(tensor: Tensor) -> int:
    """Return where torch keeps what stands behind Python's object of a tensor, 0 if untold."""
    address: int = getattr(tensor, "_cdata", 0)
    return address


def local_part(distributed: Any) -> Tensor:
    """Return what this rank holds of a DTensor: the tensor itself, not a view of it.

    Where torch doesn't show it, each call returns another view, and steps are planned anew.

    Args:
        distributed: a DTensor.
    """
    part: Tensor | None = getattr(distributed, LOCAL_PART, None)
    if part is None:
        with torch.no_grad():
            part = distributed.to_local()
    return part


def spec_of(distributed: Any) -> Any:
    """Return what says where a DTensor is placed, None where torch doesn't show it.

    Args:
        distributed: a DTensor.
    """
    return getattr(distributed, SPEC, None)


def split_factor(placement: Any) -> int | None:
    """Return in how many pieces a dim was when it was sharded; None where torch doesn't tell.

    Args:
        placement: of a shard; FSDP2 shards the pieces that tensor parallelism has made.
    """
    factor: int | None = getattr(placement, SPLIT_FACTOR, 1 if placement.is_shard() else None)
    return factor


def is_flattened(p: Tensor) -> bool:
    """Return whether a parameter is, or is a piece of, a flat one of FullyShardedDataParallel.

    Where torch doesn't mark them, none is, and what can't step such a piece isn't refused.

    Args:
        p: the parameter.
    """
    return bool(getattr(p, FLATTENED, False))


def exchange_api() -> int | None:
    """Return where torch's table of DLPack's C functions stands, or None."""
    capsule = getattr(Tensor, "__dlpack_c_exchange_api__", None)
    return None if capsule is None else _pointer(capsule, b"dlpack_exchange_api")


def _pointer(capsule: Any, name: bytes) -> int:
    function = ctypes.pythonapi.PyCapsule_GetPointer
    # Without this ctypes takes the address for a C int, and cuts it.
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
