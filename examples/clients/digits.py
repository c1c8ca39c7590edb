"""What the examples train on: scikit-learn's digits, and a small network for them."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset


def digits(rows: int = 512) -> TensorDataset:
    """Return images of 64 pixels and the digit on each.

    Args:
        rows: how many of the 1,797 (default 512).
    """
    images, labels = load_digits(return_X_y=True)
    return TensorDataset(
        torch.tensor(images[:rows] / 16, dtype=torch.float32), torch.tensor(labels[:rows])
    )


class Network(nn.Module):
    """A normalized hidden layer between the pixels and the ten digits."""

    def __init__(self, hidden: int = 32) -> None:
        """Make the layers.

        Args:
            hidden: the width of the hidden layer (default 32).
        """
        super().__init__()
        self.embed = nn.Linear(64, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return a score for each digit."""
        scores: torch.Tensor = self.head(torch.relu(self.norm(self.embed(images))))
        return scores
