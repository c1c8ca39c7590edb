"""What is to be optimized: the ``params`` of a constructor and of a group, checked and listed.

Where torch.optim refuses the same input, its words follow in brackets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core.errors import GroupError, ParametersError

ITERABLE = "params argument given to the optimizer should be an iterable of Tensors or dicts"
ORDERED = "optimizer parameters need to be organized in ordered collections"


def checked(params: Any) -> list[Any]:
    """Return the constructor's `params` as a list of parameters or of groups.

    Raises:
        ParametersError: it can't be one; says what was probably meant.
        GroupError: there is nothing in it.
    """
    params_list = _listed(params, "params")
    if not params_list:
        raise GroupError(
            "params is empty; pass model.parameters() of a model that has some. "
            "[optimizer got an empty parameter list]"
        )
    return params_list


def entries(params: Any) -> list[Any]:
    """Return the ``"params"`` of a group as a list.

    Raises:
        ParametersError: it can't be one; says what was probably meant.
    """
    return [params] if isinstance(params, Tensor) else _listed(params, "params of a group")


def as_torch_takes_it(entry: Any) -> Any:
    """Return a group of any mapping type as a dict, and a pair in a list as a tuple.

    Configuration libraries hand them over as such: Hydra makes a ``DictConfig`` of each group, or
    a list of each ``(name, tensor)``.

    Args:
        entry: of a constructor's `params`; anything else stays as it is.

    >>> as_torch_takes_it(["weight", torch.zeros(1)])
    ('weight', tensor([0.]))
    """
    if isinstance(entry, (Tensor, tuple, dict)):
        return entry
    if isinstance(entry, Mapping):
        return {key: as_listed(value) if key == "params" else value for key, value in entry.items()}
    is_pair = isinstance(entry, Sequence) and len(entry) == 2 and isinstance(entry[1], Tensor)
    return tuple(entry) if is_pair and isinstance(entry[0], str) else entry


def as_listed(params: Any) -> Any:
    """Return a sequence or an iterator of entries as a list of what torch takes.

    Args:
        params: of a constructor or a group; anything else stays as it is, to be refused later.
    """
    if isinstance(params, (str, bytes)) or not isinstance(params, (Iterator, Sequence)):
        return params
    return [as_torch_takes_it(entry) for entry in params]


def raise_for_wrong_entry(params_list: list[Any], allow_non_leaf: bool) -> None:
    """Raise for the first entry that can't be optimized; called once torch has refused one.

    Args:
        params_list: the entries that torch was given.
        allow_non_leaf: whether results of operations are allowed, as with ``differentiable``.

    Raises:
        ParametersError: an entry is neither a tensor nor a ``(name, tensor)`` pair.
        GroupError: an entry is the result of an operation, which nobody can optimize.
    """
    for position, entry in enumerate(params_list):
        tensor = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
        if not isinstance(tensor, Tensor):
            raise ParametersError(
                f"params[{position}] must be a tensor or a (name, tensor) pair, got {entry!r:.80}. "
                f"[optimizer can only optimize Tensors, but one of the params is "
                f"{torch.typename(tensor)}]"
            )
        if not (allow_non_leaf or tensor.is_leaf or tensor.retains_grad):
            raise GroupError(
                f"params[{position}], of shape {tuple(tensor.shape)}, is the result of an "
                "operation; pass the tensor that it was computed from, or its detach(). "
                "[can't optimize a non-leaf Tensor]"
            )


def _listed(params: Any, what: str) -> list[Any]:
    # The order of a set changes from run to run, and with it which saved state is whose.
    if isinstance(params, (set, frozenset)):
        raise ParametersError(f"params must have an order, got a set; use a list. [{ORDERED}]")
    hint = _hint(params)
    if hint or not isinstance(params, Iterable):
        kind = torch.typename(params)
        raise ParametersError(
            f"{what} must be tensors or groups of them, got {kind}{hint}. [{ITERABLE}]"
        )
    return [as_torch_takes_it(entry) for entry in params]


def _hint(params: Any) -> str:
    if isinstance(params, Tensor):
        return "; put it in a list"
    if isinstance(params, torch.nn.Module) and not _is_list(params):
        return "; pass its named_parameters()"
    if isinstance(params, Mapping):
        return "; put the group in a list" if "params" in params else "; pass its items()"
    return "; pass the tensors themselves" if isinstance(params, (str, bytes)) else ""


def _is_list(module: torch.nn.Module) -> bool:
    """Return whether a module is itself a list of tensors, as a ParameterList is."""
    return isinstance(module, Iterable) and all(isinstance(item, Tensor) for item in module)
