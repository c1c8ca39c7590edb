"""Run a script as one of the ranks that torchrun starts: ``SCRIPT WORD...``.

The process ends at once after the script: gloo's threads need Python's lock to let go of tensors,
and one that waits for it while Python shuts down aborts the process. After training with DTensors
these threads outlive ``destroy_process_group``, whatever the optimizer: torch's caches of how
operations are sharded refer to the mesh, and that to its groups.
"""

from __future__ import annotations

import os
import runpy
import sys


def main(script: str) -> None:
    """Run the script as the command that was given without this module."""
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(script)
    if "accelerate" in os.path.basename(script):
        accelerate_on_cpu()
    runpy.run_path(script, run_name="__main__")
    sys.stdout.flush()
    os._exit(0)


def accelerate_on_cpu() -> None:
    """Let Accelerate take the CPU for other devices, since it shards on those alone."""
    from accelerate import state  # missing where the clients aren't installed

    state.PartialState(cpu=True)
    state.PartialState._shared_state["distributed_type"] = state.DistributedType.MULTI_GPU


if __name__ == "__main__":
    main(sys.argv[1])
