"""The place in which everything runs: a virtual environment beside copies of the tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.wheels import ROOT, to_install

COPIED = ("tests", "benchmarks", "pyproject.toml")
"""What of the repository is needed beside the wheel; never the packages themselves."""

UNWANTED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TRITON_INTERPRET")


def stage(place: Path) -> None:
    """Copy the tests and benchmarks to where no package of the repository can be imported."""
    for name in COPIED:
        source, target = ROOT / name, place / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("results", "__pycache__"))
        else:
            shutil.copy(source, target)


def python_of(place: Path) -> Path:
    """Return the interpreter of the virtual environment."""
    return place / "venv" / "bin" / "python"


def variables(place: Path, is_dry: bool) -> dict[str, str]:
    """Return the environment's variables: caches of its own, and no setting from outside."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in UNWANTED and not name.startswith(("OPTKIT_", "PYTEST_"))
    }
    return {
        **kept,
        "OPTKIT_CACHE_DIR": str(place / "kernels"),
        "TRITON_CACHE_DIR": str(place / "triton"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONUNBUFFERED": "1",
        **(
            {"TRITON_INTERPRET": "1", "PYTHONPATH": str(place / "tests" / "support")}
            if is_dry
            else {}
        ),
    }


def make(place: Path, wheels: Path) -> None:
    """Make the virtual environment, offline: the wheels above what this interpreter has."""
    bare = [sys.executable, "-m", "venv", "--system-site-packages", "--without-pip"]
    subprocess.run([*bare, place / "venv"], check=True)
    there = frozenset(name for name in ("numpy",) if importlib.util.find_spec(name))
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", python_of(place), "install", "--isolated"),
            *("--quiet", "--no-index", "--no-deps", "--no-compile", "--no-warn-script-location"),
            "--ignore-installed",  # what lies outside, optkit perhaps, stands in for no wheel
            *to_install(wheels.resolve(), there),
        ],
        check=True,
    )
    (site,) = (place / "venv").glob("lib/python*/site-packages")
    (site / "outer.pth").write_text("".join(f"{path}\n" for path in outer(sys.path)))


def outer(path: Sequence[str]) -> list[str]:
    """Return where this interpreter's packages lie.

    It may itself be one of a virtual environment, whose packages another one doesn't see.
    """
    return [entry for entry in path if Path(entry).name in ("site-packages", "dist-packages")]


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
