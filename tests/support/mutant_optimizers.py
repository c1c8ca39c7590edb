"""Optimizers that are faulty around their steps: groups, closures, hooks, states and copies."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mutant_bases import Base, Own
from torch import Tensor

from optkit_core.checkpoint import save
from optkit_core.checkpoint.schema import TAG


class FirstGroupsValues(Base):
    """Steps all groups that it is given at first by the values of the first one."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)
        self.given = len(self.param_groups)

    def values(self, group: Any) -> Any:
        index = next((i for i, own in enumerate(self.param_groups) if own is group), 0)
        is_given = index < vars(self).get("given", 0)
        return super().values(self.param_groups[0] if is_given else group)


class DefaultsForLaterGroups(Base):
    """Forgets what a group that comes later says."""

    def add_param_group(self, param_group: Any) -> None:
        super().add_param_group(param_group)
        if self._is_created:
            self.param_groups[-1].update({k: self.defaults[k] for k in self.hyperparameter_names})


class LosingNames(Base):
    def state_dict(self) -> Any:
        saved = super().state_dict()
        for group in saved["param_groups"]:
            group.pop("param_names", None)
        return saved


class FailingOnEmptyGroups(Base):
    def advance(self, closure: Any) -> Any:
        assert all(group["params"] for group in self.param_groups), "a group is empty"
        return super().advance(closure)


class ClaimingScales(Own):
    """Says that it unscales gradients, and doesn't."""

    takes_scaled_gradients = True


class AskingTwice(Own):
    def advance(self, closure: Any) -> Any:
        if closure is not None:
            torch.enable_grad()(closure)()
        return super().advance(closure)


class KeepingItsLoss(Own):
    def advance(self, closure: Any) -> Any:
        super().advance(closure)


class AskingWithoutAutograd(Own):
    def advance(self, closure: Any) -> Any:
        loss = closure() if closure else None
        super().advance(None)
        return loss


class NeverAsking(Own):
    def advance(self, closure: Any) -> Any:
        return super().advance(None)


class MovingAll(Own):
    """Moves parameters without a gradient too."""

    def advance(self, closure: Any) -> Any:
        for group in self.param_groups:
            torch._foreach_mul_(group["params"], 0.9)
        return super().advance(closure)


class UndeclaredState(Own):
    def move(self, p: Tensor, group: dict[str, Any]) -> None:
        super().move(p, group)
        self.state[p]["last"] = torch.zeros_like(p)


class HalfState(Own):
    """Keeps its momentum in half of the declared precision."""

    def move(self, p: Tensor, group: dict[str, Any]) -> None:
        super().move(p, group)
        self.state[p]["momentum"] = self.state[p]["momentum"].bfloat16()


class Anonymous(Base):
    """Saves without saying of which schema."""

    def state_dict(self) -> Any:
        saved = super().state_dict()
        for group in saved["param_groups"]:
            group.pop(TAG)
        return saved


class SharingCopies(Base):
    """A deep copy has the original's state."""

    def __deepcopy__(self, memo: Any) -> Any:
        return copy.copy(self)


class LosingStateInPickles(Base):
    def __reduce_ex__(self, protocol: Any) -> Any:
        groups = [
            {key: value for key, value in group.items() if key in {"params", "lr", "decay"}}
            for group in self.param_groups
        ]
        return (type(self), (groups,))


class SharingLoads(Base):
    """Loads the very tensors that it is given."""

    def load_state_dict(self, state_dict: Any, *rest: Any, **named: Any) -> Any:
        report = super().load_state_dict(state_dict, *rest, **named)
        for position, p in enumerate(self.param_groups[0]["params"]):
            if position in state_dict["state"]:
                self.state[p] = state_dict["state"][position]
        return report


class RememberingApart(Own):
    """Keeps a momentum in an attribute, which checkpoints don't have."""

    def move(self, p: Tensor, group: dict[str, Any]) -> None:
        super().move(p, group)
        momenta = vars(self).setdefault("momenta", {})
        p.sub_(momenta.get(p, torch.zeros_like(p)), alpha=0.1)
        momenta[p] = self.state[p]["momentum"].clone()


class Unsavable(Base):
    """Puts something into its groups that no file takes."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)
        for group in self.param_groups:
            group["name"] = len


class TakingAnything(Base):
    """Loads what doesn't fit as far as it does."""

    def load_state_dict(self, state_dict: Any, strict: bool = True, rename: Any = None) -> Any:
        return super().load_state_dict(state_dict, False, rename)


class RefusingLate(Base):
    """Loads first, and looks whether it fits afterwards."""

    def load_state_dict(self, state_dict: Any, strict: bool = True, rename: Any = None) -> Any:
        for group, saved in zip(
            self.param_groups, state_dict.get("param_groups", ()), strict=False
        ):
            group["decay"] = saved["decay"]
        return super().load_state_dict(state_dict, strict, rename)


class WithoutTorchsHooks(Base):
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)

    step.hooked = True  # so that torch leaves it alone


class WithoutResultsOfHooks(Base):
    """Calls hooks and ignores what they return."""

    def state_dict(self) -> Any:
        super().state_dict()
        return save.collect(self)


class WithoutOwnHooks(Base):
    def _step(self, closure: Any) -> Any:
        with torch.no_grad():
            return self.advance(closure)


class ReadingItsRateOnce(Base):
    """Keeps the number that its first step was taken by."""

    def values(self, group: Any) -> Any:
        h = super().values(group)
        if not isinstance(h.lr, Tensor) and "rates" in vars(self):
            h.lr = self.rates.setdefault(id(group), h.lr)
        return h

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)
        self.rates: dict[int, Any] = {}


class CopyingItsRateOnce(ReadingItsRateOnce):
    """Keeps a copy of the tensor that its first step was taken by."""

    def values(self, group: Any) -> Any:
        h = Base.values(self, group)
        if isinstance(h.lr, Tensor) and not h.lr.requires_grad and "rates" in vars(self):
            h.lr = self.rates.setdefault(id(group), h.lr.clone())
        return h
