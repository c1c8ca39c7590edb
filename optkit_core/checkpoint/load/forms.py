"""Forms: thousands of tensors have few forms, so that one example of each is judged for all.

A form is all that a judgment depends on: never the elements, except those of scalars.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

Form = Callable[[Sequence[Tensor], Sequence[int]], Iterator[Hashable]]


def of_parameters(parameters: Sequence[Tensor], groups: Sequence[int]) -> list[int]:
    """Return a number for each parameter, equal for those whose buffers are alike.

    Args:
        parameters: the parameters.
        groups: the position of each one's group, whose options decide on its buffers too.
    """
    known: dict[Hashable, int] = {}
    forms = (
        (group, type(p), p.dtype, p.device, p.shape, p.layout == torch.strided and p.stride())
        for p, group in zip(parameters, groups, strict=True)
    )
    return [known.setdefault(form, len(known)) for form in forms]


def of_values(tensors: Sequence[Tensor], numbers: Sequence[int]) -> Iterator[Hashable]:
    """Return the forms of tensors that are read.

    Args:
        tensors: of the class Tensor itself.
        numbers: those of their parameters.
    """
    return (
        (number, t.dtype, t.layout, t.is_meta, t.shape)
        for t, number in zip(tensors, numbers, strict=True)
    )


def of_scalars(tensors: Sequence[Tensor], _: Sequence[int]) -> Iterator[Hashable]:
    """Return the forms of scalars that are read: their numbers, whatever the parameter.

    Raises:
        RuntimeError: they aren't numbers of one dtype on one device.
    """
    stacked = torch.stack([*tensors])
    if stacked.dim() > 1 or len({t.dtype for t in tensors}) > 1:
        raise RuntimeError("not all of these tensors are numbers of one dtype")
    return iter(stacked.tolist())


def of_buffers(tensors: Sequence[Tensor], numbers: Sequence[int]) -> Iterator[Hashable]:
    """Return the forms of tensors that are written to; see `of_values`.

    Raises:
        RuntimeError: one of them has no strides.
    """
    return (
        (number, t.dtype, t.device, t.shape, t.stride(), t.requires_grad, t.is_inference())
        for t, number in zip(tensors, numbers, strict=True)
    )


def unlike(tensors: Sequence[Tensor], _: Sequence[int]) -> Iterator[Hashable]:
    """Return a form of its own for each tensor: who knows what the judgment depends on."""
    return iter(range(len(tensors)))


def judged(
    judge: Callable[..., bool],
    form: Form,
    numbers: Sequence[int],
    tensors: Sequence[Any],
    *columns: Sequence[Any],
) -> list[bool]:
    """Return what `judge` says of each row; of many alike, an example may stand for all.

    Args:
        judge: is called with a tensor and what else is in its row.
        form: what the judgment depends on, `of_values` for example; where it raises
            RuntimeError, each row is judged.
        numbers: those of the parameters.
        tensors: the first items of the rows; what isn't a plain tensor has no form.
        columns: the other items of the rows.
    """
    if {*map(type, tensors)} == {Tensor}:
        with contextlib.suppress(RuntimeError):
            rows = zip(tensors, *columns, strict=True)
            examples = dict(zip(form(tensors, numbers), rows, strict=True))
            if all(judge(*row) for row in examples.values()):
                return [True] * len(tensors)
    return list(map(judge, tensors, *columns))
