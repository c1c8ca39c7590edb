"""Running a command: from its words to an exit status, every error one line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any

import typer

from optkit.cli.commands import app

# 2 is click's own status for wrong usage; 130 is a shell's for SIGINT: 128 + 2.
BAD_INPUT = 2
INTERRUPTED = 130


def run(argv: Sequence[str]) -> int:
    """Run the command that `argv` spells; without words, show the help.

    Args:
        argv: the words after ``optkit``.

    Returns:
        The exit status.
    """
    _survive_any_encoding()
    with _warnings_as_lines():
        status = _status(list(argv) or ["--help"])
    if status == INTERRUPTED:
        _say("interrupted")
    return status


def _status(words: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        # In standalone mode click prints in its own way and exits.
        returned = command.main(words, prog_name="optkit", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        _say(f"error: {_complaint(error)}")
        return BAD_INPUT
    # click returns the status of a `typer.Exit` here, and else what the command returns.
    return returned if isinstance(returned, int) else 0


def _complaint(error: Exception) -> str:
    from optkit_core.errors import OptkitError  # brings torch, which --help has no need of

    if isinstance(error, OptkitError):
        return str(error)
    # Where click's exceptions live depends on typer's version; all have this method.
    if not hasattr(error, "format_message"):
        raise error
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "optkit"
    message = error.format_message()
    stop = "" if message.endswith((".", "?")) else "."
    return f"{message}{stop} See '{path} --help'."


def _say(message: str) -> None:
    # Some messages list one fault a line: those about checkpoints, and pluggy's.
    print("optkit:", " ".join(message.split()), file=sys.stderr)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    shown = warnings.showwarning
    warnings.showwarning = _show_warning
    try:
        yield
    finally:
        warnings.showwarning = shown


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _say(f"warning: {message}")


def _survive_any_encoding() -> None:
    # A plugin's summary may hold letters that the terminal's encoding lacks.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
