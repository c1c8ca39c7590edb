"""Files of torch.save that hold an optimizer's state, alone or among other things."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from optkit_core.checkpoint.file.os_errors import opened
from optkit_core.checkpoint.file.safetensors_header import SNIFFED, is_pickle
from optkit_core.errors import CheckpointFileError

MAX_NAMED = 10


def is_one(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as those of torch.save do, a zip or a pickle.

    Raises:
        CheckpointFileError: it can't be read.
    """
    with opened(path) as descriptor:
        return is_pickle(os.pread(descriptor, SNIFFED, 0))


def read(
    path: str | os.PathLike[str], key: str | None = None, device: str = "cpu"
) -> dict[str, Any]:
    """Return the optimizer's state in a file of torch.save; no code in the file is run.

    Args:
        path: the file.
        key: where in it the state is, ``"optimizer"`` or ``"optimizers.0"`` for example; None
            (default): at the one place that looks like an optimizer's state.
        device: where the tensors go; ``"meta"`` reads none of their content.

    Returns:
        A dict with ``"state"`` and ``"param_groups"``.

    Raises:
        CheckpointFileError: the file can't be read without running code, or it isn't certain
            where in it the state is.
    """
    content = loaded(path, device)
    if key is not None:
        return _at(path, content, key)
    states = dict(_states(content, ""))
    if len(states) == 1:
        return next(iter(states.values()))
    if not states:
        keys = ", ".join(map(repr, list(content)[:MAX_NAMED])) if _is_dict(content) else ""
        has = f"keys {keys}" if keys else f"a {type(content).__name__}"
        raise CheckpointFileError(
            f"{os.fspath(path)} holds no state of an optimizer, a dict with 'state' and "
            f"'param_groups'; it has {has}."
        )
    raise CheckpointFileError(
        f"{os.fspath(path)} holds {len(states)} states of optimizers; say which: "
        f"--key {' or --key '.join(list(states)[:MAX_NAMED])}."
    )


def loaded(path: str | os.PathLike[str], device: str) -> Any:
    """Return all that is in a file; no code in the file is run.

    Args:
        path: the file.
        device: where the tensors go.

    Raises:
        CheckpointFileError: it can't be read without running code.
    """
    with opened(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        try:
            # Old files make torch warn about its own storage classes.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # weights_only: unpickling anything else runs code of whoever wrote the file.
                return torch.load(file, map_location=device, weights_only=True)
        except Exception as error:  # a damaged pickle fails in any way
            raise _unreadable(path, error) from error


def _unreadable(path: str | os.PathLike[str], error: Exception) -> CheckpointFileError:
    reason = "its content makes no sense"
    # Others, a KeyError of 7 for example, tell how torch reads a file, and not what is wrong.
    if isinstance(error, RuntimeError | pickle.UnpicklingError) and str(error):
        reason = " ".join(str(error).split())
    return CheckpointFileError(
        f"{os.fspath(path)} isn't a file of torch.save that can be read without running code from "
        f"it, or is damaged: {reason:.150}. Take another copy, or an earlier checkpoint."
    )


def _at(path: str | os.PathLike[str], content: Any, key: str) -> dict[str, Any]:
    states = dict(_states(content, ""))
    if key not in states:
        known = ", ".join(repr(name) for name in list(states)[:MAX_NAMED]) or "none"
        raise CheckpointFileError(
            f"{os.fspath(path)} has no state of an optimizer under {key!r:.60}; there are {known}."
        )
    return states[key]


def _states(content: Any, where: str, level: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every optimizer's state, at the top or at most two levels below it."""
    if _is_dict(content) and {"state", "param_groups"} <= content.keys():
        yield where, content
    elif level < 2 and isinstance(content, (dict, list, tuple)):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, item in items:
            yield from _states(item, f"{where}.{key}" if where else str(key), level + 1)


def _is_dict(content: Any) -> bool:
    return isinstance(content, dict)
