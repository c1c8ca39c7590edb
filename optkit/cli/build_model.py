"""The option ``--model``: a model from the path of what builds it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from optkit.cli.user_errors import OptionError
from optkit_core.errors import did_you_mean


def build_model(text: str) -> nn.Module:
    """Return the model that ``package.module:build`` names.

    Args:
        text: a module, importable or in the working directory, and the name in it of a function
            or class to call without arguments, or of a model.

    Raises:
        OptionError: it can't be imported, isn't there, fails, or returns something else.

    >>> build_model("torch.nn:Identity")
    Identity()
    """
    path, _, name = text.partition(":")
    if not path or not name:
        raise OptionError(
            f"--model {text!r} must be MODULE:NAME, package.module:build for example."
        )
    with _working_directory_importable():
        found = _found(text, _imported(text, path), name)
        model = found if isinstance(found, nn.Module) else _called(text, found)
    if not isinstance(model, nn.Module):
        raise OptionError(
            f"--model {text!r} returned {model!r:.60}, which isn't a torch.nn.Module."
        )
    return model


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    # A console script, unlike `python -m`, doesn't find what lies in the working directory.
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def _imported(text: str, path: str) -> Any:
    try:
        return importlib.import_module(path)
    except KeyboardInterrupt:
        raise
    # The user's module may fail in any way, and may exit.
    except BaseException as error:
        raise OptionError(f"--model {text!r} can't be imported: {_reason(error)}.") from error


def _found(text: str, module: Any, name: str) -> Any:
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            hint = did_you_mean(part, vars(found)) if hasattr(found, "__dict__") else ""
            raise OptionError(f"--model {text!r} has no {part!r}.{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise OptionError(f"--model {text!r} is {found!r:.60}, which can't be called.")
    return found


def _called(text: str, build: Any) -> Any:
    try:
        return build()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise OptionError(f"--model {text!r} failed: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".: ")
