"""An optimizer whose state consists of the buffers that its class declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from optkit_core.declaration import buffers
from optkit_core.declaration.base import Declared

if TYPE_CHECKING:
    from optkit_core.checkpoint.load.load_report import LoadReport
    from optkit_core.checkpoint.load.renaming import Rename


class StatefulOptimizer(Declared, torch.optim.Optimizer):
    """Allocates, saves and loads the declared buffers; see `Optimizer` for the rest."""

    reuses_memory: ClassVar[bool] = False

    def state_dict(self) -> dict[str, Any]:
        """Return the parameters' states, the live ones, and a copy of every group's options.

        So a later step changes them, as in torch. ``copy.deepcopy`` of it is a snapshot. Loading
        never shares.

        Returns:
            torch's shape, ``{"state": ..., "param_groups": ...}``. Each group carries the schema's
            identity, ``"adamax/1"`` for example, under ``"schema"``.

        >>> import torch, optkit
        >>> p = torch.ones(2)
        >>> optimizer = optkit.create("adagrad", [p])
        >>> optimizer.state_dict()["state"][0]["sum"] is optimizer.state[p]["sum"]
        True
        """
        from optkit_core.checkpoint import save  # imported with the first state that is saved

        return save.save(self)

    def load_state_dict(  # type: ignore[override]
        self, state_dict: dict[str, Any], strict: bool = True, rename: Rename | None = None
    ) -> LoadReport:
        """Continue from a state that ``state_dict()`` of this algorithm returned.

        Everything is verified before anything changes. How to run (``implementation``,
        ``foreach``, ``fused``) stays as it is; everything else comes from the checkpoint.

        Args:
            state_dict: from optkit or from the torch.optim class of the same name.
            strict: whether everything must match; False loads what does.
            rename: what saved parameters are called here: a mapping of saved names to new ones,
                or a function from one to the other. None (default): as they were saved, but for
                the parts that wrappers add, such as ``module.``.

        Returns:
            What was loaded, and what wasn't.

        Raises:
            CheckpointError: it doesn't fit; names every mismatch, and nothing has changed.
        """
        from optkit_core.checkpoint.load import loading  # or loaded

        return loading.load(self, state_dict, strict, rename)

    def config(self) -> dict[str, Any]:
        """Return the configuration of which `optkit.from_config` makes an equal optimizer.

        Its values are those of TOML and JSON: a tensor is its number, and None is ``"none"``. The
        rate is the one that schedules started from.

        Returns:
            A mapping; each parameter group is a rule that has the names of its parameters.

        Raises:
            ConfigError: something can't be written: parameters without names, a function, a class
                that isn't registered.

        >>> import torch, optkit
        >>> optimizer = optkit.create("sgd", torch.nn.Linear(2, 1).named_parameters(), lr=0.1)
        >>> optimizer.config()["optimizer"]["groups"]
        [{'names': ['weight', 'bias']}]
        """
        from optkit_core.config_file.written_config import config_of  # needed when it is asked for

        return config_of(self)

    def init_state(self) -> None:
        """Allocate every declared buffer now, without a step; what exists stays as it is.

        >>> import torch, optkit
        >>> optimizer = optkit.create("adamax", [torch.ones(2)])
        >>> optimizer.init_state()
        >>> optimizer.state_dict()["state"][0]["exp_inf"]
        tensor([0., 0.])
        """
        for group in self.param_groups:
            self.init_group_state(group)

    def complete_state(self) -> None:
        """Let the state hold all that a distributed checkpoint needs, whose maker has asked for it.

        It is called when anybody asks whether ``optimizer.state`` is empty, as torch's layer does.
        A subclass that keeps something elsewhere defines it.

        >>> import torch, optkit
        >>> optimizer = optkit.create("adamax", [torch.ones(2), torch.ones(3)])
        >>> len(optimizer.state), bool(optimizer.state), len(optimizer.state)
        (0, True, 2)
        """
        from optkit_core.checkpoint.schema import TAG, schema_of  # imported with the first state

        for group in self.param_groups:
            # Of flattened state torch reads those keys alone that a group has already.
            group[TAG] = schema_of(self.algorithm_of(group)).identity
        self.init_state()

    def init_group_state(self, group: dict[str, Any]) -> None:
        """Do what `init_state` does for one group."""
        params = group["params"][:1] if self.is_joint else group["params"]
        new = self._allocated([p for p in params if not self.state.get(p)], group)
        for p in params:
            if values := new[p] if p in new else self.allocate(p, group):
                self.state[p].update(values)

    def _allocated(
        self, params: Sequence[Tensor], group: Mapping[str, Any]
    ) -> dict[Tensor, dict[str, Any]]:
        """Return the buffers of parameters without state, in a third of the time of one by one."""
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for p in params:
            by_dtype.setdefault(p.dtype, []).append(p)
        return {
            p: dict(values)
            for alike in by_dtype.values()
            for p, values in zip(alike, self.allocate_all(alike, group), strict=True)
        }

    def allocate(self, parameter: Tensor, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return those buffers that a parameter's state lacks, as before its first step.

        Args:
            parameter: whose buffers they are.
            group: its group, whose options a buffer may depend on.
        """
        return buffers.allocate(self.state_buffers, parameter, group, self.state.get(parameter, ()))

    def allocate_all(
        self, params: Sequence[Tensor], group: Mapping[str, Any]
    ) -> Iterable[Iterable[tuple[str, Any]]]:
        """Return names and values of the buffers of parameters of one dtype without state.

        Args:
            params: of one dtype, none of which has state.
            group: their group.
        """
        if type(self).allocate is not StatefulOptimizer.allocate:
            return [self.allocate(p, group).items() for p in params]
        return buffers.allocate_all(self.state_buffers, params, group)

    def algorithm_of(self, group: Mapping[str, Any]) -> type[Any]:
        """Return the class that declares the state and the options of a group."""
        return type(self)

    def publish_state(self) -> None:
        """Write what is kept elsewhere into `state`, which is about to be saved.

        A subclass that keeps something elsewhere defines it.
        """

    @classmethod
    def state_complaint(cls, state: Mapping[str, Any]) -> str | None:
        """Return what is wrong with a parameter's saved state as a whole, None if nothing is.

        Each declared buffer has been checked; a subclass may know how they belong together.
        """
        return None
