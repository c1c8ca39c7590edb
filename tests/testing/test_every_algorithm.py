"""An algorithm that is added is in every test that is parametrized with those that ship."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from algorithms import NAMES
from distributions import install
from processes import completed

TESTS = Path(__file__).parents[1]
SOURCE = '''
from __future__ import annotations
from typing import Any
from torch import Tensor
from optkit_core import Buffer, Elementwise, at_least, hyperparameter, within

class Adadelta(Elementwise):
    """Adadelta, which torch.optim has too."""

    lr: float | Tensor = hyperparameter(default=1.0, range=at_least(0.0))
    rho: float = hyperparameter(default=0.9, range=within(0.0, 1.0))
    eps: float = hyperparameter(default=1e-6, range=at_least(0.0))
    weight_decay: float = hyperparameter(default=0, range=at_least(0.0))

    square_avg = Buffer()
    acc_delta = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        if h.weight_decay:
            g = g.add(p, alpha=h.weight_decay)
        s.square_avg.mul_(h.rho).addcmul_(g, g, value=1 - h.rho)
        std = s.square_avg.add(h.eps).sqrt_()
        delta = s.acc_delta.add(h.eps).sqrt_().div_(std).mul_(g)
        s.acc_delta.mul_(h.rho).addcmul_(delta, delta, value=1 - h.rho)
        p.add_(delta, alpha=-h.lr)
'''
SAMPLE = (
    "checkpoint/test_loading.py::test_groups_follow_their_names",
    "implementations/test_lockstep.py::test_forloop_equals_torch_bit_for_bit",
    "param_groups/test_groups.py::test_arguments_come_in_torchs_order",
    "plugins/test_torch_hooks.py::test_hooks_see_the_same_in_the_same_order_as_on_torch",
    "testing/test_pytest_plugin.py::"
    "test_every_buffer_that_a_hyperparameter_turns_on_is_there_in_a_variant",
)


@pytest.mark.slow
def test_one_that_is_made_up_is_tested_and_passes(tmp_path: Path) -> None:
    entries = importlib.metadata.entry_points(group="optkit.algorithms")
    shipped = {e.name: e.value for e in entries if e.dist and e.dist.name == "optkit"}
    algorithms = {**shipped, "adadelta": "made_up:Adadelta"}
    install(tmp_path, "optkit", algorithms=algorithms, modules={"made_up": SOURCE})
    path = os.pathsep.join([str(tmp_path), *sys.path])
    tests = [str(TESTS / test) for test in SAMPLE]
    options = (
        "-v",
        "-k",
        "adadelta",
        "-p",
        "no:cacheprovider",
        "-c",
        TESTS.parent / "pyproject.toml",
    )
    done = completed("-m", "pytest", *map(str, options), *tests, PYTHONPATH=path)
    assert done.returncode == 0, done.stdout
    for test in SAMPLE:
        assert f"::{test.partition('::')[2]}[adadelta" in done.stdout


def lists_of_names(tree: ast.AST) -> Iterator[list[str]]:
    """Yield each literal list, tuple or set of nothing but names of algorithms that ship."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple | ast.Set) and len(node.elts) > 1:
            values = [item.value if isinstance(item, ast.Constant) else None for item in node.elts]
            if set(values) <= set(NAMES):
                yield values


def test_no_test_has_a_list_of_names_of_its_own() -> None:
    """But for those of what is chosen by name, and of the few that a made-up world knows."""
    allowed = {
        "benchmarks/test_sharded_benchmark.py",  # what the benchmark measures
        "checkpoint/test_distributed_state.py",  # two with the same state keys
        "cli/test_compare.py",
        "clients/test_skorch_client.py",
        "composition/test_composite.py",
        "ecosystem/test_examples.py",
        "group_rules/test_groups_properties.py",
        "modes/test_modes.py",
        "plugins/test_registry.py",
        "plugins/test_spelling.py",
        "schedules/test_create_schedule.py",
        "shards/test_reductions_over_shards.py",  # how often each communicates
        "support/agreeing.py",
        "support/distributed_state.py",
        "support/distributions.py",
        "support/engines.py",
        "testing/test_foreign_optimizers.py",  # torch's own
    }
    for path in TESTS.rglob("*.py"):
        name = path.relative_to(TESTS).as_posix()
        if name not in allowed:
            assert not list(lists_of_names(ast.parse(path.read_text()))), name
