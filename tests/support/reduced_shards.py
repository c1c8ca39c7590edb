"""What ranks do in tests of reductions over shards: steps beside those of whole tensors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import joint_reductions
import sharded
import torch
import torch.distributed as dist
from algorithms import ALGORITHMS, declared
from reducing import COLUMNS, LARGEST, ROWS, WHOLE, Shaped, reducing
from sharded import MISSING, PLACEMENTS, forgetting_meshes, mesh_of, placed
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate
from torch.distributed.tensor.debug import CommDebugMode

import optkit
from optkit_core import (
    Buffer,
    Elementwise,
    Layerwise,
    Total,
    WithTotals,
    at_least,
    estimate,
    hyperparameter,
)
from optkit_core.testing import TOLERANCES
from optkit_core.testing.comparisons import assert_close, is_same

FLAT = [shape for shape in sharded.SHAPES if 0 not in shape]
MATRICES = [shape for shape in [*FLAT, (3, 5, 4)] if len(shape) > 1]
STEPS = 3


class Normed(WithTotals, Elementwise):
    """Descends by the sum of the norms of all parameters: no norm is the sum of those of parts."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    share = estimate(start=1.0)
    norms = Total()
    count = Total()

    @staticmethod
    def measure(p: Any, g: Any, s: Any, h: Any) -> Mapping[str, Any]:
        return {"norms": g.norm() + p.norm(), "count": 1.0}

    @staticmethod
    def conclude(totals: Any, h: Any) -> Mapping[str, Any]:
        return {"share": totals.count / totals.norms}

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g, alpha=h.lr * h.share)


