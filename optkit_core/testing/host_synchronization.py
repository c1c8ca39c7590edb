"""Host synchronization: a step that a graph may capture reads no value back."""

from __future__ import annotations

import torch

from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.subject import Subject

STEPS = 3


def capturable_steps(subject: Subject) -> None:
    """Step on the meta device with ``capturable=True``: there is no value that could be read.

    Raises:
        NotApplicableError: it isn't capturable, or reads values when a step is planned, as long
            as no graph is captured yet.
    """
    subject.require_option("capturable")
    cls = subject.algorithm
    if cls.counts_steps and any(buffer.is_set_by_body for buffer in cls.buffers.values()):
        raise NotApplicableError(
            "whether its body has begun a buffer is read from a counter when a step is planned"
        )
    reasons = {name: subject.meta_refusal(name) for name in subject.implementations}
    able = [name for name, reason in reasons.items() if not reason]
    if not able:
        raise NotApplicableError("; ".join(f"{name}: {why}" for name, why in reasons.items()))
    for name in able:
        with prefix_failures(f"{name} with capturable=True reads values on the host, a step"):
            _step_on_meta(subject, name)


def _step_on_meta(subject: Subject, name: str) -> None:
    params = [p.to("meta") for p in small_parameters(subject)]
    optimizer = subject.optimizer(params, name, capturable=True)
    for _ in range(STEPS):
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
