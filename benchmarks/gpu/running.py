"""A run: its parts one after another, each within its limit, whatever became of the others."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu import environment
from benchmarks.gpu.junit import Counts, counted
from benchmarks.gpu.limited import Ended, run
from benchmarks.gpu.parts import Part, limit
from benchmarks.gpu.wheels import ROOT

LEFT_FOR_WRITING = 10.0
LINES = 25


class Outcome(NamedTuple):
    """What became of a part; `ended` is None where it didn't run."""

    part: Part
    limit: float = 0.0
    ended: Ended | None = None
    tests: Counts = Counts()

    @property
    def is_well(self) -> bool:
        """Whether it did what it is for."""
        if self.ended is None or not self.ended.is_well:
            return False
        return self.tests.have_passed if self.part.tests else True

    def __str__(self) -> str:
        if self.ended is None:
            return f"{self.part.name}: not run"
        how = "done" if self.is_well else "time is up" if self.ended.is_late else "FAILED"
        told = f"{self.part.name}: {how} in {self.ended.seconds:.0f} of {self.limit:.0f} s"
        run, failed, skipped = self.tests
        return told + (f", {run} tests, {failed} failed, {skipped} skipped" if run else "")


class Run:
    """A run of parts in a place of its own.

    Args:
        place: an empty folder, which holds everything that isn't a result.
        wheels: the folder of wheels.
        results: the folder for what is to be kept.
        is_dry: whether the CPU stands in for a GPU.
        is_quick: whether the benchmarks measure one case only.
    """

    def __init__(
        self, place: Path, wheels: Path, results: Path, is_dry: bool, is_quick: bool = False
    ) -> None:
        self.place, self.wheels, self.results = place, wheels, results
        self.is_dry, self.is_quick = is_dry, is_quick
        self.log = place / "log.txt"

    def all(self, parts: Sequence[Part], seconds: float) -> list[Outcome]:
        """Run parts within so many seconds; stop where one that the others need fails."""
        end = time.monotonic() + seconds
        environment.stage(self.place)
        outcomes: list[Outcome] = []
        for position, part in enumerate(parts):
            if any(not done.is_well and done.part.needed for done in outcomes):
                outcomes.append(Outcome(part))
                continue
            most = limit(parts, position, end - time.monotonic())
            outcomes.append(self.one(part, most))
            print(outcomes[-1], *([] if outcomes[-1].is_well else self.end_of_log()), sep="\n")
            sys.stdout.flush()
        return outcomes

    def end_of_log(self) -> list[str]:
        """Return the last lines that a part has said."""
        return self.log.read_text(errors="replace").splitlines()[-LINES:]

    def one(self, part: Part, seconds: float) -> Outcome:
        """Run one part within so many seconds."""
        with self.log.open("a") as log:
            log.write(f"\n{part.name}, at most {seconds:.0f} s\n")
        command, cwd = self.command(part, seconds)
        variables = environment.variables(self.place, self.is_dry)
        ended = run(command, self.log, seconds, cwd, variables)
        tests = counted(self.junit(part)) if part.tests else Counts()
        return Outcome(part, seconds, ended, tests)

    def command(self, part: Part, seconds: float) -> tuple[list[Any], Path]:
        """Return a part's command, and where it runs."""
        python, dry = environment.python_of(self.place), ["--dry-run"] * self.is_dry
        if part.tests:
            return [python, *self._pytest(part)], self.place
        if part.name == "environment":
            own = [sys.executable, "-m", "benchmarks.gpu.environment"]
            return [*own, self.place, self.wheels.resolve()], ROOT
        if part.name == "machine":
            return [
                *(python, "-m", "benchmarks.gpu.machine", self.place / "machine.json", *dry),
            ], self.place
        time_for_it = 0.1 if self.is_quick else max(1.0, seconds - LEFT_FOR_WRITING)
        repeats = ["--repeats", "1"] * self.is_dry
        measured = [python, "-m", "benchmarks", "cuda", "--seconds", str(time_for_it)]
        return [*measured, *repeats, *dry], self.place

    def junit(self, part: Part) -> Path:
        """Return where pytest writes what became of a part's tests."""
        return self.place / f"{part.name}.xml"

    def _pytest(self, part: Part) -> list[Any]:
        """Return pytest's arguments; a warning of a package of that machine is no failure."""
        chosen = ["-k", part.chosen] if part.chosen else []
        return [
            *("-m", "pytest", "-q", "-W", "default", "-o", "faulthandler_timeout=30"),
            *("-c", "pyproject.toml", "--rootdir", ".", "-p", "no:cacheprovider"),
            *("--junitxml", self.junit(part), *chosen),
            *(Path("tests") / name for name in part.tests),
        ]
