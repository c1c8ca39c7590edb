"""Which kinds of tensors L-BFGS optimizes, and which it refuses by name before anything happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.distributed as dist
from minimization import STORAGE
from torch import Tensor
from torch.nn import Parameter
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.testing._internal.two_tensor import TwoTensor

from optkit_core import ParametersError
from optkit_plugins.lbfgs import LBFGS


class Tagged(Tensor):
    """A tensor subclass that does nothing."""


class Weight(Parameter):
    """A kind of parameter that does nothing."""


@pytest.fixture
def shard() -> Iterator[Callable[..., Tensor]]:
    """Return what makes a DTensor of a tensor, on a mesh of one process that talks to nobody."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=1)
    try:
        mesh = dist.init_device_mesh("cpu", (1,))
        from torch.distributed.tensor import DTensor, Replicate, Shard

        def make(tensor: Tensor, is_whole: bool = False) -> Tensor:
            placement = Replicate() if is_whole else Shard(0)
            # Not by distribute_tensor: in torch 2.11 such a group scatters nothing at all.
            return DTensor.from_local(tensor, mesh, [placement])

        yield make
    finally:
        dist.destroy_process_group()


UNSUPPORTED: dict[str, Callable[[], Tensor]] = {
    "float8": lambda: torch.ones(4).to(torch.float8_e4m3fn),
    "sparse": lambda: torch.ones(4).to_sparse(),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "jagged": lambda: torch.nested.nested_tensor([torch.ones(2)] * 2, layout=torch.jagged),
    "mkldnn": lambda: torch.ones(4, 4).to_mkldnn(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.quint8),
    "whole numbers": lambda: torch.arange(4),
    "booleans": lambda: torch.tensor([True, False]),
}
SUPPORTED: dict[str, Callable[[], Tensor]] = {
    "tensor": lambda: torch.ones(4),
    "subclass": lambda: torch.ones(4).as_subclass(Tagged),
    "parameter of a subclass": lambda: Parameter(torch.ones(4).as_subclass(Tagged)),
    "subclass of parameters": lambda: Weight(torch.ones(4)),
    "wrapper": lambda: TwoTensor(torch.ones(4), torch.ones(4)),
    "float16": lambda: torch.ones(4, dtype=torch.float16),
    "complex64": lambda: torch.ones(4, dtype=torch.complex64),
}


def step(optimizer: LBFGS, p: Tensor) -> None:
    """Make a step towards 1/2, with a gradient of the parameter's own kind."""

    def closure() -> float:
        p.grad = 2 * (p.detach() - 0.5)
        return float((p.detach() - 0.5).abs().square().sum().to(torch.float32))

    optimizer.step(closure)


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_dtensor_on_one_process_is_optimized_by_its_part(
    shard: Callable[..., Tensor], is_whole: bool, storage: str
) -> None:
    p = Parameter(shard(torch.ones(4), is_whole))
    optimizer = LBFGS([("plain", torch.ones(2)), ("layer.weight", p)], implementation=storage)
    step(optimizer, p)
    assert optimizer.result is not None and optimizer.result.success
    assert {choice.name for choice in optimizer.plan} == {storage}
    torch.testing.assert_close(p.detach().full_tensor(), torch.full((4,), 0.5))


def test_a_dtensor_of_partial_sums_is_refused(shard: Callable[..., Tensor]) -> None:
    from torch.distributed.tensor import DTensor, Partial

    mesh = shard(torch.ones(1)).device_mesh
    p = Parameter(DTensor.from_local(torch.ones(4), mesh, [Partial()]))
    with pytest.raises(ParametersError, match=r"can't optimize 'layer\.weight', a DTensor"):
        LBFGS([("plain", torch.ones(2)), ("layer.weight", p)])


def test_a_parameter_may_be_exchanged_for_a_dtensor(shard: Callable[..., Tensor]) -> None:
    p = Parameter(torch.ones(4))
    optimizer = LBFGS([p], lr=0.1, max_iter=1)
    step(optimizer, p)
    sharded = Parameter(shard(p.detach().clone()))
    optimizer.param_groups[0]["params"] = [sharded]
    step(optimizer, sharded)
    assert not torch.equal(sharded.detach().full_tensor(), p.detach())


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("make", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_tensors_whose_elements_cannot_be_copied_are_refused(make: Callable[[], Tensor]) -> None:
    p = make()
    p.requires_grad_(p.is_floating_point())
    with pytest.raises(ParametersError, match=r"can't optimize 'odd', a .*Tensor \(torch\."):
        LBFGS([("odd", p)])


@pytest.mark.parametrize("make", SUPPORTED.values(), ids=SUPPORTED)
def test_tensors_whose_elements_can_be_copied_are_optimized(make: Callable[[], Tensor]) -> None:
    p = make()
    p = p if p.is_leaf and p.requires_grad else p.detach().requires_grad_()
    kind, optimizer = type(p), LBFGS([p])
    explained = optimizer.explain().buckets[0].implementation
    assert explained == ("fused" if kind in (Tensor, Parameter) else "forloop")
    step(optimizer, p)
    assert type(p) is kind and optimizer.plan[0].name == explained
    end = p.a if isinstance(p, TwoTensor) else p.detach().as_subclass(Tensor)
    torch.testing.assert_close(end, torch.full_like(end, 0.5))


def test_a_lazy_parameter_is_left_for_the_step() -> None:
    layer = torch.nn.LazyLinear(1)
    optimizer = LBFGS(layer.parameters(), lr=0.1)
    inputs = torch.randn(8, 3)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = (layer(inputs) - 1).square().mean()
        loss.backward()
        return loss

    layer(inputs)
    first = optimizer.step(closure)
    assert optimizer.step(closure) < first
