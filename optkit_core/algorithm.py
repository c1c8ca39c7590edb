"""Elementwise algorithms: one update body, run by whichever implementation is chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor

from optkit_core import implementations
from optkit_core.buckets import Bucket, Kind, gather
from optkit_core.declaration import option
from optkit_core.errors import GradientError, ImplementationError
from optkit_core.implementations import counting
from optkit_core.optimizer import Optimizer
from optkit_core.ranges import boolean, one_of
from optkit_core.selector import Choice, Offer

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

    offers: ClassVar[tuple[Offer, ...]] = implementations.ELEMENTWISE
    counts_steps: ClassVar[bool] = True
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
        self._refuse_uncapturable()
        for bucket, choice, h in self._planned():
            with torch.set_grad_enabled(bucket.kind.differentiable):
                choice.offer.run(type(self), bucket, h)
        return loss

    def _planned(self) -> list[tuple[Bucket, Choice, SimpleNamespace]]:
        """Return every bucket with what runs it; each refusal comes before any update."""
        planned = []
        for group in self.param_groups:
            h = self._values(group)
            for bucket in gather(group):
                refusal = self.refuse(bucket.kind, h)
                if refusal:
                    raise GradientError(refusal)
                choice = self.choose(group, bucket.kind)
                bucket.attach(self.state, partial(self.allocate, group=group))
                if bucket.kind.capturable:
                    counting.require_capturable(bucket.steps, bucket.kind.device)
                planned.append((bucket, choice, h))
        return planned

    def _values(self, group: dict[str, Any]) -> SimpleNamespace:
        values = {name: group[name] for name in self.hyperparameter_names}
        lr = values.get("lr")
        if isinstance(lr, Tensor) and lr.dim():
            values["lr"] = lr.reshape(())
        return SimpleNamespace(**values)

    def _refuse_uncapturable(self) -> None:
        if not _cuda_in_use() or torch.compiler.is_compiling():
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
