"""What plugins wrote before names changed: it works as it did, with a warning."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import optkit_core
from optkit_core import BucketKey, Elementwise, Offer, at_least, hyperparameter


@pytest.mark.parametrize("name", optkit_core.RENAMED)
def test_a_name_of_before_is_the_same_thing(name: str) -> None:
    new = optkit_core.RENAMED[name]
    with pytest.warns(DeprecationWarning, match=f"optkit_core.{name} is called {new} now"):
        found = getattr(optkit_core, name)
    assert found is getattr(optkit_core, new)


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'kinds'"):
        _ = optkit_core.kinds


def stepping(algorithm: Any, bucket: Any, h: Any) -> Any:
    def launch() -> None:
        for p in bucket.params:
            p.sub_(h.lr)

    return launch


def refusing(algorithm: Any, key: Any, h: Any) -> str:
    return "it takes float32" if key.dtype != torch.float32 else ""


def algorithm(*offers: Offer) -> Any:
    class Lion(Elementwise):
        lr: float = hyperparameter(default=0.5, range=at_least(0.0))

    Lion.offers = offers
    return Lion


def test_an_offer_takes_the_keywords_of_before() -> None:
    with pytest.warns(DeprecationWarning, match="is called") as warned:
        offer = Offer("vendor", prepare=stepping, refuse=refusing)
    assert [str(warning.message) for warning in warned] == [
        "optkit: Offer(prepare=...) is called make_launcher= now, "
        "and 0.3 won't have the former name.",
        "optkit: Offer(refuse=...) is called unsupported_reason= now, "
        "and 0.3 won't have the former name.",
    ]
    assert {warning.filename for warning in warned} == {__file__}
    assert (offer.make_launcher, offer.unsupported_reason) == (stepping, refusing)
    with pytest.warns(DeprecationWarning, match="Offer.prepare is called make_launcher or"):
        assert offer.prepare is stepping
    with pytest.warns(DeprecationWarning, match="Offer.refuse is called unsupported_reason"):
        assert offer.refuse is refusing


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_empty_text_still_means_that_it_can_run(dtype: torch.dtype) -> None:
    p = torch.nn.Parameter(torch.ones(2, dtype=dtype))
    p.grad = torch.ones_like(p)
    cls = algorithm(Offer("vendor", stepping, refusing))
    if dtype == torch.float64:
        with pytest.raises(optkit_core.ImplementationError, match="vendor: it takes float32"):
            cls([p]).step()
        with pytest.raises(optkit_core.ImplementationError, match="it takes float32"):
            cls([p], implementation="vendor")
        return
    for implementation in ("auto", "vendor"):
        cls([p], implementation=implementation).step()
    assert p.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"refuses": print}, "takes no 'refuses'"), ({}, "needs unsupported_reason")],
)
def test_other_keywords_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Offer("vendor", stepping, **arguments)


def test_a_subclass_may_refuse_gradients_as_before() -> None:
    with pytest.warns(DeprecationWarning, match="Picky.refuse is called unsupported_reason now"):

        class Picky(Elementwise):
            lr: float = hyperparameter(default=0.5, range=at_least(0.0))

            @classmethod
            def refuse(cls, kind: Any, h: Any) -> str:
                return "it takes no float16" if kind.dtype == torch.float16 else ""

            @staticmethod
            def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
                p.sub_(g, alpha=h.lr)

    for dtype in (torch.float32, torch.float16):
        p = torch.nn.Parameter(torch.ones(2, dtype=dtype))
        p.grad = torch.ones_like(p)
        if dtype == torch.float16:
            with pytest.raises(optkit_core.GradientError, match="it takes no float16"):
                Picky([p]).step()
        else:
            Picky([p]).step()
            assert p.tolist() == [0.5, 0.5]


def test_choices_and_buckets_still_have_a_kind() -> None:
    optimizer = algorithm(Offer("vendor", stepping, refusing))([torch.ones(2, requires_grad=True)])
    optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
    optimizer.step()
    with pytest.warns(DeprecationWarning, match="Choice.kind is called key now"):
        assert optimizer.plan[0].kind == BucketKey(
            torch.device("cpu"), torch.float32, buffers=optimizer.plan[0].key.buffers
        )
