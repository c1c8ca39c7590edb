"""What ranks do in tests of checkpoints that processes of another number go on from.

A run is an optimizer of each algorithm that all take the same steps. Gradients are those of
whole tensors, whatever the number of ranks, so that every run can be compared with one that
nobody interrupted, in one process.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from algorithms import ALGORITHMS, MATRIXWISE, SPARSE_ONLY, declared
from sharded import PLACEMENTS, forgetting_meshes, mesh_of, placed
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor

import optkit
from optkit_core import Elementwise, WithTotals

MATRICES = [(8, 6), (7, 5), (6, 7), (1, 19)]
SHAPES = [*MATRICES, (33,), (3,)]
"""Even and uneven ones, and such of which some rank has no element."""

LATE, NEVER = 1, 2
"""Which parameter has no gradient in the first steps, and which never has one."""

FIRST_OF_LATE = 3
STEPS = 2
"""How many steps are taken between two checkpoints."""

SETTINGS = {"weight_decay": 0.1, "momentum": 0.9, "dampening": 0.5, "amsgrad": True}
SEVERAL = "several algorithms"
"""Stands for an optimizer with groups of two."""

JOINT = "lbfgs"
"""The algorithm whose steps need a closure, over all parameters together."""

BY_POSITION = "lbfgs by position"
"""The same, where the optimizer itself stands in what is saved, and torch asks for its state."""

FORMS = (False, True)
"""Whether state dicts are flattened."""


class Run:
    """A model, an optimizer, and how many steps have been taken.

    Args:
        name: of the algorithm.
        is_whole: whether all tensors are plain, whatever the number of ranks.
    """

    def __init__(self, name: str, is_whole: bool) -> None:
        """Begin."""
        self.name, self.steps = name, 0
        self.is_joint = name in (JOINT, BY_POSITION)
        shapes = MATRICES if name in MATRIXWISE else SHAPES
        self.places = None if is_whole or name in SPARSE_ONLY else _places(len(shapes))
        self.model = torch.nn.ParameterDict(
            {f"p{i}": self._put(i, value) for i, value in enumerate(self._start(shapes))}
        )
        self.optimizer: Any = _created(name, list(self.model.named_parameters()))

    def _start(self, shapes: Sequence[Any]) -> list[Tensor]:
        values = _values(shapes, 0)
        return [value.double() for value in values] if self.is_joint else values

    def _put(self, index: int, value: Tensor) -> Tensor:
        return value if self.places is None else placed(value, *self.places[index])

    def step(self, count: int = STEPS) -> None:
        """Take steps."""
        for _ in range(count):
            self.steps += 1
            if self.is_joint:
                self.optimizer.step(self.closure)
                continue
            shapes = [p.shape for p in self.model.values()]
            for index, value in enumerate(_values(shapes, self.steps)):
                self._give(index, value.to_sparse(1) if self.name in SPARSE_ONLY else value)
            self.optimizer.step()

    def closure(self) -> Tensor:
        """Return a loss, and give the parameters its gradients."""
        loss = torch.zeros((), dtype=torch.float64)
        for index, p in enumerate(self.model.values()):
            x = _whole(p.detach()) - 1
            weights = torch.arange(1, x.numel() + 1, dtype=x.dtype).reshape(x.shape) / 10
            loss += (weights * x.square() / 2 + x**4 / 4).sum()
            self._give(index, weights * x + x**3)
        return loss

    def _give(self, index: int, gradient: Tensor) -> None:
        lacks = index == NEVER or (index == LATE and self.steps < FIRST_OF_LATE)
        self.model[f"p{index}"].grad = None if lacks else self._put(index, gradient)

    def state(self, is_flat: bool = False) -> dict[str, Any]:
        """Return what a checkpoint is to hold."""
        options = StateDictOptions(flatten_optimizer_state_dict=is_flat)
        if self.name == BY_POSITION:
            return {"model": self.model.state_dict()}
        own = get_optimizer_state_dict(self.model, self.optimizer, options=options)
        return {"model": self.model.state_dict(), "optimizer": own}

    def set(self, saved: dict[str, Any], is_flat: bool = False) -> None:
        """Go on from what a checkpoint held; the model's tensors have been filled."""
        if self.name == BY_POSITION:
            return
        options = StateDictOptions(flatten_optimizer_state_dict=is_flat)
        set_optimizer_state_dict(self.model, self.optimizer, saved["optimizer"], options=options)

    def differences(self, other: Run, relative: float) -> Iterator[str]:
        """Say which parameters and states differ from those of another run."""
        for (name, p), q in zip(self.model.items(), other.model.values(), strict=True):
            mine, its = self.optimizer.state[p], other.optimizer.state.get(q, {})
            # In one process the vectors of L-BFGS are joint, and numbers tell that all is well.
            keys = [key for key in its if not self.is_joint or key in ("func_evals", "n_iter")]
            pairs = {"itself": (p, q), **{key: (mine[key], its[key]) for key in keys}}
            for key, (got, wanted) in pairs.items():
                if not _alike(got, wanted, relative):
                    yield f"{self.name}: {key} of {name}"


