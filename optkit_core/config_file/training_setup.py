"""What a configuration stands for: an optimizer, and what goes with it in a training loop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from optkit_core.config_file import setup_state
from optkit_core.config_file.clipping import Clipping
from optkit_core.config_file.intervals import EVERY_STEP, Interval
from optkit_core.config_file.sections import EPOCH, STEP
from optkit_core.errors import ConfigError

if TYPE_CHECKING:
    from optkit_core.checkpoint.load.load_report import LoadReport


class TrainingSetup:
    """An optimizer with its schedule, averaging and clipping; `from_config` makes it.

    Attributes:
        optimizer: the ``torch.optim.Optimizer``.
        schedule: torch's scheduler of the learning rate, None where none was asked for.
        averaging: torch's ``AveragedModel``, likewise.
        clipping: what is done to gradients, likewise.
        steps: how many steps have been taken.
        epochs: how many epochs have ended.

    >>> import torch, optkit
    >>> model = torch.nn.Linear(2, 1)
    >>> config = {"optimizer": {"name": "adamw"}, "clipping": {"norm": 1.0}}
    >>> setup = optkit.from_config(config, model)
    >>> model(torch.ones(1, 2)).sum().backward()
    >>> setup.step()
    >>> setup.steps, setup.schedule
    (1, None)
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        config: Mapping[str, Any],
        *,
        schedule: Any = None,
        averaging: Any = None,
        clipping: Clipping | None = None,
        schedule_interval: Interval = EVERY_STEP,
        averaging_interval: Interval = EVERY_STEP,
    ) -> None:
        """Keep the parts."""
        self.model, self.optimizer = model, optimizer
        self.schedule, self.averaging, self.clipping = schedule, averaging, clipping
        self.steps = self.epochs = 0
        self._config = config
        self._schedule_interval, self._averaging_interval = schedule_interval, averaging_interval

    def __repr__(self) -> str:
        parts = [self.optimizer, self.schedule, self.averaging, self.clipping]
        names = ", ".join(type(part).__name__ for part in parts if part is not None)
        return f"{type(self).__name__}({names}; {self.steps} steps, {self.epochs} epochs)"

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        *,
        scaler: torch.amp.GradScaler | None = None,
    ) -> Any:
        """Do what a training loop does after ``backward()``, each part that was asked for.

        Clips the gradients, steps the optimizer, advances a schedule per step, and updates an
        average per step, in this order.

        Args:
            closure: as for the optimizer's own ``step``; gradients are clipped after each call.
            scaler: unscales the gradients before they are clipped, takes the step, and is
                updated. Where it skips the step, the schedule and the average don't advance.

        Returns:
            The closure's loss; None without a closure.

        Raises:
            ConfigError: a closure and a scaler are given, which torch doesn't join.
        """
        if scaler is not None and scaler.is_enabled():
            if closure is not None:
                raise ConfigError("a GradScaler takes no closure: give one of the two.")
            if not self._scaled_step(scaler):
                return None
            loss = None
        elif closure is not None:
            loss = self.optimizer.step(self._with_clipping(closure))
        else:
            self.clip_gradients()
            loss = self.optimizer.step()
        self.steps += 1
        self._advance(STEP, self.steps, None)
        return loss

    def end_epoch(self, metric: Any = None) -> None:
        """Advance what goes by epochs; where everything goes by steps, this only counts.

        Args:
            metric: what ``reduce_lr_on_plateau`` watches, the loss of validation for example.
        """
        self.epochs += 1
        self._advance(EPOCH, self.epochs, metric)

    def clip_gradients(self) -> Tensor | None:
        """Clip the gradients, as `step` does.

        Returns:
            The norm of all gradients before; None where no norm is clipped.
        """
        return None if self.clipping is None else self.clipping.clip(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all parts, which ``torch.load(..., weights_only=True)`` reads.

        The model's own weights aren't in it.
        """
        return setup_state.saved(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> LoadReport | None:
        """Continue from what `state_dict` returned.

        Everything is verified before anything changes.

        Args:
            state_dict: of a setup with the same parts.

        Returns:
            What the optimizer loaded; None for an optimizer that isn't optkit's.

        Raises:
            CheckpointError: it doesn't fit; nothing has changed.
        """
        return setup_state.load(self, state_dict)

    def config(self) -> dict[str, Any]:
        """Return the mapping that `from_config` was given, or that the file holds."""
        return copy.deepcopy(dict(self._config))

    def _advance(self, unit: str, count: int, metric: Any) -> None:
        if self.schedule is not None and self._schedule_interval.ends_with(unit, count):
            self.schedule.step(*self._watched(metric))
        if self.averaging is not None and self._averaging_interval.ends_with(unit, count):
            self.averaging.update_parameters(self.model)

    def _watched(self, metric: Any) -> tuple[Any, ...]:
        """Return the arguments of the schedule's step."""
        if not isinstance(self.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            return ()
        if metric is None:
            raise ConfigError(
                "the schedule watches a metric, and got none: call end_epoch(loss), with the loss "
                "of validation for example."
            )
        return (metric,)

    def _with_clipping(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        def clipped() -> Any:
            loss = closure()
            self.clip_gradients()
            return loss

        return closure if self.clipping is None else clipped

    def _scaled_step(self, scaler: torch.amp.GradScaler) -> bool:
        """Step by a scaler; return whether the step was taken."""
        if self.clipping is not None:
            scaler.unscale_(self.optimizer)
            self.clip_gradients()
        scaler.step(self.optimizer)
        scale = scaler.get_scale()
        scaler.update()
        # A scaler lowers its scale after a step that it skips, and only then.
        return scaler.get_scale() >= scale
