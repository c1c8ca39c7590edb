"""What a checkpoint holds: torch.optim.LBFGS's keys, and what makes a resumed run the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_plugins.lbfgs.hessian.pair_history import AcceptedStep
from optkit_plugins.lbfgs.solve.line import Trial
from optkit_plugins.lbfgs.state.joint_vectors import join, join_rows, pick_row, split
from optkit_plugins.lbfgs.state.solver_state import SolverState
from optkit_plugins.lbfgs.vectors.gradient_info import GradientInfo

MAX_EXACT = 2**53
"""Up to here every whole number is a float64."""

KEYS = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")
"""What torch writes together, once there has been an iteration."""

MATRICES = ("inverse", "squares", "curvatures")
OWN = (*MATRICES, "products", "slot", "scales", "slope", "square", "hint", "evaluated")
"""What optkit writes beside it, together; and ``grad``, where the last step was evaluated."""


def _point(step: float, loss: float, slope: float, square: float, index: int) -> Trial:
    return Trial(step, loss, slope, GradientInfo(loss, slope, square, 0.0), index)


NO_STEP = AcceptedStep(_point(0.0, 0.0, 0.0, 0.0, 0), 0.0, None)
"""What is written where the last step is in the history, by its length of 0."""


def entries(solver: SolverState, params: Sequence[Tensor]) -> dict[str, Any]:
    """Return what is kept of a solver's state, views of its tensors where they can be.

    Args:
        solver: one that has made an iteration.
        params: all parameters, in order.
    """
    history, space, step = solver.history, solver.space, solver.last_step or NO_STEP
    origin, end, count = step.origin, step.end, history.count
    compact, products, slots = history.compact, history.products, history.slots_by_age
    curvatures, known = compact.curvatures.tolist(), count if history.is_projected else 0
    written: dict[str, Any] = {
        "d": join(space, lambda block: block.direction, params),
        "t": step.length,
        "old_dirs": join_rows(space, [compact.capacity + slot for slot in slots], params),
        "old_stps": join_rows(space, slots, params),
        "ro": [1.0 / curvatures[slot] for slot in slots],
        "H_diag": history.gamma,
        "prev_flat_grad": join(space, lambda block: block.gradient(origin.index), params),
        "prev_loss": origin.loss,
    }
    if end is not None:
        written["grad"] = join(space, lambda block: block.gradient(end.index), params)
    return written | {
        "slot": history.slot,
        "scales": list(space.scales),
        "inverse": compact.inverse[:count, :count],
        "squares": compact.squares[:count, :count],
        "curvatures": compact.curvatures[:count],
        "products": torch.cat((products.s[:known], products.y[:known])),
        "slope": origin.slope,
        "square": origin.gradient.square,
        "hint": solver.retry_length or 0.0,
        "evaluated": int(end is not None),
    }


def adopt(solver: SolverState, state: Mapping[str, Any], params: Sequence[Tensor]) -> None:
    """Take in what `entries`, or torch, wrote.

    Args:
        solver: a new one.
        state: the state of the first parameter.
        params: all parameters, in order.
    """
    solver.iterations = state.get("n_iter", 0)
    if state.get("d") is None:
        return
    space, history = solver.space, solver.history
    _adopt_pairs(solver, state, params)
    split(state["d"], space, lambda block: block.direction, params)
    history.gamma = float(state["H_diag"])
    solver.retry_length = float(state.get("hint", 0.0)) or None
    # After the direction, whose product with the gradient is measured there.
    solver.last_step = _last_step(solver, state, params)
    solver.save()  # a checkpoint goes with the parameters that are there
    # Vectors are those of z = x / sigma, so other scales are another space. torch has none.
    scales = state.get("scales", [1.0] * len(space.scales))
    if scales != space.scales or not history.compact.is_sound:
        solver.forget()


def _adopt_pairs(solver: SolverState, state: Mapping[str, Any], params: Sequence[Tensor]) -> None:
    """Take in the pairs, as many of the newest as the capacity allows, and the small matrices."""
    history, capacity = solver.history, solver.history.compact.capacity
    steps, changes = (state[key][-capacity:] for key in ("old_stps", "old_dirs"))
    count, saved = len(steps), len(state["old_stps"])
    # The ring is taken over as it lies, unless its slots would be others in one of this capacity.
    is_ring = "inverse" in state and saved <= capacity
    was_full = is_ring and state["slot"] < saved
    is_ring = is_ring and (not was_full or saved == capacity)
    first = int(state["slot"]) if is_ring and was_full else 0
    history.count, history.slot = count, (first + count) % capacity
    for age, (s, y) in enumerate(zip(steps, changes, strict=True)):
        slot = (first + age) % capacity
        split(s, solver.space, pick_row(slot), params)
        split(y, solver.space, pick_row(capacity + slot), params)
    if is_ring:
        history.compact.load(*(state[key] for key in MATRICES))
        products = state["products"]
        history.is_projected = len(products) > 0
        history.products.s[: len(products) // 2] = products[:count]
        history.products.y[: len(products) // 2] = products[count:]
    else:
        grams = [block.pairs.gram() for block in solver.space.blocks]
        history.compact.load_gram(torch.stack(grams).sum(0), count)


def _last_step(
    solver: SolverState, state: Mapping[str, Any], params: Sequence[Tensor]
) -> AcceptedStep | None:
    length = float(state["t"])
    if not length:
        return None
    space, end = solver.space, None
    split(state["prev_flat_grad"], space, lambda block: block.gradient(0), params)
    if state.get("evaluated") and state.get("grad") is not None:
        split(state["grad"], space, lambda block: block.gradient(1), params)
        # Nobody reads the numbers of an end, only which gradient it is.
        end = _point(length, 0.0, 0.0, 0.0, 1)
    g = space.measure(0, float(state["prev_loss"]))
    slope, square = state.get("slope", g.slope), state.get("square", g.square)
    return AcceptedStep(_point(0.0, g.loss, slope, square, 0), length, end)


def complaint(state: Mapping[str, Any]) -> str:
    """Return what is wrong with the numbers in saved state, or how they don't belong together."""
    for key in ("func_evals", "n_iter"):
        # By type, since a bool is an instance of int.
        if type(state[key]) is not int or not 0 <= state[key] <= MAX_EXACT:
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
    if not all(map(is_number, numbers)):
        return "t, H_diag, prev_loss and each of ro and al must be a number"
    return _own_complaint(state, len(rows[0]))


