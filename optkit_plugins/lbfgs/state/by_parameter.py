"""The state by parameter, as distributed checkpoints hold it: fixed keys and shapes, no lists.

Each parameter has the same vectors, each of its shape and, if it is a DTensor, distributed like
it: the direction, two gradients, and a step and a change of the gradient for every slot of the
ring, in use or not. With the first parameter stand the numbers and the small matrices, which are
as large as the full ring has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from optkit_plugins.lbfgs.hessian.pair_history import AcceptedStep
from optkit_plugins.lbfgs.ranks.held_parts import distributed_like
from optkit_plugins.lbfgs.solve.line import Trial
from optkit_plugins.lbfgs.state.joint_vectors import pick_row
from optkit_plugins.lbfgs.state.persistence import NO_STEP
from optkit_plugins.lbfgs.state.solver_state import SolverState
from optkit_plugins.lbfgs.vectors.block import Block
from optkit_plugins.lbfgs.vectors.gradient_info import GradientInfo, free_index
from optkit_plugins.lbfgs.vectors.own_gradients import real

Entries: TypeAlias = dict[str, Any]
Dtypes: TypeAlias = tuple[torch.dtype, torch.dtype]

GRADIENTS = BEFORE, AFTER = "prev_flat_grad", "grad"
DIRECTION, STEP, CHANGE = "d", "old_stps_{}", "old_dirs_{}"

MATRICES = ("inverse", "squares", "curvatures", "products")
NUMBERS = ("t", "H_diag", "prev_loss", "slope", "square", "hint")
COUNTERS = ("pairs", "slot", "is_projected", "evaluated")
SHARED = (*MATRICES, "scales", *NUMBERS, *COUNTERS)
"""What stands with the first parameter, beside the counts of evaluations and iterations."""


def names_for(capacity: int) -> list[str]:
    """Return the names of a parameter's vectors.

    >>> names_for(1)
    ['d', 'prev_flat_grad', 'grad', 'old_stps_0', 'old_dirs_0']
    """
    rows = [name.format(slot) for slot in range(capacity) for name in (STEP, CHANGE)]
    return [DIRECTION, *GRADIENTS, *rows]


def is_whole(entries: Sequence[Mapping[str, Any]], capacity: int) -> bool:
    """Return whether states have all that is published for a ring of so many slots."""
    names = frozenset(names_for(capacity))
    return entries[0].keys() >= {*names, *SHARED} and all(own.keys() >= names for own in entries)


def entries(solver: SolverState, params: Sequence[Tensor], dtypes: Dtypes) -> dict[Tensor, Entries]:
    """Return views of the vectors of each parameter, and what stands with the first.

    Args:
        solver: whose they are.
        params: all parameters, in order.
        dtypes: of the vectors and of the pairs.
    """
    found = {name: _parts_of(solver, pick) for name, pick in _picks(solver).items()}
    by_param = {
        p: {
            name: _vector(solver, p, parts, dtypes[name not in (DIRECTION, *GRADIENTS)])
            for name, parts in found.items()
        }
        for p in params
    }
    return {**by_param, params[0]: by_param[params[0]] | _shared(solver)}


def _picks(solver: SolverState) -> dict[str, Callable[[Block], Tensor]]:
    """Return what picks each vector from a block, by its name."""
    before, after = _gradients(solver)
    picks: dict[str, Callable[[Block], Tensor]] = {
        DIRECTION: lambda block: block.direction,
        BEFORE: lambda block: block.gradient(before),
        AFTER: lambda block: block.gradient(after),
    }
    for slot in range(solver.history.compact.capacity):
        picks[STEP.format(slot)] = pick_row(slot)
        picks[CHANGE.format(slot)] = pick_row(solver.history.compact.capacity + slot)
    return picks


def _gradients(solver: SolverState) -> tuple[int, int]:
    """Return which gradients are those before and after the last step; any two without one."""
    step = solver.last_step
    before = step.origin.index if step else 0
    return before, step.end.index if step and step.end else free_index(before)


def _parts_of(solver: SolverState, pick: Callable[[Block], Tensor]) -> dict[int, Tensor]:
    """Return what a vector has for each parameter, in its shape."""
    return {
        id(p): view
        for block in solver.space.blocks
        for p, view in zip(block.params, block.as_shaped(pick(block)), strict=True)
    }


def _vector(
    solver: SolverState, p: Tensor, parts: Mapping[int, Tensor], dtype: torch.dtype
) -> Tensor:
    """Return a parameter's vector, a DTensor of what is in the blocks if it is one."""
    part = solver.space.part_of(p)
    # What has no element is in no block.
    view = parts[id(part)] if part.numel() else torch.empty_like(real(part.detach()), dtype=dtype)
    return view if part is p else distributed_like(p, view)


def _shared(solver: SolverState) -> Entries:
    history, step = solver.history, solver.last_step or NO_STEP
    compact, origin = history.compact, step.origin
    return {
        "inverse": compact.inverse,
        "squares": compact.squares,
        "curvatures": compact.curvatures,
        "products": history.products.all,
        "scales": torch.tensor(solver.space.scales, dtype=torch.float64, device="cpu"),
        "t": step.length,
        "H_diag": history.gamma,
        "prev_loss": origin.loss,
        "slope": origin.slope,
        "square": origin.gradient.square,
        "hint": solver.retry_length or 0.0,
        "pairs": history.count,
        "slot": history.slot,
        "is_projected": int(history.is_projected),
        "evaluated": int(step.end is not None),
    }


def adopt(
    solver: SolverState,
    saved: Sequence[Mapping[str, Any]],
    params: Sequence[Tensor],
    dtypes: Dtypes,
) -> None:
    """Take in what `entries` returned for a solver of as many slots.

    Args:
        solver: what takes it.
        saved: the entries of each parameter, which were verified.
        params: all parameters, in order.
        dtypes: of the vectors and of the pairs.
    """
    before, after = _gradients(solver)
    solver.history.clear()
    own = entries(solver, params, dtypes)
    for p, states in zip(params, saved, strict=True):
        for name in names_for(solver.history.compact.capacity):
            own[p][name].copy_(states[name])
    shared, history = saved[0], solver.history
    for name in MATRICES:
        own[params[0]][name].copy_(shared[name])
    history.count, history.slot, history.gamma = shared["pairs"], shared["slot"], shared["H_diag"]
    history.is_projected = bool(shared["is_projected"])
    solver.iterations, solver.retry_length = shared["n_iter"], shared["hint"] or None
    origin = _point(0.0, shared, before)
    end = _point(shared["t"], shared, after) if shared["evaluated"] else None
    solver.last_step = AcceptedStep(origin, shared["t"], end) if shared["t"] else None
    if shared["scales"].tolist() != solver.space.scales or not history.compact.is_sound:
        solver.forget()


def _point(step: float, shared: Mapping[str, Any], index: int) -> Trial:
    loss, slope = float(shared["prev_loss"]), float(shared["slope"])
    return Trial(step, loss, slope, GradientInfo(loss, slope, float(shared["square"]), 0.0), index)
