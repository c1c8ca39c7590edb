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

    Args:
        name: the algorithm's registered name.
        dtype: dtype of the parameters.
        **options: hyperparameters to check it with.

    Raises:
        AssertionError: saying what doesn't hold.

    >>> check("adamax", lr=0.1)
    """
    algorithm = get(name)
    reference = _trajectory(algorithm, "forloop", dtype, options)
    for offer in algorithm.offers:
        assert_agree(_trajectory(algorithm, offer.name, dtype, options), reference)
    assert_agree(_trajectory(algorithm, "forloop", dtype, options, resumed=True), reference)


def _trajectory(
    algorithm: Any, implementation: str, dtype: torch.dtype, options: Any, resumed: bool = False
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1,), (31,), (33, 5), (2, 3, 4, 5), (0,)]
    params = [_random(shape, dtype, generator) for shape in shapes]
    params[3] = params[3].to(memory_format=torch.channels_last)
    optimizer = algorithm(params, implementation=implementation, **options)
    for step in range(20):
        if resumed and step == 10:
            optimizer, params = _revived(optimizer)
        for position, p in enumerate(params):
            g = _random(p.shape, dtype, generator)
            p.grad = None if (step + position) % 5 == 4 else g
        grads = [None if p.grad is None else p.grad.clone() for p in params]
        optimizer.step()
        _assert_untouched(params, grads)
    return params


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
        untouched = p.grad is None if g is None else torch.equal(_given(p.grad), g)
        assert untouched, "the step changed a gradient; a body must never update g in place"


def _given(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor
