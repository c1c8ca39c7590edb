"""The iterations of one step: a direction, a step length, and whether to go on."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from optkit_plugins.lbfgs.hessian.pair_history import AcceptedStep, Direction
from optkit_plugins.lbfgs.result import Callback, Progress, Result
from optkit_plugins.lbfgs.solve.line import Exhausted, Line, NotDownhill, Trial
from optkit_plugins.lbfgs.solve.objective import Objective
from optkit_plugins.lbfgs.solve.stopping import StepOptions
from optkit_plugins.lbfgs.state.solver_state import SolverState
from optkit_plugins.lbfgs.vectors.gradient_info import free_index


class Stop(Exception):
    """The step ends, for a reason."""


@attrs.define(eq=False)
class Minimization:
    """One step of the optimizer.

    Args:
        objective: the function to be minimized.
        solver: what the steps before have left, and what this one leaves.
        options: the hyperparameters.
        callback: asked after each iteration whether to stop, or None.
        publish_counts: told the evaluations so far before the callback is asked.
        lengths: the step lengths so far.
        current: the current iterate, None where it hasn't been evaluated.
        shown: which gradient the parameters' own gradients agree with.
    """

    objective: Objective
    solver: SolverState
    options: StepOptions
    callback: Callback | None
    publish_counts: Callable[[int], None]
    lengths: list[float] = attrs.Factory(list)
    current: Trial | None = None
    shown: int | None = None
    _start: Trial | None = None

    def run(self) -> Result:
        """Iterate until there is a reason to stop; return how it went.

        Whatever is raised meanwhile finds the parameters where the last iteration left them.
        """
        self.solver.space.has_callback = self.callback is not None
        try:
            self.evaluate_start()
            while True:
                self.iterate()
        except Stop as stop:
            self.solver.flush()
            self.show_gradients()
            return self.result(str(stop))
        except BaseException:
            # Before the first evaluation the start is an old one; parameters may be elsewhere.
            if self._start is not None:
                self.solver.restore()
            # While a closure runs, history and vectors agree; else a change of them was cut short.
            if not self.objective.is_running:
                self.solver.forget()
            raise

    def evaluate_start(self) -> None:
        """Evaluate where the parameters are, and find out whether that is where they were."""
        solver, step = self.solver, self.solver.last_step
        index = solver.free_index()
        origin = step.origin.index if step else None
        query = solver.comparison(index)
        g = solver.space.receive(index, self.objective.call(), query, origin)
        current = self._start = self.current = Trial(0.0, g.loss, g.slope, g, index)
        self.shown = index
        if not g.is_finite:
            raise Stop("non_finite")
        if not solver.is_saved or g.has_moved:
            solver.save_moved()
        step = solver.last_step
        if step is not None:
            origin_now = attrs.evolve(step.origin, slope=g.origin_slope)
            solver.last_step = attrs.evolve(step, origin=origin_now)
            # Bit for bit the one at the step's end: `update` may use the products it came with.
            if step.end is not None and not g.has_changed:
                current = self.current = attrs.evolve(current, index=step.end.index)
                self.shown = current.index
        if self.options.is_minimum(current):
            raise Stop("gradient")
        if not self.options.max_iter:
            raise Stop("max_iter")

    def iterate(self) -> None:
        """Make one iteration."""
        assert self.current is not None
        direction = self.direction(self.current)
        if direction.slope > -self.options.tolerance_change:
            # The pass that made the direction may have moved the parameters along it.
            self.solver.restore()
            self.solver.iterations += 1  # as torch counts
            raise Stop("loss_change")
        line = self.line(self.current, direction)
        if self.options.line_search is None:
            self.take_fixed_step(line)
        else:
            self.search(line)

    def direction(self, point: Trial) -> Direction:
        """Make the direction, one with a negative slope unless the gradient is zero."""
        history, step, options = self.solver.history, self.solver.last_step, self.options
        self.solver.last_step = None
        if step is None:
            history.project(point)
        else:
            history.update(step, point, options.lr if options.line_search is None else None)
        length = self.known_length() if options.tries_first_length else math.nan
        direction = history.direction(point, length)
        # Asked this way round, so that a slope of NaN restarts as well.
        return direction if direction.slope < 0 else self.restart(point)

    def restart(self, point: Trial) -> Direction:
        """Forget the history; make the direction that of steepest descent."""
        self.solver.restore()
        self.solver.forget()
        return self.solver.history.direction(point)

    def line(self, point: Trial, direction: Direction) -> Line:
        """Return the line from a point along the direction.

        Args:
            point: where the line begins.
            direction: what is known of the space's direction.
        """
        origin = Trial(0.0, point.loss, direction.slope, point.gradient, point.index)
        tolerance = self.options.tolerance_change
        return Line(self.solver.space, self.objective, origin, tolerance, direction.norm)

    def known_length(self) -> float:
        """Return the step length to try first if it doesn't depend on the gradient, else NaN."""
        solver = self.solver
        if solver.retry_length is not None:
            return solver.retry_length
        # As in torch, lr is tried even if no pair was taken; after `forget`, the initial step.
        has_curvature = solver.iterations and solver.history.is_projected
        return self.options.lr if has_curvature else math.nan

    def first_length(self, origin: Trial) -> float:
        """Return the step length to try first."""
        length = self.known_length()
        self.solver.retry_length = None
        if not math.isnan(length):
            return length
        absolute_sum = partial(self.solver.space.absolute_sum, origin.index)
        return self.options.first_length(origin.gradient, absolute_sum)

    def take_fixed_step(self, line: Line) -> None:
        """Take a step without a search; the last one of all isn't even evaluated, as in torch."""
        length, end = self.first_length(line.origin), None
        self.solver.space.move(length)
        is_last = len(self.lengths) + 1 == self.options.max_iter or self.objective.is_spent
        if not is_last:
            self.shown = index = free_index(line.origin.index)
            g = line.evaluate(index)
            # torch doesn't look, and carries NaN on into the parameters.
            if not g.is_finite:
                self.solver.restore()
                self.solver.forget()
                raise Stop("non_finite")
            end = Trial(length, g.loss, g.slope, g, index)
        self.accept(line, length, end)

    def search(self, line: Line) -> None:
        """Take a step that a line search finds."""
        while True:
            length = self.first_length(line.origin)
            if not length:
                raise Stop("step_size")
            trial = self.run_search(line, length)
            if trial is not None:
                self.accept(line, trial.step, trial)
                return
            line = self.recover(line)

    def run_search(self, line: Line, length: float) -> Trial | None:
        """Return the trial that a line search finds, with the parameters there; None if none.

        Args:
            line: along which to search.
            length: the step length to try first.
        """
        assert self.options.line_search is not None
        trial: Trial | None
        try:
            trial = self.options.line_search(line, length)
        except Exhausted:
            trial = line.best if line.best and line.best.loss < line.origin.loss else None
        except NotDownhill:
            trial = None
        if line.latest is not None:
            self.shown = line.latest.index
        if trial is None or not trial.step or not trial.is_finite:
            return None
        if trial not in (line.origin, line.best, line.latest):  # its gradient is overwritten
            if self.objective.is_spent:
                trial = line.best
            else:
                line.max_trials = None
                trial = line.try_step(trial.step)
        if trial is not None and trial is not line.latest:
            self.solver.space.move(trial.step)
        return trial

    def recover(self, line: Line) -> Line:
        """Go back where a search began that found nothing, and forget the history, once.

        Returns:
            The line of steepest descent.
        """
        solver = self.solver
        solver.restore()
        if self.objective.is_spent:
            # Else the next step would spend its few evaluations on the same trials.
            solver.retry_length = line.latest.step / 2 if line.latest else None
            raise Stop("max_eval")
        # Without pairs it was steepest descent that failed; there is nothing else to try.
        if not solver.history.count:
            raise Stop("line_search" if line.best is not None else "non_finite")
        return self.line(line.origin, self.restart(line.origin))

    def accept(self, line: Line, length: float, end: Trial | None) -> None:
        """Stay where the parameters are, and end the step if there is a reason to.

        Args:
            line: along which the step was taken.
            length: the step length.
            end: where it led, None if that hasn't been evaluated.
        """
        solver, options = self.solver, self.options
        solver.last_step = AcceptedStep(line.origin, length, end)
        solver.iterations += 1
        solver.save_lazily()
        self.lengths.append(length)
        self.current = end
        # torch asks for the limits first; it ends in the same place, but here the reason is told.
        if end is not None and options.is_minimum(end):
            raise Stop("gradient")
        if solver.space.listens and self.is_told_to_stop():
            raise Stop("callback")
        if len(self.lengths) == options.max_iter:
            raise Stop("max_iter")
        if self.objective.is_spent or end is None:
            raise Stop("max_eval")
        # `<=` here and `<` below, as in torch: at a tolerance of 0 an unchanged loss goes on.
        if abs(line.direction_norm * length) <= options.tolerance_change:
            raise Stop("step_size")
        if abs(end.loss - line.origin.loss) < options.tolerance_change:
            raise Stop("loss_change")

    def is_told_to_stop(self) -> bool:
        """Return whether a callback says so, that of another rank for example."""
        return self.solver.space.any_says(self.callback is not None and self.ask(self.callback))

    def ask(self, callback: Callback) -> bool:
        """Return what a callback says to what it is told."""
        # The callback may save a checkpoint, or move the parameters.
        self.solver.flush()
        self.publish_counts(self.objective.evaluations)
        iteration, length = len(self.lengths), self.lengths[-1]
        return bool(callback(Progress(iteration=iteration, step=length, **self.reached())))

    def show_gradients(self) -> None:
        """Make the parameters' gradients those of where the parameters are."""
        if self.current is not None and self.current.index != self.shown:
            self.solver.space.scatter(self.current.index)

    def result(self, reason: str) -> Result:
        """Return how the step went."""
        assert self._start is not None
        return Result(
            reason=reason,
            first_loss=self._start.loss * self.objective.sign,
            iterations=len(self.lengths),
            steps=tuple(self.lengths),
            **self.reached(),
        )

    def reached(self) -> dict[str, Any]:
        """Return what `Progress` and `Result` both say of where the parameters are."""
        point = self.current
        return {
            "evaluations": self.objective.evaluations,
            "loss": None if point is None else point.loss * self.objective.sign,
            "gradient": None if point is None else point.gradient.max_norm,
        }
