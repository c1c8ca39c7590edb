"""Roles of options: what a bucket, a plan and a checkpoint make of each."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optkit_core import boolean, one_of, option
from optkit_core.declaration.roles import Role, role_of
from optkit_core.errors import DeclarationError
from optkit_plugins.adagrad import Adagrad
from optkit_plugins.adamax import Adamax


class Tuned(Adamax):
    """Adamax with options of its own, one of each role."""

    eager_state: bool = option(default=True, range=boolean())
    cautious: bool = option(default=False, range=boolean())
    marks: Any = option(default=None, range=one_of(None, [1, 2]), role="step")
    verbose: bool = option(default=False, range=boolean(), role="execution")


def stepped(*groups: dict[str, Any], **options: Any) -> Tuned:
    params = [torch.nn.Parameter(torch.zeros(2)) for _ in groups]
    for p in params:
        p.grad = torch.ones(2)
    given = [{"params": [p], **group} for p, group in zip(params, groups, strict=True)]
    optimizer = Tuned(given, **options)
    optimizer.step()
    return optimizer


def test_every_declared_name_has_a_role() -> None:
    roles = {name: item.role for name, item in Tuned.declarations.items()}
    assert {name for name, role in roles.items() if role is Role.HYPERPARAMETER} == set(
        Tuned.hyperparameter_names
    )
    assert {name for name, role in roles.items() if role is Role.REQUEST} == {
        "implementation",
        "foreach",
        "fused",
    }
    assert Tuned.step_options == tuple(n for n in Tuned.option_names if roles[n] is Role.STEP)
    assert {"maximize", "differentiable", "capturable", "cautious"} <= set(Tuned.step_options)


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("lr", Role.HYPERPARAMETER),
        ("maximize", Role.STEP),
        ("eager_state", Role.EXECUTION),
        ("fused", Role.REQUEST),
        ("initial_lr", Role.ANNOTATION),
        ("nobody", None),
        (3, None),
    ],
)
def test_keys_of_groups_have_roles(key: Any, role: Role | None) -> None:
    assert role_of(key, Adagrad.declarations) is role


def test_flags_of_torch_need_no_declaration() -> None:
    assert role_of("fused", {}) is Role.REQUEST


def test_an_option_that_is_declared_anew_keeps_its_role() -> None:
    assert Tuned.declarations["eager_state"].role is Role.EXECUTION
    assert Tuned.declarations["cautious"].role is Role.STEP


def test_parameters_step_together_where_groups_agree_in_what_a_step_does() -> None:
    assert len(stepped({}, {"cautious": True}).explain().buckets) == 2
    assert len(stepped({}, {"marks": [1, 2]}).explain().buckets) == 2
    assert len(stepped({}, {"verbose": True}).explain().buckets) == 1


def test_a_checkpoint_restores_what_a_step_does_and_not_how_it_is_carried_out() -> None:
    saved = stepped({}, cautious=True, verbose=True, eager_state=False)
    live = stepped({})
    live.load_state_dict(saved.state_dict())
    group = live.param_groups[0]
    assert (group["cautious"], group["verbose"], group["eager_state"]) == (True, False, True)


def test_a_role_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DeclarationError, match="must be one of 'step', 'execution', 'request'"):
        option(default=False, range=boolean(), role="mode")
