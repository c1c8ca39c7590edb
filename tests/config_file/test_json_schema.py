"""The JSON Schema: valid, and of one mind with what `from_config` takes and refuses."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from algorithms import ALGORITHMS, MATRIXWISE, SPARSE_ONLY
from config_samples import Random, TinyTransformer, mutated, valid
from config_trials import outcome

import optkit
from optkit.cli import main
from optkit_core.config_file.json_schema.config_schema import config_schema


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return config_schema()


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Any:
    return jsonschema.Draft202012Validator(schema)


def complaints(validator: Any, config: Any) -> list[str]:
    return [error.message for error in validator.iter_errors(config)]


def test_it_is_a_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema


@pytest.mark.parametrize("name", ALGORITHMS)
def test_each_algorithm_has_its_hyperparameters(schema: dict[str, Any], name: str) -> None:
    known = schema["$defs"][f"{name}-options"]["properties"]
    for item in optkit.describe(name).hyperparameters:
        assert item.doc in known[item.name]["description"]
        assert item.range in known[item.name]["description"]
    assert ("default" in known["lr"]) and known["lr"]["minimum"] == 0.0


@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_config_writes_is_valid(validator: Any, name: str) -> None:
    named = list(TinyTransformer().named_parameters())
    if name in MATRIXWISE:
        named = [(n, p) for n, p in named if p.dim() == 2]
    assert complaints(validator, optkit.create(name, named).config()) == []
    for spelled in (name.upper(), name[:1] + "-" + name[1:], f"optkit:{name}"):
        assert complaints(validator, {"optimizer": {"name": spelled}}) == []
        if name not in {*MATRIXWISE, *SPARSE_ONLY}:
            assert outcome({"optimizer": {"name": spelled}}) is None


@pytest.mark.parametrize("seed", range(60))
def test_what_is_accepted_is_valid(validator: Any, seed: int) -> None:
    config = valid(Random(seed))
    assert complaints(validator, config) == []
    r = Random(seed)
    for _ in range(10):
        other = mutated(r, config)
        if outcome(copy.deepcopy(other)) is None:
            assert complaints(validator, json.loads(json.dumps(other))) == [], other


NAMED = {"name": "adamw"}
MUON = {"match": "blocks.*.linear.weight", "algorithm": "muon"}


def test_a_rule_may_speak_of_the_algorithm_of_another(validator: Any) -> None:
    rules = [MUON, {"match": "blocks.*.linear.weight", "momentum": 0.5}]
    config = {"optimizer": {**NAMED, "groups": rules}}
    assert complaints(validator, config) == []
    assert outcome(config) is None


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"optimizer": {}},
        {"optimizer": {"name": "adamww"}},
        {"optimizer": {"name": 3}},
        {"optimizer": {**NAMED, "lrr": 1}},
        {"optimizer": {**NAMED, "lr": -1}},
        {"optimizer": {**NAMED, "lr": "1e-3"}},
        {"optimizer": {**NAMED, "lr": True}},
        {"optimizer": {**NAMED, "betas": [0.9, 1.0]}},
        {"optimizer": {**NAMED, "betas": [0.9]}},
        {"optimizer": {**NAMED, "amsgrad": 1}},
        {"optimizer": {**NAMED, "rho": 0.9}},
        {"optimizer": {**NAMED, "implementation": "foreach"}},
        {"optimizer": {**NAMED, "grouping": "by_hand"}},
        {"optimizer": {**NAMED, "groups": {}}},
        {"optimizer": {**NAMED, "groups": ["*"]}},
        {"optimizer": {**NAMED, "groups": [{"lr": 1}]}},
        {"optimizer": {**NAMED, "groups": [{"match": "*", "lr": -1}]}},
        {"optimizer": {**NAMED, "groups": [{"match": 3, "lr": 1}]}},
        {"optimizer": {**NAMED, "groups": [{"match": "*", "momentum": 0.9}]}},
        {"optimizer": {**NAMED, "groups": [{"match": "*", "algorithm": "sgd", "betas": [0, 0]}]}},
        {"optimizer": {**NAMED, "groups": [{"match": "*", "algorithm": "sdg"}]}},
        {"optimizer": {**NAMED, "groups": [MUON, {"match": "*", "momntum": 0.5}]}},
        {"optimizer": {**NAMED, "groups": [{"match": "*", "layer_decay": 2}]}},
        {"optimizer": NAMED, "implementation": "foreech"},
        {"optimizer": NAMED, "implementation": {"cpu": 1}},
        {"optimizer": NAMED, "schedule": {"name": "step"}},
        {"optimizer": NAMED, "schedule": {"name": "step", "step_size": 0}},
        {"optimizer": NAMED, "schedule": {"name": "step", "step_size": 1, "T_max": 3}},
        {"optimizer": NAMED, "schedule": {"name": "step", "step_size": 1, "interval": "batch"}},
        {"optimizer": NAMED, "averaging": {"name": "ema", "decay": 2}},
        {"optimizer": NAMED, "averaging": {"name": "ema", "every": 0}},
        {"optimizer": NAMED, "clipping": {}},
        {"optimizer": NAMED, "clipping": {"norm": 1, "value": 1}},
        {"optimizer": NAMED, "clipping": {"norm": "1"}},
        {"optimizer": NAMED, "clip": {"norm": 1}},
    ],
    ids=lambda config: str(config)[:80],
)  # fmt: skip
def test_what_is_refused_is_invalid(validator: Any, config: Any) -> None:
    assert outcome(copy.deepcopy(config)) is not None
    assert complaints(validator, config) != []


def test_a_json_file_may_name_its_schema(validator: Any, tmp_path: Path) -> None:
    config = {"$schema": "./optkit.schema.json", "optimizer": {"name": "adamw"}}
    assert complaints(validator, config) == []
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    assert outcome(path) is None


def test_what_is_installed_is_in_it(registered: Any) -> None:
    class NeedsRate(torch.optim.SGD):
        def __init__(self, params: Any, lr: float, momentum: float = 0.5) -> None:
            super().__init__(params, lr=lr, momentum=momentum)

    registered("needs-rate", NeedsRate)
    validator = jsonschema.Draft202012Validator(config_schema())
    assert complaints(validator, {"optimizer": {"name": "needs-rate", "lr": 1}}) == []
    assert complaints(validator, {"optimizer": {"name": "needs-rate"}}) != []
    assert complaints(validator, {"optimizer": {"name": "needs-rate", "lr": 1, "eps": 1}}) != []


def test_the_command_prints_it(
    schema: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema
    path = tmp_path / "optkit.schema.json"
    assert main(["schema", "--output", str(path)]) == 0
    assert json.loads(path.read_text()) == schema
    assert main(["schema", "--output", str(tmp_path / "missing" / "schema.json")]) == 2
    assert "can't be written" in capsys.readouterr().err
