"""The iterations of one step: a direction, a step length, a move, and whether to go on."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import attrs

from optkit_plugins.lbfgs.hessian.history import Aim, Move
from optkit_plugins.lbfgs.result import Callback, Progress, Result
from optkit_plugins.lbfgs.solve.line import Exhausted, Line, NotDownhill, Trial, asked_first
from optkit_plugins.lbfgs.solve.objective import Objective
from optkit_plugins.lbfgs.solve.stopping import Limits
from optkit_plugins.lbfgs.state.memory import Memory
from optkit_plugins.lbfgs.vectors.block import Block, free_slot
from optkit_plugins.lbfgs.vectors.space import nothing


class Stop(Exception):
    """The step ends, for a reason."""


@attrs.define(eq=False)
class Descent:
    """One step of the optimizer.

    Args:
        objective: the function to be minimized.
        memory: what the steps before have left, and what this one leaves.
        limits: when to stop, and how to search.
        callback: asked after each iteration whether to stop, None to ask nobody.
        count: told the evaluations so far before the callback is asked.
        steps: the step lengths so far.
        here: where the parameters are, None where nobody has looked.
        shown: the gradient slot that the parameters' own gradients agree with.
    """

    objective: Objective
    memory: Memory
    limits: Limits
    callback: Callback | None
    count: Callable[[int], None]
    steps: list[float] = attrs.Factory(list)
    here: Trial | None = None
    shown: int | None = None
    _start: Trial | None = None

    def run(self) -> Result:
        """Iterate until a limit is reached; return how it went.

        Whatever is raised meanwhile finds the parameters where the last iteration left them.
        """
        try:
            self.begin()
            while True:
                self.iterate()
        except Stop as stop:
            self.memory.settle()
            self.show()
            return self.result(str(stop))
        except BaseException:
            if self._start is not None:
                self.memory.restore()
            if not self.objective.is_running:
                self.memory.forget()
            raise

    def begin(self) -> None:
        """Evaluate where the parameters are, and find out whether that is where they were."""
        memory, move = self.memory, self.memory.move
        slot = memory.free_slot()
        asked = partial(_compared, move, slot) if memory.is_placed else nothing
        other = move.origin.slot if move else None
        reading = self.objective.measure(memory.space, slot, asked, other)
        here = self._start = self.here = Trial(0.0, reading.loss, reading.slope, reading, slot)
        self.shown = slot
        if not reading.is_finite:
            raise Stop("non_finite")
        if not memory.is_placed or reading.total(0):
            memory.take_place()
            move = memory.move
        if move is not None:
            memory.move = attrs.evolve(
                move, origin=attrs.evolve(move.origin, slope=reading.total(1))
            )
            if move.last is not None and not reading.total(2):
                here = self.here = attrs.evolve(here, slot=move.last.slot)
                self.shown = here.slot
        if self.limits.is_minimum(here):
            raise Stop("gradient")
        if not self.limits.max_iter:
            raise Stop("max_iter")

    def iterate(self) -> None:
        """Make one iteration."""
        assert self.here is not None
        here = self.here
        aim = self.aim(here)
        if aim.slope > -self.limits.tolerance_change:
            self.memory.restore()
            self.memory.iterations += 1  # as torch counts
            raise Stop("loss_change")
        origin = Trial(0.0, here.loss, aim.slope, here.reading, here.slot)
        if self.limits.line_search is None:
            self.go(origin, aim.reach)
        else:
            self.search(origin, aim.reach)

    def aim(self, here: Trial) -> Aim:
        """Make the direction, one with a negative slope unless the gradient is zero."""
        history, move = self.memory.history, self.memory.move
        self.memory.move = None
        if move is None:
            history.look(here)
        else:
            is_searched = self.limits.line_search is not None
            history.remember(move, here, None if is_searched else self.limits.lr)
        step = self.known_step() if self.limits.begins_with_first else math.nan
        aim = history.aim(here, step)
        return aim if aim.slope < 0 else self.restart(here)

    def restart(self, here: Trial) -> Aim:
        """Forget the history; make the direction that of steepest descent."""
        self.memory.restore()
        self.memory.forget()
        return self.memory.history.aim(here)

    def known_step(self) -> float:
        """Return the step to try first, as far as it doesn't depend on the gradient, or NaN."""
        memory = self.memory
        if memory.hint is not None:
            return memory.hint
        return self.limits.lr if memory.iterations and memory.history.is_known else math.nan

    def first_step(self, origin: Trial) -> float:
        """Return the step to try first."""
        memory, known = self.memory, self.known_step()
        memory.hint = None
        if not math.isnan(known):
            return known
        sums = partial(memory.space.absolute_sum, origin.slot)
        return self.limits.first_step(origin.reading, sums)

    def go(self, origin: Trial, reach: float) -> None:
        """Move by the step length, without a look at the loss in the last iteration."""
        memory, limits = self.memory, self.limits
        step = self.first_step(origin)
        for block in memory.space.blocks:
            block.move(step)
        is_last = len(self.steps) + 1 == limits.max_iter or self.objective.is_spent
        if is_last:
            self.accept(origin, step, None)
            self.finish(origin, math.inf)
        slot = free_slot(origin.slot)
        self.shown = slot
        is_known = not math.isnan(reach)
        asked = nothing if is_known else asked_first(origin.slot)
        reading = self.objective.measure(memory.space, slot, asked, origin.slot)
        if not reading.is_finite:
            memory.restore()
            memory.forget()
            raise Stop("non_finite")
        if not is_known:
            origin, reach = (
                attrs.evolve(origin, slope=reading.total(0)),
                memory.space.reach(reading, 1),
            )
        self.accept(origin, step, Trial(step, reading.loss, reading.slope, reading, slot))
        self.finish(origin, reach * step)

    def search(self, origin: Trial, reach: float) -> None:
        """Move by a step that a line search finds."""
        space, tolerance = self.memory.space, self.limits.tolerance_change
        while True:
            line = Line(space, self.objective, origin, tolerance, reach)
            step = self.first_step(origin)
            if not step:
                raise Stop("step_size")
            found = self.found(line, step)
            if found is not None:
                self.accept(line.origin, found.step, found)
                self.finish(line.origin, line.reach * found.step)
                return
            aim = self.recover(line)
            origin, reach = attrs.evolve(origin, slope=aim.slope), aim.reach

    def found(self, line: Line, step: float) -> Trial | None:
        """Return the trial that a line search finds, with the parameters there; None if none."""
        assert self.limits.line_search is not None
        try:
            found: Trial | None = self.limits.line_search(line, step)
        except Exhausted:
            found = line.best
            if found is not None and not found.loss < line.origin.loss:
                found = None
        except NotDownhill:
            found = None
        if line.latest is not None:
            self.shown = line.latest.slot
        if found is None or not found.step or not found.is_finite:
            return None
        if not line.holds(found):
            found = line.best if self.objective.is_spent else line.again(found)
        if found is not None and found is not line.latest:
            for block in self.memory.space.blocks:
                block.move(found.step)
        return found

    def recover(self, line: Line) -> Aim:
        """Go back to where a line search began that found nothing, and forget the history, once.

        Returns:
            What is known of the direction of steepest descent.
        """
        memory = self.memory
        memory.restore()
        had_history = bool(memory.history.count)
        if self.objective.is_spent:
            memory.hint = line.shorter()
            raise Stop("max_eval")
        if not had_history:
            raise Stop("line_search" if line.best is not None else "non_finite")
        return self.restart(line.origin)

    def accept(self, origin: Trial, step: float, last: Trial | None) -> None:
        """Stay where the parameters are."""
        self.memory.move = Move(origin, step, last)
        self.memory.iterations += 1
        self.memory.follow()
        self.steps.append(step)
        self.here = last

    def finish(self, origin: Trial, change: float) -> None:
        """End the step if there is a reason to.

        Args:
            origin: where the iteration began.
            change: the largest change of a parameter.
        """
        limits, here = self.limits, self.here
        if here is not None and limits.is_minimum(here):
            raise Stop("gradient")
        if self.callback is not None and self.asked_to_stop(self.callback):
            raise Stop("callback")
        if len(self.steps) == limits.max_iter:
            raise Stop("max_iter")
        if self.objective.is_spent or here is None:
            raise Stop("max_eval")
        if abs(change) <= limits.tolerance_change:
            raise Stop("step_size")
        if abs(here.loss - origin.loss) < limits.tolerance_change:
            raise Stop("loss_change")

    def asked_to_stop(self, callback: Callback) -> bool:
        """Return what a callback says to what it is told."""
        self.memory.settle()
        self.count(self.objective.evaluations)
        return bool(callback(self.progress()))

    def show(self) -> None:
        """Make the parameters' gradients those of where the parameters are."""
        if self.here is not None and self.here.slot != self.shown:
            for block in self.memory.space.blocks:
                block.scatter(self.here.slot)

    def progress(self) -> Progress:
        """Return what a callback is told."""
        return Progress(
            iteration=len(self.steps),
            evaluations=self.objective.evaluations,
            loss=self._loss(self.here),
            gradient=None if self.here is None else self.here.reading.largest,
            step=self.steps[-1],
        )

    def result(self, reason: str) -> Result:
        """Return how the step went."""
        assert self._start is not None
        return Result(
            reason=reason,
            first_loss=self._start.loss * self.objective.sign,
            loss=self._loss(self.here),
            gradient=None if self.here is None else self.here.reading.largest,
            iterations=len(self.steps),
            evaluations=self.objective.evaluations,
            steps=tuple(self.steps),
        )

    def _loss(self, point: Trial | None) -> float | None:
        return None if point is None else point.loss * self.objective.sign


def _compared(move: Move | None, slot: int, block: Block) -> None:
    """Ask a block what has changed since the last move, if there was one."""
    origin = move.origin.slot if move else slot
    block.compare(slot, origin, move.last.slot if move and move.last else slot)
