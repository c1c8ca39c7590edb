"""Failures: what doesn't hold says where, from the requirement down to the parameter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class NotApplicableError(Exception):
    """A requirement says nothing about an algorithm; the text is the reason."""


@contextmanager
def prefix_failures(what: str) -> Iterator[None]:
    """Put a name before what fails within, and make an assertion of whatever it is.

    Raises:
        AssertionError: something within failed.
    """
    try:
        yield
    except NotApplicableError:
        raise
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from error
    except Exception as error:
        raise AssertionError(f"{what}: raised {type(error).__name__}: {error}") from error
