"""Optimizers of torch's kind that aren't optkit's: the kit checks what can be asked of any."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from algorithms import TORCH_OPTIM

from optkit_core import testing
from optkit_core.testing.requirements import REQUIREMENTS

OF_TORCH = {name: cls for name, cls in TORCH_OPTIM.items() if cls is not torch.optim.Optimizer}
FOREIGN = [requirement for requirement in REQUIREMENTS if requirement.for_any_optimizer]
STATE = ("state_dict", "file")


class Overwriting(torch.optim.SGD):
    """Descent that turns the gradients it is given, as many do."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.mul_(0.5)
        return super().step(closure)


class Picky(torch.optim.SGD):
    """Descent for matrices alone."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        for group in self.param_groups:
            for p in group["params"]:
                if p.dim() != 2:
                    raise ValueError("matrices only")


class Demanding(torch.optim.SGD):
    """Descent that needs a closure, and has an argument that looks as if it didn't."""

    def step(self, closure: Any = None) -> Any:
        if closure is None:
            raise RuntimeError("a closure is needed")
        return super().step(closure)


class Resting(torch.optim.SGD):
    """Descent that goes nowhere."""

    def step(self, closure: Any = None) -> Any:
        return None if closure is None else torch.enable_grad()(closure)()


class Attributed(torch.optim.SGD):
    """Descent with an attribute, which torch copies and pickles without."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        self.factor = 1.0

    def step(self, closure: Any = None) -> Any:
        assert self.factor == 1.0
        return super().step(closure)


class Forgetful(torch.optim.Adam):
    """Adam that doesn't load."""

    def load_state_dict(self, state_dict: Any) -> None:
        pass


@pytest.mark.parametrize("name", OF_TORCH)
def test_torchs_own_step_and_resume(name: str) -> None:
    report = testing.check(OF_TORCH[name], only=("step", "closure", *STATE))
    assert report.implementations == ("its own",)
    assert len(report.held) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "adam", "rprop"])
def test_they_hold_all_that_can_be_asked_of_them(name: str) -> None:
    report = testing.check(OF_TORCH[name])
    asked = {requirement.title for requirement in FOREIGN}
    assert asked - {*report.held} == {
        "steps equal those of the reference",
        "steps lead where they are pinned",
    }
    reasons = {report.left_out[r.title] for r in REQUIREMENTS if not r.for_any_optimizer}
    (reason,) = reasons
    assert reason.endswith("isn't optkit's, and declares nothing of the kind")


def test_what_is_usual_among_them_is_noted() -> None:
    report = testing.check(Overwriting, lr=0.1, only=["step"])
    assert report.notes == ["steps change gradients in place"]
    assert "note: steps change gradients in place" in str(report)


def test_shapes_that_they_refuse_are_left_out_and_noted() -> None:
    report = testing.check(Picky, only=["step", "state_dict"])
    assert len(report.held) == 2
    (note,) = report.notes
    assert note.startswith("takes no parameter of shape [0], [1], [31]")
    assert note.endswith("ValueError: matrices only")
    assert "[33, 5]" not in note


def test_a_closure_is_given_where_one_is_needed() -> None:
    report = testing.check(Demanding, lr=0.01, only=["step", "closure"])
    assert len(report.held) == 2


@pytest.mark.parametrize(
    ("algorithm", "requirement", "words"),
    [
        (Resting, "step", "don't move in 20 steps"),
        (Forgetful, "state_dict", "the twin doesn't go on as the original does"),
        (Attributed, "deepcopy", "AttributeError: .* no attribute 'factor'"),
        (Attributed, "pickle", "AttributeError: .* no attribute 'factor'"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_wrong_is_found(algorithm: Any, requirement: str, words: str) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)^{algorithm.__name__} fails .*{words}"):
        testing.check(algorithm, lr=0.1, only=[requirement])


def test_what_the_caller_gets_wrong_is_said_by_the_constructor() -> None:
    with pytest.raises(TypeError, match="lrr"):
        testing.check(torch.optim.SGD, lrr=0.1)


def test_one_may_be_compared_with_another() -> None:
    only = ["reference"]
    testing.check("adamw", reference=torch.optim.AdamW, only=only, weight_decay=0.1)
    testing.check(torch.optim.AdamW, reference=torch.optim.AdamW, only=only)
    with pytest.raises(AssertionError, match="step 1 differs at parameter 0"):
        testing.check("adam", reference=torch.optim.AdamW, only=only, weight_decay=0.1)


def test_a_function_is_given_each_gradient_and_a_count() -> None:
    def momentum(p: Any, g: Any, state: dict[str, Any], t: int, h: Any) -> Any:
        counts.append(t)
        state["b"] = h.momentum * state.get("b", 0.0) + g
        return p - h.lr * state["b"]

    counts: list[int] = []
    report = testing.check("sgd", lr=0.1, momentum=0.5, reference=momentum, only=["reference"])
    assert report.held == ["steps equal those of the reference"]
    # Of ten steps one is without any gradient, and one or two more for each of the parameters.
    assert counts.count(1) == 3 and max(counts) == 8
    with pytest.raises(AssertionError, match="step 1 differs at parameter 0"):
        testing.check(
            "sgd", lr=0.1, momentum=0.5, nesterov=True, reference=momentum, only=["reference"]
        )
