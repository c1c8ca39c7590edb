"""The results: one JSON of everything, a Markdown table for the documentation, the log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cuda.table import markdown
from benchmarks.cuda.targets import judged
from benchmarks.cuda.verdict import CAUTIOUS, Verdict, verdict
from benchmarks.gpu.running import Outcome, Run
from benchmarks.gpu.wheels import to_install

MEASURED = Path("benchmarks/results/cuda.json")
"""Where the suite writes its rows."""


def have_passed(outcomes: Sequence[Outcome]) -> bool:
    """Return whether every part with tests has run and passed."""
    return all(outcome.is_well for outcome in outcomes if outcome.part.tests)


def write(run: Run, outcomes: Sequence[Outcome]) -> Verdict:
    """Write what a run came to into its folder of results; return the verdict."""
    machine, measured = (_read(run.place / name) for name in (Path("machine.json"), MEASURED))
    rows = measured.get("rows", [])
    found = _verdict(run, outcomes, rows)
    everything = {
        "machine": machine,
        "wheel": _wheel(run.wheels),
        "is a dry run": run.is_dry,
        "parts": [_told(outcome) for outcome in outcomes],
        "verdict": {**found._asdict(), "line": found.line},
        "targets": judged(rows),
        "rows": rows,
    }
    run.results.mkdir(parents=True, exist_ok=True)
    (run.results / "results.json").write_text(json.dumps(everything, indent=1) + "\n")
    (run.results / "table.md").write_text(_page(machine, outcomes, found, rows))
    for path in (run.log, *(run.junit(done.part) for done in outcomes if done.part.tests)):
        _keep(path, run)
    return found


def _keep(path: Path, run: Run) -> None:
    """Put a file among the results, without the name of the place that it comes from."""
    kept = run.results / path.name
    kept.unlink(missing_ok=True)
    if path.exists():
        kept.write_text(path.read_text(errors="replace").replace(f"{run.place}/", ""))


def _verdict(run: Run, outcomes: Sequence[Outcome], rows: Sequence[dict[str, Any]]) -> Verdict:
    """Return the verdict; whether kernels are right is for those tests that have run to tell."""
    kernels = [outcome for outcome in outcomes if outcome.part.name.startswith("cuda")]
    found = verdict(rows, all(outcome.tests.have_passed for outcome in kernels))
    if not run.is_dry:
        return found
    return Verdict(CAUTIOUS, False, ("a dry run, whose times say nothing", *found.reasons))


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _wheel(folder: Path) -> dict[str, str]:
    (path,) = (p for p in to_install(folder, frozenset()) if p.name.startswith("optkit-"))
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _told(outcome: Outcome) -> dict[str, Any]:
    ended = outcome.ended._asdict() if outcome.ended else None
    return {
        "name": outcome.part.name,
        "limit": round(outcome.limit, 1),
        "ended": ended,
        "tests": outcome.tests._asdict() if outcome.part.tests else None,
        "is well": outcome.is_well,
    }


def _page(
    machine: dict[str, Any],
    outcomes: Sequence[Outcome],
    found: Verdict,
    rows: Sequence[dict[str, Any]],
) -> str:
    """Return a section for docs/benchmarks/results.md."""
    facts = ", ".join(
        f"{value}" if name in ("date", "card") else f"{name} {value}"
        for name, value in machine.items()
        if value is not None
    )
    decided = "by rule" if found.is_decided else "undecided; until then"
    return "\n\n".join(
        [
            "## Steps on a GPU: the suite cuda",
            f"{facts}.",
            markdown(rows) if rows else "No case was measured.",
            f"What `auto` should prefer on CUDA, {decided}: {', '.join(found.order)}.",
            _list(found.reasons),
            _list(judged(rows)),
            f"{_list(outcomes)}\n",
        ]
    )


def _list(items: Iterable[Any]) -> str:
    return "\n".join(f"- {item}" for item in items)
