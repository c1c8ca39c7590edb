"""A wheel of the optkit that is tested here, made without a network or a build backend."""

from __future__ import annotations

import zipfile
from importlib.metadata import distribution
from pathlib import Path

import optkit

PACKAGES = ("optkit", "optkit_core", "optkit_plugins")
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel(folder: Path) -> Path:
    """Put the wheel into a folder; return its path."""
    found = distribution("optkit")
    info = f"optkit-{found.version}.dist-info"
    path = folder / f"optkit-{found.version}-py3-none-any.whl"
    home = Path(optkit.__file__).parents[1]
    files = {
        str(source.relative_to(home)): source.read_bytes()
        for package in PACKAGES
        for source in (home / package).rglob("*")
        if source.is_file() and "__pycache__" not in source.parts
    }
    for name in ("METADATA", "entry_points.txt"):
        files[f"{info}/{name}"] = (found.read_text(name) or "").encode()
    files[f"{info}/WHEEL"] = WHEEL.encode()
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
