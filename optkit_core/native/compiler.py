"""The C++ compiler: found, described for the cache's keys, and run."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from optkit_core.errors import ConfigError, UnavailableError

VARIABLE = "CXX"
CANDIDATES = ("c++", "g++", "clang++")

FLAGS = (
    "-O3",
    "-std=c++17",
    "-shared",
    "-fPIC",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-exceptions",
    "-fno-rtti",
    "-fopenmp-simd",
)
"""What every kernel is compiled with; none of these changes what an operation returns.

``-ffp-contract=off`` keeps the compiler from rounding a product and a sum once where torch rounds
twice; ``-ffast-math`` and its parts would lose not-a-number, infinities and signed zeros. Without
``errno`` and trapping a square root and a comparison become vector instructions. With
``-fopenmp-simd`` a sum is taken apart for the lanes of a register, where the source says so.
"""

TIMEOUT_VARIABLE = "OPTKIT_COMPILER_TIMEOUT"
DEFAULT_TIMEOUT = 60.0
"""Seconds after which a compiler counts as stuck; a kernel takes it less than one."""

GRACE = 5.0
"""Seconds within which the system ends what it was told to end."""

IS_X86 = platform.machine() in ("x86_64", "AMD64")


class CompilerTimeoutError(UnavailableError):
    """A compiler didn't end in time; it would take as long for another source."""


class Target(NamedTuple):
    """The processors that a library is compiled for.

    Args:
        flags: what asks the compiler for them.
        features: what a processor must have to run it; None: it must be this very kind.
    """

    flags: tuple[str, ...]
    features: frozenset[str] | None = None

    def runs_here(self) -> bool:
        """Return whether this machine's processor is one of them."""
        return self.features is None or self.features <= set(_features().split())

    def processor(self) -> str:
        """Return what tells these processors from others.

        All features of this one count: a cache may be shared by machines of several kinds.
        """
        features = f" {_features()}" if self.features is None else ""
        return f"{platform.system()} {platform.machine()}{features}"


NATIVE = Target(("-march=native",) if IS_X86 else ("-mcpu=native",))
"""This machine's processor, with all of its instructions."""

# As /proc/cpuinfo names them: "abm" is LZCNT there, and "xsave" stands for OSXSAVE.
X86_V3 = frozenset(["avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"])
PORTABLE = Target(("-march=x86-64-v3",), X86_V3) if IS_X86 else Target((), frozenset())
"""Any processor of this architecture; on x86 those with AVX2 and FMA, made since 2013."""

TARGETS = (NATIVE, PORTABLE)
"""Every target, the fastest first."""


def command() -> list[str]:
    """Return the compiler's command: that of ``CXX``, or the first that is installed.

    Raises:
        UnavailableError: there is none; says where was looked.
    """
    given = shlex.split(os.environ.get(VARIABLE, ""))
    if given and shutil.which(given[0]) is None:
        raise UnavailableError(f"{VARIABLE} names {given[0]!r}, which isn't a program here")
    if given:
        return given
    for path in filter(None, map(shutil.which, CANDIDATES)):
        return [path]
    raise UnavailableError(
        f"there is no C++ compiler ({', '.join(CANDIDATES)}); install one, or name it in {VARIABLE}"
    )


def identity() -> str:
    """Return what tells this compiler from others, without running it.

    That is its command, and the size and date of each program in it, since ``ccache g++``
    names two.

    Raises:
        UnavailableError: there is no compiler.
    """
    words = command()
    # Resolved: a link such as /usr/bin/c++ stays as it is when it leads to another compiler.
    programs = [Path(path).resolve() for path in map(shutil.which, words) if path]
    facts = [(path, path.stat()) for path in programs]
    described = (f"{path} {fact.st_size} {fact.st_mtime_ns}" for path, fact in facts)
    return " ".join([shlex.join(words), *described])


def timeout() -> float:
    """Return how many seconds a compiler may take: as ``OPTKIT_COMPILER_TIMEOUT`` says, or 60.

    Raises:
        ConfigError: the variable holds no number of seconds.
    """
    given = os.environ.get(TIMEOUT_VARIABLE, "").strip()
    try:
        seconds = float(given or DEFAULT_TIMEOUT)
    except ValueError:
        seconds = math.nan
    if 0 < seconds < math.inf:
        return seconds
    raise ConfigError(
        f"{TIMEOUT_VARIABLE} must be a number of seconds above 0, got {given!r}; "
        f"where it isn't set a compiler may take {DEFAULT_TIMEOUT:g}."
    )


def compile_to(source: str, path: Path, flags: Sequence[str]) -> None:
    """Compile a source to a shared library.

    Args:
        source: the C++ text.
        path: where the library is to be written.
        flags: what asks for the target's instructions.

    Raises:
        UnavailableError: the compiler can't be run, or refused; carries its first error.
        CompilerTimeoutError: it didn't end in time.
    """
    words = [*command(), *FLAGS, *flags, "-x", "c++", "-", "-o", str(path), "-lm"]
    text, log = path.with_name("source"), path.with_name("log")
    text.write_text(source)
    status = _run(words, text, log)
    if status or not path.exists():
        lines = log.read_text(errors="replace").splitlines()
        message = next((x for x in lines if "error" in x), (lines or ["it said nothing"])[0])
        raise UnavailableError(f"the compiler {words[0]!r} failed: {message.strip():.200}")


def _run(words: Sequence[str], text: Path, log: Path) -> int:
    """Run a compiler on a file, and return its exit status.

    It speaks to files, since a pipe stays open as long as anything that it has started.
    """
    seconds = timeout()
    try:
        with text.open("rb") as source, log.open("wb") as output:
            # In a session of its own, so that `_end` ends all that it has started too.
            process = subprocess.Popen(
                words, stdin=source, stdout=output, stderr=output, start_new_session=True
            )
    except OSError as error:
        raise UnavailableError(f"the compiler {words[0]!r} can't be run: {error}") from error
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired as error:
        raise CompilerTimeoutError(
            f"the compiler {words[0]!r} didn't end within {seconds:g} s, and was ended; "
            f"{TIMEOUT_VARIABLE} sets another limit"
        ) from error
    finally:
        # Also on Ctrl-C, of which a compiler in a session of its own doesn't hear.
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, and with it what it has started."""
    # What a compiler that has ended leaves running stays: the server of a wrapper, for example.
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


@cache
def _features() -> str:
    """Return the features of this machine's processor, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.exists() else []
    # "flags" on x86, "Features" on ARM.
    line = next((x for x in lines if x.lower().startswith(("flags", "features"))), "")
    return line.partition(":")[2]
