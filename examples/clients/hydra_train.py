"""Hydra: a configuration composed of files and of the command line, checked as it is composed.

    python examples/clients/hydra_train.py
    python examples/clients/hydra_train.py optimizer=lion optimizer.lr=1e-3 schedule.warmup=10
    python examples/clients/hydra_train.py epochs=8 resume=CHECKPOINT

Each registered algorithm is a choice for `optimizer`, with a structured config that is made from
its declarations: a misspelled hyperparameter is refused before anything runs.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import hydra
import torch
from digits import Network, digits
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import optkit


def structured(name: str) -> type[Any]:
    """Return a dataclass with the hyperparameters of an algorithm, and room for rules.

    Args:
        name: the algorithm.
    """
    fields: list[tuple[str, Any, Any]] = [("name", str, name)]
    for item in optkit.describe(name).hyperparameters:
        kind = type(item.default) if isinstance(item.default, bool | float) else Any
        fields.append((item.name, kind, dataclasses.field(default=item.default)))
    fields.append(("groups", list[Any], dataclasses.field(default_factory=list)))
    return dataclasses.make_dataclass(f"{name.title()}Config", fields)


for algorithm in optkit.available():
    ConfigStore.instance().store(name=algorithm, group="optimizer", node=structured(algorithm))


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    """Train, print the loss of each epoch, and write a checkpoint into Hydra's folder.

    Args:
        config: as Hydra has composed it.
    """
    torch.manual_seed(config.seed)
    network = Network()
    parts = ("optimizer", "schedule", "clipping")
    setup = optkit.from_config({part: config[part] for part in parts}, network)
    checkpoint = Path(HydraConfig.get().runtime.output_dir) / "checkpoint.pt"
    if config.resume:
        saved = torch.load(config.resume)
        network.load_state_dict(saved["network"])
        setup.load_state_dict(saved["setup"])
        torch.set_rng_state(saved["generator"])
    loader = DataLoader(digits(), batch_size=64, shuffle=True)
    for _ in range(setup.epochs, config.epochs):
        for images, labels in loader:
            setup.optimizer.zero_grad()
            loss = cross_entropy(network(images), labels)
            loss.backward()
            setup.step()
        setup.end_epoch()
        print(f"epoch {setup.epochs}: loss {loss.item():.4f}")
    states = {"network": network.state_dict(), "setup": setup.state_dict()}
    torch.save({**states, "generator": torch.get_rng_state()}, checkpoint)


if __name__ == "__main__":
    main()
