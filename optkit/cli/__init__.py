"""The command line ``optkit``: list, show and compare the registered algorithms.

It needs the extra ``cli``; nothing else in optkit imports this package.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

NEEDS_EXTRA = "optkit: the command line needs its extra: pip install 'optkit[cli]'"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after ``optkit``; None takes them from the process.

    Returns:
        The exit status: 0 done, 2 bad input or a missing extra, 130 interrupted.
    """
    try:
        # Commands import it when they run, where its absence would end in a traceback.
        import_module("rich")
        from optkit.cli.run_command import run
    except ModuleNotFoundError as error:
        # Something else is missing: an installation is broken, which its traceback tells best.
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        print(NEEDS_EXTRA, file=sys.stderr)
        return 2
    return run(sys.argv[1:] if argv is None else argv)
