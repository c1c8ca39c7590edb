"""The conformance suite: what every elementwise algorithm must hold, third parties' too.

In a plugin's own tests, one line proves an algorithm::

    optkit_core.testing.check("lion")
"""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core.api import get
from optkit_core.errors import ImplementationError

TOLERANCES = {
    torch.float64: 1e-12,
    torch.float32: 2e-5,
    torch.bfloat16: 4e-2,
    torch.float16: 5e-3,
    torch.complex64: 2e-5,
    torch.complex128: 1e-12,
}
"""How far implementations may differ after some tens of steps: relative to the value,
and absolute for values below one."""


def assert_agree(
    found: Sequence[Tensor], wanted: Sequence[Tensor], dtype: torch.dtype | None = None
) -> None:
    """Assert that tensors agree within the tolerance of their dtype.

    Args:
        found: the tensors of one implementation.
        wanted: those of the reference.
        dtype: whose tolerance counts, where it isn't the tensors' own.

    Raises:
        AssertionError: they don't; says where and by how much.
    """
    for mine, other in zip(found, wanted, strict=True):
        tolerance = TOLERANCES[dtype or other.dtype]
        torch.testing.assert_close(
            mine.detach(), other.detach(), rtol=tolerance, atol=tolerance, equal_nan=True
        )


def check(name: str, dtype: torch.dtype = torch.float32, **options: Any) -> None:
    """Check an elementwise algorithm: implementations agree, nothing else is touched.

    Every implementation that can run here steps parameters of many sizes and layouts, with
    gradients that are missing, laid out otherwise, and, in full precision, not finite; with
    and without ``maximize``; a copy and a pickle continue as the original would have.

    Args:
        name: the algorithm's registered name.
        dtype: dtype of the parameters.
        **options: hyperparameters to check it with.

    Raises:
        AssertionError: saying what doesn't hold.

    >>> check("adamax", lr=0.1)
    """
    algorithm = get(name)
    for maximize in (False, True):
        given = {"maximize": maximize, **options}
        reference = _trajectory(algorithm, "forloop", dtype, given)
        for offer in algorithm.offers:
            if _can_run(algorithm, offer.name, dtype, given):
                assert_agree(_trajectory(algorithm, offer.name, dtype, given), reference)
    assert_agree(_trajectory(algorithm, "forloop", dtype, given, resumed=True), reference)


def _can_run(algorithm: Any, implementation: str, dtype: torch.dtype, options: Any) -> bool:
    try:
        algorithm([torch.zeros(1, dtype=dtype)], implementation=implementation, **options)
    except ImplementationError:
        return False
    return True


def _trajectory(
    algorithm: Any, implementation: str, dtype: torch.dtype, options: Any, resumed: bool = False
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    params = _parameters(dtype, generator)
    optimizer = algorithm(params, implementation=implementation, **options)
    steps = 6 if dtype.itemsize == 2 else 20  # a kernel rounds half types more rarely
    for step in range(steps):
        if resumed and step == steps // 2:
            optimizer, params = _revived(optimizer)
        for position, p in enumerate(params):
            g = _gradient(p, position, generator)
            p.grad = None if (step + position) % 5 == 4 else g
        grads = [None if p.grad is None else p.grad.clone() for p in params]
        optimizer.step()
        _assert_untouched(params, grads)
    return params


def _parameters(dtype: torch.dtype, generator: torch.Generator) -> list[Tensor]:
    """Return parameters of sizes around those of vector registers, and of every layout."""
    shapes = [(0,), (1,), (31,), (33, 5), (63,), (64,), (65,), (7, 9), (2, 3, 4, 5), (9, 20), ()]
    params = [_random(shape, dtype, generator) for shape in shapes]
    params[7] = params[7].t()
    params[8] = params[8].to(memory_format=torch.channels_last)
    params[9] = params[9][:, ::2]
    return params


def _gradient(p: Tensor, position: int, generator: torch.Generator) -> Tensor:
    """Return a contiguous gradient; in one parameter the first elements aren't finite.

    None is near zero in half types, where its square would be lost in the for-loop alone.
    """
    g = _random(p.shape, p.dtype, generator)
    if p.dtype.itemsize == 2:
        g += g.sign() * 0.25
    if position == 2 and p.dtype in (torch.float32, torch.float64):
        tiny = torch.finfo(p.dtype).tiny
        special = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, tiny / 2, 1e30, -1e30]
        g[: len(special)] = torch.tensor(special, dtype=p.dtype)
    return g


def _random(shape: Any, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def _revived(optimizer: Any) -> tuple[Any, list[Tensor]]:
    revived = copy.deepcopy(optimizer)
    if _is_importable(type(optimizer)):
        revived = pickle.loads(pickle.dumps(revived))
    return revived, revived.param_groups[0]["params"]


def _is_importable(cls: type) -> bool:
    return getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is cls


def _assert_untouched(params: list[Tensor], grads: list[Tensor | None]) -> None:
    for p, g in zip(params, grads, strict=True):
        untouched = p.grad is None if g is None else _is_same(_given(p.grad), g)
        assert untouched, "the step changed a gradient; a body must never update g in place"


def _is_same(found: Tensor, wanted: Tensor) -> bool:
    return torch.allclose(found, wanted, rtol=0, atol=0, equal_nan=True)


def _given(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor
