"""``optkit explain``: what would run parameters of given shapes, why, and by which kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

import optkit
from optkit.cli.user_errors import OptionError, translate_errors
from optkit_core.implementations import fused
from optkit_core.optimizer import Optimizer
from optkit_core.selection.explanation import Explanation
from optkit_core.step.bucket_key import BucketKey


def shape(text: str) -> tuple[int, ...]:
    """Return the sizes of a shape such as ``1024x1024``; ``scalar`` has none.

    Raises:
        OptionError: it isn't one.

    >>> shape("64x3"), shape("scalar")
    ((64, 3), ())
    """
    if text == "scalar":
        return ()
    sizes = text.split("x")
    if all(size.isascii() and size.isdigit() for size in sizes):
        return tuple(map(int, sizes))
    raise OptionError(f"--shape {text!r} isn't a shape such as 1024x1024, 64 or scalar.")


def optimizer_for(
    name: str,
    shapes: Sequence[tuple[int, ...]],
    count: int,
    dtype: str,
    device: str,
    implementation: str | None,
    settings: Mapping[str, Any],
) -> Optimizer:
    """Return an optimizer of parameters that hold nothing in particular.

    Args:
        name: of the algorithm.
        shapes: of the parameters.
        count: how many there are of each shape.
        dtype: such as ``"float32"``.
        device: such as ``"cpu"`` or ``"cuda:0"``.
        implementation: what is asked for, None for the default.
        settings: hyperparameters and options.

    Raises:
        OptionError: the dtype or the device doesn't exist here, the parameters are too large
            for it, or the algorithm isn't optkit's.
        TrainingError: the optimizer refuses what it was given.
    """
    params = [_parameter(shape, dtype, device) for shape in shapes for _ in range(count)]
    # An unknown name is refused here, where it doesn't read as an optimizer's failure.
    optkit.get(name)
    with translate_errors(name, "being created"):
        optimizer = optkit.create(name, params, implementation=implementation, **settings)
    if isinstance(optimizer, Optimizer):
        return optimizer
    raise OptionError(
        f"{name} is {type(optimizer).__module__}.{type(optimizer).__qualname__}, which chooses "
        "for itself what runs; only optkit's own algorithms explain."
    )


def sources(optimizer: Optimizer) -> list[tuple[str, str]]:
    """Return a title and the source of the kernel for each kind of bucket that fused runs."""
    return [
        (str(choice.key), _source(optimizer, choice.key))
        for choice in optimizer.plan
        if choice.name == "fused"
    ]


def _source(optimizer: Optimizer, key: BucketKey) -> str:
    algorithm: Any = type(optimizer)
    brought = algorithm.libraries(key.dtype)
    if brought:
        return "\n".join(source for source, _ in brought)
    h = optimizer.values(optimizer.param_groups[0])
    return fused.source(algorithm, key, h)


def print_explanation(explanation: Explanation, kernels: Sequence[tuple[str, str]]) -> None:
    """Print an explanation, then the kernels' sources, each below its title.

    Args:
        explanation: what `Optimizer.explain` returns.
        kernels: titles and sources of kernels, as `sources` returns them.
    """
    print(explanation)
    for title, source in kernels:
        print(f"\nfused kernel for {title}\n\n{source}")


def _parameter(shape: tuple[int, ...], dtype: str, device: str) -> torch.nn.Parameter:
    known = getattr(torch, dtype, None)
    if not isinstance(known, torch.dtype) or not (known.is_floating_point or known.is_complex):
        raise OptionError(f"--dtype {dtype!r} isn't a dtype of parameters, such as float32.")
    try:
        return torch.nn.Parameter(torch.empty(shape, dtype=known, device=device))
    # torch raises each of these for a device that it can't use.
    except (RuntimeError, AssertionError, ValueError) as error:
        # CUDA's errors go on for lines about how to debug kernels.
        reason = str(error).splitlines()[0]
        raise OptionError(
            f"there can't be a parameter of shape {shape} on --device {device!r} here: {reason}"
        ) from error
