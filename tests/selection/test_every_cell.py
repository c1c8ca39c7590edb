"""The table of all algorithms: what a cell says is what happens, on the CPU by running it.

On CUDA the selector is asked here, as if there were a GPU with Triton;
tests/cuda/test_every_cell_on_cuda.py runs what it takes, in Triton's interpreter or on a GPU.
"""

from __future__ import annotations

import json
from typing import Any

import cells
import pytest
import torch
from algorithms import ALGORITHMS
from cells import IMPLEMENTATIONS, able, suited

import optkit
from optkit_core import Elementwise, Offer, Optimizer, OptkitError, at_least, hyperparameter
from optkit_core.errors import ImplementationError
from optkit_core.implementations.fused import cpu, cuda
from optkit_core.selection import requests
from optkit_core.selection.capabilities import DEVICES, Answer, capabilities
from optkit_core.selection.collect_offers import OWN_STEP, offers_of
from optkit_core.selection.select_implementation import select
from optkit_core.step.bucket_key import BucketKey

EACH = [(name, known) for name in ALGORITHMS for known in IMPLEMENTATIONS]


def ran(optimizer: Any) -> set[str]:
    """Return what has run the buckets of an optimizer."""
    return {bucket.implementation for bucket in optimizer.explain().buckets}


@pytest.mark.parametrize(("name", "implementation"), EACH)
def test_an_implementation_runs_on_the_cpu_or_refuses(name: str, implementation: str) -> None:
    params = suited(name)
    before = [p.detach().clone() for p in params]
    if not able(name).implementation(implementation, "cpu"):
        with pytest.raises(ImplementationError, match=implementation):
            cells.stepped(name, optkit.create(name, params, implementation=implementation))
        assert all(map(torch.equal, params, before))
        return
    optimizer = optkit.create(name, params, implementation=implementation)
    assert cells.moved(cells.stepped(name, optimizer), before)
    assert ran(optimizer) == {implementation}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_default_on_the_cpu_is_what_auto_takes(name: str) -> None:
    optimizer = optkit.create(name, suited(name), implementation="auto")
    cells.stepped(name, optimizer, steps=1)
    assert ran(optimizer) == {able(name).default["cpu"]}


@pytest.fixture
def as_if_there_were_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "unsupported_device_reason", lambda device: None)


@pytest.mark.usefixtures("as_if_there_were_a_gpu")
@pytest.mark.parametrize(
    ("name", "implementation"), [*EACH, *((name, "auto") for name in ALGORITHMS)]
)
def test_the_selector_takes_on_cuda_what_the_table_says(name: str, implementation: str) -> None:
    algorithm = ALGORITHMS[name]
    layout = torch.sparse_coo if cells.takes_sparse_only(name) else torch.strided
    key = BucketKey(torch.device("cuda", 0), torch.float32, layout)
    h = optkit.create(name, suited(name)).values({**algorithm.default_values})
    asked = requests.parse(implementation, "a test"), key, offers_of(algorithm), algorithm, h
    if implementation == "auto":
        assert select(*asked).name == able(name).default["cuda"]
    elif able(name).implementation(implementation, "cuda"):
        assert select(*asked).name == implementation
    else:
        with pytest.raises(ImplementationError, match=implementation):
            select(*asked)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_sparse_gradients_are_taken_or_refused(name: str) -> None:
    params = suited(name, is_sparse=True)
    before = [p.detach().clone() for p in params]
    if not able(name).sparse:
        with pytest.raises(OptkitError, match=r"sparse"):
            cells.stepped(name, optkit.create(name, params), is_sparse=True)
        assert all(map(torch.equal, params, before))
        return
    found = cells.stepped(name, optkit.create(name, params), is_sparse=True)
    assert cells.moved([p[list(cells.ROWS)] for p in found], [p[list(cells.ROWS)] for p in before])


