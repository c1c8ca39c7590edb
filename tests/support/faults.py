"""What is wrong on purpose: implementations and algorithms that the conformance suite catches.

The mutants, each with the requirement that is for it, aren't repeated here.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import attrs
import torch
from thirdparty import Descent, Lookahead, Whole
from torch import Tensor

from optkit_core import Buffer, Elementwise, at_least, boolean, hyperparameter, option, within
from optkit_core.implementations import FORLOOP

Launch = Callable[[], None]


class Momentum(Elementwise):
    """What the faulty implementations are implementations of."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    decay: float = hyperparameter(default=0.5, range=within(0.0, 1.0))
    eps: float = hyperparameter(default=1e-8, range=at_least(0.0))
    weight_decay: float = hyperparameter(default=0.0, range=at_least(0.0))

    mean = Buffer()
    largest = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        if h.weight_decay:
            g = g.add(p, alpha=h.weight_decay)
        s.mean.lerp_(g, 1 - h.decay)
        s.largest.copy_(s.largest.maximum(g.abs()))
        p.addcdiv_(s.mean, s.largest + h.eps, value=-h.lr / (1 - h.decay**t))


def with_(bucket: Any, **changes: Any) -> Any:
    return attrs.evolve(bucket, kept=None, **changes)


def doing_nothing(algorithm: Any, bucket: Any, h: Any) -> Launch:
    """Is called, and that is all."""
    return lambda: None


def using_the_gradients_memory(algorithm: Any, bucket: Any, h: Any) -> Launch:
    """Works in place where it mustn't."""

    def launch() -> None:
        for g in bucket.grads:
            g.copy_(g * 1.5)
        FORLOOP.make_launcher(algorithm, bucket, h)()

    return launch


def by(algorithm: Any, bucket: Any, h: Any) -> Launch:
    """Return what steps a bucket of one group by other hyperparameters than the group's."""
    return FORLOOP.make_launcher(algorithm, with_(bucket, hyperparameters={bucket.groups[0]: h}), h)


def ignoring(name: str, value: Any) -> Callable[..., Launch]:
    """Return one with a hyperparameter that is always the same."""

    def prepare(algorithm: Any, bucket: Any, h: Any) -> Launch:
        return by(algorithm, bucket, SimpleNamespace(**{**vars(h), name: value}))

    return prepare


def with_the_first_groups(algorithm: Any, bucket: Any, h: Any) -> Launch:
    """Steps all groups by the hyperparameters of the one that it saw first in this step."""
    return by(algorithm, bucket, SEEN.setdefault(id(bucket.scaling), h))


SEEN: dict[int, Any] = {}


def through(dtype: torch.dtype) -> Callable[..., Launch]:
    """Return one that computes in a narrower type."""

    def prepare(algorithm: Any, bucket: Any, h: Any) -> Launch:
        grads = [g.to(dtype).to(g.dtype) for g in bucket.grads]
        return FORLOOP.make_launcher(algorithm, with_(bucket, grads=grads), h)

    return prepare


def keeping_a_buffer_to_itself(algorithm: Any, bucket: Any, h: Any) -> Launch:
    """Has the right numbers, in memory of its own."""
    states = [
        # The tensor too: without it, another one could have its id.
        {**state, "mean": KEPT.setdefault(id(m := state["mean"]), (m, m.clone()))[1]}
        for state in bucket.states
    ]
    return FORLOOP.make_launcher(algorithm, with_(bucket, states=states), h)


KEPT: dict[int, tuple[Tensor, Tensor]] = {}


def never_reading_its_state(algorithm: Any, bucket: Any, h: Any) -> Launch:
    """Goes on from memory of its own, and writes the state for others to see."""

    def launch() -> None:
        for position, (p, state) in enumerate(zip(bucket.params, bucket.states, strict=True)):
            mean = OWN.setdefault(p, torch.zeros_like(state["mean"]))
            state["mean"].copy_(mean)
            FORLOOP.make_launcher(algorithm, bucket.subset([position]), h)()
            mean.copy_(state["mean"])

    return launch


OWN: dict[Tensor, Tensor] = {}


def failing(algorithm: Any, bucket: Any, h: Any) -> Launch:
    """Fails once it is called."""

    def launch() -> None:
        raise TypeError("an argument of the wrong kind")

    return launch


def doubling_sparse_gradients(algorithm: Any, bucket: Any, h: Any) -> Launch:
    """Is right where gradients are dense."""
    is_sparse = bucket.key.layout != torch.strided
    grads = [g * 2 for g in bucket.grads] if is_sparse else bucket.grads
    return FORLOOP.make_launcher(algorithm, with_(bucket, grads=grads), h)


IMPLEMENTATIONS: dict[str, tuple[Callable[..., Launch], str]] = {
    "changes gradients": (using_the_gradients_memory, "changed a gradient"),
    "ignores lr": (ignoring("lr", 0.1), "have {'lr': 0.125}"),
    "uses the first group's numbers": (with_the_first_groups, "differs from forloop where half"),
    "computes in bfloat16": (through(torch.bfloat16), "differs from forloop: parameter"),
    "keeps a buffer to itself": (keeping_a_buffer_to_itself, "the buffer 'mean' never changes"),
    "never reads its state": (never_reading_its_state, "doesn't go on as the original does"),
    "fails": (failing, "raised TypeError: an argument of the wrong kind"),
}
"""Faulty implementations, with what is said of each."""


