"""The folder that is carried to the GPU: optkit's wheel, and wheels of what torch lacks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_BYTES = 64 * 2**20

OPTKIT = "optkit"
CARRIED = (
    *("attrs", "cattrs", "pluggy", "safetensors"),
    *("pytest", "iniconfig", "packaging", "pygments"),
    *("expecttest", "hypothesis", "sortedcontainers"),
    "numpy",
)
"""What optkit and its tests need beside torch, of the versions in ``constraints.txt``."""

FALLBACKS = frozenset({"numpy"})
"""What is installed only where there is none: others on that machine rely on theirs."""

PLATFORMS = tuple(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 24, 17, 12, 5))


def prepare(folder: Path, python: str) -> int:
    """Collect the wheels; return how many bytes there are. Needs a network, and no GPU.

    Args:
        folder: where to put them; wheels that lie there already are removed.
        python: the version of Python on the GPU's machine, as ``3.12``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    _pip("wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    target = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    _pip("download", "--no-deps", "--dest", folder, *target, *platforms, *pinned())
    size = sum(path.stat().st_size for path in folder.glob("*.whl"))
    if size > MOST_BYTES:
        raise SystemExit(f"{size / 2**20:.0f} MiB of wheels, more than {MOST_BYTES / 2**20:.0f}")
    return size


def pinned() -> list[str]:
    """Return what is carried, each with the version that is tested."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    versions = {line.split("==")[0].lower(): line for line in lines if "==" in line}
    return [versions[name] for name in CARRIED]


def to_install(folder: Path, there: frozenset[str]) -> Iterator[Path]:
    """Yield the wheels that are to be installed on a machine that has some packages already.

    Raises:
        SystemExit: the folder doesn't hold exactly one wheel of optkit.
    """
    found = {path: path.name.split("-")[0].lower() for path in sorted(folder.glob("*.whl"))}
    if list(found.values()).count(OPTKIT) != 1:
        raise SystemExit(
            f"{folder} must hold one wheel of optkit, it holds {sorted(found.values())}; "
            "python -m benchmarks.gpu prepare collects it"
        )
    for path, name in found.items():
        if name not in FALLBACKS & there:
            yield path


def _pip(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)
