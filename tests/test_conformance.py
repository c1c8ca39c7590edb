"""The public conformance suite: what holds passes, and each kind of fault is caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from bodies import Branching, Mixed, Timed
from problems import TORCH

import optkit
from optkit_core import Offer, testing
from optkit_core.implementations import FORLOOP


@pytest.mark.parametrize("dtype", testing.TOLERANCES, ids=str)
@pytest.mark.parametrize("name", TORCH)
def test_the_shipped_algorithms_hold(name: str, dtype: torch.dtype) -> None:
    testing.check(name, dtype=dtype, weight_decay=0.1, eps=1e-3)


@pytest.mark.parametrize("algorithm", [Branching, Mixed, Timed], ids=lambda c: c.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64], ids=str)
def test_others_hold(registered: Any, algorithm: type, dtype: torch.dtype) -> None:
    registered("other", algorithm)
    testing.check("other", dtype=dtype)


def flat(algorithm: Any, bucket: Any, h: Any) -> Callable[[], None]:
    """Ignore strides, as torch's fused kernels on CPU do."""

    def plain(tensor: Any) -> Any:
        return torch.as_strided(tensor, (tensor.numel(),), (1,))

    same = {"params": list(map(plain, bucket.params)), "grads": list(map(plain, bucket.grads))}
    states = [
        {key: plain(value) if value.dim() else value for key, value in state.items()}
        for state in bucket.states
    ]
    return FORLOOP.prepare(algorithm, attrs.evolve(bucket, states=states, **same), h)


def forgetful(algorithm: Any, bucket: Any, h: Any) -> Callable[[], None]:
    """Leave out what doesn't fill a vector register."""
    full = [i for i, p in enumerate(bucket.params) if p.numel() % 16 == 0]
    return FORLOOP.prepare(algorithm, bucket.subset(full), h) if full else lambda: None


def scaling_gradients(algorithm: Any, bucket: Any, h: Any) -> Callable[[], None]:
    """Use the gradients' memory for itself."""
    torch._foreach_mul_(bucket.grads, 1.5)
    return FORLOOP.prepare(algorithm, bucket, h)


def never_nan(algorithm: Any, bucket: Any, h: Any) -> Callable[[], None]:
    """Take what isn't finite for something else, as fast-math does."""
    grads = [g.nan_to_num(0.0, 0.0, 0.0) for g in bucket.grads]
    return FORLOOP.prepare(algorithm, attrs.evolve(bucket, grads=grads), h)


def descending(algorithm: Any, bucket: Any, h: Any) -> Callable[[], None]:
    """Forget to maximize."""
    return FORLOOP.prepare(algorithm, attrs.evolve(bucket, maximize=False), h)


FAULTS = [flat, forgetful, scaling_gradients, never_nan, descending]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_faulty_implementation_is_caught(registered: Any, fault: Any) -> None:
    class Faulty(optkit.get("adamax")):  # type: ignore[misc]
        offers = (FORLOOP, Offer("foreach", fault, lambda *_: ""))

    registered("faulty", Faulty)
    with pytest.raises((AssertionError, RuntimeError)):
        testing.check("faulty")


def test_a_body_that_changes_its_gradient_is_caught(registered: Any) -> None:
    class Changing(optkit.get("adamax")):  # type: ignore[misc]
        offers = (FORLOOP,)

        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.sub_(g.mul_(2))

    registered("changing", Changing)
    with pytest.raises(AssertionError, match="changed a gradient"):
        testing.check("changing")


def test_state_outside_the_buffers_is_caught(registered: Any) -> None:
    """A copy or a pickle doesn't know of it."""
    seen: dict[int, Any] = {}

    class Remembering(optkit.get("adamax")):  # type: ignore[misc]
        offers = (FORLOOP,)

        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.sub_(seen.get(p.data_ptr(), g), alpha=0.1)
            seen[p.data_ptr()] = g.clone()

    registered("remembering", Remembering)
    with pytest.raises((AssertionError, RuntimeError)):
        testing.check("remembering")


def test_what_cannot_run_is_passed_over(registered: Any) -> None:
    class Untraceable(optkit.get("adamax")):  # type: ignore[misc]
        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.sub_(g.digamma().clamp(-1, 1), alpha=0.01)

    registered("untraceable", Untraceable)
    testing.check("untraceable")
