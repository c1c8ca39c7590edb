"""The Lightning CLI: what a section of its file describes, in a module's configure_optimizers.

    python examples/clients/lightning_cli.py fit --config examples/clients/lightning_cli.yaml

`--trainer.max_epochs 8 --ckpt_path FILE` continues from a checkpoint.
"""

from __future__ import annotations

from typing import Any

from digits import Network, digits
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LightningCLI
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, DistributedSampler

import optkit


class Classifier(LightningModule):
    """A classifier of digits."""

    def __init__(self, optimization: dict[str, Any], hidden: int = 32) -> None:
        """Make the network.

        Args:
            optimization: what `optkit.from_config` takes.
            hidden: the width of the network's hidden layer.
        """
        super().__init__()
        self.save_hyperparameters()
        self.network = Network(hidden)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make the optimizer and its schedule, which Lightning steps, saves and loads."""
        setup = optkit.from_config(self.hparams["optimization"], self.network)
        return {
            "optimizer": setup.optimizer,
            "lr_scheduler": {"scheduler": setup.schedule, "interval": "step"},
        }

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of a batch."""
        images, labels = batch
        loss = cross_entropy(self.network(images), labels)
        self.log("loss", loss, on_epoch=True)
        return loss

    def train_dataloader(self) -> DataLoader[Any]:
        """Return batches whose order depends on the epoch alone, and so survives resuming."""
        dataset = digits()
        # Lightning tells it the number of each epoch.
        order: DistributedSampler[Any] = DistributedSampler(dataset, num_replicas=1, rank=0)
        return DataLoader(dataset, batch_size=64, sampler=order)


def main(words: list[str] | None = None) -> None:
    """Run the command line, and print the loss.

    Args:
        words: the command's; None takes them from the process.
    """
    cli = LightningCLI(
        Classifier,
        args=words,
        seed_everything_default=0,
        auto_configure_optimizers=False,
        save_config_callback=None,
        trainer_defaults={"accelerator": "cpu"},
    )
    print(f"loss {cli.trainer.callback_metrics['loss_epoch']:.4f}")


if __name__ == "__main__":
    main()
