"""The scan of what is installed: what it opens, and what it can't read."""

from __future__ import annotations

import sys
from collections import Counter
from importlib.metadata import PathDistribution, entry_points
from pathlib import Path
from typing import Any

import distributions
import pytest
from processes import python

from optkit_core.plugins import installed


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing installed."""
    monkeypatch.setattr(sys, "path", [])


def install(root: Path, name: str, monkeypatch: pytest.MonkeyPatch, **contents: Any) -> None:
    distributions.install(root / name, name, **contents)
    monkeypatch.setattr(sys, "path", [*sys.path, str(root / name)])


def names(scan: installed.Scan) -> list[str]:
    return [plugin.name for plugin in scan.plugins]


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    "entry_points",
    ["[optkit.algorithms]\nno equals sign\n", "[optkit.x]\nlion\n", "[optkit.x]\nlion =\n"],
)
def test_what_cannot_be_read_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry_points: str
) -> None:
    entry_points += "[optkit.algorithms]\nlion = lions:Lion\n"
    install(tmp_path, "garbled", monkeypatch, entry_points=entry_points)
    install(tmp_path, "zoo", monkeypatch, algorithms={"tiger": "tigers:Tiger"})
    scan = installed.scan()
    assert names(scan) == ["tiger"]
    (garbled,) = [provider for provider in scan.providers if provider.fault]
    assert garbled.name == "garbled" and "entry_points.txt can't be read" in garbled.fault


@pytest.mark.usefixtures("alone")
def test_it_reads_what_importlib_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
# a comment = of no group
[console_scripts]
tool = tools:main
[optkit.algorithms]
  lion=zoo.lions:Lion
# tiger = zoo.tigers:Tiger
puma   =   zoo.pumas : Puma.Inner [fast]

[optkit.plugins]
zoo = zoo
"""
    install(tmp_path, "zoo", monkeypatch, entry_points=text)
    for group, names in (("optkit.algorithms", ["lion", "puma"]), ("optkit.plugins", ["zoo"])):
        found = [plugin.entry_point for plugin in installed.plugins(group)]
        assert found == list(entry_points(group=group))
        assert [entry_point.name for entry_point in found] == names


@pytest.mark.usefixtures("alone")
def test_the_first_of_a_name_hides_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, offered in (("first", {"lion": "a:A"}), ("second", {"tiger": "b:B"})):
        distributions.install(tmp_path / folder, "Big.Zoo", version="1.0", algorithms=offered)
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / folder)])
    assert names(installed.scan()) == ["lion"]
    monkeypatch.setattr(sys, "path", sys.path[::-1])
    assert names(installed.scan()) == ["tiger"]


@pytest.mark.usefixtures("alone")
def test_one_without_any_plugin_hides_an_older_one_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributions.install(tmp_path / "new", "zoo", entry_points="")
    distributions.install(tmp_path / "old", "zoo", algorithms={"lion": "a:A"})
    monkeypatch.setattr(sys, "path", [str(tmp_path / "new"), str(tmp_path / "old")])
    assert names(installed.scan()) == []
    monkeypatch.setattr(sys, "path", sys.path[::-1])
    assert names(installed.scan()) == ["lion"]


@pytest.mark.usefixtures("alone")
def test_each_file_is_opened_once_and_only_where_it_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "zoo", monkeypatch, algorithms={"lion": "a:A"}, schedules={"slow": "a:B"})
    install(tmp_path, "other", monkeypatch, entry_points="[console_scripts]\nrun = a:main\n")
    opened: Counter[tuple[str, str]] = Counter()
    read = PathDistribution.read_text

    def counted(self: Any, filename: Any) -> Any:
        opened[Path(str(self.locate_file(""))).name, str(filename)] += 1
        return read(self, filename)

    monkeypatch.setattr(PathDistribution, "read_text", counted)
    for group in ("optkit.algorithms", "optkit.plugins", "optkit.schedules"):
        installed.plugins(group)
    assert opened["zoo", "METADATA"] == 1 and opened["other", "METADATA"] == 0
    assert opened["zoo", "entry_points.txt"] == 1 and opened["other", "entry_points.txt"] == 1


MARK = "import torch\nclass A(torch.optim.SGD):\n    pass\n"

CREATE_ONE = """
import sys, optkit, torch
assert not [name for name in sys.modules if name.startswith("offered_")]
optimizer = optkit.create("algorithm7", [torch.nn.Parameter(torch.ones(2))])
print([name for name in sys.modules if name.startswith("offered_")])
print(len(optkit.available("algorithm*")))
"""


@pytest.mark.slow
def test_of_fifty_plugins_only_the_one_asked_for_is_imported(tmp_path: Path) -> None:
    for number in range(200):
        offered = {f"algorithm{number}": f"offered_{number}:A"} if number < 50 else {}
        modules = {f"offered_{number}": MARK} if number < 50 else {}
        distributions.install(tmp_path, f"dist-{number}", algorithms=offered, modules=modules)
    assert python(CREATE_ONE, tmp_path).splitlines() == ["['offered_7']", "50"]
