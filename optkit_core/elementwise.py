"""Elementwise algorithms: one update body, run by whichever implementation is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from optkit_core import implementations
from optkit_core.declaration.fields import option
from optkit_core.declaration.ranges import boolean, one_of
from optkit_core.errors import (
    GradientError,
    ImplementationError,
    ShapeError,
    UnavailableError,
)
from optkit_core.implementations import step_counters
from optkit_core.optimizer import Optimizer
from optkit_core.param_groups import groups
from optkit_core.selection.selector import Offer
from optkit_core.step.buckets import Bucket, Kind, gather
from optkit_core.step.collector import uncollected
from optkit_core.step.plans import GroupValues, Plan, Planned

BOOLEAN = boolean()
FLAG = one_of(None, True, False)


class Elementwise(Optimizer):
    """Base of algorithms whose update of an element depends on that element alone.

    A subclass declares its hyperparameters and buffers and writes `update`, once, in
    plain tensor methods. for-loop and foreach are interpreters of that body.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or group dicts.
        foreach: torch's flag; True means ``implementation="foreach"``, False ``"forloop"``.
        maximize: ascend instead of descend.
        differentiable: let autograd record the step; it runs the for-loop.
        capturable: keep step counters on the device, so that a graph can capture the step.
        fused: torch's flag; True means ``implementation="fused"``, False ``"forloop"``.
        implementation: see `Optimizer`.
    """

    takes_scaled_gradients: ClassVar[bool] = True
    offers: ClassVar[tuple[Offer, ...]] = implementations.ELEMENTWISE
    counts_steps: ClassVar[bool] = True
    has_body: ClassVar[bool] = True
    update_sparse: ClassVar[Callable[..., None] | None] = None

    foreach: bool | None = option(
        default=None,
        range=FLAG,
        doc="torch's flag for foreach",
        kw_only=True,
        by_position=True,
        role="request",
    )
    maximize: bool = option(default=False, range=BOOLEAN, doc="ascend", kw_only=True, role="step")
    differentiable: bool = option(
        default=False,
        range=BOOLEAN,
        doc="record the step for autograd",
        kw_only=True,
        role="step",
    )
    capturable: bool = option(
        default=False, range=BOOLEAN, doc="can be captured in a graph", kw_only=True, role="step"
    )
    fused: bool | None = option(
        default=None, range=FLAG, doc="torch's flag for fused", kw_only=True, role="request"
    )

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
        raise NotImplementedError

    @classmethod
    def refuse(cls, kind: Kind, h: Any) -> str:
        """Return why gradients of a kind can't be used, or ``""``; a subclass may know more.

        Args:
            kind: device, dtype, layout and mode of the parameters and their gradients.
            h: the hyperparameters as attributes.
        """
        sparse = kind.layout == torch.sparse_coo and cls.update_sparse is not None
        if kind.layout == torch.strided or sparse:
            return ""
        layout = str(kind.layout).removeprefix("torch.")
        return (
            f"{cls.__name__} does not support sparse gradients, got one of layout {layout}. Make "
            "the layer's gradient dense, or use an algorithm such as adagrad, which takes "
            "sparse_coo gradients."
        )

    def advance(self, closure: Callable[[], Any] | None) -> Any:
        """Call the closure, if there is one, then step every bucket of every group."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.refuse_uncapturable()
        for differentiable, launch in self._prepared():
            with torch.set_grad_enabled(differentiable):
                launch()
        self._release_gradients()
        return loss

    def _release_gradients(self) -> None:
        """Keep no gradient beyond its step; a plan that can't hold is kept no longer either."""
        if self._plan is not None and not self._plan.release_gradients():
            self._plan = None

    def _prepared(self) -> list[tuple[bool, Callable[[], None]]]:
        """Return what steps each bucket; every refusal comes before any update.

        Nothing does where a gradient isn't finite, unless an implementation sees to that itself.
        """
        self.scaling.update(self)
        if self.scaling.is_known_to_skip:
            return []
        plan = self._current_plan()
        is_scaled = self.scaling.found_inf is not None
        if is_scaled and not plan.sees_to_skipping and self.scaling.skipped():
            return []
        return [(item.bucket.kind.differentiable, self.launch(item)) for item in plan.planned]

    def launch(self, item: Planned) -> Callable[[], None]:
        """Return what steps a bucket; what turns out not to be able to is chosen no more."""
        bucket = item.bucket
        while True:
            offer = item.choice.offer
            h = None if offer.spans_groups else bucket.hyperparameters[bucket.groups[0]]
            try:
                launch: Callable[[], None] = offer.prepare(type(self), bucket, h)
            except UnavailableError as error:
                group = self.param_groups[bucket.groups[0]]
                h = bucket.hyperparameters[bucket.groups[0]]
                item.choice = self.choose_without(item.choice, str(error), group, h)
                bucket.kept = None
                bucket.refresh()
            else:
                return launch

    def _current_plan(self) -> Plan:
        """Return the plan of the last step where it still holds, and a new one elsewhere."""
        plan = self._plan
        if plan is not None and plan.holds(self):
            return plan
        if self._group_count != len(self.param_groups):
            groups.refuse_overlap(self.param_groups)
            self._group_count = len(self.param_groups)
        self.check_groups()
        values = GroupValues(self)
        with uncollected():
            self._plan = Plan(self, values, self.plan_buckets(values))
        return self._plan

    def check_groups(self) -> None:
        """Check the values of all groups, which anybody may have changed.

        Raises:
            HyperparameterError: the constructor would refuse one.
        """
        for group in self.param_groups:
            groups.check_group(type(self), group)

    def plan_buckets(self, values: GroupValues, is_compiled: bool = False) -> list[Planned]:
        """Return the buckets of all groups, with their state and with what runs each.

        Args:
            values: the hyperparameters of the groups.
            is_compiled: whether compiled code calls the step.

        Raises:
            GradientError: gradients of a kind can't be used.
            ImplementationError: an implementation was requested that can't run.
            ShapeError: a parameter is of another shape than its state or its gradient.
        """
        planned = [
            item
            for bucket in gather(
                self.param_groups, values, self.scaling, is_compiled, step_options=self.step_options
            )
            for item in self._chosen(bucket)
        ]
        for item in planned:
            item.bucket.attach(self.state, self._allocate)
            self._require_shapes(item.bucket)
            if item.bucket.kind.capturable and not is_compiled:
                step_counters.require_capturable(item.bucket.steps, item.bucket.kind.device)
        return planned

    def _chosen(self, bucket: Bucket) -> list[Planned]:
        """Return what runs a bucket; split by groups where it takes one group at a time."""
        by_group: dict[int, list[int]] = {}
        for position, index in enumerate(bucket.groups):
            by_group.setdefault(index, []).append(position)
        for index in by_group:
            refusal = self.refuse(bucket.kind, bucket.hyperparameters[index])
            if refusal:
                raise GradientError(refusal)
        first = bucket.groups[0]
        group, h = self.param_groups[first], bucket.hyperparameters[first]
        choice = self.choose(group, bucket.kind, h)
        if choice.offer.spans_groups or len(by_group) == 1:
            return [Planned(bucket, choice)]
        return [Planned(bucket.subset(positions), choice) for positions in by_group.values()]

    def _allocate(self, params: list[Tensor], index: int) -> Iterable[Iterable[tuple[str, Any]]]:
        return self.allocate_all(params, self.param_groups[index])

    def _require_shapes(self, bucket: Bucket) -> None:
        """Raise unless every gradient and buffer is of the shape that its parameter asks for.

        Raises:
            ShapeError: naming the parameter, what differs, and both shapes.
        """
        rows = zip(bucket.params, bucket.grads, bucket.states, strict=True)
        for position, (p, g, state) in enumerate(rows):
            if position not in bucket.new:
                for name, item in self.buffers.items():
                    shape = p.shape if item.rules.is_per_element else item.shape_for(p)
                    if state[name].shape != shape:
                        raise self._shape_error(p, f"buffer {name!r}", state[name])
            if g.shape != p.shape:
                raise self._shape_error(p, "gradient", g)

    def _shape_error(self, parameter: Tensor, what: str, found: Tensor) -> ShapeError:
        return ShapeError(
            f"{groups.label(self.param_groups, parameter)} has shape {tuple(parameter.shape)}, its "
            f"{what} {tuple(found.shape)}. Give both one shape, or begin anew: del "
            "optimizer.state[parameter], and compute the gradient again."
        )

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
            return name != "params"
        group = self.param_groups[index]
        if declared.is_option:
            return False
        value = group[name]
        kept = declared.check(name, value)
        if kept is not value:
            group[name] = kept
        return True

    def refuse_uncapturable(self) -> None:
        """Raise where a CUDA graph is being captured that this step can't be part of.

        Raises:
            ImplementationError: a group hasn't ``capturable=True``.
        """
        if not _cuda_in_use():
            return
        capturing = torch.cuda.is_current_stream_capturing()
        if capturing and not all(group.get("capturable") for group in self.param_groups):
            raise ImplementationError(
                f"{type(self).__name__} is being captured in a CUDA graph, but not every group "
                "has capturable=True; construct it with capturable=True. "
                "[Attempting CUDA graph capture of step()]"
            )


def _cuda_in_use() -> bool:
    in_use: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return in_use
