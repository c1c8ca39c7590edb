"""Optimizers whose step is one update body, run by whichever implementation is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor

from optkit_core.declaration.buffer_conditions import names_for
from optkit_core.declaration.fields import raise_for
from optkit_core.errors import GradientError, UnavailableError
from optkit_core.implementations import step_counters
from optkit_core.optimizer import Optimizer
from optkit_core.param_groups import admissible, groups
from optkit_core.selection.offer import Launch
from optkit_core.shards import agreement, shared_scaling
from optkit_core.shards.open_passes import Completions, OpenLaunch, OpenPasses, are_open, passes_of
from optkit_core.shards.placements import are_any_distributed
from optkit_core.shards.replaced_parameters import ReplacedParameters
from optkit_core.step import graph_capture
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket
from optkit_core.step.garbage_collector import uncollected
from optkit_core.step.gradient_layouts import layout_complaint
from optkit_core.step.group_values import GroupValues
from optkit_core.step.shapes import require_shapes
from optkit_core.step.sort_into_buckets import gather
from optkit_core.step.step_plan import BucketOptimizer, PlannedBucket, StepPlan


class BodyOptimizer(Optimizer):
    """Base of `Layerwise` and `Matrixwise`: parameters step in buckets, by one update body."""

    takes_scaled_gradients: ClassVar[bool] = True
    counts_steps: ClassVar[bool] = True
    has_body: ClassVar[bool] = True
    is_elementwise: ClassVar[bool] = False
    takes_dense: ClassVar[bool] = True
    update_sparse: ClassVar[Callable[..., None] | None] = None

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

    @classmethod
    def unsupported_reason(cls, key: BucketKey, h: SimpleNamespace) -> str | None:
        """Return why gradients can't be used, None where they can; a subclass may know more.

        Args:
            key: device, dtype, layout and mode of the parameters and their gradients.
            h: the hyperparameters as attributes.
        """
        return layout_complaint(cls, key) or None

    def forget_plans(self) -> None:
        """Choose anew in the next step what runs each bucket, and plan it anew."""
        super().forget_plans()
        self._plan: StepPlan | None = None
        self._parts = self.parts_class()
        self._group_count = 0
        self._is_shared = False
        self._replaced = ReplacedParameters()
        self._completions = Completions()
        self._begun: list[tuple[dict[str, Any], str]] = []

    def _take_in(self, group: dict[str, Any]) -> None:
        """Take a group in, and agree with other ranks that hold it on what runs it."""
        super()._take_in(group)
        self.chooser.agree([group], self.values)

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
            self._completions.launch(launches)
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
                if self._parts.are_in(bucket):
                    agreement.require_impossible(type(self), bucket, offer, str(error))
                group = self.param_groups[bucket.groups[0]]
                h = bucket.hyperparameters[bucket.groups[0]]
                item.choice = self.chooser.choose_without(item.choice, str(error), group, h)
                # `kept` is the refused offer's, and gradients may be those of an earlier step.
                bucket.kept = None
                bucket.refresh()
            else:
                return launch

    def take_scaling(self) -> None:
        """Take what a scaler has handed over, and what ranks have found that hold other parts.

        Raises:
            GradientError: ranks have scaled their gradients by different numbers.
        """
        self._look_at_groups()
        self.scaling.update(self)
        # As a member of a composite optimizer it is handed what all ranks know.
        if self._is_shared and not self.is_member:
            shared_scaling.share(self.scaling, self.param_groups)

    def _look_at_groups(self) -> None:
        """Look at parameters when groups have come: those that are there have been looked at."""
        if self._group_count != len(self.param_groups):
            groups.require_no_overlap(self.param_groups)
            self._group_count = len(self.param_groups)
            self._is_shared = are_any_distributed(self.param_groups)

    def _current_plan(self) -> StepPlan:
        """Return the plan of the last step where it still holds, and a new one elsewhere."""
        plan = self._plan
        if self._parts.show_gradients() and plan is not None and plan.holds(self):
            return plan
        # Before any state is allocated, which starts from values of the groups.
        self.check_groups()
        if self._is_shared:
            self.chooser.agree(self.param_groups, self.values)
        values = GroupValues(self)
        with uncollected():  # a state of each parameter comes into being, and no garbage
            self._plan = StepPlan(self, values, self.plan_buckets(values))
        return self._plan

    def check_groups(self) -> None:
        """Check values and parameters of all groups, which anybody may have changed.

        Raises:
            GroupError: a parameter can't be stepped; an engine may have sharded it meanwhile.
            HyperparameterError: the constructor would refuse a value.
        """
        for group in self.param_groups:
            groups.check_group(type(self), group)
            admissible.require_admissible(type(self), self.param_groups, group)

    def plan_buckets(self, values: GroupValues, is_compiled: bool = False) -> list[PlannedBucket]:
        """Return the buckets of all groups, with their state and with what runs each.

        Args:
            values: the hyperparameters of the groups.
            is_compiled: whether compiled code calls the step.

        Raises:
            GradientError: gradients can't be used.
            ImplementationError: an implementation was requested that can't run.
            ParametersError: a model has replaced parameters by DTensors.
            ShapeError: a parameter is of another shape than its state or its gradient.
        """
        self._begun = []
        self._replaced.require_none(self.param_groups)
        # What a compiler sees of a body that reduces knows nothing of the other ranks' parts; it
        # sees through DTensors, but not through what ranks exchange.
        if not is_compiled or self.is_elementwise or self.needs_whole_matrices:
            self._parts.note(type(self), self.param_groups, values)
            self._parts.show_gradients()
        buckets = gather(
            self.param_groups,
            values,
            self.scaling,
            is_compiled,
            algorithm=type(self),
            counts_as_plain=self._parts.take,
            refused_by=self.chooser.agreement.refused if self._is_shared else None,
        )
        planned = [item for bucket in buckets for item in self._chosen(bucket)]
        for item in planned:
            self._attach(item.bucket)
            require_shapes(item.bucket, self.buffers, self.param_groups)
            if item.bucket.key.capturable and not is_compiled:
                step_counters.require_capturable(item.bucket.counters, item.bucket.key.device)
        by_novelty = [
            PlannedBucket(part, item.choice)
            for item in planned
            for part in item.bucket.split_by_novelty()
        ]
        return self._parts.put_into(by_novelty)

    def _attach(self, bucket: Bucket) -> None:
        """Give a bucket its states, and note which of them the body is to begin."""
        names = [name for name in bucket.names if self.buffers[name].is_set_by_body]
        bucket.attach(self.state, self._allocate, names)
        states = [bucket.states[position] for position in bucket.unset]
        self._begun += [(state, name) for state in states for name in names]

    def _chosen(self, bucket: Bucket) -> list[PlannedBucket]:
        """Return what runs a bucket; split by groups where it takes one group at a time."""
        by_group: dict[int, list[int]] = {}
        for position, index in enumerate(bucket.groups):
            by_group.setdefault(index, []).append(position)
        for index in by_group:
            reason = self.unsupported_reason(bucket.key, bucket.hyperparameters[index])
            if reason:
                raise GradientError(reason)
        first = bucket.groups[0]
        group, h = self.param_groups[first], bucket.hyperparameters[first]
        choice = self.choose(group, bucket.key, h)
        if choice.offer.spans_groups or len(by_group) == 1:
            return [PlannedBucket(bucket, choice)]
        return [PlannedBucket(bucket.subset(positions), choice) for positions in by_group.values()]

    def _allocate(self, params: list[Tensor], index: int) -> Iterable[Iterable[tuple[str, Any]]]:
        return self.allocate_all(params, self.param_groups[index])

    def accept_change(self, index: int, name: str) -> bool:
        """Check a value of a group that has changed; return whether the plan may go on.

        Args:
            index: of the group.
            name: of the value.

        Raises:
            HyperparameterError: the constructor would refuse the value.
        """
        declared = self.declarations.get(name)
        if declared is None:
            # What isn't declared changes no step; another list of parameters needs another plan.
            return name != "params"
        group = self.param_groups[index]
        if declared.is_option:
            return False  # it may decide which bucket a parameter is in
        value = group[name]
        kept = declared.check(name, value)
        if kept is not value:
            group[name] = kept
        raise_for(self.values_complaint(group))
        if not self.has_conditions:
            return True
        assert self._plan is not None
        return self._plan.has_buffers(index, names_for(self.buffers, group))

    def require_ready(self) -> None:
        """Raise where no step can be taken now; a subclass may know more reasons.

        Raises:
            ImplementationError: a CUDA graph is being captured, and a group hasn't
                ``capturable=True``.
        """
        graph_capture.require_capturable(type(self).__name__, self.param_groups)
