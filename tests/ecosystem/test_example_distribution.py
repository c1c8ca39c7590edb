"""The example of a third party's distribution: built, installed, found, used, removed, gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from plugin_environment import PluginEnvironment, plugin_environment

pytest.importorskip("hatchling")
pytest.importorskip("typer")

EXAMPLE = Path(__file__).parents[2] / "examples" / "optkit-example"
NAMES = ["novograd", "qhadam", "shampoo"]

USE = """
import optkit, torch

assert "optkit_example" not in str(__import__("sys").modules.keys())
names = ["novograd", "qhadam", "shampoo"]
assert set(names) <= set(optkit.available())
for name in names:
    weight = torch.nn.Parameter(torch.eye(3))
    optimizer = optkit.create(name, [weight])
    weight.grad = torch.ones(3, 3)
    optimizer.step()
    assert not weight.equal(torch.eye(3)), name
    assert optkit.describe(name).distribution == "optkit-example"

weight = torch.nn.Parameter(torch.zeros(2))
weight.grad = torch.tensor([3.0, -4.0])
sgd = optkit.create("sgd", [weight], lr=1.0, implementation="numpy")
schedule = optkit.create_schedule("stable_decay", sgd, total_steps=2, decay_share=1.0)
bucket = sgd.explain().buckets[0]
assert bucket.implementation == "numpy", bucket
assert "numpy" in str(sgd.explain())

from optkit_example.gradient_norm import shown_in
class Bar:
    def set_postfix(self, *, grad_norm):
        self.shown = grad_norm
bar = Bar()
with shown_in(bar):
    sgd.step()
assert bar.shown == "5", bar.shown
schedule.step()
assert abs(sgd.param_groups[0]["lr"] - (1 - 0.5**0.5)) < 1e-12
print("used")
"""

GONE = """
import importlib.util, optkit, torch
assert importlib.util.find_spec("optkit_example") is None
assert not {"novograd", "qhadam", "shampoo"} & set(optkit.available())
assert "stable_decay" not in optkit.available(kind="schedule")
weights = [torch.nn.Parameter(torch.ones(2))]
for error, call in (
    (optkit.UnknownAlgorithmError, lambda: optkit.create("qhadam", weights)),
    (optkit.HyperparameterError, lambda: optkit.create("sgd", weights, implementation="numpy")),
):
    try:
        call()
    except error:
        continue
    raise AssertionError(error)
print("gone")
"""


def reported(environment: PluginEnvironment, folder: Path) -> dict[str, Any]:
    """Return what `optkit doctor` says about the example."""
    diagnosis = json.loads(environment.sh("optkit doctor --json || true", folder))
    assert not [p for p in diagnosis["problems"] if p["subject"].startswith("optkit-example")]
    (report,) = [d for d in diagnosis["distributions"] if d["name"] == "optkit-example"]
    return dict(report)


@pytest.mark.slow
def test_from_its_wheel_to_its_removal(tmp_path: Path) -> None:
    environment = plugin_environment(tmp_path / "environment")
    project = Path(shutil.copytree(EXAMPLE, tmp_path / "project"))
    environment.sh("python -m hatchling build -t wheel", project)
    environment.sh("python -m pip install dist/*.whl", project)
    for name, script in (("use", USE), ("gone", GONE)):
        (tmp_path / f"{name}.py").write_text(script)

    assert environment.sh("python use.py", tmp_path).splitlines()[-1] == "used"
    own_tests = environment.sh("python -m pytest -q -k 'not conformance'", project)
    assert " passed" in own_tests

    report = reported(environment, tmp_path)
    assert {plugin["status"] for plugin in report["plugins"]} == {"works"}
    kinds = [(plugin["kind"], plugin["name"]) for plugin in report["plugins"]]
    expected = [("plugin", "gradient-norm"), ("plugin", "numpy-sgd"), ("schedule", "stable_decay")]
    assert sorted(kinds) == sorted([*(("algorithm", name) for name in NAMES), *expected])
    listed = environment.sh("optkit list --summaries", tmp_path)
    assert all(name in listed for name in NAMES) and "optkit-example" in listed

    environment.sh("python -m pip uninstall --yes optkit-example", tmp_path)
    assert environment.sh("python gone.py", tmp_path).splitlines()[-1] == "gone"


def test_nothing_in_optkit_mentions_it() -> None:
    root = EXAMPLE.parents[1]
    for package in ("optkit", "optkit_core", "optkit_plugins"):
        for file in (root / package).rglob("*.py"):
            assert "optkit_example" not in file.read_text("utf-8"), file
