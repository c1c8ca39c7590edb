"""Run a script of Accelerate's on the CPU as if its devices were others: ``SCRIPT WORD...``.

Accelerate switches FSDP on for accelerators alone. What it then does is the same on the CPU.
"""

from __future__ import annotations

import os
import runpy
import sys


def main(script: str) -> None:
    """Run the script as the command that was given without this module."""
    from accelerate import state  # missing where the clients aren't installed

    state.PartialState(cpu=True)
    state.PartialState._shared_state["distributed_type"] = state.DistributedType.MULTI_GPU
    sys.argv = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(script))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
