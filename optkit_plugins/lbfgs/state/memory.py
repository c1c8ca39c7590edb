"""Memory: what an optimizer keeps from one step to the next."""

from __future__ import annotations

import attrs

from optkit_plugins.lbfgs.hessian.history import History, Move
from optkit_plugins.lbfgs.vectors.block import free_slot
from optkit_plugins.lbfgs.vectors.space import Space


@attrs.define(eq=False)
class Memory:
    """The vectors, the history, and the last move.

    Args:
        space: the vectors; the start is where the last step left the parameters.
        history: the remembered pairs.
        iterations: how many there have been.
        move: the last move, if it isn't in the history yet.
        hint: the step to try first, where the last line search was interrupted.
        is_placed: whether the start holds the parameters.
    """

    space: Space
    history: History
    iterations: int = 0
    move: Move | None = None
    hint: float | None = None
    is_placed: bool = False

    def save(self) -> None:
        """Take the parameters of now as where the last step left them."""
        self.is_placed = False
        for block in self.space.blocks:
            block.save()
        self.is_placed = True

    def take_place(self) -> None:
        """Save the parameters, which have changed; forget the last move if it didn't lead there."""
        if self.move is not None and not (self.is_placed and self._is_near(self.move.step)):
            self.move = None
        self.save()

    def _is_near(self, step: float) -> bool:
        return all(block.is_near(step) for block in self.space.blocks)

    def follow(self) -> None:
        """Take the parameters of now as where the last iteration left them."""
        self.is_placed = False
        for block in self.space.blocks:
            block.follow()
        self.is_placed = True

    def settle(self) -> None:
        """Copy what `follow` has put off, before others may change the parameters."""
        for block in self.space.blocks:
            block.settle()

    def restore(self) -> None:
        """Put the parameters back where the last iteration left them."""
        if self.is_placed:
            for block in self.space.blocks:
                block.restore()

    def forget(self) -> None:
        """Forget what was learned about the loss."""
        self.history.clear()
        self.move = self.hint = None

    def free_slot(self) -> int:
        """Return where a gradient can be put."""
        move = self.move
        return free_slot(*(t.slot for t in (move.origin, move.last) if t) if move else ())
