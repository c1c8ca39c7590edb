"""What survives from one iteration to the next, in torch.optim.LBFGS's keys and out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_plugins.lbfgs.direction import History, Pair
from optkit_plugins.lbfgs.flat import Scalar
from optkit_plugins.lbfgs.objective import Point

LARGEST = 2**53
"""Up to here every whole number is a float64."""

KEYS = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")
"""What torch writes together, once there has been an iteration."""


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


def complaint(state: Mapping[str, Any]) -> str:
    """Return what is wrong with the numbers in saved state, or how they don't belong together."""
    for key in ("func_evals", "n_iter"):
        if type(state[key]) is not int or not 0 <= state[key] <= LARGEST:
            return f"{key} must be a whole number, got {state[key]!r:.40}"
    lacking = [key for key in KEYS if state.get(key) is None]
    if lacking:
        return "" if lacking == list(KEYS) else f"it isn't whole: there is no {', '.join(lacking)}"
    rows = [state[key] for key in ("old_dirs", "old_stps", "ro")]
    if not all(isinstance(row, list) for row in rows) or len({len(row) for row in rows}) > 1:
        return "old_dirs, old_stps and ro must be lists of one length"
    alphas = state.get("al")
    known = [alpha for alpha in alphas if alpha is not None] if type(alphas) is list else []
    if alphas is not None and type(alphas) is not list:
        return f"al must be a list, got {type(alphas).__name__}"
    numbers = [state["t"], state["H_diag"], state["prev_loss"], *state["ro"], *known]
    if not all(map(_is_number, numbers)):
        return "t, H_diag, prev_loss and each of ro and al must be a number"
    return ""


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        has_value = value.layout == torch.strided and value.device.type != "meta"
        return has_value and value.shape == () and value.is_floating_point()
    return type(value) is float or (type(value) is int and abs(value) <= LARGEST)


def _padded(alphas: Sequence[Tensor], size: int) -> list[Tensor | None]:
    # torch writes into this list by position and doesn't lengthen it.
    return [*alphas, *[None] * (size - len(alphas))]
