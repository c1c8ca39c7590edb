"""Capabilities: what is declared works, and what works is declared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.selection.capabilities import Answer, Capabilities, capabilities
from optkit_core.testing.comparisons import is_same
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.gradient_check import require_tensor_lr
from optkit_core.testing.problems import random
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import closure_for, take_steps
from optkit_core.testing.subject import Subject

STEPS = 3


def gradient_layouts(subject: Subject) -> None:
    """Step with dense and with sparse gradients, and compare with what is declared."""
    # What is declared is told for the default hyperparameters, others may rule sparse ones out.
    subject = attrs.evolve(subject, options={})
    declared = declared_capabilities(subject)
    _compare("dense gradients", declared.dense, lambda: _step_with(subject, is_sparse=False))
    _compare("sparse gradients", declared.sparse, lambda: _step_with(subject, is_sparse=True))


def complex_parameters(subject: Subject) -> None:
    """Step complex parameters, and compare with what is declared.

    Raises:
        NotApplicableError: they aren't declared.
    """
    answer = declared_capabilities(subject).complex
    _compare("complex parameters", answer, lambda: _assert_steps_complex(subject))
    if not answer:
        raise NotApplicableError(answer.reason)


def recorded_steps(subject: Subject) -> None:
    """Turn on ``differentiable``, and compare with what is declared."""
    answer = declared_capabilities(subject).differentiable
    _compare("differentiable=True", answer, lambda: _record(subject))


def tensor_lr(subject: Subject) -> None:
    """Compare steps with a learning rate that is a tensor with those by its number.

    Raises:
        NotApplicableError: none is declared; where one works all the same, that is noted.
    """
    try:
        require_tensor_lr(subject)
    except NotApplicableError:
        if "lr" in subject.algorithm.declarations:
            with contextlib.suppress(AssertionError):
                _assert_tensor_lr(subject)
                subject.note("a tensor lr works undeclared: annotate it as float | Tensor")
        raise
    _assert_tensor_lr(subject)


def declared_capabilities(subject: Subject) -> Capabilities:
    """Return what an algorithm declares that it can do."""
    return capabilities(subject.algorithm)


def _compare(what: str, answer: Answer, trial: Callable[[], Any]) -> None:
    """Assert that a trial goes through where its subject is declared, and is refused elsewhere."""
    try:
        trial()
    except Exception as error:
        if answer:
            raise AssertionError(
                f"{what} are declared and don't work: {type(error).__name__}: {error}"
            ) from error
        return
    assert answer.is_supported is not False, (
        f"{what} work and are declared as impossible: {answer.reason}"
    )


def _step_with(subject: Subject, is_sparse: bool) -> None:
    """Step with gradients that are dense or sparse; without a zero both mean the same."""
    params = small_parameters(subject)
    before = [p.clone() for p in params]
    optimizer = subject.optimizer(params)
    for number in range(STEPS):
        closure = closure_for(subject, optimizer, 0)
        closure()
        for position, p in enumerate(params):
            g = random(p.shape, p.dtype, position, number, 1).to(p.device)
            p.grad = g.to_sparse() if is_sparse else g
        if subject.requires_closure:
            optimizer.step(lambda kept=closure: kept.losses[0])
        else:
            optimizer.step()
    moved = not all(map(is_same, params, before))
    # In half precision steps may be too small to be seen.
    assert moved or subject.dtype.itemsize == 2, "no parameter moves"


def _assert_steps_complex(subject: Subject) -> None:
    """Assert that complex parameters move in both of their parts, as pairs of real ones do."""
    dtype = subject.dtype.to_complex() if subject.dtype.itemsize > 2 else torch.complex64
    params = small_parameters(subject, dtype)
    before = [p.clone() for p in params]
    optimizer = subject.optimizer(params)
    take_steps(subject, optimizer, range(STEPS))
    for position, (p, q) in enumerate(zip(params, before, strict=True)):
        for part in ("real", "imag"):
            assert not is_same(getattr(p, part), getattr(q, part)), (
                f"the {part} part of parameter {position} doesn't move"
            )
    if getattr(subject.algorithm, "is_elementwise", False):
        _assert_pairs(subject, params, dtype)


def _assert_pairs(subject: Subject, params: list[Tensor], dtype: torch.dtype) -> None:
    """Assert that an elementwise algorithm treats a complex number as two real ones."""
    twins = small_parameters(subject, dtype)
    pairs = [torch.view_as_real(p) for p in twins]
    optimizer = subject.optimizer(pairs)
    source = subject.optimizer(twins)
    for number in range(STEPS):
        closure = closure_for(subject, source, number)
        closure()
        for pair, p in zip(pairs, twins, strict=True):
            pair.grad = None if p.grad is None else torch.view_as_real(p.grad.resolve_conj())
            p.grad = None
        optimizer.step()
    with prefix_failures("a complex parameter goes elsewhere than its parts do"):
        for p, q in zip(params, twins, strict=True):
            torch.testing.assert_close(
                p, q, rtol=subject.tolerance, atol=subject.tolerance, equal_nan=True
            )


def _record(subject: Subject) -> None:
    p = small_parameters(subject)[0].requires_grad_()
    recorded = p.clone()
    options: dict[str, Any] = {"differentiable": True}
    optimizer = subject.optimizer([recorded], **options)
    g = random(p.shape, p.dtype, 1).to(p.device)
    recorded.grad = g if subject.takes_dense else g.to_sparse()
    optimizer.step()
    assert recorded.requires_grad, "autograd hasn't recorded the step"


def _assert_tensor_lr(subject: Subject) -> None:
    for name in subject.implementations:
        outcomes = []
        dtype = torch.promote_types(subject.dtype.to_real(), torch.float32)
        for lr in (0.125, *(torch.tensor(number, dtype=dtype) for number in (0.125, [0.125]))):
            optimizer = subject.optimizer(small_parameters(subject), name, lr=lr)
            take_steps(subject, optimizer, range(STEPS))
            outcomes.append(Snapshot.of(optimizer))
        for outcome in outcomes[1:]:
            with prefix_failures(f"{name} with a tensor lr differs from a number"):
                outcome.assert_agrees(outcomes[0], subject)
