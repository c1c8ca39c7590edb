"""skorch: what a configuration describes, in an estimator of scikit-learn's kind.

    python examples/clients/skorch_train.py FOLDER --epochs 4
    python examples/clients/skorch_train.py FOLDER --epochs 8 --resume

The second command continues from the files in FOLDER that the first one wrote.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from digits import Network, digits
from skorch import NeuralNetClassifier

import optkit

CONFIG = {
    "optimizer": {
        "name": "adamw",
        "lr": 0.01,
        "weight_decay": 0.05,
        "groups": [
            {"module": "norm", "weight_decay": 0.0},
            {"match": "*.bias", "weight_decay": 0.0},
        ],
    },
    "schedule": {"name": "cosine_annealing", "T_max": 60, "warmup": 4},
    "clipping": {"norm": 1.0},
}


class ConfiguredClassifier(NeuralNetClassifier):
    """A classifier whose optimizer, schedule, averaging and clipping come from a configuration."""

    # Pickled in one piece with the module and the optimizer, which it refers to.
    cuda_dependent_attributes_ = [*NeuralNetClassifier.cuda_dependent_attributes_, "setup_"]  # noqa: RUF012

    def __init__(
        self, *arguments: Any, config: Mapping[str, Any] | str = "", **options: Any
    ) -> None:
        """Keep the configuration.

        Args:
            *arguments: the network's class first.
            config: what `optkit.from_config` takes.
            **options: skorch's.
        """
        super().__init__(*arguments, **options)
        self.config = config

    def initialize_optimizer(self, triggered_directly: Any = None) -> ConfiguredClassifier:
        """Make what the configuration describes."""
        self.setup_ = optkit.from_config(self.config, self.module_)
        self.optimizer_ = self.setup_.optimizer
        return self

    def _step_optimizer(self, step_fn: Callable[[], Any] | None) -> None:
        """Step, with clipping before and the schedule after it."""
        self.setup_.step(step_fn)


def classifier() -> ConfiguredClassifier:
    """Return an estimator that isn't fitted."""
    return ConfiguredClassifier(
        Network,
        config=CONFIG,
        criterion=torch.nn.CrossEntropyLoss,
        iterator_train__shuffle=True,
        batch_size=64,
        train_split=None,
        verbose=0,
    )


def files(folder: Path) -> dict[str, str]:
    """Return where the weights, all that the configuration describes, and the losses are kept."""
    names = {"f_params": "weights.pt", "f_setup": "setup.pt", "f_history": "history.json"}
    return {option: str(folder / name) for option, name in names.items()}


def main(words: Sequence[str] | None = None) -> None:
    """Train, and print the loss of each epoch.

    Args:
        words: the command's; None takes them from the process.
    """
    parser = argparse.ArgumentParser(description="Train a classifier of digits by skorch.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--resume", action="store_true")
    asked = parser.parse_args(words)
    images, labels = digits().tensors
    torch.manual_seed(0)
    net = classifier().initialize()
    if asked.resume:
        net.load_params(**files(asked.folder))
        torch.set_rng_state(torch.load(asked.folder / "generator.pt"))  # it orders the batches
    net.partial_fit(images, labels, epochs=asked.epochs - len(net.history))
    for epoch in net.history:
        print(f"epoch {epoch['epoch']}: loss {epoch['train_loss']:.4f}")
    net.save_params(**files(asked.folder))
    torch.save(torch.get_rng_state(), asked.folder / "generator.pt")


if __name__ == "__main__":
    main()