class Rebinding(Descent):
    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p = p - h.lr * g


class RebindingItsMean(Momentum):
    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        mean = s.mean.lerp(g, 0.5)
        s.largest.copy_(s.largest.maximum(g.abs()))
        p.sub_(mean, alpha=h.lr)


class Unused(Descent):
    total = Buffer()


class UnusedNumber(Descent):
    total = Buffer(kind="scalar")


class UnusedRow(Descent):
    total = Buffer(shape=lambda p: p.shape[:1])


class ChangingItsGradient(Descent):
    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g.mul_(h.lr))


class Remembering(Descent):
    """State outside of the buffers."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(LAST.get(p.data_ptr(), g), alpha=h.lr)
        LAST[p.data_ptr()] = g.clone()


LAST: dict[int, Tensor] = {}


class Unsaved(Whole):
    """Keeps its momentum in an attribute, which copies and pickles have and checkpoints haven't."""

    def advance(self, closure: Any) -> Any:
        loss = super().advance(closure)
        momenta = vars(self).setdefault("momenta", {})
        for p in [p for p in self.param_groups[0]["params"] if p.grad is not None]:
            p.sub_(momenta.get(p, p.grad), alpha=0.1)
            momenta[p] = p.grad.clone()
        return loss


class Sharing(Momentum):
    """Loads the very tensors that it is given."""

    def load_state_dict(self, state_dict: Any, strict: bool = True) -> Any:
        report = super().load_state_dict(state_dict, strict)
        for position, p in enumerate(self.param_groups[0]["params"]):
            self.state[p] = state_dict["state"][position]
        return report

    def state_dict(self) -> Any:
        saved = super().state_dict()
        for position, p in enumerate(self.param_groups[0]["params"]):
            saved["state"][position] = self.state[p]
        return saved


class CallingTwice(Whole):
    def advance(self, closure: Any) -> Any:
        if closure is not None:
            closure()
        return super().advance(closure)


class WithoutItsLoss(Whole):
    def advance(self, closure: Any) -> Any:
        super().advance(closure)


class WithoutAutograd(Whole):
    def advance(self, closure: Any) -> Any:
        loss = closure() if closure else None
        super().advance(None)
        return loss


class NeverCalling(Whole):
    def advance(self, closure: Any) -> Any:
        return super().advance(None)


class Decaying(Whole):
    """Moves parameters without a gradient too."""

    def advance(self, closure: Any) -> Any:
        for group in self.param_groups:
            torch._foreach_mul_(group["params"], 0.9)
        return super().advance(closure)


class Descending(Whole):
    """Takes maximize, and descends."""

    maximize: bool = option(default=False, range=boolean())


class Late(Whole):
    """Notices that it has no closure when something has changed."""

    requires_closure = True

    def advance(self, closure: Any) -> Any:
        if closure is None:
            self.param_groups[0]["params"][2].add_(1.0)
            raise TypeError("no closure")
        return super().advance(closure)


class OnlyEvaluating(Whole):
    """Doesn't step where it has a closure."""

    def advance(self, closure: Any) -> Any:
        return super().advance(None) if closure is None else torch.enable_grad()(closure)()


class SteppingByAView(Descent):
    """Updates a view, which autograd has as a tensor of its own."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.detach().sub_(g, alpha=h.lr)


class RequiringForNothing(Whole):
    requires_closure = True


ALGORITHMS: dict[type, str] = {
    Rebinding: "forloop: parameters .* don't move .* a body updates p in place",
    RebindingItsMean: "the buffer 'mean' never changes: a body updates s.mean in place",
    Unused: "the buffer 'total' never changes",
    UnusedNumber: "the buffer 'total' never changes",
    UnusedRow: "the buffer 'total' never changes",
    ChangingItsGradient: "a body must never update g in place",
    Remembering: "",
    Lookahead: "",
    Unsaved: "'state dicts continue': its own: the twin doesn't go on",
    Sharing: "'state dicts continue': forloop: the original changes with its twin",
    CallingTwice: "its own: .*called the closure 2 times",
    WithoutItsLoss: "returned None, not the loss",
    WithoutAutograd: "called without torch.enable_grad",
    NeverCalling: "called the closure 0 times",
    Decaying: "has no gradient, and it changed",
    Descending: "its own with maximize=True: parameter",
    Late: "without a closure failed too late: parameter 2",
    OnlyEvaluating: r"step\(closure\) differs from step\(\): parameter 1",
    SteppingByAView: "'autograd can record a step': parameter 1",
    RequiringForNothing: "step\\(\\) without a closure goes through",
}
"""Faulty algorithms, with what is said of each."""


def forget() -> None:
    """Forget what the faulty ones have kept."""
    kept: Any
    for kept in (SEEN, KEPT, OWN, LAST):
        kept.clear()
