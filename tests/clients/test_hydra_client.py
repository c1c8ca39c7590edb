"""Hydra and OmegaConf: targets, structured configs, and configurations given as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS
from client_files import assert_same_files

import optkit

pytest.importorskip("hydra", reason="Hydra isn't installed")
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

QUIET = ("hydra/job_logging=disabled", "hydra/hydra_logging=disabled")
CONVERSIONS = ["none", "partial", "object", "all"]


def model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))


def holds_own(optimizer: Any, network: torch.nn.Module) -> bool:
    """Return whether an optimizer has a network's very parameters: a copy would train nothing."""
    held = [p for group in optimizer.param_groups for p in group["params"]]
    own = list(network.parameters())
    return len(held) == len(own) and {*map(id, held)} == {*map(id, own)}


def test_a_resumed_run_of_the_example_ends_where_an_uninterrupted_one_does(
    run_client: Callable[..., str], tmp_path: Path
) -> None:
    def run(folder: str, *words: str) -> str:
        return run_client("hydra_train.py", f"hydra.run.dir={tmp_path / folder}", *QUIET, *words)

    printed = run("whole", "epochs=5")
    first = run("first", "epochs=2")
    resume = f"resume={tmp_path / 'first' / 'checkpoint.pt'}"
    assert first + run("second", "epochs=5", resume) == printed
    assert_same_files(*(tmp_path / part / "checkpoint.pt" for part in ("whole", "second")))


def test_the_command_line_chooses_and_corrects(
    run_client: Callable[..., str], tmp_path: Path
) -> None:
    words = (f"hydra.run.dir={tmp_path}", *QUIET, "epochs=1", "optimizer=lion")
    run_client("hydra_train.py", *words, "optimizer.lr=1e-3", "schedule.warmup=0")
    group, *_ = torch.load(tmp_path / "checkpoint.pt")["setup"]["optimizer"]["param_groups"]
    assert group["initial_lr"] == 1e-3
    assert group["schema"].startswith("lion")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["optimizer=lion", "optimizer.lrr=1e-3"], "Key 'lrr' not in 'LionConfig'"),
        (["optimizer.lr=fast"], "'fast' of type 'str' could not be converted to Float"),
        (["optimizer=lino"], "Could not find 'optimizer/lino'"),
    ],
)
def test_the_composition_refuses_what_is_wrong(
    run_client: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    complaint: str,
) -> None:
    with pytest.raises(SystemExit):
        run_client("hydra_train.py", f"hydra.run.dir={tmp_path}", *QUIET, *words)
    assert complaint in capsys.readouterr().err


@pytest.fixture
def structured(run_client: Callable[..., str]) -> Callable[[str], type[Any]]:
    """Return the example's maker of dataclasses."""
    run_client  # noqa: B018 - its folder is importable now
    import hydra_train

    function: Callable[[str], type[Any]] = hydra_train.structured
    return function


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_has_a_structured_config(
    structured: Callable[[str], type[Any]], name: str
) -> None:
    """Its defaults, through OmegaConf and back, are the algorithm's."""
    network = torch.nn.Linear(3, 2, bias=False)
    config = OmegaConf.create({"optimizer": OmegaConf.structured(structured(name))})
    optimizer = optkit.from_config(config, network).optimizer
    assert type(optimizer) is optkit.get(name)
    assert optimizer.defaults == optkit.create(name, network.named_parameters()).defaults


@pytest.mark.parametrize("convert", CONVERSIONS)
@pytest.mark.parametrize("target", ["optkit.create", "optkit.Adamax"])
def test_a_partial_target_is_called_with_the_parameters(target: str, convert: str) -> None:
    config = {
        "_target_": target,
        "_partial_": True,
        "_convert_": convert,
        "lr": 0.1,
        "betas": [0.9, 0.99],
        "implementation": {"cpu": "foreach"},
    }
    if target == "optkit.create":
        config["name"] = "adamax"
    network = model()
    optimizer = instantiate(OmegaConf.create(config))(network.named_parameters())
    assert isinstance(optimizer, optkit.Adamax)
    assert optimizer.defaults["betas"] == (0.9, 0.99)
    assert optimizer.defaults["implementation"] == {"cpu": "foreach"}
    assert type(optimizer.state_dict()["param_groups"][0]["betas"]) is tuple
    assert holds_own(optimizer, network)


PARAMS: dict[str, Callable[[torch.nn.Module], Any]] = {
    "parameters": lambda network: network.parameters(),
    "a list": lambda network: list(network.parameters()),
    "pairs": lambda network: list(network.named_parameters()),
    "groups": lambda network: [
        {"params": list(layer.named_parameters()), "lr": 0.1 * index}
        for index, layer in enumerate(network.children())
    ],
}


@pytest.mark.parametrize("convert", CONVERSIONS)
@pytest.mark.parametrize("kind", PARAMS)
def test_parameters_may_be_given_to_instantiate(kind: str, convert: str) -> None:
    """Hydra makes lists and mappings of its own of them; the tensors are the model's."""
    network = model()
    config = OmegaConf.create({"_target_": "optkit.create", "name": "adamax"})
    given = PARAMS[kind](network)
    optimizer = instantiate(config, params=given, _convert_=convert)
    assert holds_own(optimizer, network)
    named = [group.get("param_names") is not None for group in optimizer.param_groups]
    assert named == [kind in {"pairs", "groups"}] * len(named)


@pytest.mark.parametrize("convert", CONVERSIONS)
def test_a_configured_setup_by_its_target(convert: str) -> None:
    config = OmegaConf.create(
        {
            "_target_": "optkit.from_config",
            "_partial_": True,
            "_convert_": convert,
            "source": {
                "optimizer": {"name": "adamw", "betas": [0.8, 0.9]},
                "schedule": {"name": "exponential", "gamma": 0.5},
            },
        }
    )
    network = model()
    setup = instantiate(config)(model=network)
    assert setup.optimizer.defaults["betas"] == (0.8, 0.9)
    assert holds_own(setup.optimizer, network)


def test_a_whole_configuration_as_omegaconf_has_it() -> None:
    config = OmegaConf.create(
        {
            "base": 0.25,
            "setup": {
                "optimizer": {
                    "name": "adamw",
                    "lr": "${base}",
                    "betas": [0.8, 0.9],
                    "groups": [{"module": "norm", "weight_decay": 0.0}],
                },
                "implementation": {"cpu": "foreach"},
                "clipping": {"norm": 1.0},
            },
        }
    )
    setup = optkit.from_config(config.setup, model())
    assert [g["weight_decay"] for g in setup.optimizer.param_groups] == [0.01, 0.0]
    assert setup.optimizer.defaults["lr"] == 0.25
    assert isinstance(setup.config(), dict) and not isinstance(setup.config(), DictConfig)
    assert setup.config()["optimizer"]["groups"][0] == {"module": "norm", "weight_decay": 0.0}
    again = optkit.from_config(setup.config(), model())
    assert again.config() == setup.config()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "adamw", "lr": "???"}, "optimizer.lr"),
        ({"name": "adamw", "lr": "${nowhere}"}, "nowhere"),
        ({"name": "adamw", "lrr": 0.1}, "optimizer.lrr"),
    ],
)
def test_what_omegaconf_cant_resolve_is_one_error(values: dict[str, Any], words: str) -> None:
    with pytest.raises(optkit.OptkitError) as raised:
        optkit.from_config(OmegaConf.create({"optimizer": values}), model())
    assert words in str(raised.value)
