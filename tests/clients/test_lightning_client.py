"""Lightning's command line: classes by their path, and configurations in configure_optimizers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from client_files import equal
from processes import python

import optkit

pytest.importorskip("pytorch_lightning", reason="PyTorch Lightning isn't installed")
pytest.importorskip("jsonargparse", reason="jsonargparse, which the CLI needs, isn't installed")
OPTKIT = Path(optkit.__file__).parents[1]
FILE = Path(__file__).parents[2] / "examples" / "clients" / "lightning_cli.yaml"

# Lightning 2.6 calls what torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
def test_a_resumed_run_of_the_example_ends_where_an_uninterrupted_one_does(
    run_client: Callable[..., str], tmp_path: Path
) -> None:
    import torch

    def run(folder: str, epochs: int, *words: object) -> tuple[str, Path]:
        root = tmp_path / folder
        given = ("--trainer.default_root_dir", root, "--trainer.max_epochs", epochs)
        printed = run_client("lightning_cli.py", "fit", "--config", FILE, *given, *words)
        return printed, next(root.rglob(f"epoch={epochs - 1}-*.ckpt"))

    printed, whole = run("whole", 5)
    _, first = run("parts", 2)
    resumed, parts = run("parts", 5, "--ckpt_path", first)
    assert printed.splitlines()[-1] == resumed.splitlines()[-1]
    one, other = (torch.load(path, weights_only=True) for path in (whole, parts))
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert equal(one[part], other[part])
    groups = one["optimizer_states"][0]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
    assert groups[0]["param_names"] == ["embed.weight", "head.weight"]


LIGHTNING = """
import sys, torch
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LightningCLI

class Model(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, index):
        return self.layer(batch).square().mean()

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(4, 2), batch_size=2)

quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
given = {"max_epochs": 2, "accelerator": "cpu", "default_root_dir": FOLDER, **quiet}
try:
    cli = LightningCLI(
        Model, args=ARGUMENTS, save_config_callback=None, trainer_defaults=given
    )
except SystemExit as error:
    print("refused with", error.code)
else:
    [optimizer] = cli.trainer.optimizers
    saved = torch.load(cli.trainer.checkpoint_callback.best_model_path, weights_only=True)
    [state] = saved["optimizer_states"]
    print(type(optimizer).__name__, optimizer.defaults["lr"], state["param_groups"][0]["betas"])
    print("implementation:", optimizer.defaults["implementation"])
"""


def lightning(folder: Path, *arguments: str) -> str:
    """Return what `LightningCLI` prints that fits a model with an optimizer from arguments."""
    code = f"FOLDER, ARGUMENTS = {str(folder)!r}, {['fit', *arguments]!r}\n{LIGHTNING}"
    return python(code, OPTKIT)


@pytest.mark.slow
def test_lightnings_command_line_takes_arguments(tmp_path: Path) -> None:
    chosen = ("--optimizer", "optkit_plugins.adamax.Adamax", "--optimizer.lr", "0.1")
    assert "Adamax 0.1 (0.9, 0.999)" in lightning(tmp_path, *chosen)


@pytest.mark.slow
def test_lightnings_command_line_takes_a_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("""
optimizer:
  class_path: optkit.Adamax
  init_args:
    lr: 0.25
    betas: [0.5, 0.9]
    implementation: {cpu: foreach}
""")
    printed = lightning(tmp_path, "--config", str(tmp_path / "config.yaml"))
    assert "Adamax 0.25 (0.5, 0.9)" in printed
    assert "implementation: {'cpu': 'foreach'}" in printed


@pytest.mark.slow
def test_lightnings_command_line_refuses_typos(tmp_path: Path) -> None:
    printed = lightning(tmp_path, "--optimizer", "optkit.Adamax", "--optimizer.lrr", "0.1")
    assert "refused with 2" in printed
    assert "'lrr' is not accepted" in printed


MODES = """
import torch, optkit
from pytorch_lightning import LightningModule, Trainer

class Model(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer, self.modes = torch.nn.Linear(2, 1), []

    def configure_optimizers(self):
        return optkit.create("schedulefree_adamw", self.named_parameters(), lr=0.1)

    def training_step(self, batch, index):
        self.modes.append(self.own.param_groups[0]["train_mode"])
        return self.layer(batch).square().mean()

    def validation_step(self, batch, index):
        self.modes.append(self.own.param_groups[0]["train_mode"])

    @property
    def own(self):
        return self.optimizers(use_pl_optimizer=False)

    def on_validation_epoch_start(self):
        self.own.eval()

    def on_validation_epoch_end(self):
        self.own.train()

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(4, 2), batch_size=2)

    val_dataloader = train_dataloader

quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
model = Model()
Trainer(max_epochs=1, accelerator="cpu", enable_checkpointing=False, **quiet).fit(model)
print("modes:", model.modes)
"""


@pytest.mark.slow
def test_modes_are_switched_by_two_hooks() -> None:
    printed = python(MODES, OPTKIT)
    assert "modes: [False, False, True, True, False, False]" in printed
