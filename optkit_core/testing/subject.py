"""The subject of a check: an algorithm with its options, and what can run it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.errors import GradientError, HyperparameterError, ImplementationError
from optkit_core.selection.collect_offers import OWN_STEP, offers_of
from optkit_core.step.bucket_key import bucket_key_of
from optkit_core.testing.closures import EPOCH
from optkit_core.testing.comparisons import TOLERANCES
from optkit_core.testing.declared_facts import DeclaredFacts
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.problems import SHAPES, GuardedParameters, gradient

Reference = type[torch.optim.Optimizer] | Callable[..., Any]
"""What steps may be compared with: an optimizer class, or a function of NumPy's arrays."""

REFERENCE = "forloop"
"""The implementation that the others must agree with, where there is one."""


@attrs.define(eq=False, slots=False)
class Subject(DeclaredFacts):
    """An algorithm, what it is checked with, and on what.

    Args:
        algorithm: the class.
        dtype: of the parameters.
        device: of the parameters.
        options: hyperparameters and options.
        constant: names of buffers that needn't change.
        min_dim: the fewest dimensions that a parameter has.
        reference: what steps are compared with: a class, or a function of NumPy's arrays.
        golden: the file that pins what steps lead to.
        write_golden: whether the file is to be written, not read.
        notes: what checks have noticed that is no failure.
    """

    algorithm: type[Any]
    dtype: torch.dtype
    device: torch.device
    options: Mapping[str, Any]
    constant: frozenset[str] = frozenset()
    min_dim: int = 0
    reference: Reference | None = None
    golden: Path | None = None
    write_golden: bool = False
    notes: list[str] = attrs.Factory(list)

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        given = [f"{name}={value!r}" for name, value in self.options.items()]
        return ", ".join([self.algorithm.__name__, f"{dtype} on {self.device}", *given])

    def note(self, what: str) -> None:
        """Note something that is no failure: a capability that works though undeclared, say.

        Args:
            what: half a sentence; noted once.
        """
        if what not in self.notes:
            self.notes.append(what)

    def takes_dims(self, dim: int) -> bool:
        """Return whether a parameter may have a number of dimensions.

        Args:
            dim: the number.
        """
        allowed = self.algorithm.parameter_dims
        return dim >= self.min_dim and (allowed is None or dim in allowed)

    @property
    def shapes(self) -> Sequence[tuple[int, ...]]:
        """Those of the parameters that are stepped."""
        return [shape for shape in SHAPES if self.takes_dims(len(shape))]

    @property
    def steps(self) -> int:
        """How many steps are compared: few where roundings add up, in half precision, say."""
        if self.requires_closure:
            return EPOCH
        return 6 if self.dtype.itemsize == 2 else 20

    @property
    def tolerance(self) -> float:
        """How far parameters may differ, and at least how far the entries of their states."""
        return max(TOLERANCES[self.dtype], self.own_tolerances.get(self.dtype, 0.0))

    @cached_property
    def implementations(self) -> tuple[str, ...]:
        """What can run it here, the reference first."""
        able = [name for name in self._names if name not in self.refusals]
        return tuple(sorted(able, key=lambda name: name != REFERENCE))

    @cached_property
    def refusals(self) -> dict[str, str]:
        """What can't run it here, and why."""
        reasons = {name: self.refusal(name) for name in self._names}
        return {name: reason for name, reason in reasons.items() if reason}

    @cached_property
    def unsupported_reason(self) -> str:
        """Why the algorithm can't step such parameters, by whatever implementation, or ``""``."""
        ask = getattr(self.algorithm, "unsupported_reason", None)
        if ask is None:
            return ""
        p = torch.ones([3] * self._fewest_dims, dtype=self.dtype, device=self.device)
        optimizer = self.optimizer([p])
        (group,) = optimizer.param_groups
        layout = torch.strided if self.takes_dense else torch.sparse_coo
        return ask(bucket_key_of(group, p, layout), optimizer.values(group)) or ""

    @property
    def _names(self) -> Sequence[str]:
        return [offer.name for offer in offers_of(self.algorithm)] or [OWN_STEP]

    def refusal(self, name: str, **options: Any) -> str:
        """Return why an implementation can't run, or ``""``; it may say so in the step itself.

        Args:
            name: of the implementation.
            **options: hyperparameters and options beside the subject's.
        """
        p = torch.ones([3] * self._fewest_dims, dtype=self.dtype, device=self.device)
        reason = self._unsupported_reason(name, p, options)
        if reason or not self.has_body:
            return reason
        # A kernel that can't be compiled says so in the first step, not before.
        p.grad = torch.ones_like(p) if self.takes_dense else torch.ones_like(p).to_sparse()
        with prefix_failures(name):
            try:
                self.optimizer([p], name, **options).step()
            except (ImplementationError, GradientError) as error:
                return str(error)
        return ""

    def meta_refusal(self, name: str) -> str:
        """Return why an implementation can't run a capturable step on the meta device, or ``""``.

        Args:
            name: of the implementation.
        """
        p = torch.ones([3] * self._fewest_dims, dtype=self.dtype, device="meta")
        (group,) = self.optimizer([p], capturable=True).param_groups
        algorithm: Any = self.algorithm
        of_algorithm = getattr(algorithm, "unsupported_reason", lambda key, h: None)
        reason = of_algorithm(bucket_key_of(group, p), None)
        return reason or self._unsupported_reason(name, p, {"capturable": True})

    def _unsupported_reason(self, name: str, p: Tensor, options: Mapping[str, Any]) -> str:
        """Return why an implementation says that it can't run a parameter, or ``""``."""
        optimizer = self.optimizer([p], **options)
        (group,) = optimizer.param_groups
        key, h = bucket_key_of(group, p), optimizer.values(group)
        offers = [offer for offer in offers_of(self.algorithm) if offer.name == name]
        reasons = [offer.unsupported_reason(self.algorithm, key, h) or "" for offer in offers]
        return "".join(reasons)

    @property
    def _fewest_dims(self) -> int:
        fewest = max(1, self.min_dim)
        dims: list[int] = [d for d in self.algorithm.parameter_dims or () if d >= fewest]
        return min(dims or [fewest])

    def parameters(self) -> GuardedParameters:
        """Return new parameters, in memory that is watched."""
        return GuardedParameters(self.dtype, self.device, self.shapes)

    def optimizer(self, params: Any, implementation: str = OWN_STEP, **options: Any) -> Any:
        """Return an optimizer of the algorithm; `options` come before those of the check.

        Args:
            params: parameters, or groups of them.
            implementation: its name; `OWN_STEP` (default) where there is none to choose.
            **options: hyperparameters and options.
        """
        asked = "auto" if implementation == OWN_STEP else implementation
        return self.algorithm(params, **{**self.options, **options, "implementation": asked})

    def gradient(self, p: Tensor, position: int, number: int) -> Tensor:
        """Return a parameter's gradient in a step, sparse where the algorithm takes no other.

        Args:
            p: the parameter.
            position: which of the optimizer's it is.
            number: of the step, from 0.
        """
        g = gradient(p, position, number)
        return g if self.takes_dense else g.to_sparse()

    def require_checkable(self) -> None:
        """Raise where the caller asks for what can't be checked.

        Raises:
            ValueError: naming it.
        """
        self.require_known()
        self.optimizer(self.parameters().params)

    def require_known(self) -> None:
        """Raise where the caller names what there isn't.

        Raises:
            ValueError: naming it.
        """
        if self.dtype not in TOLERANCES:
            known = ", ".join(map(str, TOLERANCES))
            raise ValueError(f"dtype must be one of {known}, got {self.dtype!r:.40}.")
        for buffer in self.constant - self.buffers.keys():
            known = ", ".join(self.buffers) or "none"
            name = self.algorithm.__name__
            raise ValueError(f"constant= names {buffer!r}; the buffers of {name} are {known}.")

    def gradient_changed(self, what: str) -> None:
        """Say that a step has changed a gradient.

        Args:
            what: which one it is.

        Raises:
            AssertionError: always.
        """
        raise AssertionError(
            f"the step changed a gradient, {what}; a body must never update g in place"
        )

    def saved(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Return an optimizer's state dict."""
        return optimizer.state_dict()

    def require_option(self, name: str) -> None:
        """Raise unless the algorithm has an option, which may be True.

        Raises:
            NotApplicableError: it hasn't, or it may not.
        """
        if name not in self.algorithm.declarations:
            raise NotApplicableError(f"{self.algorithm.__name__} takes no {name!r}")
        turned_on: dict[str, Any] = {name: True}
        try:
            self.optimizer(self.parameters().params, **turned_on)
        except HyperparameterError as error:
            raise NotApplicableError(str(error)) from error

    def require_body(self) -> None:
        """Raise unless the framework steps the algorithm.

        Raises:
            NotApplicableError: it has a step of its own.
        """
        if not self.has_body:
            raise NotApplicableError(f"{self.algorithm.__name__} has a step of its own")


def params_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the parameters of all groups, in order."""
    return [p for group in optimizer.param_groups for p in group["params"]]
