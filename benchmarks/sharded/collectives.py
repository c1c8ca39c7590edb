"""Collectives that a piece of work starts on this rank: how many, and of how many bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from attrs import frozen
from torch.distributed.tensor import DTensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

NAMESPACES = ("c10d", "_c10d_functional")
NOT_SENT = {"wait_tensor", "barrier", "monitored_barrier_"}


@frozen
class Collective:
    """One collective.

    Attributes:
        name: torch's for the operation, without what marks it as in place: ``"allreduce"``.
        sent: bytes that this rank puts in.
    """

    name: str
    sent: int


class Collectives(TorchDispatchMode):
    """Notes the collectives that are started while it is entered, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Collective] = []

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # it is taken apart, and its parts come here
        if func.namespace in NAMESPACES and func._opname not in NOT_SENT:
            self.started.append(Collective(_name(func), _sent(func, args)))
        return func(*args, **(kwargs or {}))


def _name(func: Any) -> str:
    name: str = func._opname
    return name.removesuffix("_").removeprefix("_").replace("all_", "all").replace("_single", "")


def _sent(func: Any, args: Any) -> int:
    """Return the bytes of what goes in: the last of the tensor arguments, as c10d orders them."""
    # c10d names outputs before inputs; the functional forms have inputs alone.
    tensors = [arg for arg in args if any(map(_is_tensor, _pytree.tree_leaves(arg)))]
    return sum(t.nbytes for t in _pytree.tree_leaves(tensors[-1]) if _is_tensor(t))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)