def _own_complaint(state: Mapping[str, Any], count: int) -> str:
    lacking = [key for key in OWN if state.get(key) is None]
    if lacking:
        return "" if lacking == list(OWN) else f"it isn't whole: there is no {', '.join(lacking)}"
    shapes = dict(zip(MATRICES, [(count, count), (count, count), (count,)], strict=True))
    for key, shape in shapes.items():
        if not is_real(state[key], shape):
            return f"{key} must be a tensor of real numbers, {shape} of them"
    if bool((state["curvatures"] <= 0).any()):
        return "curvatures must be positive: those of remembered pairs are"
    if not any(is_real(state["products"], (length,)) for length in (0, 2 * count)):
        return f"products must be a tensor of {2 * count} real numbers, or of none"
    if type(state["slot"]) is not int or not 0 <= state["slot"] <= count:
        return f"slot must be a whole number up to {count}, got {state['slot']!r:.40}"
    numbers, scales = [state[key] for key in ("slope", "square", "hint")], state["scales"]
    if type(scales) is not list or not all(map(is_number, [*numbers, *scales])):
        return "slope, square, hint and each of scales must be a number"
    evaluated = state["evaluated"]
    if type(evaluated) is not int or evaluated != int(state.get("grad") is not None):
        return "evaluated must be 1 where there is a grad, and 0 where there is none"
    return ""


def is_number(value: Any) -> bool:
    """Return whether a value is a number that a float holds exactly, in a tensor or not."""
    if isinstance(value, Tensor):
        return is_real(value, ())
    return type(value) is float or (type(value) is int and abs(value) <= MAX_EXACT)


def is_real(value: Any, shape: tuple[int, ...]) -> bool:
    """Return whether a value is a dense tensor of real numbers, of this shape."""
    return (
        isinstance(value, Tensor)
        and value.shape == shape
        and value.layout == torch.strided
        and value.device.type != "meta"
        and value.is_floating_point()
    )
