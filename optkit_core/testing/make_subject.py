"""The subject of a check is made from what the caller names, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from optkit_core.optimizer import Optimizer
from optkit_core.testing.foreign_subject import ForeignSubject
from optkit_core.testing.subject import Subject


def subject_of(
    algorithm: type[torch.optim.Optimizer],
    dtype: torch.dtype,
    device: torch.device,
    options: Mapping[str, Any],
    **further: Any,
) -> Subject:
    """Return an algorithm as the subject of checks, once it is sure that it can be one.

    Args:
        algorithm: the class, whether it is optkit's or not.
        dtype: of the parameters.
        device: of the parameters.
        options: hyperparameters and options.
        **further: the other attributes of `Subject`.

    Raises:
        ValueError: it can't; names what is wrong.
    """
    if not (isinstance(algorithm, type) and issubclass(algorithm, torch.optim.Optimizer)):
        name = getattr(algorithm, "__name__", repr(algorithm))
        raise ValueError(f"{name} isn't an optimizer class, so there is nothing to check.")
    kind = Subject if issubclass(algorithm, Optimizer) else ForeignSubject
    subject = kind(algorithm, dtype, device, options, **further)
    subject.require_checkable()
    return subject
