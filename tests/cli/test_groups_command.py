"""The command groups: a configuration's groups of a model that the user's module builds."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

import optkit
from optkit.cli import main

MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1)

ready = Net()
number = 3

def fails():
    raise RuntimeError("no such\\nthing")

def leaves():
    raise SystemExit(3)

def needs(width):
    return nn.Linear(width, 1)
"""

CONFIG = """
[optimizer]
name = "adamw"
lr = 1e-3

[[optimizer.groups]]
module = "norm"
weight_decay = 0.0
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a package of the user's and a configuration."""
    (tmp_path / "grouped_package").mkdir()
    (tmp_path / "grouped_package" / "nets.py").write_text(MODEL)
    (tmp_path / "grouped_package" / "broken.py").write_text("import nothing_like_it")
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    assert sys.path == path
    for name in set(sys.modules) - before:
        if name.startswith("grouped_package"):
            del sys.modules[name]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command; return what it printed, or its one line if it was refused."""

    def run_words(*words: Any, status: int = 0) -> str:
        assert main(["groups", *map(str, words)]) == status
        out, err = capsys.readouterr()
        if status:
            assert out == "" and err.startswith("optkit: ") and err.count("\n") == 1
            return err
        assert err == ""
        return out

    return run_words


@pytest.mark.parametrize("name", ["Net", "ready"])
@pytest.mark.parametrize("parameters", [False, True])
def test_the_table_is_that_of_groups(run: Callable[..., str], name: str, parameters: bool) -> None:
    flags = ["--parameters"] if parameters else []
    out = run("config.toml", "--model", f"grouped_package.nets:{name}", *flags)
    from grouped_package.nets import ready

    rule = {"module": "norm", "weight_decay": 0.0}
    made = optkit.groups(ready, [rule], default={"algorithm": "adamw", "lr": 1e-3})
    assert out == made.table(parameters=parameters) + "\n"


def test_json_does_too(run: Callable[..., str], project: Path) -> None:
    (project / "c.json").write_text('{"optimizer": {"name": "sgd", "lr": 0.1}}')
    out = run("c.json", "--model", "grouped_package.nets:Net")
    assert out.startswith("1 group of sgd, 6 of 6 tensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grouped_package.nets", "must be MODULE:NAME"),
        (":Net", "must be MODULE:NAME"),
        ("grouped_package.nest:Net", "can't be imported: ModuleNotFoundError: No module named"),
        ("grouped_package.broken:Net", "can't be imported: .* 'nothing_like_it'"),
        (".nets:Net", "can't be imported: TypeError"),
        ("grouped_package.nets:Nett", r"has no 'Nett'\. Did you mean 'Net'\?"),
        ("grouped_package.nets:number", "is 3, which can't be called"),
        ("grouped_package.nets:fails", "failed: RuntimeError: no such thing."),
        ("grouped_package.nets:leaves", "failed: SystemExit: 3."),
        ("grouped_package.nets:needs", "failed: TypeError: needs.. missing 1 required"),
        ("builtins:dict", "returned {}, which isn't a torch.nn.Module"),
    ],
)
def test_a_model_that_cannot_be_built(run: Callable[..., str], text: str, message: str) -> None:
    line = run("config.toml", "--model", text, status=2)
    assert re.search(message, line), line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONFIG.replace("norm", "nrom"), "'nrom' fits nothing"),
        (CONFIG.replace("weight_decay", "weight_decya"), "weight_decya"),
        (CONFIG.replace("adamw", "adamww"), "adamww"),
        ("", "optimizer"),
        ("[optimizer", "config.toml"),
    ],
)
def test_a_configuration_that_does_not_fit(
    run: Callable[..., str], project: Path, content: str, message: str
) -> None:
    (project / "config.toml").write_text(content)
    assert message in run("config.toml", "--model", "grouped_package.nets:Net", status=2)


def test_listed_groups_are_no_rules(run: Callable[..., str], project: Path) -> None:
    listed = CONFIG.replace('module = "norm"', 'names = "norm.bias"')
    (project / "config.toml").write_text(listed.replace("lr =", 'grouping = "as_listed"\nlr ='))
    line = run("config.toml", "--model", "grouped_package.nets:Net", status=2)
    assert "grouping = 'as_listed'" in line


def test_files_that_are_not_there(run: Callable[..., str]) -> None:
    assert "none.toml" in run("none.toml", "--model", "grouped_package.nets:Net", status=2)
    assert "config.txt" in run("config.txt", "--model", "grouped_package.nets:Net", status=2)
    assert "--model" in run("config.toml", status=2)
