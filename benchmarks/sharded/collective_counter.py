"""Collectives that a piece of work starts on this rank: which, and of how many bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from attrs import frozen
from torch.distributed.tensor import DTensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

NAMESPACES = ("c10d", "_c10d_functional")
KINDS = ("reducescatter", "allreduce", "allgather", "alltoall", "broadcast", "scatter", "gather")
"""The names of collectives as they are found in those of torch's operations, without ``_``."""


@frozen
class Collective:
    """One collective.

    Attributes:
        kind: one of `KINDS`.
        sent: bytes that this rank puts in.
    """

    kind: str
    sent: int


class CollectiveCounter(TorchDispatchMode):
    """Notes the collectives that are started while it is entered, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Collective] = []

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    @property
    def sent(self) -> int:
        """Bytes that this rank has put in."""
        return sum(collective.sent for collective in self.started)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # it is taken apart, and its parts come here
        if func.namespace in NAMESPACES:
            self._note(func._opname.replace("_", ""), args)
        return func(*args, **(kwargs or {}))

    def _note(self, name: str, arguments: Any) -> None:
        kind = next((kind for kind in KINDS if kind in name), None)
        if kind is not None:
            self.started.append(Collective(kind, _sent(arguments)))


def _sent(arguments: Any) -> int:
    """Return the bytes of what goes in: c10d names outputs first, functional forms have none."""
    tensors = [found for argument in arguments if (found := _tensors_in(argument))]
    return sum(t.nbytes for t in tensors[-1])


def _tensors_in(argument: Any) -> list[torch.Tensor]:
    return [leaf for leaf in _pytree.tree_leaves(argument) if isinstance(leaf, torch.Tensor)]
