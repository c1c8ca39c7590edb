"""What `optkit doctor` prints of a diagnosis: verdict first, 100 columns, colors on a terminal."""

from __future__ import annotations

import io
import json
from typing import Any

import attrs
import pytest

pytest.importorskip("typer")
pytest.importorskip("packaging")

from rich.console import Console

from optkit.cli import main
from optkit.cli.doctor import diagnosis as diagnoses
from optkit.cli.doctor import print_diagnosis as printing
from optkit.cli.doctor.asked_versions import AskedVersion
from optkit.cli.doctor.compiler_trial import Compiler
from optkit.cli.doctor.device_trial import Device
from optkit.cli.doctor.diagnosis import Diagnosis
from optkit.cli.doctor.distribution_report import DistributionReport, PluginReport, findings
from optkit.cli.doctor.hardware import Hardware
from optkit.cli.doctor.kernel_cache import KernelCache
from optkit.cli.doctor.settings import SetVariable

HARDWARE = Hardware(
    Compiler("/opt/a/rather/long/path/to/a/compiler/bin/g++", "g++ (Long Name) 12.2.0 " * 3, ""),
    None,
    (
        Device("cpu", "2 cores", "fused", ""),
        Device("cuda:0", "NVIDIA H200, 140 GiB, capability 9.0", "foreach", "no Triton"),
    ),
    "it failed its self-test",
    KernelCache("/home/somebody/.cache/optkit/kernels", 3, 2**20, ""),
)
LION = PluginReport("algorithm", "lion", "lions:Lion", "failed", failure="can't be imported: x")
PRIDE = PluginReport("plugin", "pride", "pride", "works", hooks=("optkit_created",))
REPORT = DistributionReport(
    "lion-pack",
    "1.0",
    "/somewhere",
    ("it has no version",),
    (AskedVersion("torch", ">=99", "2.13.0", False), AskedVersion("numpy", ">=1", "2.0", True)),
    (LION, PRIDE, attrs.evolve(PRIDE, name="loud", output="hello")),
)


def diagnosed(*reports: DistributionReport) -> Diagnosis:
    found = [finding for report in reports for finding in findings(report)]
    settings = (SetVariable("OPTKIT_IMPLEMENTATION", "foreach", ""),)
    versions = {"optkit": "0.1.0", "torch": "2.13.0"}
    return Diagnosis(versions, reports, (), HARDWARE, settings, tuple(found))


def told(monkeypatch: Any, capsys: Any, found: Diagnosis, *words: str) -> tuple[int, str]:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(diagnoses, "diagnose", lambda seconds=None: found)
    status = main(["doctor", *words])
    out, err = capsys.readouterr()
    assert err == ""
    return status, out


def test_the_first_line_is_the_verdict(monkeypatch: Any, capsys: Any) -> None:
    status, out = told(monkeypatch, capsys, diagnosed(REPORT))
    lines = out.splitlines()
    assert (status, lines[0]) == (1, "Unhealthy: 3 problems, 1 distribution with plugins.")
    assert max(map(len, lines)) <= 100
    problems, notes = out.split("\nNotes")
    for words in ("no version", "torch>=99", "2.13.0 is installed", "lion-pack:lion"):
        assert words in problems, words
    for words in ("prints while it is imported", "pride (optkit_created)", "cuda:0", "not in use"):
        assert words in notes, words
    assert "numpy" not in out, "what is asked for and there is of no interest"


def test_a_healthy_one_is_0(monkeypatch: Any, capsys: Any) -> None:
    healthy = attrs.evolve(REPORT, metadata=(), requires=(), plugins=(PRIDE,))
    status, out = told(monkeypatch, capsys, diagnosed(healthy))
    assert (status, out.splitlines()[0]) == (
        0,
        "Healthy: 1 distribution with plugins, nothing wrong.",
    )
    assert "Problems" not in out and "Notes" not in out


def test_colors_are_for_terminals(monkeypatch: Any) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for is_terminal in (True, False):
        out = io.StringIO()
        console = Console(file=out, force_terminal=is_terminal, width=100)
        monkeypatch.setattr(printing, "console", lambda made=console: made)
        printing.print_diagnosis(diagnosed(REPORT))
        assert ("\x1b[" in out.getvalue()) is is_terminal


def test_json_has_what_the_reference_says(monkeypatch: Any, capsys: Any) -> None:
    status, out = told(monkeypatch, capsys, diagnosed(REPORT), "--json")
    found = json.loads(out)
    assert (status, found["healthy"]) == (1, False)
    assert list(found) == [
        "healthy",
        "problems",
        "notes",
        "versions",
        "distributions",
        "clashes",
        "hardware",
        "settings",
    ]
    assert list(found["problems"][0]) == ["subject", "what", "way_out"]
    assert len(found["problems"]) == 3 and len(found["notes"]) == 1
    (report,) = found["distributions"]
    assert list(report) == ["name", "version", "location", "metadata", "requires", "plugins"]
    assert report["requires"][0] == {
        "name": "torch",
        "versions": ">=99",
        "installed": "2.13.0",
        "is_met": False,
    }
    assert report["plugins"][2]["output"] == "hello"
    assert found["hardware"]["devices"][1]["fused"] == "no Triton"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_wrong_limit_is_one_line(capsys: Any, seconds: str) -> None:
    assert main(["doctor", "--timeout", seconds]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and repr(seconds) in err
