"""The table of all algorithms: what its cells for CUDA say is what happens.

It is run on a GPU where there is one, and by the CPU that stands in for one, with the kernels in
Triton's interpreter. What ``auto`` takes on CUDA is tested in tests/selection/test_every_cell.py.
"""

from __future__ import annotations

from typing import Any

import cells
import devices
import pytest
import torch
from algorithms import ALGORITHMS, MATRIXWISE
from cells import IMPLEMENTATIONS, able, suited
from torch import Tensor

import optkit
from optkit_core.errors import ImplementationError
from optkit_core.testing import assert_agree

device = pytest.fixture(params=devices.PLACES)(devices.standing)

EACH = [(name, known) for name in ALGORITHMS for known in IMPLEMENTATIONS]
CAPTURED = [
    (name, known) for name in ALGORITHMS for known in IMPLEMENTATIONS if able(name).capturable
]


def ends(name: str, device: torch.device, **options: Any) -> tuple[list[Tensor], Any]:
    """Return where an algorithm's steps end on a device, and the optimizer."""
    optimizer = optkit.create(name, devices.on(device, suited(name)), **options)
    return cells.stepped(name, optimizer), optimizer


@pytest.mark.parametrize(("name", "implementation"), EACH)
def test_an_implementation_runs_or_refuses(
    name: str, implementation: str, device: torch.device
) -> None:
    if not able(name).implementation(implementation, "cuda"):
        if device.type == "cpu" and able(name).implementation(implementation, "cpu"):
            pytest.skip("it runs on the CPU that stands in; the selector is asked elsewhere")
        with pytest.raises(ImplementationError, match=implementation):
            ends(name, device, implementation=implementation)
        return
    found, optimizer = ends(name, device, implementation=implementation)
    assert cells.moved([p.cpu() for p in found], [p.detach() for p in suited(name)])
    if name not in MATRIXWISE:  # eigenvectors of one eigenvalue are as the library has them
        expected, _ = ends(name, torch.device("cpu"), implementation="forloop")
        assert_agree([p.cpu() for p in found], expected)
    assert {b.implementation for b in optimizer.explain().buckets} == {implementation}


@pytest.mark.parametrize(("name", "implementation"), CAPTURED)
def test_a_capturable_step_does_the_same(
    name: str, implementation: str, device: torch.device
) -> None:
    """What an implementation can't do with counters on the device, it refuses."""
    expected, _ = ends(name, torch.device("cpu"), implementation="forloop")
    try:
        found, optimizer = ends(name, device, implementation=implementation, capturable=True)
    except ImplementationError:
        assert implementation != "forloop"  # which stands for the table's cell
        return
    assert_agree([p.cpu() for p in found], expected)
    assert all(state.get("step", p).device == p.device for p, state in optimizer.state.items())
