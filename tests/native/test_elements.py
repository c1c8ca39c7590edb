"""Where compiled code finds the elements of parameters and gradients, and where it doesn't."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from optkit_core import Elements

Change = Callable[[Parameter], Tensor | None]


def set_data(p: Parameter, values: Tensor) -> None:
    p.data = values


def exchange(p: Parameter, device: str = "cpu") -> None:
    torch.utils.swap_tensors(p, Parameter(torch.full((4, 6), 3.0, device=device)))


FOUND: dict[str, Change] = {
    "nothing": lambda p: None,
    "other memory": lambda p: set_data(p, torch.zeros(4, 6)),
    "an offset": lambda p: set_data(p, torch.zeros(30)[6:].view(4, 6)),
    "another shape": lambda p: set_data(p, torch.zeros(2, 1, 12)),
    "six dimensions": lambda p: set_data(p, torch.zeros(2, 1, 1, 1, 12, 1)),
    "odd strides of one element": lambda p: set_data(
        p, torch.zeros(24).as_strided((4, 1, 6), (6, 5, 1))
    ),
    "a lazy clone": lambda p: set_data(p, torch._lazy_clone(torch.zeros(4, 6))),
    "no gradient needed": lambda p: p.requires_grad_(False),
    "an exchanged tensor": exchange,
}
LOST: dict[str, Change] = {
    "another order": lambda p: set_data(p, torch.zeros(6, 4).t()),
    "gaps": lambda p: set_data(p, torch.zeros(4, 12)[:, ::2]),
    "one value for all": lambda p: set_data(p, torch.zeros(1).expand(4, 6)),
    "fewer elements": lambda p: set_data(p, torch.zeros(4, 5)),
    "another dtype": lambda p: set_data(p, torch.zeros(4, 6).double()),
    "another device": lambda p: exchange(p, "meta"),
    "complex numbers": lambda p: set_data(p, torch.zeros(4, 6, dtype=torch.complex64)),
    "a negative view": lambda p: set_data(p, torch._neg_view(torch.zeros(4, 6))),
}
GRADIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "sparse": Tensor.to_sparse,
    "turned": lambda g: g.t().contiguous().t(),
    "negated": torch._neg_view,
}


def parameters() -> list[Parameter]:
    params = [Parameter(torch.full(shape, 1.0)) for shape in ((5,), (4, 6), ())]
    for p in params[:2]:
        p.grad = torch.full(p.shape, 2.0)
    return params


def begins(elements: Elements, tensors: list[Tensor | None]) -> bool:
    return list(elements.addresses) == [None if t is None else t.data_ptr() for t in tensors]


@pytest.mark.parametrize("change", FOUND)
def test_elements_are_found(reading: str, change: str) -> None:
    params = parameters()
    elements = Elements(params, torch.float32)
    assert elements.find() and begins(elements, list(params))
    FOUND[change](params[1])
    assert elements.find() and begins(elements, list(params))
    assert elements.find_gradients() and begins(elements, [p.grad for p in params])


@pytest.mark.parametrize("change", LOST)
def test_what_lies_otherwise_is_not_found(reading: str, change: str) -> None:
    params = parameters()
    elements = Elements(params, torch.float32)
    params[1].grad = None
    LOST[change](params[1])
    assert not elements.find()
    assert elements.find_gradients() and begins(elements, [p.grad for p in params])


@pytest.mark.parametrize("kind", GRADIENTS)
def test_gradients_that_lie_otherwise_are_not_found(reading: str, kind: str) -> None:
    params = parameters()
    elements = Elements(params, torch.float32)
    assert params[1].grad is not None
    params[1].grad = GRADIENTS[kind](params[1].grad)
    assert not elements.find_gradients()
    params[1].grad = None
    assert elements.find_gradients() and begins(elements, [p.grad for p in params])


def test_parameters_of_another_kind_are_never_found(reading: str) -> None:
    assert not Elements([Parameter(torch.ones(3).double())], torch.float32).find()
    assert not Elements([Parameter(torch.ones(3, dtype=torch.complex64))], torch.float32).find()
    assert Elements([Parameter(torch.ones(3).double())], torch.float64).find()


def test_nobody_is_kept_from_exchanging_tensors(reading: str) -> None:
    params = parameters()
    elements = Elements(params, torch.float32)
    assert elements.find()
    other = Parameter(torch.full((5,), 7.0))
    torch.utils.swap_tensors(params[0], other)
    assert elements.find() and begins(elements, list(params))
    assert params[0][0] == 7.0


def test_the_former_name_of_the_addresses_warns() -> None:
    elements = Elements(parameters(), torch.float32)
    with pytest.warns(DeprecationWarning, match=r"Elements\.places is called addresses now"):
        assert elements.places is elements.addresses