class Spread(Layerwise):
    """Divides by what kernels know nothing of, so that torch communicates for it."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    rows = Buffer(shape=lambda p: p.shape[:1])

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        if p.dim() > 1:
            s.rows.add_(g.abs().sum(dim=-1))
        p.sub_(g.sinh(), alpha=h.lr)


class Case(NamedTuple):
    """Steps of one algorithm.

    Args:
        make: returns an optimizer of the parameters that it is given, by an implementation.
        shapes: those of the parameters.
        dtype: theirs.
        runs: the implementation that is asked for.
    """

    make: Any
    shapes: Sequence[tuple[int, ...]] = sharded.SHAPES
    dtype: torch.dtype = torch.float32
    runs: str = "fused"


def cases(names: Sequence[str], implementations: Sequence[str]) -> dict[str, Case]:
    """Return the algorithms that ship, and a few other bodies, by all implementations.

    Args:
        names: of the algorithms.
        implementations: to be asked for.
    """
    options = {name: declared(name, weight_decay=0.1, d0=0.1) for name in names}
    makers: dict[str, tuple[Any, Any]] = {
        name: (lambda p, n=name, **by: optkit.create(n, p, **options[n], **by), sharded.SHAPES)
        for name in names
    }
    makers |= {"buffers": (Shaped, MATRICES), "totals": (Normed, sharded.SHAPES)}
    makers |= {"both": (reducing(COLUMNS["both"]), MATRICES)}
    return {
        f"{name} by {runs}": Case(make, shapes, runs=runs)
        for name, (make, shapes) in makers.items()
        for runs in implementations
    }


def calls() -> dict[str, Case]:
    """Return bodies of each kind of reduction, by foreach and by a kernel in turns."""
    makers: dict[str, tuple[Any, Any]] = {}
    makers |= {f"whole {name}": (reducing(call), sharded.SHAPES) for name, call in WHOLE.items()}
    makers |= {f"whole {name}": (reducing(call), FLAT) for name, call in LARGEST.items()}
    makers |= {f"rows {name}": (reducing(call), MATRICES) for name, call in ROWS.items()}
    makers |= {f"columns {name}": (reducing(call), MATRICES) for name, call in COLUMNS.items()}
    turns = zip(makers.items(), itertools.cycle(["foreach", "fused"]), strict=False)
    return {
        f"{name} by {runs}": Case(make, shapes, runs=runs) for (name, (make, shapes)), runs in turns
    }


def others(names: Sequence[str]) -> dict[str, Case]:
    """Return cases of other dtypes.

    Args:
        names: of the algorithms that ship.
    """
    dtypes = {"float64": torch.float64, "bfloat16": torch.bfloat16, "complex64": torch.complex64}
    return {
        f"{name} in {title}": Case(lambda p, n=name, **by: optkit.create(n, p, **by), dtype=dtype)
        for name in names
        for title, dtype in dtypes.items()
        if not (dtype.is_complex and name == "adafactor")
    }


@forgetting_meshes
def differences(rank: int, names: Sequence[str], implementations: Sequence[str]) -> list[str]:
    """Return where steps of DTensors differ from those of the whole tensors.

    Args:
        rank: of this process.
        names: of the algorithms.
        implementations: to be asked for.
    """
    count = dist.get_world_size()
    mesh, found = mesh_of(count), []
    for number, (how, placements) in enumerate(PLACEMENTS[count].items()):
        # The for-loop completes what foreach completes, and in the same way.
        tried = cases(names, implementations[bool(number) :])
        # What doesn't depend on the placement; of four ranks each would do it at the same time.
        if not number and count == 2:
            tried |= calls() | others(names)
        for name, case in tried.items():
            title = f"{name}, {how}, rank {rank}"
            found += [f"{title}: {line}" for line in _compared(case, mesh, placements)]
        found += [f"together, {how}: {line}" for line in joint_reductions.apart(mesh, placements)]
    return found


def _compared(case: Case, mesh: DeviceMesh, placements: Sequence[Placement]) -> Iterator[str]:
    start = _values(case, 0)
    whole = [torch.nn.Parameter(value) for value in start]
    parts = [torch.nn.Parameter(placed(value, mesh, placements)) for value in start]
    reference, optimizer = case.make(whole), case.make(parts, implementation=case.runs)
    for step in range(STEPS):
        for index, gradient in enumerate(_values(case, step + 1)):
            is_missing = (step, index) == MISSING
            whole[index].grad = None if is_missing else gradient
            parts[index].grad = None if is_missing else placed(gradient, mesh, placements)
        reference.step()
        optimizer.step()
    if {choice.name for choice in optimizer.plan} != {case.runs}:
        yield f"{[choice.name for choice in optimizer.plan]} ran"
    tolerance = TOLERANCES[case.dtype]
    yield from _estimates_apart(reference, optimizer, tolerance)
    for index, (p, q) in enumerate(zip(whole, parts, strict=True)):
        pairs = {"parameter": (p.data, q.data), **_entries(reference, optimizer, p, q)}
        for what, (wanted, got) in pairs.items():
            yield from (f"{what} {index}: {line}" for line in _apart(wanted, got, tolerance))


def _values(case: Case, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=case.dtype) for s in case.shapes]


def _entries(reference: Any, optimizer: Any, p: Tensor, q: Tensor) -> dict[str, tuple[Any, Any]]:
    old, new = reference.state.get(p, {}), optimizer.state.get(q, {})
    assert old.keys() == new.keys()
    return {name: (old[name], new[name]) for name in old}


def _apart(wanted: Tensor, got: Any, tolerance: float) -> Iterator[str]:
    """Say how an entry differs from the whole one, and its replicas from each other."""
    if not isinstance(got, DTensor):
        if wanted.dim():
            yield f"is {type(got).__name__}"
        return
    try:
        assert_close(got.full_tensor(), wanted, tolerance)
    except AssertionError as error:
        yield str(error)
    for mesh_dim, placement in enumerate(got.placements):
        if isinstance(placement, Replicate):
            yield from _replicas_apart(got._local_tensor, got.device_mesh.get_group(mesh_dim))


def _estimates_apart(reference: Any, optimizer: Any, tolerance: float) -> Iterator[str]:
    """Say how what has been learned of all parameters differs from the whole, or between ranks."""
    wanted, got = (_estimates(one) for one in (reference, optimizer))
    try:
        assert_close(got, wanted, tolerance)
    except AssertionError as error:
        yield f"estimates {optimizer.estimate_names}: {error}"
    yield from _replicas_apart(got, None)


def _estimates(optimizer: Any) -> Tensor:
    group = optimizer.param_groups[0]
    return torch.tensor([group[name] for name in optimizer.estimate_names], dtype=torch.float64)


def _replicas_apart(local: Tensor, group: Any) -> Iterator[str]:
    mine = local.detach().contiguous()
    theirs = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(theirs, mine, group=group)
    if not all(is_same(other, mine) for other in theirs):
        yield "replicas differ"


def collectives(mesh: DeviceMesh, name: str, count: int, implementation: str) -> int:
    """Return how many collectives a step makes.

    Args:
        mesh: of all ranks.
        name: of the algorithm.
        count: how many parameters there are.
        implementation: to be asked for.
    """
    params = [
        torch.nn.Parameter(placed(torch.ones(5, 4), mesh, ROWS_OF[mesh.ndim])) for _ in range(count)
    ]
    optimizer: Any = optkit.create(name, params, implementation=implementation)
    for p in params:
        p.grad = placed(torch.ones(5, 4), mesh, ROWS_OF[mesh.ndim])
    for _ in range(3):
        with CommDebugMode() as communication:
            optimizer.step()
    return int(communication.get_total_counts())


ROWS_OF = {1: PLACEMENTS[2]["rows"], 2: PLACEMENTS[4]["hybrid"]}


def counted(mesh: DeviceMesh) -> dict[str, tuple[int, int]]:
    """Return how many collectives a step makes of 3 parameters, and of 12."""
    names = [
        n
        for n, cls in ALGORITHMS.items()
        if issubclass(cls, Layerwise) and cls.completes_reductions()
    ]
    return {
        f"{name} {how}": (collectives(mesh, name, 3, how), collectives(mesh, name, 12, how))
        for name in names
        for how in ("forloop", "foreach", "fused")
    }


SEEN = {name: {**LARGEST, **WHOLE}[name] for name in ("norm of order inf", "amin", "norm")}


def what_is_not_finite(mesh: DeviceMesh) -> list[str]:
    """Return where not-a-number or an infinity on one rank isn't seen by all as it should be."""
    found = []
    for special in (float("nan"), float("inf"), -float("inf")):
        for title, call in SEEN.items():
            for implementation in ("foreach", "fused"):
                gradient = torch.ones(5, 2)
                gradient[4, 1] = special
                wanted = torch.nn.Parameter(torch.ones(5, 2))
                p = torch.nn.Parameter(placed(wanted.data, mesh, PLACEMENTS[2]["rows"]))
                wanted.grad, p.grad = gradient, placed(gradient, mesh, PLACEMENTS[2]["rows"])
                algorithm: Any = reducing(call)
                algorithm([wanted]).step()
                algorithm([p], implementation=implementation).step()
                if not torch.allclose(p.full_tensor(), wanted.data, equal_nan=True):
                    found.append(f"{special} in {title} by {implementation}: {p.full_tensor()}")
    return found


def whole_ones(mesh: DeviceMesh) -> tuple[list[str], bool, tuple[int, ...]]:
    """Step DTensors by a body that can't be traced; return what ran, if it was right, and more."""
    generator = torch.Generator().manual_seed(7)
    value, gradient = (torch.randn(7, 5, generator=generator) for _ in range(2))
    wanted = torch.nn.Parameter(value)
    p = torch.nn.Parameter(placed(value, mesh, PLACEMENTS[2]["rows"]))
    optimizers: list[Any] = [Spread([wanted], implementation="forloop"), Spread([p])]
    wanted.grad, p.grad = gradient, placed(gradient, mesh, PLACEMENTS[2]["rows"])
    for _ in range(3):
        for optimizer in optimizers:
            optimizer.step()
    rows = optimizers[1].state[p]["rows"]
    is_right = torch.allclose(p.full_tensor(), wanted.data)
    is_right &= torch.allclose(rows.full_tensor(), optimizers[0].state[wanted]["rows"])
    return [c.name for c in optimizers[1].plan], is_right, tuple(rows.to_local().shape)
