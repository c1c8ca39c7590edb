"""The C++ compiler: which one there is, and whether it compiles."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from optkit.cli.doctor.findings import Finding
from optkit_core.errors import OptkitError, UnavailableError
from optkit_core.native import compiler

SUBJECT = "C++ compiler"
TRIAL = 'extern "C" int trial() { return 1; }\n'


@attrs.frozen
class Compiler:
    """The C++ compiler.

    Args:
        command: None where there is none.
        version: the first line of what it says about itself.
        reason: why it isn't used, ``""`` where it is.
    """

    command: str | None
    version: str
    reason: str

    @property
    def works(self) -> bool:
        """Whether it has compiled something for this processor."""
        return not self.reason


def examine_compiler() -> Compiler:
    """Return the compiler that kernels are compiled by, after a trial."""
    try:
        command = compiler.command()
    except (UnavailableError, ValueError) as error:  # CXX may have a quote that isn't closed
        return Compiler(None, "", str(error))
    with tempfile.TemporaryDirectory(prefix="optkit-") as folder:
        try:
            compiler.compile_to(TRIAL, Path(folder) / "trial.so", compiler.NATIVE.flags)
            reason = ""
        except OptkitError as error:
            reason = str(error)
    return Compiler(shlex.join(command), _version(command), reason)


def _version(command: list[str]) -> str:
    try:
        asked = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next(iter(asked.stdout.splitlines()), "")


def findings(found: Compiler) -> Iterator[Finding]:
    """Yield what is the matter with a compiler."""
    if found.command is None:
        way_out = "Install one (g++ or clang++); until then optimizers on the CPU take foreach."
        yield Finding(SUBJECT, found.reason, way_out, is_problem=False)
    elif found.reason:
        way_out = f"Repair it, or name another in {compiler.VARIABLE}."
        yield Finding(SUBJECT, found.reason, way_out)
