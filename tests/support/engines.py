"""Training under torch's engines of distribution, in lock step with torch.optim under the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sharded
import torch
import torch.distributed as dist
from algorithms import ELEMENTWISE, MATRIXWISE, NAMES, TORCH, with_state
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import optkit

Wrap = Callable[[torch.nn.Module], torch.nn.Module]
Train = Callable[[Any, Any], None]

STEPS = 4
RATE = 0.01

PIECEWISE = [n for n, cls in ELEMENTWISE.items() if cls.is_elementwise and not cls.has_totals]
"""Those to which any piece of a parameter will do."""

WHOLE = [name for name in (*ELEMENTWISE, *MATRIXWISE) if name not in PIECEWISE]
"""Those to which it won't."""

JOINT = [name for name in NAMES if optkit.get(name).is_joint or optkit.get(name).has_totals]
"""Those that decide by all parameters."""

FEW = ("adam", "adamax", "sgd")
"""Those of torch's that are tried with each option of an engine, and not with the engine alone."""


def model(dtype: torch.dtype = torch.float32) -> torch.nn.Sequential:
    """Return the same small network each time; not all of its sizes divide by two or four."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(9, 18), torch.nn.Tanh(), torch.nn.Linear(18, 5)
    return torch.nn.Sequential(*layers).to(dtype)


def batch(step: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return this rank's rows for a step."""
    generator = torch.Generator().manual_seed(100 * step + dist.get_rank())
    return torch.randn(8, 9, generator=generator).to(dtype)


def backward(net: Any, step: int) -> Tensor:
    """Leave the gradients of a step's loss in a network's parameters; return the loss."""
    dtype = next(net.parameters()).dtype
    loss: Tensor = net(batch(step, dtype)).square().mean()
    loss.backward()
    return loss


def train(net: Any, optimizer: Any, steps: int = STEPS, first: int = 0) -> None:
    """Take steps, each on rows of its own."""
    for step in range(first, first + steps):
        optimizer.zero_grad()
        backward(net, step)
        optimizer.step()


def ours(name: str, params: Any, **options: Any) -> Any:
    """Return optkit's optimizer, with the for-loop, which is to be bit-equal to torch's."""
    given = {"lr": RATE, "implementation": "forloop", **options}
    return optkit.create(name, params, **with_state(name, **given))


def theirs(name: str, params: Any, **options: Any) -> Any:
    """Return torch's optimizer of a name, with its for-loop."""
    return TORCH[name](params, **with_state(name, lr=RATE, foreach=False, **options))


def replica(net: torch.nn.Module) -> torch.nn.Module:
    """Put a network under DistributedDataParallel."""
    return DistributedDataParallel(net)


def ends(net: torch.nn.Module) -> dict[str, Tensor]:
    """Return all elements of a network's parameters, by their names without wrappers' parts."""
    return {name.removeprefix("module."): _whole(p.detach()) for name, p in net.named_parameters()}


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.clone()


def apart(
    what: str, one: Mapping[str, Tensor], other: Mapping[str, Tensor], far: float = 0.0
) -> Iterator[str]:
    """Return which of two networks' parameters differ, and by how much.

    Args:
        what: is compared, for the messages.
        one: a network's parameters by name.
        other: those of another.
        far: how far they may be apart; 0 for equal bits.
    """
    assert one.keys() == other.keys() and one
    for name, p in one.items():
        distance = float((p - other[name]).abs().max())
        # Not by the distance alone, which isn't larger than anything where it is no number.
        if not (torch.equal(p, other[name]) or distance <= far):
            yield f"{what}: {name} differs by {distance:.2g}"


def lock_step(
    wrap: Wrap,
    names: Sequence[str] = tuple(TORCH),
    *,
    train: Train = train,
    ends: Callable[[torch.nn.Module], dict[str, Tensor]] = ends,
) -> list[str]:
    """Return where training under an engine differs from training with torch.optim under it.

    Args:
        wrap: puts a network under the engine.
        names: of algorithms that torch has too.
        train: takes steps.
        ends: returns the network's parameters.
    """
    found: list[str] = []
    for name in names:
        results = []
        for make in (ours, theirs):
            net = wrap(model())
            train(net, make(name, net.parameters()))
            results.append(ends(net))
        found += apart(name, *results)
    return found


def as_replicas(
    wrap: Wrap,
    names: Sequence[str],
    *,
    far: float = 0.0,
    ends_of: Callable[[torch.nn.Module], dict[str, Tensor]] = ends,
) -> list[str]:
    """Return where training under an engine ends elsewhere than that of plain replicas.

    Means of two ranks' gradients are equal to the last bit, however they are made.

    Args:
        wrap: puts a network under the engine.
        names: of algorithms.
        far: how far they may be apart; 0 for equal bits.
        ends_of: returns the parameters of a network under the engine.
    """
    found: list[str] = []
    for name in names:
        results = []
        for put, of in ((wrap, ends_of), (replica, ends)):
            net = put(model())
            train(net, ours(name, net.parameters()))
            results.append(of(net))
        found += apart(name, *results, far=far)
    return found


def refusal(make: Callable[[], Any]) -> str:
    """Return the kind and the words of the error that something raises, ``""`` if it does not."""
    try:
        make()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def found(rank: int) -> dict[str, Any]:
    """Return what this rank finds under all engines, by the functions' names.

    Args:
        rank: of two or of four.
    """
    # Not in the tests' own process, in which the warnings of these imports would be errors.
    if dist.get_world_size() == 2:
        import engine_cases

        cases = engine_cases.ON_TWO
    else:
        import under_fully_shard

        cases = under_fully_shard.ON_FOUR
    results = sharded.runs(rank, cases)
    return {case.__name__: result for case, result in zip(cases, results, strict=True)}
