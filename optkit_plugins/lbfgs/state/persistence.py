"""What a checkpoint holds: torch.optim.LBFGS's keys, and what makes a resumed run the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_plugins.lbfgs.hessian.compact import Compact
from optkit_plugins.lbfgs.hessian.history import History, Move
from optkit_plugins.lbfgs.solve.line import Trial
from optkit_plugins.lbfgs.state.joint_vectors import Pick, join, join_rows, split
from optkit_plugins.lbfgs.state.memory import Memory
from optkit_plugins.lbfgs.vectors.space import Reading

LARGEST = 2**53
"""Up to here every whole number is a float64."""

KEYS = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")
"""What torch writes together, once there has been an iteration."""

MATRICES = ("inverse", "squares", "curvatures")
OWN = (*MATRICES, "products", "slot", "scales", "slope", "square", "hint", "evaluated")
"""What optkit writes beside it, together; and ``grad``, where the last move was evaluated."""


def entries(memory: Memory, params: Sequence[Tensor]) -> dict[str, Any]:
    """Return what is kept of a memory, views of its tensors where they can be.

    Args:
        memory: one that has made an iteration.
        params: all parameters, in order.
    """
    history, space, move = memory.history, memory.space, memory.move
    order, room = _by_age(history.slot, history.count), history.room
    origin = move.origin if move else None
    last = move.last if move else None
    prior = origin.slot if origin else 0
    found: dict[str, Any] = {
        "d": join(space, lambda block: block.direction, params),
        "t": move.step if move else 0.0,
        "old_dirs": join_rows(space, [room + slot for slot in order], params),
        "old_stps": join_rows(space, order, params),
        "ro": [1.0 / history.curvatures[slot] for slot in order],
        "H_diag": history.gamma,
        "prev_flat_grad": join(space, lambda block: block.gradient(prior), params),
        "prev_loss": origin.loss if origin else 0.0,
    }
    if last is not None:
        found["grad"] = join(space, lambda block: block.gradient(last.slot), params)
    return found | {
        "slot": history.slot,
        "scales": list(space.scales),
        **_small(history),
        "slope": origin.slope if origin else 0.0,
        "square": origin.reading.square if origin else 0.0,
        "hint": memory.hint or 0.0,
        "evaluated": int(last is not None),
    }


def _small(history: History) -> dict[str, Tensor]:
    """Return the small matrices, as far as they are in use."""
    count, compact, products = history.count, history.compact, history.products
    known = (products.steps[:count], products.changes[:count]) if history.is_known else ()
    return {
        "inverse": compact.inverse[:count, :count],
        "squares": compact.squares[:count, :count],
        "curvatures": compact.curvatures[:count],
        "products": torch.cat(known) if known else torch.zeros(0, dtype=torch.float64),
    }


def adopt(memory: Memory, state: Mapping[str, Any], params: Sequence[Tensor]) -> None:
    """Take in what `entries`, or torch, wrote.

    Args:
        memory: a new one.
        state: the state of the first parameter.
        params: all parameters, in order.
    """
    memory.iterations = state.get("n_iter", 0)
    if state.get("d") is None:
        return
    space, history = memory.space, memory.history
    steps, changes = (state[key][-history.room :] for key in ("old_stps", "old_dirs"))
    history.count = len(steps)
    first = _first_slot(state, history.room)
    history.slot = (first + len(steps)) % history.room
    order = [(first + age) % history.room for age in range(len(steps))]
    for slot, s, y in zip(order, steps, changes, strict=True):
        split(s, space, _step(slot), params)
        split(y, space, _change(slot), params)
    split(state["d"], space, lambda block: block.direction, params)
    history.gamma = float(state["H_diag"])
    memory.hint = float(state.get("hint", 0.0)) or None
    if _fits(state, history.room):
        _take_small(history, state)
    else:
        made = Compact.of(_gram(memory), len(steps))
        history.compact.take(made.inverse, made.squares, made.curvatures)
    history.curvatures = dict(enumerate(history.compact.curvatures.tolist()))
    memory.move = _move(memory, state, params)
    memory.save()  # a checkpoint goes with the parameters that are there
    scales = state.get("scales", [1.0] * len(space.scales))
    if scales != space.scales or not history.compact.is_sound:
        memory.forget()


def _fits(state: Mapping[str, Any], room: int) -> bool:
    """Whether saved small matrices are those of the same pairs in the same slots."""
    count = len(state["old_stps"])
    if "inverse" not in state or count > room:
        return False
    was_full = state["slot"] < count
    return not was_full or count == room


def _first_slot(state: Mapping[str, Any], room: int) -> int:
    """Return the slot of the oldest pair."""
    is_turned = _fits(state, room) and state["slot"] < len(state["old_stps"])
    return int(state["slot"]) if is_turned else 0


def _take_small(history: History, state: Mapping[str, Any]) -> None:
    history.compact.take(*(state[key] for key in MATRICES))
    products, count = state["products"], history.count
    history.is_known = len(products) > 0
    if history.is_known:
        history.products.steps[:count] = products[:count]
        history.products.changes[:count] = products[count:]


def _move(memory: Memory, state: Mapping[str, Any], params: Sequence[Tensor]) -> Move | None:
    step = float(state["t"])
    if not step:
        return None
    space, last = memory.space, None
    split(state["prev_flat_grad"], space, lambda block: block.gradient(0), params)
    if state.get("evaluated") and state.get("grad") is not None:
        split(state["grad"], space, lambda block: block.gradient(1), params)
        last = _trial(step, 0.0, 0.0, 0.0, 1)
    reading = space.read(0, float(state["prev_loss"]))
    slope, square = state.get("slope", reading.slope), state.get("square", reading.square)
    return Move(_trial(0.0, reading.loss, slope, square, 0), step, last)


def _trial(step: float, loss: float, slope: float, square: float, slot: int) -> Trial:
    return Trial(step, loss, slope, Reading(loss, slope, square, 0.0), slot)


def _gram(memory: Memory) -> Tensor:
    """Return the products of all remembered rows with each other."""
    return torch.stack([block.rows.gram() for block in memory.space.blocks]).sum(0)


def _step(slot: int) -> Pick:
    return lambda block: block.rows.step(slot)


def _change(slot: int) -> Pick:
    return lambda block: block.rows.change(slot)


def _by_age(slot: int, count: int) -> list[int]:
    """Return the slots in use, the oldest pair's first."""
    return [(slot + age) % count for age in range(count)] if count else []


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
    return _own_complaint(state, len(rows[0]))


