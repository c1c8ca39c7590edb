"""What distributions ask for, beside what is installed."""

from __future__ import annotations

from importlib.metadata import PathDistribution, version
from pathlib import Path

import distributions
import pytest

pytest.importorskip("packaging")

from optkit.cli.doctor.asked_versions import asked

TORCH = version("torch").partition("+")[0]


@pytest.mark.parametrize(
    ("line", "is_met"),
    [
        ("torch", True),
        ("torch>=2", True),
        ("Torch >= 2", True),
        (f"torch=={TORCH}", True),
        ("torch>=99", False),
        ("torch==1.0", False),
        ("torch<2", False),
        ("optkit>=0.0.1", True),
        ("optkit>=99", False),
        ("torch>=99; python_version < '3'", None),
        ("torch>=99; extra == 'gpu'", None),
        ("no-such-distribution", False),
    ],
)
def test_one_line(tmp_path: Path, line: str, is_met: bool | None) -> None:
    distributions.install(tmp_path, "zoo", requires=[line])
    (info,) = tmp_path.glob("*.dist-info")
    found, wrong = asked(PathDistribution(info))
    assert wrong == []
    assert [need.is_met for need in found] == ([] if is_met is None else [is_met])
    assert all(need.name == need.name.lower() for need in found)


def test_a_release_before_the_first_counts_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributions.install(tmp_path / "early", "early-bird", version="2.0rc1")
    monkeypatch.syspath_prepend(tmp_path / "early")
    distributions.install(tmp_path, "zoo", requires=["early-bird>=1", "early-bird>=2"])
    (info,) = tmp_path.glob("*.dist-info")
    assert [need.is_met for need in asked(PathDistribution(info))[0]] == [True, False]


def test_what_is_no_requirement_is_told(tmp_path: Path) -> None:
    distributions.install(tmp_path, "zoo", requires=["torch >>> 1", "torch"])
    (info,) = tmp_path.glob("*.dist-info")
    found, wrong = asked(PathDistribution(info))
    assert wrong == ["torch >>> 1"] and [need.name for need in found] == ["torch"]
