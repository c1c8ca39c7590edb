"""``optkit train``: what it writes, how it goes on, and what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from client_files import equal
from processes import PATIENCE

pytest.importorskip("sklearn", reason="the data sets come with the extra cli")
pytest.importorskip("matplotlib", reason="pictures come with the extra cli")
from optkit.cli import main

CONFIG = """
[optimizer]
name = "adamw"
lr = 0.01

[[optimizer.groups]]
match = "*.bias"
weight_decay = 0.0

[schedule]
name = "cosine_annealing"
T_max = 40
warmup = 4

[averaging]
name = "ema"
decay = 0.9

[clipping]
norm = 1.0
"""

PARTS = {
    "everything": CONFIG,
    "closure": '[optimizer]\nname = "lbfgs"\nline_search_fn = "strong_wolfe"\nmax_iter = 3',
    "modes": '[optimizer]\nname = "schedulefree_adamw"\nlr = 0.01',
    "plateau": """
        [optimizer]
        name = "sgd"
        lr = 0.3
        momentum = 0.9
        [schedule]
        name = "reduce_on_plateau"
        patience = 0
        factor = 0.5
    """,
    "by epochs": """
        [optimizer]
        name = "adamax"
        [schedule]
        name = "step"
        step_size = 1
        gamma = 0.5
        interval = "epoch"
        [averaging]
        name = "swa"
        interval = "epoch"
        start = 1
    """,
    "two algorithms": """
        [optimizer]
        name = "adamw"
        [[optimizer.groups]]
        match = "0.weight"
        algorithm = "muon"
        lr = 0.01
    """,
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with a configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def train(*words: object, config: str = "config.toml", data: str = "iris") -> Any:
    """Run a training that must succeed; return its figures."""
    assert main(["train", config, "--data", data, "--hidden", "8", *map(str, words)]) == 0
    return json.loads(Path("optkit-train.json").read_text())


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a training that must be refused; return its one line."""
    assert main(["train", *map(str, words)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("optkit: ") and said.err.count("\n") == 1
    assert not Path("optkit-train.png").exists()
    return said.err


def test_figures_picture_and_lines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = train("--epochs", 3, "--seed", 4)
    printed = capsys.readouterr()
    titles, *rows = printed.out.splitlines()[:4]
    assert titles.split()[0] == "Epoch" and titles.split()[-1] == "Averaged"
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert f"{figures['epochs'][2]['train_loss']:.4g}" in rows[2]
    assert "adamw, cosine_annealing, ema, clipping; 12 steps" in printed.out
    assert figures["epochs"][2]["train_loss"] < figures["epochs"][0]["train_loss"]
    assert figures["epochs"][2]["averaged_accuracy"] > 0.3
    assert figures["config"]["optimizer"]["name"] == "adamw"
    assert (figures["settings"]["seed"], figures["data"]["train_rows"]) == (4, 112)
    assert (here / "optkit-train.png").stat().st_size > 10_000


def test_the_rate_is_the_schedules(here: Path) -> None:
    (here / "config.toml").write_text(PARTS["by epochs"])
    rates = [figures["lr"] for figures in train("--epochs", 3)["epochs"]]
    assert rates == [2e-3, 1e-3, 5e-4]


def test_an_average_begins_when_it_is_told_to(here: Path) -> None:
    (here / "config.toml").write_text(PARTS["by epochs"])
    averaged = [figures["averaged_loss"] for figures in train("--epochs", 3)["epochs"]]
    assert averaged[0] is None and averaged[1] is not None


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(here: Path, part: str) -> None:
    (here / "config.toml").write_text(textwrap.dedent(PARTS[part]))
    whole = train("--epochs", 5, "--checkpoint", "whole.pt")
    train("--epochs", 2, "--checkpoint", "parts.pt")
    resumed = train("--epochs", 5, "--checkpoint", "parts.pt", "--resume")
    assert resumed["epochs"] == whole["epochs"]
    assert (resumed["resumed_after"], resumed["steps"]) == (2, whole["steps"])
    saved = [torch.load(f"{name}.pt", weights_only=True) for name in ("whole", "parts")]
    assert equal(*saved)


def test_modes_are_those_of_evaluation_between_epochs(here: Path) -> None:
    (here / "config.toml").write_text(PARTS["modes"])
    train("--epochs", 1, "--checkpoint", "a.pt")
    state = torch.load("a.pt", weights_only=True)["setup"]["optimizer"]
    assert state["param_groups"][0]["train_mode"] is False


def test_the_checkpoint_follows_every_so_many_epochs(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optkit.cli.train import run_checkpoint

    written = []
    save = run_checkpoint.save
    monkeypatch.setattr(
        run_checkpoint,
        "save",
        lambda run, path: written.append(len(run.figures)) or save(run, path),
    )
    train("--epochs", 5, "--checkpoint", "a.pt", "--every", 2)
    assert written == [2, 4, 5]


def test_a_finished_training_is_only_shown_again(here: Path) -> None:
    figures = train("--epochs", 2, "--checkpoint", "a.pt")
    again = train("--epochs", 2, "--checkpoint", "a.pt", "--resume")
    assert again["epochs"] == figures["epochs"] and again["steps"] == figures["steps"]


def test_another_implementation_may_go_on(here: Path) -> None:
    train("--epochs", 1, "--checkpoint", "a.pt")
    (here / "config.toml").write_text(f'implementation = "forloop"\n{CONFIG}')
    assert train("--epochs", 2, "--checkpoint", "a.pt", "--resume")["implementation"] == "forloop"


@pytest.mark.slow
def test_an_interrupted_training_leaves_a_whole_checkpoint(here: Path) -> None:
    words = [sys.executable, "-m", "optkit", "train", "config.toml", "--data", "iris"]
    words += ["--hidden", "8", "--checkpoint", "a.pt", "--epochs"]
    # A shell that runs this in the background has it ignore the signal.
    running = subprocess.Popen(
        [*words, "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert running.stdout is not None
        for line in running.stdout:  # until the second epoch is there
            if line.split()[:1] == ["2"]:
                break
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=PATIENCE)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 130, said
    assert "go on from it by --resume" in said and said.endswith("optkit: interrupted\n")
    done = len(torch.load("a.pt", weights_only=True)["figures"])
    assert done >= 2
    resumed = train("--epochs", done + 1, "--checkpoint", "a.pt", "--resume")
    whole = train("--epochs", done + 1)
    assert resumed["epochs"] == whole["epochs"]


def test_what_diverges_stops_and_keeps_the_last_good_checkpoint(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "config.toml").write_text('[optimizer]\nname = "sgd"\nlr = 1e30')
    figures = train("--epochs", 5, "--checkpoint", "a.pt")
    assert figures["diverged"] and len(figures["epochs"]) == 1
    assert "try a smaller optimizer.lr" in capsys.readouterr().out
    assert not Path("a.pt").exists()


def test_a_csv_of_the_users_own(here: Path) -> None:
    rows = [
        f"{number % 7},{number % 3},{'low' if number % 7 < 3 else 'high'}" for number in range(60)
    ]
    (here / "own.csv").write_text("\n".join(["a,b,kind", *rows]))
    figures = train("--epochs", 2, "--target", "kind", data="own.csv")
    assert figures["data"]["classes"] == ["high", "low"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["missing.toml"], "missing.toml can't be read: No such file"),
        (["wrong.toml"], "wrong.toml:3: optimizer.lrr isn't known to adamw. Did you mean 'lr'?"),
        (["broken.toml"], "broken.toml:2"),
        (["muon.toml"], "muon"),
        (["config.toml", "--data", "irs"], "Did you mean 'iris'?"),
        (["config.toml", "--data", "own.csv", "--target", "knd"], "Did you mean 'kind'?"),
        (["config.toml", "--data", "own.csv"], "needs --target COLUMN"),
        (["config.toml", "--epochs", "0"], "isn't a whole number from 1"),
        (["config.toml", "--resume"], "--resume needs --checkpoint FILE"),
        (
            ["config.toml", "--resume", "--checkpoint", "none.pt"],
            "there is no checkpoint 'none.pt'",
        ),
        (["config.toml", "--checkpoint", "own.csv"], "is there already"),
        (["config.toml", "--checkpoint", "no/a.pt"], "there is no directory 'no'"),
        (["config.toml", "--checkpoint", "optkit-train.json"], "--checkpoint and --json are both"),
        (["config.toml", "--resume", "--checkpoint", "own.csv"], "isn't a file of torch.save"),
        (["config.toml", "--resume", "--checkpoint", "other.pt"], "isn't a checkpoint of optkit"),
        (["config.toml", "--picture", "a.txt"], "unknown kind of picture"),
    ],
)
def test_wrong_input_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    (here / "wrong.toml").write_text('[optimizer]\nname = "adamw"\nlrr = 0.1\n')
    (here / "broken.toml").write_text('[optimizer]\nname = "adamw\n')
    (here / "muon.toml").write_text('[optimizer]\nname = "muon"\n')
    (here / "own.csv").write_text("a,kind\n" + "1,x\n2,y\n" * 20)
    torch.save({"weights": torch.ones(2)}, here / "other.pt")
    assert expected in refused(capsys, *words)


@pytest.mark.parametrize(
    ("words", "change", "expected"),
    [
        (["--seed", "1"], None, "was started with --seed 0, and now it is 1"),
        (["--batch-size", "8"], None, "was started with --batch-size 32, and now it is 8"),
        (["--hidden", "9"], None, "was started with --hidden 8, and now it is 9"),
        (["--data", "wine"], None, "was started with --data iris, and now it is wine"),
        (["--epochs", "1"], None, "a.pt has 2 epochs; expected --epochs 2 or more, got 1"),
        ([], ("lr = 0.01", "lr = 0.02"), "optimizer.lr was 0.01, and is 0.02 in config.toml"),
        ([], ("weight_decay = 0.0", "weight_decay = 0.5"), "optimizer.groups[0].weight_decay was"),
        ([], ("[clipping]\nnorm = 1.0", ""), "clipping was {'norm': 1.0}, and is not there"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    change: tuple[str, str] | None,
    expected: str,
) -> None:
    train("--epochs", 2, "--checkpoint", "a.pt")
    before = (here / "a.pt").read_bytes()
    for name in ("optkit-train.png", "optkit-train.json"):
        (here / name).unlink()
    capsys.readouterr()
    if change:
        (here / "config.toml").write_text(CONFIG.replace(*change))
    given = ["--data", "iris", "--hidden", "8", "--epochs", "3", *words]
    said = refused(capsys, "config.toml", "--checkpoint", "a.pt", "--resume", *given)
    assert expected in said
    assert (here / "a.pt").read_bytes() == before


def test_rows_that_have_changed_are_noticed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = here / "own.csv"
    path.write_text("a,kind\n" + "1,x\n2,y\n" * 20)
    given = ["config.toml", "--data", "own.csv", "--target", "kind", "--checkpoint", "a.pt"]
    assert main(["train", *given, "--epochs", "1"]) == 0
    path.write_text("a,kind\n" + "1,x\n3,y\n" * 19 + "1,x\n2,y\n")
    capsys.readouterr()
    assert main(["train", *given, "--epochs", "2", "--resume"]) == 2
    assert "was started with other rows of own.csv" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["network", "figures", "order", "setup", "started_with", "config"])
def test_a_damaged_checkpoint_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    train("--epochs", 1, "--checkpoint", "a.pt")
    content = torch.load("a.pt", weights_only=True)
    damaged = {"network": {1: 2}, "figures": [{"no": 1}], "order": torch.ones(3), "setup": {}}
    content[key] = damaged.get(key, 3)
    torch.save(content, "a.pt")
    capsys.readouterr()
    words = ["--data", "iris", "--hidden", "8", "--checkpoint", "a.pt", "--resume"]
    assert main(["train", "config.toml", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("optkit: error: ") and said.count("\n") == 1


def test_the_callers_generator_is_left_alone(here: Path) -> None:
    before = torch.get_rng_state()
    train("--epochs", 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_lines_come_while_it_trains(here: Path) -> None:
    """Each epoch's line is there when the epoch is; a pipe sees it at once."""
    words = ["train", "config.toml", "--data", "iris", "--hidden", "8", "--epochs", "100000"]
    running = subprocess.Popen(
        [sys.executable, "-m", "optkit", *words], stdout=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(2)]
    finally:
        running.kill()
        running.communicate()
    assert lines[1].split()[0] == "1"
