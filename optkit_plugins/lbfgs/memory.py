"""What survives from one iteration to the next, in torch.optim.LBFGS's keys and out of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from torch import Tensor

from optkit_plugins.lbfgs.direction import History, Pair
from optkit_plugins.lbfgs.flat import Scalar
from optkit_plugins.lbfgs.objective import Point


@attrs.frozen(eq=False)
class Memory:
    r"""The last iteration: where it stood, which way and how far it went, what was known.

    Frozen, and written to the optimizer's state only when an iteration has moved the
    parameters: a closure that fails leaves the state of the last finished iteration.
    """

    iterations: int
    origin: Point
    direction: Tensor
    step: Scalar
    history: History
    alphas: tuple[Tensor, ...] | None = None

    def store(self, state: dict[str, Any], history_size: int) -> None:
        """Write this into `state`, the first parameter's, under torch's keys."""
        pairs = self.history.pairs
        state.update(
            n_iter=self.iterations,
            d=self.direction,
            t=self.step,
            old_dirs=[pair.y for pair in pairs],
            old_stps=[pair.s for pair in pairs],
            ro=[pair.rho for pair in pairs],
            H_diag=self.history.gamma,
            prev_flat_grad=self.origin.gradient,
            prev_loss=self.origin.loss,
        )
        if self.alphas is not None:
            state["al"] = _padded(self.alphas, history_size)


def recall(state: dict[str, Any], like: Tensor) -> Memory | None:
    """Read what `Memory.store`, or torch, wrote; None before the first iteration.

    Loading a checkpoint casts state to the first parameter's dtype, which need not be the
    dtype of the joint vector; `like`, a gradient vector, says what that is.
    """
    if state.get("d") is None:
        return None
    rows = zip(state["old_stps"], state["old_dirs"], state["ro"], strict=True)
    pairs = tuple(Pair(s.to(like), y.to(like), rho) for s, y, rho in rows)
    return Memory(
        iterations=state["n_iter"],
        origin=Point(state["prev_loss"], state["prev_flat_grad"].to(like)),
        direction=state["d"].to(like),
        step=state["t"],
        history=History(pairs, state["H_diag"]),
    )


def _padded(alphas: Sequence[Tensor], size: int) -> list[Tensor | None]:
    # torch writes into this list by position and doesn't lengthen it.
    return [*alphas, *[None] * (size - len(alphas))]
