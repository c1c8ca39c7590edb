"""Foreign subjects: optimizers of torch's kind that aren't optkit's, and so declare nothing."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.declaration.buffers import Buffer
from optkit_core.selection.collect_offers import OWN_STEP
from optkit_core.testing.failures import NotApplicableError
from optkit_core.testing.problems import SHAPES
from optkit_core.testing.subject import Subject

MAX_DIMS = 4
"""The most dimensions of a parameter that is tried."""

RATE_FACTORS = (1, 10, 100, 1000, 0.1, 0.01, 0.001)
"""What the default learning rate is multiplied by where losses are to fall."""


@attrs.define(eq=False, slots=False)
class ForeignSubject(Subject):
    """An optimizer class that isn't optkit's: what it doesn't declare is found out or left open."""

    has_body = False
    counts_steps = False

    @property
    def buffers(self) -> Mapping[str, Buffer]:
        """None that is declared."""
        return {}

    state_buffers = buffers

    @property
    def own_tolerances(self) -> Mapping[torch.dtype, float]:
        """None that is declared."""
        return {}

    @property
    def option_names(self) -> Sequence[str]:
        """The constructor's arguments."""
        return list(inspect.signature(self.algorithm).parameters)[1:]

    @property
    def learning_rates(self) -> list[float]:
        """The default rate and others, since nobody says where good ones lie; none without it."""
        argument = inspect.signature(self.algorithm).parameters.get("lr")
        default = argument.default if argument else None
        if not isinstance(default, (int, float)):
            return []
        return [default * factor for factor in RATE_FACTORS]

    @property
    def _names(self) -> Sequence[str]:
        return [OWN_STEP]

    @cached_property
    def takes_dense(self) -> bool:
        """Whether gradients may be dense: not if a step takes a sparse one and refuses these."""
        shape = (3,) * self._fewest_dims
        return not self._complaint(shape) or bool(self._complaint(shape, is_sparse=True))

    @cached_property
    def requires_closure(self) -> bool:
        """Whether a step without a closure raises, on the smallest problem there is."""
        step = inspect.signature(self.algorithm.step).parameters.get("closure")
        if step is not None and step.default is inspect.Parameter.empty:
            return True
        return bool(self._complaint((3,) * self._fewest_dims, is_sparse=not self.takes_dense))

    def takes_dims(self, dim: int) -> bool:
        """Return whether a parameter of so many dimensions is taken by the constructor and a step.

        Args:
            dim: the number.
        """
        if dim < self.min_dim:
            return False
        complaint = self._complaint((2,) * dim, is_sparse=not self.takes_dense)
        return self.requires_closure or not complaint

    @cached_property
    def shapes(self) -> Sequence[tuple[int, ...]]:
        """Those of the parameters that it can step; what it says of others is noted."""
        shapes = [shape for shape in SHAPES if len(shape) >= self.min_dim]
        is_sparse = not self.takes_dense
        complaints = {shape: self._complaint(shape, is_sparse) for shape in dict.fromkeys(shapes)}
        refused = [shape for shape, complaint in complaints.items() if complaint]
        if refused and not self.requires_closure:
            listed = ", ".join(str(list(shape)) for shape in refused)
            self.note(f"takes no parameter of shape {listed}: {complaints[refused[0]]}")
            return [shape for shape in shapes if shape not in refused]
        return shapes

    @cached_property
    def _fewest_dims(self) -> int:
        fewest = max(1, self.min_dim)
        for dim in range(fewest, MAX_DIMS + 1):
            try:
                self.optimizer([self._ones((3,) * dim)])
            # Of whatever class: somebody else's code.
            except Exception:
                continue
            return dim
        return fewest

    def _ones(self, shape: tuple[int, ...]) -> Tensor:
        return torch.ones(shape, dtype=self.dtype, device=self.device)

    def _complaint(self, shape: tuple[int, ...], is_sparse: bool = False) -> str:
        """Return what is raised where a parameter takes its first step, ``""`` if nothing is."""
        try:
            p = self._ones(shape)
            p.grad = torch.ones_like(p).to_sparse() if is_sparse else torch.ones_like(p)
            self.optimizer([p]).step()
        # Of whatever class: somebody else's code.
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def require_checkable(self) -> None:
        """Raise where it can't be constructed at all, as its constructor does."""
        self.require_known()
        self.optimizer([self._ones((3,) * self._fewest_dims)])

    def gradient_changed(self, what: str) -> None:
        """Note that a step has changed a gradient: torch's optimizers don't promise otherwise."""
        self.note("steps change gradients in place")

    def saved(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Return a copy of its state dict: torch's optimizers load some tensors as they are."""
        return copy.deepcopy(optimizer.state_dict())

    @cached_property
    def unsupported_reason(self) -> str:
        """Why it steps no parameters of the dtype, as a first step tells; ``""`` where it does."""
        if self.dtype == torch.float32:
            return ""
        return self._complaint((3,) * self._fewest_dims, is_sparse=not self.takes_dense)

    def refusal(self, name: str, **options: Any) -> str:
        """Return nothing: its own step is all that there is."""
        return ""

    def optimizer(self, params: Any, implementation: str = OWN_STEP, **options: Any) -> Any:
        """Return an optimizer in train mode, where it has modes.

        Args:
            params: parameters, or groups of them.
            implementation: `OWN_STEP`.
            **options: the constructor's; they come before those of the check.
        """
        optimizer = self.algorithm(params, **{**self.options, **options})
        # Schedule-free optimizers and those that are written like them start in eval mode.
        getattr(optimizer, "train", lambda: None)()
        return optimizer

    def require_option(self, name: str) -> None:
        """Raise unless the constructor has an argument, which may be True.

        Raises:
            NotApplicableError: it hasn't, or it may not.
        """
        if name not in self.option_names:
            raise NotApplicableError(f"{self.algorithm.__name__} takes no {name!r}")
        turned_on: dict[str, Any] = {name: True}
        try:
            self.optimizer(self.parameters().params, **turned_on)
        except Exception as error:
            raise NotApplicableError(f"{type(error).__name__}: {error}") from error
