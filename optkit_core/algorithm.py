"""Elementwise algorithms: one update body, run by whichever implementation is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch

from optkit_core import groups, implementations
from optkit_core.buckets import Kind, gather
from optkit_core.declaration import option
from optkit_core.errors import GradientError, ImplementationError, UnavailableError
from optkit_core.implementations import counting
from optkit_core.optimizer import Optimizer
from optkit_core.planning import GroupPlan, Planned, WatchedStates
from optkit_core.ranges import boolean, one_of
from optkit_core.selector import Offer

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

    _step_supports_amp_scaling = True  # torch.amp.GradScaler asks for this attribute
    offers: ClassVar[tuple[Offer, ...]] = implementations.ELEMENTWISE
    counts_steps: ClassVar[bool] = True
    has_body: ClassVar[bool] = True
    update_sparse: ClassVar[Callable[..., None] | None] = None

    foreach: bool | None = option(
        default=None, range=FLAG, doc="torch's flag for foreach", kw_only=True, by_position=True
    )
    maximize: bool = option(default=False, range=BOOLEAN, doc="ascend", kw_only=True)
    differentiable: bool = option(
        default=False, range=BOOLEAN, doc="record the step for autograd", kw_only=True
    )
    capturable: bool = option(
        default=False, range=BOOLEAN, doc="can be captured in a graph", kw_only=True
    )
    fused: bool | None = option(
        default=None, range=FLAG, doc="torch's flag for fused", kw_only=True
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
        return loss

    def _prepared(self) -> list[tuple[bool, Callable[[], None]]]:
        """Return what steps each bucket; every refusal comes before any update.

        Nothing does where a gradient isn't finite, unless an implementation sees to that itself.
        """
        self.scaling.update(self)
        if self.scaling.is_known_to_skip:
            return []
        plans = self._current_plans()
        if not all(plan.sees_to_skipping for plan in plans) and self.scaling.skipped():
            return []
        launches = []
        for group, plan in zip(self.param_groups, plans, strict=True):
            h = self.values(group)
            for item in plan.planned:
                refusal = self.refuse(item.bucket.kind, h)
                if refusal:
                    raise GradientError(refusal)
                launches.append((item.bucket.kind.differentiable, self.launch(group, item, h)))
        return launches

    def launch(self, group: dict[str, Any], item: Planned, h: Any) -> Callable[[], None]:
        """Return what steps a bucket; what turns out not to be able to is chosen no more."""
        while True:
            try:
                launch: Callable[[], None] = item.choice.offer.prepare(type(self), item.bucket, h)
            except UnavailableError as error:
                bucket = item.bucket
                item.choice = self.choose_without(item.choice, str(error), group, bucket.params, h)
                bucket.kept = None
            else:
                return launch

    def _current_plans(self) -> Sequence[GroupPlan]:
        """Return a plan for each group: the one of the last step where it still holds."""
        kept = self._plans if self._watched and self._watched.holds(self.state) else ()
        if len(self._plans) != len(self.param_groups):
            groups.refuse_overlap(self.param_groups)
        plans = [
            kept[place]
            if place < len(kept) and kept[place].holds(group)
            else GroupPlan(group, self.plan_group(group))
            for place, group in enumerate(self.param_groups)
        ]
        if plans != list(kept):
            is_watched = any(plan.watched for plan in plans)
            self._watched = WatchedStates(self.state) if is_watched else None
            self._plans = plans
        return plans

    def plan_group(self, group: dict[str, Any], is_compiled: bool = False) -> list[Planned]:
        """Return the buckets of a group, with their state and with what runs each.

        Args:
            group: the parameter group.
            is_compiled: whether compiled code calls the step.

        Raises:
            GradientError: gradients of a kind can't be used.
            ImplementationError: an implementation was requested that can't run.
        """
        planned = []
        h = self.values(group)
        for bucket in gather(group, self.scaling, is_compiled):
            refusal = self.refuse(bucket.kind, h)
            if refusal:
                raise GradientError(refusal)
            choice = self.choose(group, bucket.kind, bucket.params, h)
            bucket.attach(self.state, partial(self.allocate, group=group))
            if bucket.kind.capturable and not is_compiled:
                counting.require_capturable(bucket.steps, bucket.kind.device)
            planned.append(Planned(bucket, choice))
        return planned

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
