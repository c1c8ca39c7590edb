"""The solver's state: what an optimizer keeps from one step to the next."""

from __future__ import annotations

import attrs

from optkit_plugins.lbfgs.hessian.pair_history import AcceptedStep, History
from optkit_plugins.lbfgs.vectors.gradient_info import free_index
from optkit_plugins.lbfgs.vectors.space import Query, Space


@attrs.define(eq=False)
class SolverState:
    """The vectors, the history, and the last step.

    Args:
        space: the vectors; the start is where the last step left the parameters.
        history: the remembered pairs.
        iterations: how many there have been.
        last_step: the last step, if it isn't in the history yet.
        retry_length: the step length to try first, where the last line search was interrupted.
        is_saved: whether the start holds the parameters.
    """

    space: Space
    history: History
    iterations: int = 0
    last_step: AcceptedStep | None = None
    retry_length: float | None = None
    is_saved: bool = False

    def comparison(self, index: int) -> Query | None:
        """Return what asks a block for changes since the last step, None where nothing is known.

        Args:
            index: the gradient of now.
        """
        if not self.is_saved:
            return None
        step = self.last_step
        origin = step.origin.index if step else index
        end = step.end.index if step and step.end else index
        return lambda block: block.compare(index, origin, end)

    def save(self) -> None:
        """Take the parameters of now as where the last step left them."""
        # Off meanwhile: interrupted between two parameters, this is a mix that mustn't be restored.
        self.is_saved = False
        for block in self.space.blocks:
            block.save()
        self.is_saved = True

    def save_moved(self) -> None:
        """Save the parameters, which have changed; forget the last step if it led elsewhere."""
        step = self.last_step
        if step and not (self.is_saved and self.space.is_near_start(step.length)):
            self.last_step = None
        self.save()

    def save_lazily(self) -> None:
        """Do as `save`, and copy the parameters when they move, or in `flush`."""
        self.is_saved = False
        for block in self.space.blocks:
            block.save_lazily()
        self.is_saved = True

    def flush(self) -> None:
        """Copy what `save_lazily` has put off, before others may change the parameters."""
        for block in self.space.blocks:
            block.flush()

    def restore(self) -> None:
        """Put the parameters back where the last iteration left them."""
        if self.is_saved:
            for block in self.space.blocks:
                block.restore()

    def forget(self) -> None:
        """Forget what was learned about the loss."""
        self.history.clear()
        self.last_step = self.retry_length = None

    def free_index(self) -> int:
        """Return which gradient may be overwritten, since the last step doesn't need it."""
        step = self.last_step
        points = (step.origin, step.end) if step else ()
        return free_index(*(point.index for point in points if point))
