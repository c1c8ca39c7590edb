"""Data sets: those inside scikit-learn and the user's CSV files, split and standardized."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import torch

from optkit.cli.classification.csv_file import read_csv
from optkit.cli.user_errors import DataError, OptionError, from_extra
from optkit_core.errors import did_you_mean

BUILT_IN = ("digits", "iris", "wine", "breast_cancer")
TEST_SHARE = 0.25
NEEDED_BY = "a data set"


@attrs.frozen(eq=False)
class Dataset:
    """Rows of numbers, and for each row the index of its class."""

    name: str
    features: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]


@attrs.frozen
class DataFacts:
    """The size of the data set after the split."""

    name: str
    train_rows: int
    test_rows: int
    features: int
    classes: tuple[str, ...]


@attrs.frozen(eq=False)
class Split:
    """A data set cut in two; both parts standardized by what the first one says."""

    facts: DataFacts
    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor


def load(data: str, target: str | None = None) -> Dataset:
    """Load a data set.

    Args:
        data: a name out of `BUILT_IN`, or the path of a CSV file.
        target: the column of class labels; for a CSV file only.

    Returns:
        The data set, unsplit.

    Raises:
        OptionError: no such data set, or a target where none belongs.
        DataError: the file can't be read or used.
    """
    if data in BUILT_IN:
        if target is not None:
            raise OptionError(
                f"--target {target!r} is for CSV files; the data set {data!r} has its own "
                "target. Leave --target out, or give --data FILE.csv."
            )
        return _built_in(data)
    if Path(data).suffix.lower() == ".csv" or Path(data).exists():
        table = read_csv(Path(data), target)
        features = torch.tensor(table.rows, dtype=torch.float64)
        classes, labels = _numbered(table.labels)
        return Dataset(Path(data).name, features, labels, classes)
    raise OptionError(
        f"unknown data set {data!r}.{did_you_mean(data, BUILT_IN)} "
        f"Choose {', '.join(BUILT_IN)}, or the path of a .csv file."
    )


def split(dataset: Dataset, seed: int) -> Split:
    """Cut a data set into training and test rows, each class in proportion.

    Args:
        dataset: the data set.
        seed: decides which rows go where.

    Returns:
        The two parts as float32 features and class indices.

    Raises:
        DataError: there are too few rows of a class, or at all.
    """
    _require_enough(dataset)
    train, test = from_extra("sklearn.model_selection", NEEDED_BY).train_test_split(
        list(range(len(dataset.labels))),
        test_size=TEST_SHARE,
        random_state=seed,
        stratify=dataset.labels.tolist(),
    )
    scaler = from_extra("sklearn.preprocessing", NEEDED_BY).StandardScaler()
    # Means and deviations of the training rows alone: the test rows must stay unseen.
    train_x = scaler.fit_transform(dataset.features[train].numpy())
    test_x = scaler.transform(dataset.features[test].numpy())
    facts = DataFacts(
        dataset.name, len(train), len(test), dataset.features.shape[1], dataset.classes
    )
    labels = dataset.labels
    return Split(facts, _float32(train_x), labels[train], _float32(test_x), labels[test])


def held_out(data: Split) -> Split:
    """Cut the training rows once more; what is chosen by the second part never saw the test rows.

    Args:
        data: the data set, whose training rows are in random order.
    """
    kept = len(data.train_y) - max(1, int(TEST_SHARE * len(data.train_y)))
    (train_x, rest_x), (train_y, rest_y) = (
        (rows[:kept], rows[kept:]) for rows in (data.train_x, data.train_y)
    )
    return Split(data.facts, train_x, train_y, rest_x, rest_y)


def _built_in(name: str) -> Dataset:
    bunch = getattr(from_extra("sklearn.datasets", NEEDED_BY), f"load_{name}")()
    classes = tuple(str(label) for label in bunch.target_names)
    features = torch.as_tensor(bunch.data, dtype=torch.float64)
    return Dataset(name, features, torch.as_tensor(bunch.target, dtype=torch.int64), classes)


def _numbered(labels: tuple[str, ...]) -> tuple[tuple[str, ...], torch.Tensor]:
    classes = tuple(sorted(set(labels)))
    index = {label: number for number, label in enumerate(classes)}
    return classes, torch.tensor([index[label] for label in labels])


def _require_enough(dataset: Dataset) -> None:
    counts = Counter(dataset.labels.tolist())
    rarest = min(counts, key=lambda label: counts[label])
    if counts[rarest] < 2:
        raise DataError(
            f"{dataset.name}: class {dataset.classes[rarest]!r} has one row only; expected two "
            "or more of each class, for training and for testing. Add rows, or drop the class."
        )
    rows, classes = len(dataset.labels), len(counts)
    # As scikit-learn counts: test rows are rounded up, and there must be one for each class.
    if math.ceil(rows * TEST_SHARE) < classes:
        raise DataError(
            f"{dataset.name}: {rows} rows are too few to test {classes} classes; expected "
            f"{math.floor((classes - 1) / TEST_SHARE) + 1} or more. Add rows."
        )


def _float32(array: Any) -> torch.Tensor:
    return torch.as_tensor(array, dtype=torch.float32)
