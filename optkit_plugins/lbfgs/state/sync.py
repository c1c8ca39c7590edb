"""The solver's state beside the optimizer's, which says under torch's keys what it holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from torch import Tensor

from optkit_plugins.lbfgs import block_groups
from optkit_plugins.lbfgs.hessian.compiled_history import empty_history
from optkit_plugins.lbfgs.state import joint_vectors, persistence
from optkit_plugins.lbfgs.state.solver_state import SolverState
from optkit_plugins.lbfgs.vectors import supported

COUNTS = ("func_evals", "n_iter")


@attrs.define(eq=False)
class StateSync:
    """A solver's state, what it was made for, and the optimizer's state, kept in accord with it.

    Where one flat tensor holds each vector, the entries of the optimizer's state are views of it.
    Elsewhere joint vectors are copies, made when the state is saved.

    Args:
        solver: the vectors and the history.
        params: all parameters.
        state: that of the first parameter.
        key: what the solver's state was made for.
        published: the entries that the state has been given.
        is_loaded: whether the vectors were loaded, and the parameters that belong to them are
            those of the next step: the model may be loaded after the optimizer.
    """

    solver: SolverState
    params: list[Tensor]
    state: dict[str, Any]
    key: tuple[object, ...]
    published: Mapping[str, Any] = attrs.Factory(dict)
    is_loaded: bool = False
    _evaluations: int = 0

    @classmethod
    def build(
        cls,
        param_groups: Sequence[Mapping[str, Any]],
        params: list[Tensor],
        state: dict[str, Any],
        storage: block_groups.Storage,
    ) -> StateSync:
        """Return a solver's state that holds what the optimizer's does.

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
        space = block_groups.space_of(param_groups, storage)
        solver = SolverState(space, empty_history(space, param_groups[0]["history_size"]))
        direction = state.get("d")
        size = sum(sum(block.sizes) for block in space.blocks)
        # A group was added, or the parameters are others: these pairs don't fit any more.
        if direction is not None and (space.is_sharded or direction.numel() != size):
            _withdraw(state)
        persistence.adopt(solver, state, params)
        return cls(solver, params, state, _key(param_groups, params))

    def is_current(
        self,
        param_groups: Sequence[Mapping[str, Any]],
        params: Sequence[Tensor],
        state: dict[str, Any],
    ) -> bool:
        """Return whether the solver's state is still that of these groups and this state.

        Args:
            param_groups: the optimizer's groups.
            params: all parameters.
            state: that of the first one.
        """
        return (
            # Loading puts other objects in, which identity tells without reading a tensor.
            state is self.state
            and state.get("n_iter") == self.solver.iterations
            and state.get("old_dirs") is self.published.get("old_dirs")
            and self.fits(param_groups, params)
        )

    def fits(self, param_groups: Sequence[Mapping[str, Any]], params: Sequence[Tensor]) -> bool:
        """Return whether the solver's vectors are those of these groups."""
        return self.key == _key(param_groups, params)

    @property
    def is_sharded(self) -> bool:
        """Whether other ranks have elements of the vectors."""
        return self.solver.space.is_sharded

    def begin(self) -> None:
        """Begin a step."""
        if self.is_loaded:
            self.solver.save()
            self.is_loaded = False
        self._evaluations = self.state["func_evals"]

    def publish_counts(self, evaluations: int) -> None:
        """Write into the state how far a step has come, and nothing else until it is saved.

        Args:
            evaluations: how often the step has called the closure.
        """
        self.state["func_evals"] = self._evaluations + evaluations
        self.state["n_iter"] = self.solver.iterations
        self._publish(False)

    def publish(self, evaluations: int) -> None:
        """Write into the state what a step has left, as far as that needs no copies.

        Args:
            evaluations: how often the step has called the closure.
        """
        self.publish_counts(evaluations)
        self._publish(joint_vectors.is_whole(self.solver.space))

    def publish_all(self, states: Mapping[Tensor, dict[str, Any]]) -> None:
        """Write everything into the state, joint copies included, if it is still this one's."""
        if self.is_sharded:
            return  # no joint vector is here
        is_ours = states.get(self.params[0]) is self.state
        if is_ours and self.state.get("n_iter") == self.solver.iterations and not self.published:
            self._publish(True)

    def withdraw(self) -> None:
        """Leave nothing in the state but the counts."""
        self._publish(False)

    def _publish(self, entirely: bool) -> None:
        _withdraw(self.state)
        self.published = {}
        if entirely and self.solver.iterations:
            self.published = persistence.entries(self.solver, self.params)
            self.state.update(self.published)


def unshared(value: Any) -> Any:
    """Return a copy whose tensors are no views of anything."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: unshared(item) for key, item in value.items()}
    return [unshared(item) for item in value] if isinstance(value, list) else value


def with_unshared_state(
    reduced: str | tuple[Any, ...], state: Mapping[Tensor, dict[str, Any]]
) -> str | tuple[Any, ...]:
    """Return what an optimizer's pickle holds, with a copy of the state by `unshared` in it."""
    if isinstance(reduced, tuple) and isinstance(reduced[2], dict):
        reduced[2]["state"] = defaultdict(dict, unshared(dict(state)))
    return reduced


def _withdraw(state: dict[str, Any]) -> None:
    state.pop("d", None)  # without it the others count for nothing, should this be interrupted
    for name in state.keys() - set(COUNTS):
        del state[name]


def _key(param_groups: Sequence[Mapping[str, Any]], params: Sequence[Tensor]) -> tuple[object, ...]:
    first = param_groups[0]
    return (
        # An id stays the tensor's own, as `StateSync.params` keeps it alive.
        *[(id(p), p.device, p.dtype, p.shape, getattr(p, "placements", None)) for p in params],
        # Not the rates: a scheduler that changes all in proportion leaves the history as it is.
        *block_groups.scales(param_groups),
        first["history_size"],
        str(first["history_dtype"]),
        first["maximize"],
        # As text, for a mapping that is changed in place equals itself.
        str([group.get("implementation") for group in param_groups]),
    )
