"""Optimizers whose parameters are sorted into buckets, with a choice of what runs each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, ClassVar

from torch import Tensor

from optkit_core.declaration.buffer_conditions import names_for
from optkit_core.declaration.fields import raise_for
from optkit_core.errors import GradientError
from optkit_core.implementations import step_counters
from optkit_core.optimizer import Optimizer
from optkit_core.param_groups import admissible, groups
from optkit_core.param_groups.known_groups import KnownGroups
from optkit_core.shards.replaced_parameters import ReplacedParameters
from optkit_core.step.attach_states import attach_states
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket
from optkit_core.step.gradient_layouts import layout_complaint
from optkit_core.step.group_values import GroupValues
from optkit_core.step.shapes import require_shapes
from optkit_core.step.sort_into_buckets import gather
from optkit_core.step.step_plan import PlannedBucket, StepPlan


class PlanningOptimizer(Optimizer):
    """Plans a step: which parameters step together, with what state, and what runs them."""

    counts_steps: ClassVar[bool] = True
    is_elementwise: ClassVar[bool] = False
    takes_dense: ClassVar[bool] = True
    update_sparse: ClassVar[Callable[..., None] | None] = None

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
        self._known = KnownGroups()
        self._replaced = ReplacedParameters()
        self._begun: list[tuple[dict[str, Any], str]] = []

    def _take_in(self, group: dict[str, Any]) -> None:
        """Take a group in, and agree with other ranks that hold it on what runs it."""
        super()._take_in(group)
        self.chooser.agree([group], self.values)

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
        buckets = self._sorted(values, is_compiled)
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

    def _sorted(self, values: GroupValues, is_compiled: bool) -> list[Bucket]:
        """Return the parameters that have a gradient in buckets, as yet without state."""
        # What a compiler sees of a body that reduces knows nothing of the other ranks' parts; it
        # sees through DTensors, but not through what ranks exchange.
        if not is_compiled or self.is_elementwise or self.needs_whole_matrices:
            self._parts.note(type(self), self.param_groups, values)
            self._parts.show_gradients()
        return gather(
            self.param_groups,
            values,
            self.scaling,
            is_compiled,
            algorithm=type(self),
            counts_as_plain=self._parts.take,
            refused_by=self.chooser.agreement.refused if self._known.are_shared else None,
        )

    def _attach(self, bucket: Bucket) -> None:
        """Give a bucket its states, and note which of them the body is to begin."""
        names = [name for name in bucket.names if self.buffers[name].is_set_by_body]
        attach_states(bucket, self.state, self._allocate, names)
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
