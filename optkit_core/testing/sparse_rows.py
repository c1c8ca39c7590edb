"""Sparse rows: a sparse gradient touches its own rows, and a step goes through no other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from optkit_core.testing.capability_claims import declared_capabilities
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.problems import random
from optkit_core.testing.subject import Subject

ROWS, WIDTH = 4096, 8
NAMED = ((3, 17, 3, 4095), (5, 17, 4000))
"""The rows that the gradients of two steps name; one of them twice, to be added up."""


def sparse_rows(subject: Subject) -> None:
    """Take two steps along sparse gradients of a large parameter.

    Raises:
        NotApplicableError: sparse gradients aren't declared, or others may move with them.
    """
    answer = declared_capabilities(subject).sparse
    if not answer:
        raise NotApplicableError(answer.reason)
    if subject.options or subject.requires_closure:
        raise NotApplicableError("with these options, or along a loss, other rows may move")
    for name in subject.implementations:
        with contextlib.suppress(NotApplicableError), prefix_failures(name):
            _assert_rows(subject, name)


def _assert_rows(subject: Subject, name: str) -> None:
    p = random((ROWS, WIDTH), subject.dtype, 1).to(subject.device)
    optimizer = subject.optimizer([p], name)
    before = p.clone()
    p.grad = _gradient(p, NAMED[0])
    try:
        optimizer.step()
    except RuntimeError as error:  # of an implementation that takes dense gradients only
        raise NotApplicableError(str(error)) from error
    named = sorted(set(NAMED[0]))
    moved = _rows_apart(p, before)
    assert moved == named, (
        f"a sparse gradient of the rows {named} moves {len(moved)} rows: {moved[:5]}"
    )
    for entry, value in optimizer.state[p].items():
        if isinstance(value, Tensor) and value.shape == p.shape:
            changed = _rows_apart(value, value[0].expand_as(value))
            assert set(changed) <= set(named), f"{entry} changes in other rows: {changed[:5]}"
    # The first step may allocate state of the parameter's size.
    p.grad = _gradient(p, NAMED[1])
    with LargeResults(p.numel(), [p, *optimizer.state[p].values()]) as large:
        optimizer.step()
    assert not large.found, (
        f"a step along a sparse gradient makes a dense tensor of its parameter's size: "
        f"{large.found}"
    )


class LargeResults(TorchDispatchMode):
    """Notes which operations result in large dense tensors that weren't there before.

    Args:
        size: the number of elements from which on a tensor is large.
        known: the tensors that are there.

    Attributes:
        found: the names of the operations.
    """

    def __init__(self, size: int, known: Iterable[Any]) -> None:
        """Begin with none."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.size = size
        self.known = {id(item) for item in known}
        self.found: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        """Call an operation, and look at its result."""
        result = function(*arguments, **(keywords or {}))
        is_dense = isinstance(result, Tensor) and result.layout == torch.strided
        if is_dense and result.numel() >= self.size and id(result) not in self.known:
            self.found.append(str(function))
        return result


def _gradient(p: Tensor, rows: tuple[int, ...]) -> Tensor:
    values = random((len(rows), WIDTH), p.dtype, *rows[:2]).to(p.device)
    indices = torch.tensor([rows], device=p.device)
    return torch.sparse_coo_tensor(indices, values, p.shape, check_invariants=True)


def _rows_apart(one: Tensor, other: Tensor) -> list[int]:
    found: list[int] = (one != other).any(1).nonzero().flatten().tolist()
    return found
