"""The memory that an optimizer keeps, beside the state that says what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from torch import Tensor

from optkit_plugins.lbfgs import block_groups
from optkit_plugins.lbfgs.state import joint_vectors, persistence
from optkit_plugins.lbfgs.state.memory import Memory
from optkit_plugins.lbfgs.vectors import supported
from optkit_plugins.lbfgs.vectors.compiled import history_of
from optkit_plugins.lbfgs.vectors.space import Space

COUNTS = ("func_evals", "n_iter")


@attrs.define(eq=False)
class Kept:
    """A memory, what it was made for, and the state that shows it under torch's keys.

    Where one flat tensor holds each vector, the entries of the state are views of the memory.
    Elsewhere joint vectors are copies, made when somebody asks for the state.

    Args:
        memory: the vectors and the history.
        params: all parameters.
        state: that of the first parameter.
        plan: what the memory was made for.
        shown: the entries that the state has been given.
    """

    memory: Memory
    params: list[Tensor]
    state: dict[str, Any]
    plan: tuple[Any, ...]
    shown: Mapping[str, Any] = attrs.Factory(dict)
    _evaluations: int = 0

    @classmethod
    def build(
        cls,
        param_groups: Sequence[Mapping[str, Any]],
        params: list[Tensor],
        state: dict[str, Any],
        storage: Callable[..., Any],
    ) -> Kept:
        """Return a memory that holds what the state does.

        Args:
            param_groups: the optimizer's groups.
            params: all parameters.
            state: that of the first one.
            storage: says how a parameter's vectors are stored.

        Raises:
            ParametersError: there is a parameter now that can't be optimized.
        """
        for group in param_groups:
            supported.require(group)
        space = Space(block_groups.blocks(param_groups, storage), block_groups.scales(param_groups))
        memory = Memory(space, history_of(space, param_groups[0]["history_size"]))
        direction = state.get("d")
        size = sum(sum(block.sizes) for block in space.blocks)
        if direction is not None and direction.numel() != size:
            _hide(state)
        persistence.adopt(memory, state, params)
        return cls(memory, params, state, _plan(param_groups, params))

    def holds(
        self,
        param_groups: Sequence[Mapping[str, Any]],
        params: Sequence[Tensor],
        state: dict[str, Any],
    ) -> bool:
        """Return whether the memory is still that of these groups and this state."""
        return (
            state is self.state
            and state.get("n_iter") == self.memory.iterations
            and state.get("old_dirs") is self.shown.get("old_dirs")
            and self.plan == _plan(param_groups, params)
        )

    def begin(self) -> None:
        """Begin a step."""
        self._evaluations = self.state["func_evals"]

    def count(self, evaluations: int) -> None:
        """Let the state say how far a step has come, and no more until somebody asks.

        Args:
            evaluations: how often the step has called the closure.
        """
        self.state["func_evals"] = self._evaluations + evaluations
        self.state["n_iter"] = self.memory.iterations
        self._show(False)

    def publish(self, evaluations: int) -> None:
        """Let the state say what the memory holds after a step; see `count`."""
        self.count(evaluations)
        self._show(joint_vectors.is_whole(self.memory.space))

    def publish_all(self, states: Mapping[Tensor, dict[str, Any]]) -> None:
        """Let the state say it all, joint copies included, if it is still this memory's."""
        own = states.get(self.params[0]) is self.state
        if own and self.state.get("n_iter") == self.memory.iterations and not self.shown:
            self._show(True)

    def _show(self, entirely: bool) -> None:
        _hide(self.state)
        self.shown = {}
        if entirely and self.memory.iterations:
            self.shown = persistence.entries(self.memory, self.params)
            self.state.update(self.shown)


def unshared(value: Any) -> Any:
    """Return a copy whose tensors are no views of anything."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: unshared(item) for key, item in value.items()}
    return [unshared(item) for item in value] if isinstance(value, list) else value


def _hide(state: dict[str, Any]) -> None:
    state.pop("d", None)  # without it the others count for nothing, should this be interrupted
    for name in state.keys() - set(COUNTS):
        del state[name]


def _plan(param_groups: Sequence[Mapping[str, Any]], params: Sequence[Tensor]) -> tuple[Any, ...]:
    first = param_groups[0]
    return (
        *[(id(p), p.device, p.dtype, p.shape) for p in params],
        *block_groups.scales(param_groups),
        first["history_size"],
        str(first["history_dtype"]),
        first["maximize"],
        str([group.get("implementation") for group in param_groups]),
    )
