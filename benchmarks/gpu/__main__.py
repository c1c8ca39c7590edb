"""Do everything that a GPU is needed for.

``python -m benchmarks.gpu prepare`` collects wheels where there is a network;
``python -m benchmarks.gpu run`` needs these, a GPU and torch, and nothing else.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu import wheels
from benchmarks.gpu.parts import PARTS, TOTAL, quick
from benchmarks.gpu.running import Run

WHEELS, RESULTS = Path("build/gpu/wheels"), Path("build/gpu/results")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    collect = commands.add_parser("prepare", help="collect the wheels; needs a network")
    collect.add_argument("--python", default="3.12", help="version on the GPU's machine (3.12)")
    start = commands.add_parser("run", help="run tests and benchmarks on this machine's GPU")
    for command in (collect, start):
        command.add_argument("--wheels", type=Path, default=WHEELS, help=f"folder ({WHEELS})")
    start.add_argument("--results", type=Path, default=RESULTS, help=f"folder ({RESULTS})")
    start.add_argument(
        "--seconds", type=float, default=TOTAL, help=f"for everything, at least {TOTAL:.0f}"
    )
    start.add_argument("--dry-run", action="store_true", help="have the CPU stand in for a GPU")
    start.add_argument("--quick", action="store_true", help="a few tests, and one case measured")
    given = parser.parse_args()
    if given.command == "run" and given.seconds < TOTAL:
        parser.error(f"--seconds must be at least {TOTAL:.0f}, got {given.seconds:g}")
    return given


def main() -> int:
    """Run a command; return 0 if all tests have passed."""
    begin, given = time.monotonic(), arguments()
    if given.command == "prepare":
        size = wheels.prepare(given.wheels, given.python)
        print(f"{size / 2**20:.1f} MiB of wheels in {given.wheels}")
        return 0
    with tempfile.TemporaryDirectory(prefix="optkit-gpu-") as place:
        run = Run(Path(place).resolve(), given.wheels, given.results, given.dry_run, given.quick)
        return everything(run, given.seconds - (time.monotonic() - begin))


def everything(run: Run, seconds: float) -> int:
    """Run all parts, write and print what came of them; return the exit status."""
    list(wheels.to_install(run.wheels, frozenset()))
    if find_spec("torch") is None:
        raise SystemExit("this Python has no torch; run the command with one that has it")
    outcomes = run.all(quick(PARTS) if run.is_quick else PARTS, seconds)
    from benchmarks.gpu import report  # imports torch, which nothing has to wait for until now

    found = report.write(run, outcomes)
    decided = "prefer" if found.is_decided else "undecided, so leave"
    print(f"verdict: {decided}\n{found.line}", *found.reasons, sep="\n")
    print(f"written to {run.results}")
    return 0 if report.have_passed(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
