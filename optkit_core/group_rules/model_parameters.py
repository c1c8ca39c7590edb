"""The parameters of a model, each once, with all its names and the modules that own it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from optkit_core.checkpoint.load.parameter_names import bare
from optkit_core.errors import GroupError, ParametersError


@attrs.frozen(eq=False)
class ModelParameter:
    """A parameter of a model.

    Args:
        tensor: it.
        names: its name, and where it is tied the others that it goes by.
        owners: the module of each name; none where no model was given.
    """

    tensor: Tensor
    names: list[str]
    owners: list[nn.Module]

    @property
    def name(self) -> str:
        """The name that a group has for it."""
        return self.names[0]

    @property
    def spellings(self) -> Iterator[str]:
        """Its names, and the same without the parts that wrappers of the model add."""
        for name in self.names:
            yield name
            if bare(name) != name:
                yield bare(name)

    @property
    def elements(self) -> int:
        """How many elements it has; 0 for one of a lazy module that has seen no input."""
        return 0 if nn.parameter.is_lazy(self.tensor) else self.tensor.numel()


def listed(source: Any) -> list[ModelParameter]:
    """Return the parameters of a model in the order in which it registers them.

    Args:
        source: the model; or pairs of name and parameter, of which nobody knows the modules.

    Raises:
        ParametersError: it is neither.
        GroupError: it has no parameters, or gives two of them one name.

    >>> [item.name for item in listed(nn.Linear(2, 1))]
    ['weight', 'bias']
    """
    found: dict[int, ModelParameter] = {}
    tensors: dict[str, Tensor] = {}
    for name, tensor, owner in _entries(source):
        if tensors.setdefault(name, tensor) is not tensor:
            raise GroupError(f"two parameters are called {name!r}; give each a name of its own.")
        known = found.setdefault(id(tensor), ModelParameter(tensor, [], []))
        if name not in known.names:
            known.names.append(name)
            known.owners.extend(() if owner is None else [owner])
    if not found:
        raise GroupError("there are no parameters; pass a model that has some.")
    return list(found.values())


def _entries(source: Any) -> Iterator[tuple[str, Tensor, nn.Module | None]]:
    if isinstance(source, nn.Module):
        yield from _of_module(source)
        return
    entries = source.items() if isinstance(source, Mapping) else source
    if isinstance(entries, (Tensor, str)) or not isinstance(entries, Iterable):
        raise _wrong(source)
    for entry in entries:
        is_pair = isinstance(entry, tuple) and len(entry) == 2
        if not (is_pair and isinstance(entry[0], str) and isinstance(entry[1], Tensor)):
            raise _wrong(entry)
        yield (*entry, None)


def _of_module(model: nn.Module) -> Iterator[tuple[str, Tensor, nn.Module]]:
    """Yield what ``named_parameters`` does, tied parameters under each of their names."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for path, module in modules.items():
        owner = module
        if isinstance(module, ParametrizationList):
            # What weight_norm and its like put in between; the layer is two steps up.
            owner = modules[".".join(path.split(".")[:-2])]
        for name, tensor in module.named_parameters(path, recurse=False, remove_duplicate=False):
            yield name, tensor, owner


def _wrong(given: Any) -> ParametersError:
    return ParametersError(
        "groups are made from a model, or from (name, parameter) pairs such as its "
        f"named_parameters(), got {given!r:.80}."
    )
