"""Sealed files: a library with a label and a checksum behind its last byte.

The system loads it like any other. A file that isn't whole, because it was damaged, cut off
or written by something else, is known by its checksum.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

DIGEST = 32
"""Bytes of the checksum."""

LENGTH = 8
"""Bytes of the number before it, which is the label's length."""


def seal(path: Path, label: str) -> None:
    """Append a label and a checksum to a file."""
    text = label.encode()
    content = path.read_bytes() + text + len(text).to_bytes(LENGTH, "little")
    path.write_bytes(content + hashlib.sha256(content).digest())


def is_whole(path: Path) -> bool:
    """Return whether a file is there and ends with the checksum of what stands before."""
    return _content(path) is not None


def label(path: Path) -> str | None:
    """Return the label of a sealed file, or None where it isn't whole."""
    content = _content(path)
    if content is None:
        return None
    length = int.from_bytes(content[-LENGTH:], "little")
    return content[-LENGTH - length : -LENGTH].decode()


def _content(path: Path) -> bytes | None:
    """Return what stands before the checksum, if that is right."""
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    content = whole[:-DIGEST]
    return content if hashlib.sha256(content).digest() == whole[-DIGEST:] else None