def by_position(runs: dict[str, Run]) -> dict[str, Any]:
    """Return the optimizers that stand in what is saved themselves."""
    found = {name: run.optimizer for name, run in runs.items() if name == BY_POSITION}
    # Of plain tensors L-BFGS has vectors of all together, unless somebody has asked.
    assert all(optimizer.state for optimizer in found.values() if runs[BY_POSITION].places is None)
    return found


def _created(name: str, named: list[Any]) -> Any:
    if name in (JOINT, BY_POSITION):
        options = {"max_iter": 2, "history_size": 3, "line_search_fn": "hager_zhang"}
        return optkit.create(JOINT, named, **options)
    if name != SEVERAL:
        return optkit.create(name, named, lr=0.05, **declared(name, **SETTINGS))
    groups = [{"params": named[::2]}, {"params": named[1::2], "algorithm": "adagrad", "lr": 0.1}]
    return optkit.create("adamax", groups, lr=0.05)


def _places(count: int) -> list[Any]:
    mesh = mesh_of(dist.get_world_size())
    ways = list(PLACEMENTS[dist.get_world_size()].values())
    return [(mesh, ways[i % len(ways)]) for i in range(count)]


def _values(shapes: Sequence[Any], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _whole(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _alike(got: Any, wanted: Any, relative: float) -> bool:
    if not isinstance(wanted, Tensor):
        return bool(got == wanted)
    whole = _whole(got)
    if not relative:
        return torch.equal(whole, wanted)
    return torch.allclose(whole, wanted, rtol=relative, atol=relative)


def tolerance(name: str) -> float:
    """Return by how much a resharded run may differ: what is summed may be summed otherwise."""
    if name in (JOINT, BY_POSITION):
        return 1e-6
    algorithm = ALGORITHMS.get(name, ALGORITHMS["adamax"])
    is_exact = issubclass(algorithm, Elementwise) and not issubclass(algorithm, WithTotals)
    return 0.0 if is_exact or name in SPARSE_ONLY else 1e-4


def go_on(
    names: Sequence[str], source: Path | None, is_flat: bool, target: Path | None, is_whole: bool
) -> list[str]:
    """Load a checkpoint, step, and save another; return what differs from whole tensors.

    Args:
        names: of the algorithms.
        source: where the checkpoint is; None: begin.
        is_flat: whether it is loaded as flattened state dicts.
        target: where to save, in both forms; None: nowhere.
        is_whole: whether all tensors are plain.
    """
    runs = {name: Run(name, is_whole) for name in names}
    with alone():
        begun = 0
        if source is not None:
            begun = _load(runs, source, is_flat)
        for run in runs.values():
            run.steps = begun
            run.step()
        if target is not None:
            content = {str(f): {n: r.state(f) for n, r in runs.items()} for f in FORMS}
            content |= by_position(runs)
            dcp.save({"steps": begun + STEPS, **content}, checkpoint_id=target)
    found = []
    for name, run in runs.items():
        reference = Run(name, True)
        reference.step(run.steps)
        found += run.differences(reference, tolerance(name))
    return found


def _load(runs: dict[str, Run], source: Path, is_flat: bool) -> int:
    content: dict[str, Any] = {name: run.state(is_flat) for name, run in runs.items()}
    state = {"steps": 0, str(is_flat): content, **by_position(runs)}
    dcp.load(state, checkpoint_id=source)
    for name, run in runs.items():
        run.set(content[name], is_flat)
    return int(state["steps"])


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let torch not warn of a process by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@forgetting_meshes
def go_on_each(rank: int, ways: Sequence[Any]) -> list[list[str]]:
    """Do `go_on` with parts of tensors for one way after the other; return what differs."""
    return [[f"rank {rank}: {d}" for d in go_on(*way, False)] for way in ways]
