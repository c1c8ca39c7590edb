"""Elementwise algorithms: one update body, run by whichever implementation is chosen."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor

from optkit_core import buffers, implementations
from optkit_core.buckets import Bucket, Kind, gather
from optkit_core.declaration import option
from optkit_core.errors import GradientError, ImplementationError
from optkit_core.optimizer import Optimizer
from optkit_core.ranges import one_of
from optkit_core.selector import Choice, Offer

BOOLEAN = one_of(True, False)
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
    eager_state: ClassVar[bool] = False
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

    def advance(self, closure: Callable[[], Any] | None) -> Any:
        """Call the closure, if there is one, then step every bucket of every group."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._refuse_uncapturable()
        planned = [(group, self._planned(group)) for group in self.param_groups]
        for group, pairs in planned:
            h = self._values(group)
            with torch.set_grad_enabled(group["differentiable"]):
                for bucket, choice in pairs:
                    choice.offer.run(type(self), bucket, h)
        return loss

    def _planned(self, group: dict[str, Any]) -> list[tuple[Bucket, Choice]]:
        """Return a group's buckets with what runs them; a refusal comes before any update."""
        buckets = gather(group, self.state, self._allocate)
        return [(bucket, self.choose(group, bucket.kind)) for bucket in buckets]

    def _values(self, group: dict[str, Any]) -> SimpleNamespace:
        values = {name: group[name] for name in self.hyperparameter_names}
        lr = values.get("lr")
        if isinstance(lr, Tensor) and lr.dim():
            values["lr"] = lr.reshape(())
        return SimpleNamespace(**values)

    def _allocate(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        return buffers.allocate(self.buffers, parameter, group)

    def _accept_group(self, group: dict[str, Any]) -> None:
        super()._accept_group(group)
        if self.eager_state:
            for p in group["params"]:
                self.state[p].update(self._allocate(p, group))

    def _refuse_kind(self, kind: Kind) -> None:
        if kind.layout == torch.strided or (
            kind.layout == torch.sparse_coo and self.update_sparse is not None
        ):
            return
        layout = str(kind.layout).removeprefix("torch.")
        raise GradientError(
            f"{type(self).__name__} does not support sparse gradients, got one of layout {layout}. "
            "Make the layer's gradient dense, or use an algorithm such as adagrad that takes "
            "sparse_coo gradients."
        )

    def _refuse_uncapturable(self) -> None:
        if not _cuda_in_use() or torch.compiler.is_compiling():
            return
        capturing = torch.cuda.is_current_stream_capturing()
        if capturing and not all(group["capturable"] for group in self.param_groups):
            raise ImplementationError(
                f"{type(self).__name__} is being captured in a CUDA graph, but not every group "
                "has capturable=True; construct it with capturable=True."
            )


def _cuda_in_use() -> bool:
    in_use: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return in_use
