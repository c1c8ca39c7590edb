"""A limit of time for imports that nobody has asked for by name: whole plugins.

One that hangs while it is imported, on a lock or a server that doesn't answer, would stop every
program that creates an optimizer.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from optkit_core.errors import ConfigError

VARIABLE = "OPTKIT_PLUGIN_TIMEOUT"
DEFAULT = 30.0
"""Seconds; a large library on a slow file system may take a good part of them."""


class ImportTimeoutError(BaseException):
    """An import didn't end in time; no ``except Exception`` on its way keeps it going."""


def seconds() -> float:
    """Return how long an import may take: as ``OPTKIT_PLUGIN_TIMEOUT`` says, or 30 seconds.

    Raises:
        ConfigError: the variable holds no number of seconds.
    """
    given = os.environ.get(VARIABLE, "").strip()
    try:
        limit = float(given or DEFAULT)
    except ValueError:
        limit = math.nan
    if 0 < limit < math.inf:
        return limit
    raise ConfigError(
        f"{VARIABLE} must be a number of seconds above 0, got {given!r}; "
        f"where it isn't set a plugin may take {DEFAULT:g}."
    )


@contextlib.contextmanager
def limited(limit: float) -> Iterator[None]:
    """Interrupt what the block does when it takes too long.

    Only Python's main thread can be interrupted, and not on Windows; elsewhere there is no limit.

    Args:
        limit: in seconds.

    Raises:
        ImportTimeoutError: in the block, where it then is.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not (is_main and hasattr(signal, "pthread_kill")):
        yield
        return
    expired, ended = threading.Event(), threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if expired.is_set() and not ended.is_set():
            raise ImportTimeoutError(f"it didn't end within {limit:g} s; {VARIABLE} sets another")
        if callable(before):  # another alarm, of whoever set one before
            before(number, frame)

    def expire(thread: int) -> None:
        expired.set()
        signal.pthread_kill(thread, signal.SIGALRM)

    timer = threading.Timer(limit, expire, [threading.get_ident()])
    timer.daemon = True
    before = signal.signal(signal.SIGALRM, interrupt)
    timer.start()
    try:
        try:
            yield
        finally:
            ended.set()
    finally:
        timer.cancel()
        timer.join()  # it must not fire when the handler is gone: SIGALRM ends a process
        # None: it was set by other code than Python's, which Python can't set again.
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
