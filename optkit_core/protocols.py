"""The published protocol: what everything that calls itself an optimizer can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable


# isinstance() looks whether the names are there, never at signatures or types.
@runtime_checkable
class OptimizerProtocol(Protocol):
    """What training code may ask of an optimizer, whoever wrote it.

    Every optkit optimizer and every ``torch.optim.Optimizer`` satisfies it. Tools that
    check ``isinstance(x, torch.optim.Optimizer)`` accept the optkit ones too, since they
    are; the protocol is for code that wants to name the behavior and not the class.

    >>> import torch, optkit
    >>> isinstance(optkit.create("adamax", [torch.zeros(2)]), OptimizerProtocol)
    True
    """

    param_groups: list[dict[str, Any]]
    defaults: dict[str, Any]

    @property
    def state(self) -> Any:
        """Map each parameter to the dict of its buffers."""
        ...

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return the closure's loss."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""
        ...

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take further parameters in, with options of their own."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs, as tensors and plain Python values."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        ...
