"""The optimizer's side of the solver's state: how it is asked for, saved, loaded and copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from optkit_core import (
    CheckpointError,
    Optimizer,
    bucket_key_of,
    has_plain_part,
    require_no_overlap,
)
from optkit_plugins.lbfgs import block_groups
from optkit_plugins.lbfgs.state import by_parameter, persistence
from optkit_plugins.lbfgs.state.saved_by_parameter import SavedByParameter, is_by_parameter
from optkit_plugins.lbfgs.state.sync import COUNTS, StateSync, with_unshared_state
from optkit_plugins.lbfgs.vectors.block import Block

OWN = {"_sync": None, "_answer": None, "_is_asked": False}
"""What stays with one optimizer, and what a copy begins with."""

UNKNOWN_PARTS = (
    "with process_group= each process has parts of its own, which torch.distributed.checkpoint "
    "can't tell apart. Save optimizer.state_dict() of each process in a file of its own, or make "
    "the parameters DTensors, as fully_shard does."
)


class SolverOwner(Optimizer):
    """Base of `LBFGS`, whose state has two forms.

    `state_dict` gives torch's: vectors of all parameters together, lists of them where they are
    many. Where torch's distributed layer has asked for the state, the next `state_dict` gives
    tensors for each parameter, see `by_parameter`. Either can be loaded.
    """

    _sync: StateSync | None = None
    _answer: Mapping[Tensor, Mapping[str, Any]] | None = None
    _is_asked = False

    def complete_state(self) -> None:
        """Let the state hold tensors for each parameter, allocated if there was no step yet.

        Raises:
            CheckpointError: each process has parts that nobody else can tell apart.
        """
        if self.param_groups[0].get("process_group") is not None:
            raise CheckpointError(UNKNOWN_PARTS)
        super().complete_state()
        if any(p.numel() for p in self._params()):
            self._publish_by_parameter()
            self._is_asked = True

    def publish_state(self) -> None:
        """Write what the solver's state holds into the optimizer's, in the form that is due."""
        is_asked, self._is_asked = self._is_asked, False
        if is_asked:
            return
        if self._is_due_by_parameter():
            self._publish_by_parameter()
        else:
            self._publish_jointly()

    def _is_due_by_parameter(self) -> bool:
        """Return whether vectors of all parameters together aren't to be had, or of no use."""
        if self._sync is not None and self._sync.solver.space.is_sharded:
            return True
        if self.param_groups[0].get("process_group") is not None:
            return False
        # One process may have all of a DTensor, and others go on from its checkpoint.
        wholes = ((group, p) for group in self.param_groups for p in group["params"])
        return any(has_plain_part(group, p) and p.numel() for group, p in wholes)

    def _publish_jointly(self) -> None:
        self._withdraw_answer()
        if self._sync is not None:
            self._sync.publish_all(self.state)

    def _publish_by_parameter(self) -> None:
        params = self._params()
        self._sync = self._synced(params)
        self._sync.withdraw()
        dtypes = block_groups.dtypes(self.param_groups)
        self._answer = by_parameter.entries(self._sync.solver, params, dtypes)
        for p, own in self._answer.items():
            self.state[p].update(own)

    def _withdraw_answer(self) -> None:
        """Take back what was put into the state by parameter."""
        for p, own in (self._answer or {}).items():
            state = self.state.get(p, {})
            for name, value in own.items():
                if state.get(name) is value:
                    del state[name]
            if p in self.state and not state:
                del self.state[p]
        self._answer, self._is_asked = None, False

    def load_state_dict(self, state_dict: dict[str, Any], *arguments: Any, **keywords: Any) -> Any:
        """Continue from a saved state of either form; see `Optimizer.load_state_dict`."""
        self._withdraw_answer()
        if not is_by_parameter(state_dict):
            return super().load_state_dict(state_dict, *arguments, **keywords)
        saved = SavedByParameter.of(state_dict, self.param_groups)
        saved.require_fitting(type(self).__name__, self.param_groups)
        report = super().load_state_dict(saved.rest, *arguments, **keywords)
        self._adopt(saved)
        return report

    def _adopt(self, saved: SavedByParameter) -> None:
        """Put saved vectors into the solver of before where it fits, or else into a new one."""
        params, old = self._params(), self._sync
        state = self.state[params[0]]
        if old is not None and old.fits(self.param_groups, params):
            self._sync = StateSync(old.solver, params, state, old.key)
        else:
            self._sync = StateSync.build(self.param_groups, params, state, self._storage)
        self._fill_solver(self._sync, saved.entries)

    @torch.no_grad()
    def _fill_solver(self, sync: StateSync, entries: Sequence[Mapping[str, Any]]) -> None:
        dtypes = block_groups.dtypes(self.param_groups)
        by_parameter.adopt(sync.solver, entries, self._params(), dtypes)
        sync.is_loaded = True

    @classmethod
    def state_complaint(cls, state: Mapping[str, Any]) -> str:
        """Return what is wrong with saved state as a whole, or ``""``."""
        return persistence.complaint(state)

    @torch.no_grad()
    def _synced(self, params: list[Tensor]) -> StateSync:
        """Return the solver's state of the last step, or one that is made from the state."""
        self._withdraw_answer()
        self.init_group_state(self.param_groups[0])
        state = self.state[params[0]]
        if self._sync is not None and self._sync.is_current(self.param_groups, params, state):
            return self._sync
        if self._sync is not None and not self._sync.solver.space.is_sharded:
            self._publish_jointly()
        require_no_overlap(self.param_groups)
        carried = self._carried(params)
        sync = StateSync.build(self.param_groups, params, state, self._storage)
        if carried is not None:
            self._fill_solver(sync, carried)
        return sync

    def _carried(self, params: Sequence[Tensor]) -> list[dict[str, Any]] | None:
        """Return what a copy has brought along by parameter, which leaves the state."""
        entries = [dict(self.state.get(p, {})) for p in params]
        if not by_parameter.is_whole(entries, self.param_groups[0]["history_size"]):
            return None
        for p, own in zip(params, entries, strict=True):
            for name in own.keys() - set(COUNTS):
                del self.state[p][name]
        return entries

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _storage(self, group: Mapping[str, Any], p: Tensor) -> Callable[..., Block]:
        choice = self.choose(group, bucket_key_of(group, p), self.values(group))
        assert choice.offer.vector_class is not None
        return choice.offer.vector_class

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles take along, without the solver's state."""
        self.publish_state()
        attributes = super().__getstate__()
        # It holds addresses for compiled passes; a copy makes its own from the published state.
        return {name: OWN.get(name, value) for name, value in attributes.items()}

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Return what a pickle holds; tensors of their own in place of views."""
        return with_unshared_state(super().__reduce_ex__(protocol), self.state)
