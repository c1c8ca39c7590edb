"""Layouts of gradients, dense and sparse, and which of them an algorithm takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

import torch

from optkit_core.step.bucket_key import BucketKey


class Bodies(Protocol):
    """What is asked of an algorithm's class."""

    takes_dense: ClassVar[bool]
    update_sparse: ClassVar[Callable[..., None] | None]


def layout_complaint(algorithm: type[Bodies], key: BucketKey) -> str:
    """Return why gradients of a layout can't be used, ``""`` where they can.

    Args:
        algorithm: the class.
        key: of the bucket of parameters that have them.
    """
    name, has_sparse_body = algorithm.__name__, algorithm.update_sparse is not None
    if key.layout == torch.strided:
        return "" if algorithm.takes_dense else _dense_complaint(name)
    if key.layout == torch.sparse_coo and has_sparse_body:
        return _capturing_complaint(name) if key.capturable else ""
    layout = str(key.layout).removeprefix("torch.")
    return (
        f"{name} does not support sparse gradients, got one of layout {layout}. Make "
        "the layer's gradient dense, or use an algorithm such as adagrad, which takes "
        "sparse_coo gradients."
    )


def _dense_complaint(name: str) -> str:
    return (
        f"{name} does not support dense gradients; use an algorithm that does, "
        "adam for example. [please consider Adam instead]"
    )


def _capturing_complaint(name: str) -> str:
    return (
        f"{name} does not support sparse gradients with capturable=True: how many "
        "of their indices differ is read on the host, which a graph can't record."
    )
