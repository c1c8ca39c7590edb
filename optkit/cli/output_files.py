"""The files that a command writes: checked before the work, written after it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import torch

import optkit
from optkit.cli.json_values import as_json
from optkit.cli.user_errors import OutputError

PICTURE_KINDS = (".png", ".svg", ".pdf")


def check_outputs(picture: Path, figures: Path) -> None:
    """Refuse paths that can't be written, before any time is spent.

    Args:
        picture: where the picture of the loss curves will go.
        figures: where the JSON file will go.

    Raises:
        OutputError: naming the option, the path and the reason.
    """
    if picture.suffix.lower() not in PICTURE_KINDS:
        raise OutputError(
            f"--picture {str(picture)!r}: unknown kind of picture {picture.suffix!r}; "
            f"expected a name that ends in {', '.join(PICTURE_KINDS)}."
        )
    if picture.absolute() == figures.absolute():
        raise OutputError(f"--picture and --json are both {str(picture)!r}; expected two files.")
    require_writable("--picture", picture)
    require_writable("--json", figures)


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """Write figures to the file of ``--json``.

    Args:
        path: the file.
        figures: what `figures_of` returned.

    Raises:
        OutputError: the file can't be written.
    """
    text = json.dumps(figures, indent=2, allow_nan=False)
    with writing("--json", path):
        path.write_text(text + "\n", encoding="utf-8")


def figures_of(report: Any) -> dict[str, Any]:
    """Return all that a report holds, and the versions of what made it.

    Args:
        report: a record of attrs, with ``settings`` and ``data`` among its fields.
    """
    facts = as_json(attrs.asdict(report))
    first = {key: facts.pop(key) for key in ("settings", "data")}
    return {**first, "versions": _versions(), **facts}


@contextmanager
def writing(option: str, path: Path) -> Iterator[None]:
    """Turn the system's error about a file into a line about the option.

    Args:
        option: the option that named the file.
        path: the file.

    Raises:
        OutputError: the file can't be written.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{option} {str(path)!r} can't be written: {error.strerror or error}."
        ) from error


def require_writable(option: str, path: Path) -> None:
    """Refuse a path that can't be written.

    Args:
        option: the option that named it.
        path: where a file will go.

    Raises:
        OutputError: naming both and the reason.
    """
    # By looking only: to open the file would empty one that is there.
    if path.is_dir():
        reason = "it is a directory; expected a file"
    elif not path.parent.is_dir():
        reason = f"there is no directory {str(path.parent)!r}; create it first"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = "permission denied; choose another place"
    else:
        return
    raise OutputError(f"{option} {str(path)!r} can't be written: {reason}.")


def _versions() -> dict[str, str]:
    return {
        "optkit": optkit.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
