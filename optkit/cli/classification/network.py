"""The network that is trained, and how good it is."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from optkit.cli.classification.datasets import DataFacts


@attrs.frozen
class Quality:
    """How well a network tells the classes of some rows."""

    loss: float
    accuracy: float


def build_network(facts: DataFacts, hidden: int, seed: int) -> nn.Module:
    """Return a network of one hidden layer.

    Args:
        facts: how many numbers go in, and how many classes come out.
        hidden: the width of its hidden layer.
        seed: decides its first weights; the generator of the process starts from it.
    """
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(facts.features, hidden), nn.ReLU(), nn.Linear(hidden, len(facts.classes))
    )


def quality(model: nn.Module, features: Tensor, labels: Tensor) -> Quality:
    """Return the loss and the accuracy of a model on some rows.

    Args:
        model: the network, or an average of it.
        features: the rows.
        labels: the index of the class of each.
    """
    with torch.no_grad():
        scores = model(features)
        right = (scores.argmax(1) == labels).double().mean()
        return Quality(float(cross_entropy(scores, labels)), float(right))
