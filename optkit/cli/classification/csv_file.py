"""Reading the user's CSV file, and saying exactly what is wrong with it."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import torch

from optkit.cli.user_errors import DataError, OptionError
from optkit_core.errors import did_you_mean

COLUMNS_SHOWN = 12
LARGEST_FLOAT32 = torch.finfo(torch.float32).max


@attrs.frozen
class CsvTable:
    """The numbers of a CSV file, row by row, and each row's class label."""

    columns: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    labels: tuple[str, ...]


def read_csv(path: Path, target: str | None) -> CsvTable:
    """Read a CSV file with a header row, numeric features and one column of class labels.

    Args:
        path: the file.
        target: the name of the column of class labels.

    Returns:
        The features and the labels, apart.

    Raises:
        OptionError: `target` is missing or no column of the file.
        DataError: the file can't be read, or a row of it can't be used.
    """
    lines = list(_lines(path))
    if not lines:
        raise DataError(f"{path} is empty; expected a header row and then a row per example.")
    columns = _columns(path, lines[0][1])
    at = _position(path, columns, target)
    parsed = [_row(path, line, cells, columns, at) for line, cells in lines[1:]]
    labels = tuple(label for _, label in parsed)
    _require_classes(path, columns, columns[at], labels)
    features = (*columns[:at], *columns[at + 1 :])
    return CsvTable(features, tuple(numbers for numbers, _ in parsed), labels)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        # -sig, since spreadsheets put a byte order mark before UTF-8.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, [cell.strip() for cell in cells]
    except FileNotFoundError as error:
        raise DataError(f"no such file: {path}. Give --data the path of a CSV file.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a directory; expected a CSV file.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} isn't UTF-8 text ({error.reason}); save it as UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV: {error}.") from error
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror or error}.") from error


def _columns(path: Path, header: list[str]) -> tuple[str, ...]:
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{path}: column {name!r} appears twice; rename one of the two.")
    if len(header) < 2:
        raise DataError(
            f"{path} has a single column, {header[0]!r}; expected features and a target, "
            "separated by commas."
        )
    return tuple(header)


def _position(path: Path, columns: Sequence[str], target: str | None) -> int:
    if target is None:
        raise OptionError(
            f"{path} needs --target COLUMN, the column of class labels; "
            f"its columns are {_listed(columns)}."
        )
    if target.strip() not in columns:
        raise OptionError(
            f"{path} has no column {target!r}.{did_you_mean(target, columns)} "
            f"Its columns are {_listed(columns)}."
        )
    return columns.index(target.strip())


def _row(
    path: Path, line: int, cells: list[str], columns: Sequence[str], at: int
) -> tuple[tuple[float, ...], str]:
    if len(cells) != len(columns):
        raise DataError(
            f"{path}, line {line}: {len(cells)} cells; expected {len(columns)}, as in the header."
        )
    if not cells[at]:
        raise DataError(
            f"{path}, line {line}, column {columns[at]!r}: the cell is empty; expected a class "
            "label. Fill it in or remove the row."
        )
    numbers = tuple(
        _number(path, line, column, cell)
        for column, cell in zip(columns, cells, strict=True)
        if column != columns[at]
    )
    return numbers, cells[at]


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    # False for NaN as well; what is larger would become infinite in the network's float32.
    if abs(number) <= LARGEST_FLOAT32:
        return number
    raise DataError(
        f"{path}, line {line}, column {column!r}: {cell!r} isn't a finite number; "
        "expected one, such as 1.5. Correct the cell or remove the row or the column."
    )


def _require_classes(
    path: Path, columns: Sequence[str], target: str, labels: Sequence[str]
) -> None:
    if not labels:
        raise DataError(f"{path} has a header but no rows; expected a row per example.")
    classes = set(labels)
    if len(classes) == 1:
        values = f"only one class, {labels[0]!r}"
    # Labels that hardly repeat are measured values or row numbers, and no classes.
    elif len(classes) * 2 > len(labels):
        values = f"{len(classes)} different values in {len(labels)} rows"
    else:
        return
    raise DataError(
        f"{path}: the target column {target!r} has {values}; expected a few class labels that "
        f"repeat. Choose another --target out of {_listed(columns)}."
    )


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in columns[:COLUMNS_SHOWN])
    more = len(columns) - COLUMNS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
