"""Writing a project: all of its files, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from optkit.cli.user_errors import OutputError


def write_project(files: Mapping[str, str], directory: Path) -> None:
    """Write a project's files into a new directory, which appears when all are there.

    Args:
        files: their texts, by their paths in it.
        directory: what to create; its parent must exist.

    Raises:
        OutputError: something is there already, or the system refuses.
    """
    if os.path.lexists(directory):
        raise OutputError(
            f"{str(directory)!r} is there already, and nothing was written. Move it away, or name "
            "another directory with --directory."
        )
    try:
        with TemporaryDirectory(prefix=".optkit-new-", dir=directory.parent) as folder:
            draft = Path(folder, "project")
            for name, text in files.items():
                path = draft / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
            draft.rename(directory)
    except OSError as error:
        raise OutputError(
            f"{str(directory)!r} can't be written, and nothing was: {error.strerror or error}."
        ) from error
