"""The public conformance suite: what holds passes, and each kind of fault is caught."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faults
import pytest
import torch
from algorithms import ALGORITHMS, REPRESENTATIVES, TORCH, declared
from bodies import Branching, Mixed, Timed
from checked import STATE, STEPS
from kinds import Columns, Factored, Half, Product
from thirdparty import Descent, Whole

import optkit_core
from optkit_core import Offer, testing
from optkit_core.implementations import FORLOOP


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCH)
def test_the_shipped_algorithms_hold(name: str) -> None:
    """With options of a group; `pytest --optkit` checks their defaults, in other dtypes too."""
    dtype = torch.complex128 if name in REPRESENTATIVES else torch.float32
    options = declared(name, weight_decay=0.1, eps=1e-3)
    report = testing.check(name, dtype=dtype, only=(*STEPS, *STATE), **options)
    assert set(report.implementations) == {"forloop", "foreach", "fused"}
    # Adagrad takes sparse gradients too, but not with a weight decay.
    takes_sparse = ALGORITHMS[name].update_sparse is not None and name != "adagrad"
    sparse = set() if takes_sparse else {"implementations agree on sparse gradients"}
    assert set(report.left_out) == {"eval() and train() undo each other", *sparse}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "search"),
    [(torch.float64, None), (torch.bfloat16, "hager_zhang"), (torch.complex64, None)],
    ids=str,
)
def test_lbfgs_holds(dtype: torch.dtype, search: str | None) -> None:
    report = testing.check("lbfgs", dtype=dtype, line_search_fn=search, only=(*STEPS, *STATE))
    assert set(report.implementations) == {"forloop", "flat", "foreach", "fused"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "further"),
    [
        (Branching, torch.bfloat16),
        (Mixed, torch.bfloat16),
        (Timed, torch.complex64),
        (Product, torch.complex64),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_others_hold(algorithm: Any, further: torch.dtype) -> None:
    for dtype in (torch.float32, further):
        testing.check(algorithm, dtype=dtype, only=(*STEPS, *STATE))


@pytest.mark.slow
def test_every_kind_of_buffer_holds() -> None:
    testing.check(Half, dtype=torch.bfloat16, only=(*STEPS, *STATE))
    testing.check(Columns, only=(*STEPS, *STATE))
    report = testing.check(Factored, min_dim=2, only=(*STEPS, *STATE))
    assert report.implementations == ("forloop", "foreach")
    assert "'row' is of another shape" in report.refused["fused"]


def test_a_step_of_its_own_is_checked_as_far_as_that_goes() -> None:
    report = testing.check(Whole, lr=0.2, only=(*STEPS, *STATE))
    assert report.implementations == ("its own",)
    assert report.left_out["implementations agree"] == "only its own runs here"
    assert report.left_out["maximize turns the gradients"] == "Whole takes no 'maximize'"
    assert {
        "a step calls its closure as documented",
        "pickles continue",
        "files continue",
    } <= {*report.held}
    assert "left out: autograd can record a step: Whole takes no 'differentiable'" in str(report)
    assert (
        repr(report) == "<CheckReport Whole, float32 on cpu, lr=0.2: its own; 6 requirements hold>"
    )


class Vendor:
    """Adds an implementation to everything."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer

    @optkit_core.hookimpl
    def optkit_offers(self, algorithm: Any) -> Any:
        return [self.offer]


@pytest.fixture
def offer() -> Iterator[Any]:
    """Let a plugin offer an implementation called vendor-x."""

    def register(prepare: Any) -> None:
        optkit_core.register_plugin(Vendor(Offer("vendor-x", prepare, lambda *_: "")), "vendor")

    yield register
    optkit_core.unregister_plugin("vendor")
    faults.forget()


