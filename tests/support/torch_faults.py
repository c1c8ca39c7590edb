"""Faults of torch.optim by number, and in which of the supported releases each one is there.

A test shows a fault on torch in the releases that have it, and that optkit is free of it in all.
A release that is free of one too goes into `REPAIRED`; a test that notices says so.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

FAULTS = {
    1: "fused kernels on the CPU take no notice of strides",
    2: "fused SGD on the CPU leaves whole vectors of halves as they are",
    3: "a zero gradient in float16 gives NaN",
    4: "bfloat16 parameters don't move by what is small beside them",
    5: "state is cast to the dtype of its parameter when it is loaded",
    6: "state is matched by position, and state that can't be continued is accepted",
    7: "saved and loaded state shares its tensors with the optimizer",
    8: "asking the distributed checkpoint layer for state takes a step",
    9: "Adagrad takes no notice of a group's initial_accumulator_value",
    10: "a string in the state becomes the text of a generator when it is loaded",
    11: "a group may have misspelled keys and values out of range",
    12: "two parameters over the same memory are updated twice",
    13: "a step counter in float32 ends at 2**24",
    14: "fused kernels stop beyond 2**31 elements",
    15: "implementations of an algorithm drift apart, and some modify gradients",
    16: "a checkpoint says how to run, and a pickle loses the flag for a scaler",
    17: "copies and pickles lose hooks, attributes of subclasses, and all of L-BFGS",
    18: "loading takes quadratic time",
    19: "foreach needs a second copy of the parameters; one odd tensor decides for its group",
    20: "L-BFGS with strong_wolfe stands still with one or two iterations a step",
    21: "L-BFGS doesn't minimize a loss in small units",
    22: "L-BFGS forgets its history near an optimum",
    23: "L-BFGS follows a trial that is NaN",
    24: "L-BFGS makes NaN of the parameters where the first loss is NaN",
    25: "L-BFGS raises IndexError where the first loss is infinite",
    26: "L-BFGS leaves a trial point behind if the closure raises",
    27: "L-BFGS refuses gradients that aren't contiguous",
    28: "L-BFGS raises for a group without elements",
    29: "L-BFGS raises UnboundLocalError with max_eval=0",
    30: "L-BFGS takes one group only",
    31: "L-BFGS exceeds max_eval",
}

UNTESTED = {
    4: "optkit's default numerics are torch's here; a repair will be a named option",
    14: "its tensors need 8 GiB; the tests of CUDA take 2**31 elements where the device has room",
}
"""Why no test shows a fault."""

REPAIRED = {2: "2.14"}
"""The first release without a fault."""


def torch_has_fault(number: int) -> bool:
    """Return whether this release of torch has a fault."""
    assert number in FAULTS
    return number not in REPAIRED or torch.__version__ < REPAIRED[number]


def assert_in_torch(number: int, shown: bool) -> None:
    """Check that a fault was shown on torch if this release has it, and not otherwise."""
    told = f"torch {torch.__version__} {'has' if shown else 'is free of'} this: {FAULTS[number]}"
    assert shown == torch_has_fault(number), told


def as_in_torch(number: int, failure: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
    """Expect a failure, such as ``pytest.raises(…)``, in the releases that have a fault."""
    return failure if torch_has_fault(number) else nullcontext()
