"""Checksums: a compiled library with a label and a checksum behind its last byte.

The system loads it like any other: what follows the sections of a library is ignored. A file that
was damaged, cut off or written by something else is known by its checksum, and compiled anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

DIGEST_BYTES = 32
"""Bytes of the checksum, which is SHA-256."""

LENGTH_BYTES = 8
"""Bytes of the number before it, which is the label's length."""


def append_checksum(path: Path, label: str) -> None:
    """Append a label and a checksum to a file.

    Args:
        path: the file.
        label: what it is, for those who list such files.
    """
    text = label.encode()
    content = path.read_bytes() + text + len(text).to_bytes(LENGTH_BYTES, "little")
    path.write_bytes(content + hashlib.sha256(content).digest())


def is_intact(path: Path) -> bool:
    """Return whether a file is there and ends with the checksum of what stands before."""
    return _content(path) is not None


def read_label(path: Path) -> str | None:
    """Return the label of a file with a checksum, or None where it isn't intact."""
    content = _content(path)
    if content is None:
        return None
    length = int.from_bytes(content[-LENGTH_BYTES:], "little")
    return content[-LENGTH_BYTES - length : -LENGTH_BYTES].decode()


def _content(path: Path) -> bytes | None:
    """Return what stands before the checksum, if that is right."""
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    # Against accidents only: whoever can write here can compute this too; see `cache_dirs`.
    content = whole[:-DIGEST_BYTES]
    return content if hashlib.sha256(content).digest() == whole[-DIGEST_BYTES:] else None