def _own_complaint(state: Mapping[str, Any], count: int) -> str:
    lacking = [key for key in OWN if state.get(key) is None]
    if lacking:
        return "" if lacking == list(OWN) else f"it isn't whole: there is no {', '.join(lacking)}"
    shapes = dict(zip(MATRICES, [(count, count), (count, count), (count,)], strict=True))
    for key, shape in shapes.items():
        if not _is_real(state[key], shape):
            return f"{key} must be a tensor of real numbers, {shape} of them"
    if not any(_is_real(state["products"], (length,)) for length in (0, 2 * count)):
        return f"products must be a tensor of {2 * count} real numbers, or of none"
    if type(state["slot"]) is not int or not 0 <= state["slot"] <= count:
        return f"slot must be a whole number up to {count}, got {state['slot']!r:.40}"
    numbers, scales = [state[key] for key in ("slope", "square", "hint")], state["scales"]
    if type(scales) is not list or not all(map(_is_number, [*numbers, *scales])):
        return "slope, square, hint and each of scales must be a number"
    evaluated = state["evaluated"]
    if type(evaluated) is not int or evaluated != int(state.get("grad") is not None):
        return "evaluated must be 1 where there is a grad, and 0 where there is none"
    return ""


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return _is_real(value, ())
    return type(value) is float or (type(value) is int and abs(value) <= LARGEST)


def _is_real(value: Any, shape: tuple[int, ...]) -> bool:
    return (
        isinstance(value, Tensor)
        and value.shape == shape
        and value.layout == torch.strided
        and value.device.type != "meta"
        and value.is_floating_point()
    )
