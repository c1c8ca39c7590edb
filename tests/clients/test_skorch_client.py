"""skorch: by a configuration, and by the names that skorch has for everything."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from client_files import assert_same_files
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch.optim.lr_scheduler import ExponentialLR

import optkit

skorch = pytest.importorskip("skorch", reason="skorch isn't installed")
FEATURES = torch.randn(96, 6, generator=torch.Generator().manual_seed(0))
LABELS = (FEATURES[:, 0] > FEATURES[:, 1]).long()
X, Y = FEATURES.numpy(), LABELS.numpy()


class Layers(torch.nn.Module):
    """A network with a normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm = torch.nn.Linear(6, 8), torch.nn.LayerNorm(8)
        self.outer = torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.outer(torch.tanh(self.norm(self.inner(x))))
        return scores


def classifier(**options: Any) -> Any:
    torch.manual_seed(0)
    given = {"optimizer": optkit.AdamW, "optimizer__lr": 0.05, "max_epochs": 3} | options
    return skorch.NeuralNetClassifier(
        Layers, criterion=torch.nn.CrossEntropyLoss, train_split=None, verbose=0, **given
    )


def weights(net: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.module_.parameters()])


def test_a_resumed_run_of_the_example_ends_where_an_uninterrupted_one_does(
    run_client: Callable[..., str], tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    printed = run_client("skorch_train.py", whole, "--epochs", 5)
    run_client("skorch_train.py", parts, "--epochs", 2)
    assert run_client("skorch_train.py", parts, "--epochs", 5, "--resume") == printed
    for name in ("weights.pt", "setup.pt", "generator.pt"):
        assert_same_files(whole / name, parts / name)
    assert "epoch 5: loss" in printed


def test_the_example_survives_a_pickle_with_its_schedule(run_client: Callable[..., str]) -> None:
    import skorch_train  # beside the example

    torch.manual_seed(0)
    net = skorch_train.classifier()
    images, labels = skorch_train.digits().tensors
    net.partial_fit(images, labels, epochs=2)
    again = pickle.loads(pickle.dumps(net))
    assert again.setup_.optimizer is again.optimizer_
    assert again.setup_.model is again.module_
    for each in (net, again):
        torch.manual_seed(7)
        each.partial_fit(images, labels, epochs=1)
    assert torch.equal(weights(net), weights(again))


def test_groups_by_skorchs_patterns() -> None:
    rules = [("*.bias", {"weight_decay": 0.0}), ("norm.*", {"weight_decay": 0.0, "lr": 0.5})]
    net = classifier(optimizer__weight_decay=0.1, optimizer__param_groups=rules).initialize()
    found = [
        (len(group["params"]), group["weight_decay"], group["lr"])
        for group in net.optimizer_.param_groups
    ]
    assert found == [(3, 0.0, 0.05), (1, 0.0, 0.5), (2, 0.1, 0.05)]


def test_an_option_that_is_set_later_reaches_the_groups() -> None:
    net = classifier().fit(X, Y)
    net.set_params(optimizer__lr=0.25, optimizer__weight_decay=0.5)
    assert net.optimizer_.param_groups[0]["lr"] == 0.25
    assert net.optimizer_.param_groups[0]["weight_decay"] == 0.5
    net.partial_fit(X, Y, epochs=1)


@pytest.mark.parametrize("name", ["sgd", "lbfgs", "schedulefree_adamw", "lion"])
def test_every_kind_of_step_is_taken(name: str) -> None:
    net = classifier(optimizer=optkit.get(name), optimizer__lr=0.1, batch_size=-1)
    net.fit(X, Y)
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]


def test_a_schedule_by_epochs_goes_on_in_a_pickle() -> None:
    def net() -> Any:
        schedule = skorch.callbacks.LRScheduler(ExponentialLR, gamma=0.5)
        return classifier(callbacks=[schedule]).initialize()

    whole, parts = net(), net()
    whole.partial_fit(X, Y, epochs=4)
    parts.partial_fit(X, Y, epochs=2)
    parts = pickle.loads(pickle.dumps(parts))
    parts.partial_fit(X, Y, epochs=2)
    assert torch.equal(weights(whole), weights(parts))
    assert whole.optimizer_.param_groups[0]["lr"] == pytest.approx(0.05 / 16)


def test_a_saved_optimizer_is_read_without_pickle(tmp_path: Path) -> None:
    files = {f"f_{part}": str(tmp_path / part) for part in ("params", "optimizer")}
    net = classifier().fit(X, Y)
    net.save_params(**files)
    again = classifier().initialize()
    again.load_params(**files)
    for each in (net, again):
        each.partial_fit(X, Y, epochs=1)
    assert torch.equal(weights(net), weights(again))


@pytest.mark.slow
def test_a_grid_search_over_hyperparameters() -> None:
    search = GridSearchCV(classifier(), {"optimizer__lr": [1e-6, 0.05]}, cv=2, refit=False)
    search.fit(X, Y)
    assert search.best_params_ == {"optimizer__lr": 0.05}


def test_clones_and_copies() -> None:
    net = classifier().fit(X, Y)
    assert clone(net).optimizer is optkit.AdamW
    again = copy.deepcopy(net)
    for each in (net, again):
        each.partial_fit(X, Y, epochs=1)
    assert torch.equal(weights(net), weights(again))
