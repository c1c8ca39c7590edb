"""Optimizers whose step is one update body, run by whichever implementation is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, TypeGuard

import torch

from optkit_core.errors import UnavailableError
from optkit_core.planning_optimizer import PlanningOptimizer
from optkit_core.selection.offer import Launch
from optkit_core.shards import agreement, shared_scaling
from optkit_core.shards.open_passes import Completions, OpenLaunch, OpenPasses, are_open, passes_of
from optkit_core.step import graph_capture
from optkit_core.step.garbage_collector import uncollected
from optkit_core.step.group_values import GroupValues
from optkit_core.step.step_plan import BucketOptimizer, PlannedBucket, StepPlan


class BodyOptimizer(PlanningOptimizer):
    """Base of `Layerwise` and `Matrixwise`: parameters step in buckets, by one update body."""

    takes_scaled_gradients: ClassVar[bool] = True
    has_body: ClassVar[bool] = True

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Read the declarations, and which bodies there are."""
        super().__init_subclass__(**keywords)
        # One that writes the sparse body only.
        cls.takes_dense = cls.update is not BodyOptimizer.update or cls.update_sparse is None

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place; the body that a subclass writes.

        Args:
            p: the parameter; update it with in-place methods.
            g: its gradient; never update it in place.
            s: its buffers as attributes, by their declared names; update them in place.
            h: the hyperparameters as attributes; numbers, computed with on the host.
            t: the number of this step, from 1.
        """
        raise NotImplementedError("none is written for dense gradients")

    def forget_plans(self) -> None:
        """Choose anew in the next step what runs each bucket, and plan it anew."""
        super().forget_plans()
        self._completions = Completions()

    def by_buckets(self) -> BucketOptimizer | None:
        """Return the optimizer unless a subclass has an ``advance`` of its own."""
        return self if type(self).advance is BodyOptimizer.advance else None

    def advance(self, closure: Callable[[], Any] | None) -> Any:
        """Call the closure, if there is one, then step every bucket of every group."""
        self.require_ready()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._run(self._ready_launches())
        return loss

    def prepared_step(self) -> Launch:
        """Return what does a step without a closure, with all refusals behind it."""
        if type(self).advance is not BodyOptimizer.advance:
            return partial(self.advance, None)
        self.require_ready()
        launches = self._ready_launches()
        if are_open(launches):
            return OpenLaunch(partial(self._passes, launches))
        return partial(self._run, launches)

    def _run(self, launches: Sequence[tuple[bool, Launch]]) -> None:
        """Step all buckets, and keep no gradient beyond it, nor a plan that can't hold."""
        try:
            self._completions.launch(launches, self._known.are_shared)
        finally:
            self.hide_gradients()
        self._release_plan()

    def _passes(self, launches: Sequence[tuple[bool, Launch]]) -> OpenPasses:
        """Do what `_run` does, with other optimizers side by side."""
        try:
            yield from passes_of(launches)
        finally:
            self.hide_gradients()
        self._release_plan()

    def _release_plan(self) -> None:
        if self._plan is not None:
            keeps = self._plan.release_gradients() and self._parts.outlive_steps
            self._plan = self._plan if keeps else None

    def hide_gradients(self) -> None:
        """Hold no gradient of a DTensor's part beyond the step."""
        self._parts.hide_gradients()

    def _ready_launches(self) -> list[tuple[bool, Launch]]:
        """Return what `_launches` does; where no step is taken, no buffer has begun either."""
        self._begun = []
        launches: list[tuple[bool, Launch]] = []
        try:
            launches = self._launches()
        finally:
            if not launches:
                self.abandon_step()
        return launches

    def abandon_step(self) -> None:
        """Take back what has begun for a step that isn't taken."""
        for state, name in self._begun:
            state.pop(name, None)
        self._plan = None if self._begun else self._plan
        self.hide_gradients()

    def _launches(self) -> list[tuple[bool, Launch]]:
        """Return what steps each bucket; every refusal comes before any update.

        Nothing does where a gradient isn't finite, unless an implementation sees to that itself.
        """
        self.take_scaling()
        if self.scaling.is_known_to_skip:
            return []
        plan = self._current_plan()
        if not plan.sees_to_skipping:
            if self.scaling.skipped():
                return []
            self.scaling.found_inf = None  # no kernel needs to look again
        return self.launches_of(plan)

    def launches_of(self, plan: StepPlan) -> list[tuple[bool, Launch]]:
        """Return what steps the buckets of a plan, and whether autograd records it."""
        launches = [(item.bucket.key.differentiable, self.launch(item)) for item in plan.planned]
        return self.surrounded(launches)

    def surrounded(self, launches: list[tuple[bool, Launch]]) -> list[tuple[bool, Launch]]:
        """Return launches with what is communicated before and after them, if anything is."""
        return self._parts.surrounded(launches)

    def launch(self, item: PlannedBucket) -> Launch:
        """Return what steps a bucket; what turns out not to be able to is chosen no more."""
        bucket = item.bucket
        while True:  # until an offer is left that can, or the selector raises for want of one
            offer = item.choice.offer
            h = None if offer.spans_groups else bucket.hyperparameters[bucket.groups[0]]
            try:
                assert offer.make_launcher is not None
                launch = offer.make_launcher(item.body or type(self), bucket, h)
            except UnavailableError as error:
                self._choose_another(item, str(error))
            else:
                return launch

    def _choose_another(self, item: PlannedBucket, reason: str) -> None:
        """Choose for a bucket again, without what has turned out not to be able to run it."""
        bucket, offer = item.bucket, item.choice.offer
        if self._parts.are_in(bucket):
            agreement.require_impossible(type(self), bucket, offer, reason)
        first = bucket.groups[0]
        group, h = self.param_groups[first], bucket.hyperparameters[first]
        item.choice = self.chooser.choose_without(item.choice, reason, group, h)
        # `kept` is the refused offer's, and gradients may be those of an earlier step.
        bucket.kept = None
        bucket.refresh()

    def take_scaling(self) -> None:
        """Take what a scaler has handed over, and what ranks have found that hold other parts.

        Raises:
            GradientError: ranks have scaled their gradients by different numbers.
        """
        self._known.look_at(self.param_groups)
        self.scaling.update(self)
        # As a member of a composite optimizer it is handed what all ranks know.
        if self._known.are_shared and not self.is_member:
            shared_scaling.share(self.scaling, self.param_groups)

    def _current_plan(self) -> StepPlan:
        """Return the plan of the last step where it still holds, and a new one elsewhere."""
        plan = self._plan
        if self._holds(plan):
            return plan
        # Before any state is allocated, which starts from values of the groups.
        self.check_groups()
        if self._known.are_shared:
            self.chooser.agree(self.param_groups, self.values)
        values = GroupValues(self)
        with uncollected():  # a state of each parameter comes into being, and no garbage
            self._plan = StepPlan(self, values, self.plan_buckets(values))
        return self._plan

    def _holds(self, plan: StepPlan | None) -> TypeGuard[StepPlan]:
        """Return whether a plan still holds, with gradients of DTensors' parts ready to be read."""
        # Compiled code reads shares of gradients by itself, unless these have to be made ready.
        if plan is not None and plan.holds(self):
            return True
        are_current = self._parts.show_gradients()
        return plan is not None and self._parts.are_any and are_current and plan.holds(self)

    def require_ready(self) -> None:
        """Raise where no step can be taken now; a subclass may know more reasons.

        Raises:
            ImplementationError: a CUDA graph is being captured, and a group hasn't
                ``capturable=True``.
        """
        graph_capture.require_capturable(type(self).__name__, self.param_groups)
