"""What other people write, in a module that pickles can import: algorithms and torch hooks."""

from __future__ import annotations

import threading
from typing import Any

import torch

import optkit_core
from optkit_core import at_least, hyperparameter

CALLS: list[tuple[str, Any]] = []
"""Which of the hooks below were called, and with which optimizer."""


def first(optimizer: Any, *_: Any) -> None:
    CALLS.append(("first", optimizer))


def second(optimizer: Any, *_: Any) -> None:
    CALLS.append(("second", optimizer))


class Counter:
    """A hook that is an object, and an object with a hook."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, optimizer: Any, *_: Any) -> None:
        self.count += 1
        CALLS.append(("object", optimizer))

    def method(self, optimizer: Any, *_: Any) -> None:
        self.count += 1
        CALLS.append(("method", optimizer))


class Locked(Counter):
    """An object that can't be copied or pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Descent(optkit_core.Elementwise):
    """Gradient descent: an update body and nothing else."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.add_(g, alpha=-h.lr)


class Whole(optkit_core.Optimizer):
    """Gradient descent by an `advance` of its own."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    def advance(self, closure: Any) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"])
        return loss


class Lookahead(Descent):
    """Descent that goes half way back to where it was two steps ago: it has attributes."""

    def __init__(self, params: Any, every: int = 2, **options: Any) -> None:
        super().__init__(params, **options)
        self.every = every
        self.steps = 0
        self.anchors = {
            p: p.detach().clone() for group in self.param_groups for p in group["params"]
        }

    def advance(self, closure: Any) -> Any:
        loss = super().advance(closure)
        look_back(self)
        return loss

    def own_hook(self, optimizer: Any, *_: Any) -> None:
        assert optimizer is self
        CALLS.append(("own", self))


class TorchLookahead(torch.optim.SGD):
    """The same, as one writes it on torch.optim."""

    def __init__(self, params: Any, every: int = 2, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        self.every = every
        self.steps = 0
        self.anchors = {
            p: p.detach().clone() for group in self.param_groups for p in group["params"]
        }

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        look_back(self)
        return loss


def look_back(optimizer: Any) -> None:
    """Move parameters half way back, every so many steps."""
    optimizer.steps += 1
    if optimizer.steps % optimizer.every == 0:
        for p, anchor in optimizer.anchors.items():
            p.lerp_(anchor, 0.5)
            anchor.copy_(p)


class Slotted(Descent):
    """An algorithm with slots beside the dict."""

    __slots__ = ("scale",)


class Guarded(Descent):
    """An algorithm that says itself what to do with an attribute that can't be pickled."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: item for name, item in super().__getstate__().items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.lock = threading.Lock()


class TorchShaped(Descent):
    """An algorithm whose pickles have the shape of torch's."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("defaults", "state", "param_groups")}


class Rebuilt(Descent):
    """An algorithm that is pickled as its own constructor call."""

    def __reduce__(self) -> Any:
        return (type(self), ([{**group} for group in self.param_groups],))


class Listed(Descent):
    """An algorithm whose pickled state isn't a dict."""

    def __reduce__(self) -> Any:
        return (object.__new__, (type(self),), [self.__getstate__()])

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state[0])


class Scaled(Descent):
    """An algorithm that takes a GradScaler's factors itself, and says so as torch's fused do."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)
        self._step_supports_amp_scaling = True


def step_there(optimizer: Any, pipe: Any) -> None:
    """Take a step in another process, and tell where it led and what was called."""
    (p,) = optimizer.param_groups[0]["params"]
    p.grad = torch.ones_like(p)
    optimizer.step()
    names = [what for what, seen in CALLS if seen is optimizer]
    pipe.send((p.tolist(), names, optimizer.param_groups[0]["lr"]))
