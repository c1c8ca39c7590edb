"""Declared facts: what an algorithm's class says of itself, as checks ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from optkit_core.declaration.buffers import Buffer


class DeclaredFacts:
    """What is read off the class of an algorithm."""

    algorithm: type[Any]

    @property
    def has_body(self) -> bool:
        """Whether it is an update body that the framework steps."""
        return bool(self.algorithm.has_body)

    @property
    def takes_dense(self) -> bool:
        """Whether gradients may be dense."""
        return getattr(self.algorithm, "takes_dense", True)

    @property
    def requires_closure(self) -> bool:
        """Whether a step can't do without a closure."""
        return bool(self.algorithm.requires_closure)

    @property
    def counts_steps(self) -> bool:
        """Whether the state has a counter."""
        return bool(self.algorithm.counts_steps)

    @property
    def buffers(self) -> Mapping[str, Buffer]:
        """The declared buffers."""
        declared: Mapping[str, Buffer] = self.algorithm.buffers
        return declared

    @property
    def state_buffers(self) -> Mapping[str, Buffer]:
        """The declared buffers, and the counter of steps."""
        declared: Mapping[str, Buffer] = self.algorithm.state_buffers
        return declared

    @property
    def own_tolerances(self) -> Mapping[torch.dtype, float]:
        """How far the algorithm says that implementations may differ."""
        declared: Mapping[torch.dtype, float] = self.algorithm.tolerances
        return declared
