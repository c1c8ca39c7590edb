"""Algorithms that learn from all parameters at once: totals are measured before an update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

from optkit_core.body_optimizer import BodyOptimizer
from optkit_core.declaration import totals
from optkit_core.declaration.totals import Total
from optkit_core.errors import DeclarationError
from optkit_core.implementations.measuring import MeasuringBody
from optkit_core.param_groups import admissible
from optkit_core.selection.offer import Launch
from optkit_core.shards.open_passes import OpenLaunch, OpenPasses, passes_of
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.group_values import GroupValues
from optkit_core.step.measured_buckets import MeasuredBucket
from optkit_core.step.measured_buckets import totals as totals_of
from optkit_core.step.step_plan import BucketOptimizer, PlannedBucket, StepPlan

RECORDED_BY = {"capturable": "a graph", "differentiable": "autograd"}
"""What would have to record a step without the host, by the option that asks for it."""


class WithTotals(BodyOptimizer):
    """Base of algorithms that reduce over all parameters, of all groups, once in each step.

    Such an algorithm derives from it beside `Elementwise` or `Layerwise`, declares its totals by
    `Total` and what it learns from them by `estimate`, and writes two more bodies: `measure` for
    each parameter before `conclude` for all of them. ``update`` comes after these.
    """

    has_totals: ClassVar[bool] = True
    totals: ClassVar[Mapping[str, Total]] = {}
    measuring: ClassVar[MeasuringBody | None] = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Read the declarations, and take the measuring body."""
        super().__init_subclass__(**keywords)
        cls.totals = totals.collect(cls)
        cls.measuring = MeasuringBody(cls) if cls.totals else None
        cls.restricts_parameters |= admissible.is_restricted(cls)  # once totals are known

    @staticmethod
    def measure(p: Any, g: Any, s: Any, h: Any) -> Mapping[str, Any]:
        """Return what one parameter contributes to each total; may update its buffers in place.

        Args:
            p: the parameter, as it was before the step; never update it here.
            g: its gradient; never update it in place.
            s: its buffers as attributes.
            h: the hyperparameters as attributes, and the estimates of the step before.

        Returns:
            A number or a reduction, ``(g * g).sum()`` for example, by the name of each total.
        """
        raise NotImplementedError("measure isn't written")

    @staticmethod
    def conclude(totals: Any, h: Any) -> Mapping[str, Any] | None:
        """Return new values of estimates; None where no update is to follow.

        Args:
            totals: the totals over all parameters as attributes, numbers of Python's.
            h: the hyperparameters of the first group as attributes, and the estimates so far.
        """
        raise NotImplementedError("conclude isn't written")

    @classmethod
    def values_complaint(cls, values: Mapping[str, Any]) -> str:
        """Return why values don't go together: the host has a part in the step."""
        return _complaint(cls.__name__, values) or super().values_complaint(values)

    @classmethod
    def unsupported_reason(cls, key: BucketKey, h: SimpleNamespace) -> str | None:
        """Return why gradients can't be used, None where they can; a subclass may know more.

        Args:
            key: device, dtype, layout and mode of the parameters and their gradients.
            h: the hyperparameters as attributes.
        """
        modes = {name: getattr(key, name) for name in RECORDED_BY}
        return _complaint(cls.__name__, modes) or super().unsupported_reason(key, h)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take further parameters in; the estimates are those that the other groups have.

        Args:
            param_group: see `Optimizer.add_param_group`.
        """
        super().add_param_group(param_group)
        first = self.param_groups[0]
        param_group.update((name, first[name]) for name in self.estimate_names)

    def by_buckets(self) -> BucketOptimizer | None:
        """Return None: a compiler would have to know the estimates before it has the totals."""
        return None

    def plan_buckets(self, values: GroupValues, is_compiled: bool = False) -> list[PlannedBucket]:
        """Return the buckets to be updated, then the same ones to be measured."""
        planned = super().plan_buckets(values, is_compiled)
        assert self.measuring is not None
        return [*planned, *(MeasuredBucket.of(item, self.measuring) for item in planned)]

    def launches_of(self, plan: StepPlan) -> list[tuple[bool, Launch]]:
        """Return what measures all buckets, and then what updates them."""
        measured = [item for item in plan.planned if isinstance(item, MeasuredBucket)]
        if not plan.is_ready:  # what can't be updated is refused before anything is measured
            for item in measured:
                self.launch(item.updated)
            plan.is_ready = True
        launches = [(False, self.launch(item)) for item in measured]
        work = partial(self._measure_and_update, plan, measured, launches)
        return [(False, OpenLaunch(work))] if measured else []

    def _measure_and_update(
        self,
        plan: StepPlan,
        measured: Sequence[MeasuredBucket],
        launches: Sequence[tuple[bool, Launch]],
    ) -> OpenPasses:
        """Measure all buckets, and update them unless there is no need."""
        yield from passes_of(launches)
        h = self.values(self.param_groups[0])
        found = self.conclude(totals_of(self.totals, measured), h)
        if found is None:
            self.abandon_step()
            return
        self._set_estimates(found)
        plan.renew_values(self)
        for item in measured:
            item.updated.renew()
        yield from passes_of([(False, self.launch(item.updated)) for item in measured])

    def _set_estimates(self, found: Mapping[str, Any]) -> None:
        unknown = found.keys() - set(self.estimate_names)
        if unknown:
            raise DeclarationError(
                f"{type(self).__name__}.conclude returned {', '.join(sorted(unknown))}; the "
                f"estimates that it declares are {', '.join(self.estimate_names) or 'none'}."
            )
        new = {name: self.declarations[name].check(name, value) for name, value in found.items()}
        for group in self.param_groups:
            group.update(new)


def _complaint(owner: str, values: Mapping[str, Any]) -> str:
    """Return why a step can't be recorded in which the host has a part, or ``""``."""
    for name, recorder in RECORDED_BY.items():
        if values.get(name):
            return (
                f"{owner} computes with sums over all parameters on the host in each step, which "
                f"{recorder} can't record: {name} must be False, got {values[name]!r:.40}."
            )
    return ""
