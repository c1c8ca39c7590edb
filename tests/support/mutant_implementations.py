"""Faulty implementations of algorithms that are right."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from mutant_bases import (
    Base,
    Corrected,
    Own,
    Sparse,
    faulty,
    on_gradients,
    on_parts,
    right,
    then,
    under,
    with_,
)
from torch import Tensor

from optkit_core.implementations import FORLOOP
from optkit_core.step.grad_scaler import Scaling

COUNT = itertools.count(1)


def count_of(bucket: Any) -> float:
    """Return how many steps the first parameter of a bucket has taken."""
    is_known = bucket.steps and not bucket.steps[0].is_meta
    return bucket.steps[0].item() if is_known else 0.0


class DoingNothing(Base):
    """An implementation that is called, and that is all."""

    offers = faulty(lambda *_: lambda: None)


class SkippingTheLastTensor(Base):
    offers = faulty(on_parts(lambda bucket: list(range(len(bucket) - 1))))


class IgnoringStrides(Base):
    """Walks memory from its beginning."""

    @staticmethod
    def flat(algorithm: Any, bucket: Any, h: Any) -> Any:
        def plain(tensor: Tensor) -> Tensor:
            return torch.as_strided(tensor, (tensor.numel(),), (1,)) if tensor.dim() else tensor

        states = [{key: plain(value) for key, value in state.items()} for state in bucket.states]
        params, grads = list(map(plain, bucket.params)), list(map(plain, bucket.grads))
        return right(algorithm, with_(bucket, params=params, grads=grads, states=states), h)

    offers = faulty(flat)


class MissingTails(Base):
    """Leaves out what doesn't fill a register, of sizes that are just below or above one."""

    @staticmethod
    def whole_registers(algorithm: Any, bucket: Any, h: Any) -> Any:
        def launch() -> None:
            before = [p.clone() for p in bucket.params]
            right(algorithm, bucket, h)()
            for p, old in zip(bucket.params, before, strict=True):
                if p.numel() in (7, 9, 15, 17, 21, 27, 45, 51):
                    p[-1].copy_(old[-1])

        return launch

    offers = faulty(whole_registers)


class SwallowingNaN(Base):
    offers = faulty(on_gradients(lambda g: g.nan_to_num_(0.0, 0.0, 0.0)))


class Overflowing(Base):
    """Computes twice the parameter on its way, which the largest floats don't survive."""

    offers = faulty(then(lambda bucket: [p.mul_(2).div_(2) for p in bucket.params]))


class WithoutEps(Corrected):
    offers = faulty(under(lambda h: setattr(h, "eps", 0.0)))


class WithoutDecay(Corrected):
    """Ignores what its group says of the decay."""

    offers = faulty(under(lambda h: setattr(h, "decay", 0.5)))


class WithoutWeightDecay(Corrected):
    offers = faulty(under(lambda h: setattr(h, "weight_decay", 0.0)))


class WithoutCorrection(Corrected):
    """Takes every step for a very late one, of which nothing has to be corrected."""

    @staticmethod
    def late(algorithm: Any, bucket: Any, h: Any) -> Any:
        def launch() -> None:
            for state in bucket.states:
                state["step"].add_(1e6)
            right(algorithm, bucket, h)()
            for state in bucket.states:
                state["step"].sub_(1e6)

        return launch

    offers = faulty(late)


class DoublingItsRate(Base):
    offers = faulty(under(lambda h: setattr(h, "lr", 2 * h.lr)))


class CoarseDecay(Base):
    """Knows quarters of a decay only."""

    offers = faulty(under(lambda h: setattr(h, "decay", round(4 * h.decay) / 4)))


class RightForTenSteps(Base):
    """Goes wrong late, and only where nobody compares it with something else."""

    @staticmethod
    def stray(algorithm: Any, bucket: Any, h: Any) -> Any:
        def launch() -> None:
            right(algorithm, bucket, h)()
            if count_of(bucket) > 10 and not bucket.maximize and bucket.scaling.inverse is None:
                for p in bucket.params:
                    p.add_(0.01)

        return launch

    offers = faulty(stray)


class NeverAscending(Base):
    """Forgets to maximize."""

    offers = faulty(lambda algorithm, bucket, h: right(algorithm, with_(bucket, maximize=False), h))


class WithoutScale(Base):
    """Forgets after two steps that gradients are scaled."""

    @staticmethod
    def plain(algorithm: Any, bucket: Any, h: Any) -> Any:
        late = count_of(bucket) >= 2
        return right(algorithm, with_(bucket, scaling=Scaling()) if late else bucket, h)

    offers = faulty(plain)


class WritingBesideThem(Base):
    """Writes a whole row of memory, gaps included."""

    @staticmethod
    def beside(bucket: Any) -> None:
        for p in bucket.params:
            if p.dim() == 2 and p.stride(1) == 2:
                torch.as_strided(p, p.shape, p.stride(), p.storage_offset() - 1).zero_()

    offers = faulty(then(beside))


class CountingTwice(Base):
    offers = faulty(then(lambda bucket: [step.add_(1) for step in bucket.steps]))


class CountingNothing(Base):
    offers = faulty(then(lambda bucket: [step.sub_(1) for step in bucket.steps]))


class CountingWithoutGradient(Own):
    """Advances a counter of parameters that have no gradient too."""

    def advance(self, closure: Any) -> Any:
        loss = super().advance(closure)
        for state in self.state.values():
            state["momentum"].mul_(0.9)
        return loss


class Shaking(Base):
    """Adds something that is never twice the same to the second step of many parameters."""

    @staticmethod
    def shake(bucket: Any) -> None:
        if len(bucket) > 5 and count_of(bucket) == 2:
            shift = 1e-7 * (next(COUNT) % 5 + 1)
            for p in bucket.params:
                p.add_(shift)

    offers = faulty(then(shake))


class DroppingImaginaryParts(Base):
    """Takes complex numbers for real ones."""

    @staticmethod
    def real(g: Tensor) -> Tensor:
        return g.real + 0j if g.is_complex() else g

    offers = faulty(on_gradients(real), "forloop")


class DoublingSparseGradients(Sparse):
    """Is right where gradients are dense."""

    @staticmethod
    def doubled(algorithm: Any, bucket: Any, h: Any) -> Any:
        is_sparse = bucket.key.layout != torch.strided
        grads = [g * 2 for g in bucket.grads] if is_sparse else bucket.grads
        return right(algorithm, with_(bucket, grads=grads), h)

    offers = faulty(doubled)


class TalkingToItself(Base):
    """Loads only what the same implementation has saved."""

    offers = (FORLOOP, *Base.offers[1:])

    def load_state_dict(self, state_dict: Any, *rest: Any, **named: Any) -> Any:
        own = self.param_groups[0]["implementation"]
        for group in state_dict.get("param_groups", ()):
            if state_dict["state"] and group["implementation"] != own:
                raise ValueError(f"this was saved by {group['implementation']}")
        return super().load_state_dict(state_dict, *rest, **named)
