"""Saves states one after the other until somebody kills the process; run as a script.

The arguments are the file and the number of the first state. State n is full of n.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

import optkit

SIZE = 40_000


def numbered(number: int) -> Any:
    """Return an optimizer whose state and groups all say `number`."""
    params = [torch.nn.Parameter(torch.zeros(SIZE)), torch.nn.Parameter(torch.zeros(3))]
    optimizer = torch.optim.SGD(params, lr=float(number), momentum=0.9)
    for p in params:
        optimizer.state[p]["momentum_buffer"] = torch.full_like(p, float(number))
    return optimizer


def main() -> None:
    """Save state after state; say so on standard output once each is there."""
    path, number = sys.argv[1], int(sys.argv[2])
    while True:
        optkit.save(numbered(number), path)
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    main()
