"""Gradient check: what autograd says of recorded steps is what differences say."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.problems import random
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.step_requirements import require_recordable
from optkit_core.testing.subject import REFERENCE, Subject

SIZES = (3, 2, 2, 2)
"""Of parameters; there are two steps for each element of them and of each gradient, twice."""

STEPS = 2
"""The second one goes through the state that the first has left."""


def gradcheck(subject: Subject) -> None:
    """Check derivatives of two steps by their parameters and gradients, and by a tensor lr.

    Raises:
        NotApplicableError: autograd can't record its steps.
    """
    require_recordable(subject)
    for position, p in enumerate(small_parameters(subject, _dtype(subject), SIZES)):
        grads = [random(p.shape, p.dtype, position, number, 5) for number in range(STEPS)]
        inputs = [t.to(subject.device).requires_grad_() for t in (p, *grads)]
        with prefix_failures(f"derivatives by a parameter of shape {list(p.shape)} and gradients"):
            torch.autograd.gradcheck(lambda *given: _stepped(subject, given, {}), inputs)


def gradcheck_lr(subject: Subject) -> None:
    """Check derivatives of two steps by the learning rate, where it may be a tensor.

    Raises:
        NotApplicableError: it may not, or autograd can't record its steps.
    """
    require_recordable(subject)
    require_tensor_lr(subject)
    p = small_parameters(subject, _dtype(subject), SIZES)[-1]
    given = [p, *(random(p.shape, p.dtype, number, 5) for number in range(STEPS))]
    fixed = [t.to(subject.device) for t in given]
    lr = torch.tensor(float(_lr(subject)), dtype=torch.float64, requires_grad=True)
    with prefix_failures("derivatives by a tensor lr"):
        assert _stepped(subject, fixed, {"lr": lr})[0].requires_grad, "there are none"
        # Through a float32 buffer, such as ASGD's rate, smaller differences would be rounded away.
        torch.autograd.gradcheck(
            lambda rate: _stepped(subject, fixed, {"lr": rate}), [lr], eps=1e-4, atol=1e-3
        )


def require_tensor_lr(subject: Subject) -> None:
    """Raise unless the algorithm declares that its lr may be a tensor.

    Raises:
        NotApplicableError: it doesn't.
    """
    declared = subject.algorithm.declarations.get("lr")
    if declared is None:
        raise NotApplicableError(f"{subject.algorithm.__name__} takes no 'lr'")
    if "Tensor" not in declared.type:
        raise NotApplicableError(f"its lr is declared as {declared.type or 'anything'}, no Tensor")


def _dtype(subject: Subject) -> torch.dtype:
    # Differences need double precision.
    return torch.complex128 if subject.dtype.is_complex else torch.float64


def _lr(subject: Subject) -> Any:
    defaults = subject.algorithm.default_values
    return subject.options.get("lr", defaults["lr"])


def _stepped(
    subject: Subject, given: tuple[Tensor, ...] | list[Tensor], options: dict[str, Any]
) -> tuple[Tensor, ...]:
    """Return the parameter and its state after steps along the gradients."""
    start, *grads = given
    p = start.clone()
    optimizer = subject.optimizer([p], REFERENCE, differentiable=True, **options)
    for g in grads:
        p.grad = g
        optimizer.step()
    state = optimizer.state[p].values()
    tensors = [v for v in state if isinstance(v, Tensor) and v.requires_grad]
    return (p, *tensors)
