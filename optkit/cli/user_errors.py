"""What can go wrong on the command line only, each a line for the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from optkit_core.errors import OptkitError


class MissingExtraError(OptkitError, ImportError):
    """A command needs a library that comes with the extra ``cli``."""


class DataError(OptkitError, ValueError):
    """A data set can't be found, read or used for training."""


class OptionError(OptkitError, ValueError):
    """An option of a command has a value that can't be used."""


class ProjectNameError(OptkitError, ValueError):
    """A plugin project can't have this name."""


class OutputError(OptkitError, OSError):
    """A file can't be written."""


class TrainingError(OptkitError, RuntimeError):
    """An optimizer refused what it was given, or failed in a step."""


def from_extra(module: str, needed_by: str) -> Any:
    """Import a module of a library that comes with the extra ``cli``.

    Args:
        module: the module's dotted name.
        needed_by: who asks, for the message.

    Returns:
        The module; untyped, because not all of these libraries have type hints.

    Raises:
        MissingExtraError: the library isn't installed.

    >>> from_extra("json", "this example").dumps([1])
    '[1]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{needed_by} needs the library {error.name!r}, which comes with the extra: "
            "pip install 'optkit[cli]'"
        ) from error


@contextmanager
def translate_errors(
    name: str,
    doing: str,
    remedy: str = "Leave it out, or give it other hyperparameters with --set.",
) -> Iterator[None]:
    """Turn any error from inside an optimizer into one that names it, ``sys.exit`` included.

    Args:
        name: the optimizer's name.
        doing: what it was doing, such as ``"being created"``.
        remedy: what the user can do about it.

    Raises:
        TrainingError: naming the optimizer, and the kind of an error that isn't optkit's.
    """
    try:
        yield
    except OptkitError as error:
        raise TrainingError(f"optimizer {name!r}: {error}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise TrainingError(
            f"optimizer {name!r} failed while {doing}: {type(error).__name__}: {error}. {remedy}"
        ) from error
