"""The C++ compiler: found, described for the cache's keys, and run."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path

from optkit_core.errors import UnavailableError

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
)
"""What every kernel is compiled with; none of these changes what an operation returns."""


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
    for name in CANDIDATES:
        found = shutil.which(name)
        if found:
            return [found]
    raise UnavailableError(
        f"there is no C++ compiler ({', '.join(CANDIDATES)}); install one, or name it in {VARIABLE}"
    )


def identity() -> str:
    """Return what tells this compiler from others: its command, and its file's size and date."""
    words = command()
    path = Path(shutil.which(words[0]) or words[0]).resolve()
    facts = path.stat()
    return f"{shlex.join(words)} {path} {facts.st_size} {facts.st_mtime_ns}"


@cache
def processor() -> str:
    """Return what ``native`` means on this machine: the processor's kind and its features."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(errors="replace").splitlines() if known.exists() else []
    features = next((x for x in lines if x.lower().startswith(("flags", "features"))), "")
    return f"{platform.system()} {platform.machine()} {platform.processor()} {features}"


def target() -> tuple[str, ...]:
    """Return the flags that ask for this machine's own instructions."""
    return ("-march=native",) if platform.machine() in ("x86_64", "AMD64") else ("-mcpu=native",)


def compile_to(source: str, path: Path) -> None:
    """Compile a source to a shared library.

    Args:
        source: the C++ text.
        path: where the library is to be written.

    Raises:
        UnavailableError: the compiler can't be run, or refused; carries its first error.
    """
    words = [*command(), *FLAGS, *target(), "-x", "c++", "-", "-o", str(path), "-lm"]
    try:
        done = subprocess.run(words, input=source, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UnavailableError(f"the compiler {words[0]!r} can't be run: {error}") from error
    if done.returncode:
        lines = done.stderr.splitlines()
        said = next((x for x in lines if "error" in x), (lines or ["it said nothing"])[0])
        raise UnavailableError(f"the compiler {words[0]!r} failed: {said.strip():.200}")