@pytest.mark.parametrize("name", ALGORITHMS)
def test_dense_gradients_are_taken_or_refused(name: str) -> None:
    params = suited(name, is_sparse=False)
    before = [p.detach().clone() for p in params]
    if able(name).dense:
        optimizer = optkit.create(name, params)
        assert cells.moved(cells.stepped(name, optimizer, is_sparse=False), before)
        return
    with pytest.raises(OptkitError):
        cells.stepped(name, optkit.create(name, params), is_sparse=False)
    assert all(map(torch.equal, params, before))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_complex_parameters_are_taken_or_refused(name: str) -> None:
    params = suited(name, torch.complex64)
    before = [p.detach().clone() for p in params]
    if not able(name).complex:
        with pytest.raises(OptkitError, match="complex"):
            cells.stepped(name, optkit.create(name, params))
        assert all(map(torch.equal, params, before))
        return
    found = cells.stepped(name, optkit.create(name, params))
    assert cells.moved(found, before)
    # Not only their real parts: those of the gradients are there too.
    rows = list(cells.ROWS) if cells.takes_sparse_only(name) else slice(None)
    parts = [(p.imag[rows], q.imag[rows]) for p, q in zip(found, before, strict=True) if p.dim()]
    assert not any(torch.equal(*pair) for pair in parts)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_autograd_records_a_step_or_the_constructor_refuses(name: str) -> None:
    start = [torch.nn.Parameter(p.detach()) for p in suited(name)]
    if not able(name).differentiable:
        with pytest.raises(OptkitError, match="differentiable"):
            cells.stepped(name, optkit.create(name, start, differentiable=True))
        return
    params = [p.clone() for p in start]  # no leaves, so that a step in place can be recorded
    optimizer = optkit.create(name, params, differentiable=True)
    for p in params:
        p.grad = cells.gradient(p, cells.takes_sparse_only(name)).requires_grad_()
    optimizer.step()
    sources = [*start, *(p.grad for p in params)]
    loss = torch.stack([p.square().sum() for p in params]).sum()
    found = torch.autograd.grad(loss, sources, allow_unused=True)
    # A sign passes nothing on, and a state that has just begun as a copy nothing of the parameter.
    through = [g for g in found if g is not None and g.to_dense().any()]
    assert len(through) >= len(params) and all(g.to_dense().isfinite().all() for g in through)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_capturable_step_is_for_devices_with_graphs(name: str) -> None:
    """What it does there is in tests/cuda; nowhere does it run in silence on the CPU."""
    with pytest.raises(OptkitError, match="capturable"):
        cells.stepped(name, optkit.create(name, suited(name), capturable=True))


def fail(*_: Any) -> Any:
    raise AssertionError("the table asks the machine")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_table_asks_neither_for_a_compiler_nor_for_a_device(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "load_kernel", fail)
    monkeypatch.setattr(cuda, "unsupported_device_reason", fail)
    monkeypatch.setattr(torch.cuda, "is_available", fail)
    monkeypatch.setattr(torch.cuda, "get_device_capability", fail)
    found = capabilities(ALGORITHMS[name])
    assert found == able(name)
    unknown = [a for cells in found.implementations.values() for a in cells.values() if not a]
    assert not any("AssertionError" in answer.reason for answer in unknown)


def test_a_body_that_no_kernel_can_be_written_for(registered: Any) -> None:
    class Sorted(Elementwise):
        """Descends by sorted gradients, which no kernel can."""

        lr: float = hyperparameter(default=0.1, range=at_least(0.0))

        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.add_(g.erfinv(), alpha=-h.lr)

    found = capabilities(Sorted)
    assert found.devices_of("fused") == "no" and found.devices_of("foreach") == "yes"
    assert "erfinv" in found.implementation("fused", "cuda").reason
    assert found.default == {"cpu": "forloop", "cuda": "foreach"}


def test_a_step_of_its_own_says_nothing_of_gradients_until_its_class_does() -> None:
    class Plain(Optimizer):
        """Runs a step of its own."""

    class Telling(Plain):
        """Tells what it takes."""

        @classmethod
        def unsupported_reason(cls, key: BucketKey, h: Any) -> str | None:
            return "no complex numbers" if key.dtype.is_complex else None

    assert str(capabilities(Plain).sparse) == "?"
    assert capabilities(Plain).default == dict.fromkeys(DEVICES, OWN_STEP)
    found = capabilities(Telling)
    assert found.sparse and found.complex == Answer(False, "no complex numbers")
    assert capabilities(Telling).differentiable == Answer(False, "Telling takes no differentiable")


@pytest.mark.parametrize(
    ("cls", "foreach", "fused", "capturable"),
    [
        (torch.optim.Adam, "yes", "yes", True),
        (torch.optim.Adadelta, "yes", "no", True),
        (torch.optim.SparseAdam, "no", "no", False),
    ],
)
def test_a_class_of_torch_is_known_by_its_arguments(
    cls: Any, foreach: str, fused: str, capturable: bool
) -> None:
    found = capabilities(cls)
    assert (found.devices_of("foreach"), found.devices_of("fused")) == (foreach, fused)
    assert found.capturable.is_supported is capturable
    assert found.sparse.is_supported is None


def test_an_offer_that_asks_for_a_device_hides_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asking(*_: Any) -> str:
        raise RuntimeError("no NVIDIA driver")

    adamax = optkit.get("adamax")
    offers = (*adamax.offers, Offer("vendor-x", lambda *_: lambda: None, asking))
    found = capabilities(type("WithVendor", (adamax,), {"offers": offers}))
    assert found.implementation("vendor-x", "cuda").is_supported is None
    assert "no NVIDIA driver" in found.implementation("vendor-x", "cuda").reason
    assert found.default == able("adamax").default


@pytest.mark.parametrize("name", ALGORITHMS)
def test_descriptions_have_the_table(name: str) -> None:
    described = optkit.describe(name)
    assert described.capabilities == able(name)
    printed = json.loads(json.dumps(described.as_dict()["capabilities"]))
    assert printed["default"] == dict(able(name).default)
    assert printed["sparse"]["is_supported"] is able(name).sparse.is_supported
