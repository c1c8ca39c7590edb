"""Calls that take a name first, and may be given it by keyword."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


def name_by_keyword(function: Callable[..., Result]) -> Callable[..., Result]:
    """Let the one positional argument be the second where the keyword ``name`` has the first."""

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Result:
        # Python would bind the one argument to `name`, and complain that it came twice.
        if len(arguments) == 1 and "name" in keywords:
            arguments = (keywords.pop("name"), *arguments)
        return function(*arguments, **keywords)

    return call
