"""The conformance suite: what every algorithm must hold, third parties' too.

In a plugin's own tests, one line proves an algorithm::

    optkit_core.testing.check("lion")
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from optkit_core.api import get
from optkit_core.testing.check_report import CheckReport
from optkit_core.testing.comparisons import TOLERANCES, assert_agree
from optkit_core.testing.failures import NotApplicableError
from optkit_core.testing.make_subject import subject_of
from optkit_core.testing.parametrized_test import conformance
from optkit_core.testing.requirements import chosen
from optkit_core.testing.subject import Reference

__all__ = ["TOLERANCES", "CheckReport", "assert_agree", "check", "conformance"]


def check(
    algorithm: str | type[torch.optim.Optimizer],
    dtype: torch.dtype = torch.float32,
    *,
    device: str | torch.device = "cpu",
    constant: Iterable[str] = (),
    min_dim: int = 0,
    reference: Reference | None = None,
    golden: str | Path | None = None,
    only: Iterable[str] = (),
    **options: Any,
) -> CheckReport:
    """Check an algorithm: its steps, its implementations, its copies and checkpoints.

    Every implementation that can run here, of the algorithm or added by a plugin, steps
    parameters of many sizes and layouts, with gradients that are missing, laid out otherwise,
    and, in full precision, not finite. Implementations are compared in parameters and in every
    entry of the state. An algorithm with an ``advance`` of its own is checked as far as that
    goes; one that needs a closure gets one over a sum of squares.

    Args:
        algorithm: its registered name, or the class.
        dtype: of the parameters.
        device: of the parameters.
        constant: names of buffers that needn't change with these options.
        min_dim: the fewest dimensions of a parameter, 2 for a body that can't do with fewer
            (default 0). What the algorithm declares as ``parameter_dims`` is heeded anyway.
        reference: what every step is compared with, as for `conformance`. None (default): nothing.
        golden: the file that pins where steps lead, as for `conformance`. None (default): nothing.
        only: ids of the requirements to check; none (default) for all of them.
        **options: hyperparameters to check it with.

    Returns:
        What was covered and what wasn't, with the reasons.

    Raises:
        AssertionError: saying what doesn't hold, and in which implementation.
        ValueError: there is no such buffer, no such requirement, or no tolerance for the dtype,
            or the algorithm is no optimizer class; or what the constructor raises for the options.

    >>> print(check("adamax", lr=0.1, only=["agreement", "modes"]))
    Adamax, float32 on cpu, lr=0.1
    ran: forloop, foreach, fused
    holds: implementations agree
    left out: eval() and train() undo each other: it has no modes
    """
    requirements = chosen(only)
    cls = get(algorithm) if isinstance(algorithm, str) else algorithm
    where = torch.device(device)
    subject = subject_of(
        cls,
        dtype,
        where,
        options,
        constant=frozenset(constant),
        min_dim=min_dim,
        reference=reference,
        golden=None if golden is None else Path(golden),
    )
    held: list[str] = []
    left_out: dict[str, str] = {}
    for requirement in requirements:
        try:
            requirement.require(subject)
            held.append(requirement.title)
        except NotApplicableError as error:
            left_out[requirement.title] = str(error)
    ran, refused = subject.implementations, subject.refusals
    return CheckReport(str(subject), ran, refused, held, left_out, subject.notes)