@pytest.mark.slow
@pytest.mark.parametrize("fault", faults.IMPLEMENTATIONS)
def test_a_faulty_implementation_is_caught_by_name(offer: Any, fault: str) -> None:
    prepare, words = faults.IMPLEMENTATIONS[fault]
    offer(prepare)
    with pytest.raises(AssertionError, match=rf"(?s)vendor-x.*{words}"):
        testing.check(faults.Momentum, only=(*STEPS, *STATE))


@pytest.mark.slow
def test_float64_that_passes_through_float32_is_caught(offer: Any) -> None:
    offer(faults.through(torch.float32))
    testing.check(faults.Momentum, only=STEPS)
    with pytest.raises(AssertionError, match="vendor-x differs from forloop"):
        testing.check(faults.Momentum, torch.float64, only=STEPS)


def test_a_plugins_implementation_of_a_shipped_algorithm_is_checked(offer: Any) -> None:
    offer(faults.doing_nothing)
    with pytest.raises(AssertionError, match=r"vendor-x: parameters .* don't move"):
        testing.check("adamax", only=STEPS)


@pytest.mark.slow
def test_sparse_gradients_are_checked_where_there_are_some(offer: Any) -> None:
    offer(faults.doubling_sparse_gradients)
    with pytest.raises(AssertionError, match=r"sparse gradients': vendor-x differs from forloop"):
        testing.check("adagrad", only=STEPS)
    testing.check("adamax", only=STEPS)


@pytest.mark.slow
def test_one_that_is_right_is_listed(offer: Any) -> None:
    offer(FORLOOP.make_launcher)
    assert testing.check("adamax", only=STEPS).implementations == (
        "forloop",
        "foreach",
        "fused",
        "vendor-x",
    )


def late(algorithm: Any, bucket: Any, h: Any) -> Any:
    raise optkit_core.UnavailableError("the vendor's driver is too old")


def test_what_cannot_run_is_listed_with_its_reason(offer: Any) -> None:
    """Whether it refuses when it is asked, or in the step itself."""

    class Untraceable(Descent):
        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.sub_(g.digamma().clamp(-1, 1), alpha=0.01)

    offer(late)
    report = testing.check(Untraceable, only=("agreement", "pickle"))
    assert report.implementations == ("forloop", "foreach")
    assert "uses digamma()" in report.refused["fused"]
    assert "the vendor's driver is too old" in report.refused["vendor-x"]
    assert "can't run: fused: the update body uses digamma()" in str(report)
    assert report.left_out["pickles continue"].startswith("test_what_cannot_run")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", faults.ALGORITHMS, ids=lambda cls: cls.__name__)
def test_a_faulty_algorithm_is_caught(algorithm: Any) -> None:
    words = rf"(?s)^{algorithm.__name__} fails the requirement .*{faults.ALGORITHMS[algorithm]}"
    with pytest.raises(AssertionError, match=words):
        testing.check(algorithm, only=(*STEPS, *STATE))
    faults.forget()


def test_a_buffer_may_be_said_not_to_change() -> None:
    testing.check(faults.Unused, constant=["total"], only=STEPS)


@pytest.mark.slow
def test_a_registered_name_or_a_class_can_be_checked(registered: Any) -> None:
    registered("descent", Descent)
    reports = [testing.check(which, only=("step", "modes")) for which in ("descent", Descent)]
    assert str(reports[0]) == str(reports[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"algorithm": Descent, "lrr": 1.0}, "Did you mean 'lr'"),
        ({"algorithm": Descent, "dtype": torch.int64}, "dtype must be one of torch.float64"),
        ({"algorithm": Product, "constant": ["men"]}, "names 'men'; the buffers of Product are"),
        (
            {"algorithm": torch.optim.Adam, "dtype": torch.int64},
            "dtype must be one of torch.float64",
        ),
        (
            {"algorithm": Descent, "only": ["steps"]},
            "no requirement is called 'steps'. Did you mean 'step'",
        ),
        ({"algorithm": len}, "len isn't an optimizer class"),
    ],
    ids=str,
)
def test_what_the_caller_gets_wrong_is_no_failure_of_the_algorithm(
    arguments: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        testing.check(**arguments)
