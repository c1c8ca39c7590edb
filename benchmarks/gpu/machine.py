"""What there is on this machine: the card, its driver, the versions, a compiler.

``python -m benchmarks.gpu.machine FILE [--dry-run]`` writes it to a file, as JSON.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import optkit
from optkit_core.native import tensor_reader_loader

DRIVER = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]


def facts(is_dry: bool) -> dict[str, Any]:
    """Return what is to be told with every result."""
    return {
        "date": date.today().isoformat(),
        "card": "no GPU; the CPU stands in for one" if is_dry else card(),
        "driver": None if is_dry else driver(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "CUDA": torch.version.cuda,
        "triton": installed("triton"),
        "numpy": installed("numpy"),
        "optkit": own_version(),
        "cores": os.cpu_count(),
        "Triton's launcher": launcher_complaint(is_dry) or "can be built",
        "native reader": tensor_reader_loader.unavailable_reason() or "in use",
    }


def card() -> str:
    """Return the card's name, capability and memory.

    Raises:
        SystemExit: torch finds no NVIDIA GPU here.
    """
    if not torch.cuda.is_available() or torch.version.hip:
        raise SystemExit("torch finds no NVIDIA GPU here; --dry-run tries everything without one")
    found = torch.cuda.get_device_properties(torch.cuda.current_device())
    memory = found.total_memory / 2**30
    return f"{found.name}, compute capability {found.major}.{found.minor}, {memory:.0f} GiB"


def driver() -> str | None:
    """Return the version of the driver, None where nothing tells."""
    try:
        done = subprocess.run(DRIVER, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.split()), None)


def installed(name: str) -> str | None:
    """Return the version of a package, None where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def own_version() -> str:
    """Return the version of optkit.

    Raises:
        SystemExit: it isn't the one of the wheel that was installed here.
    """
    place = Path(optkit.__file__).resolve()
    if Path(sys.prefix).resolve() not in place.parents:
        raise SystemExit(f"optkit must come from the wheel, it comes from {place.parent}")
    return optkit.__version__


def launcher_complaint(is_dry: bool) -> str:
    """Return why Triton can launch no kernel here, or an empty string.

    It compiles a few lines of C, which call Python, for each kind of kernel.
    """
    if installed("triton") is None:
        return "Triton isn't installed"
    named = os.environ.get("CC")
    if not any(map(shutil.which, [named] if named else ["gcc", "clang"])):
        return "it needs a C compiler: gcc, clang, or one that the variable CC names"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "it needs Python's headers for C: the package python3-dev, or alike"
    return "" if is_dry else _driver_complaint()


def _driver_complaint() -> str:
    from triton.runtime import driver

    try:
        driver.active.utils.get_device_properties(torch.cuda.current_device())
    except Exception as error:
        return f"it can't be built: {error}"
    return ""


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(facts("--dry-run" in sys.argv[2:])))
