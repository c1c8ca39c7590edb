"""The commands inspect and migrate, for files of optkit.save and of torch.save."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from states import saved_by

import optkit
import optkit_core
from optkit_core import at_least, hyperparameter
from optkit_core.checkpoint import conversion_registry

pytest.importorskip("typer")
pytest.importorskip("rich")

from optkit.cli import main


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command; return what it printed, or its one line if it was refused."""

    def run_words(*words: Any, status: int = 0) -> str:
        assert main([str(word) for word in words]) == status
        out, err = capsys.readouterr()
        if status:
            assert out == "" and err.startswith("optkit: error: ") and err.count("\n") == 1
            return err
        assert err == ""
        return out

    return run_words


def model(width: int = 3) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.Linear(width, 2))


def stepped(make: Any) -> Any:
    optimizer = make(model())
    for p in optimizer.param_groups[0]["params"]:
        p.grad = torch.ones_like(p)
    optimizer.step()
    return optimizer


def adamax(net: torch.nn.Module) -> Any:
    return optkit.create("adamax", net.named_parameters(), lr=0.125)


def torchs(net: torch.nn.Module) -> Any:
    return torch.optim.Adamax(net.named_parameters(), lr=0.125)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "ours.safetensors"
    optkit.save(stepped(adamax), path)
    return path


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.pt"
    torch.save(stepped(torchs).state_dict(), path)
    return path


def test_inspect_tells_everything_but_the_numbers(ours: Path, run: Callable[..., str]) -> None:
    out = run("inspect", ours)
    for fact in ("Adamax", "adamax/1", "0.125", "0.weight", "exp_inf", "float32", "3 x 4", "48"):
        assert fact in out
    assert f"optkit {optkit.__version__}" in out
    size = ours.stat().st_size
    assert f"{size:,} bytes" in out and "4, 4 with state" in out


def test_inspect_as_json(ours: Path, run: Callable[..., str]) -> None:
    found = json.loads(run("inspect", ours, "--json"))
    assert found["schema"] == "adamax/1" and found["size"] == ours.stat().st_size
    assert found["groups"][0]["lr"] == 0.125 and found["groups"][0]["parameters"] == 4
    shapes = {(e["parameter"], e["name"]): e["shape"] for e in found["entries"]}
    assert shapes["1.bias", "exp_avg"] == "2" and shapes["0.weight", "step"] == "scalar"


def test_inspect_of_a_file_of_torch(theirs: Path, run: Callable[..., str]) -> None:
    out = run("inspect", theirs)
    assert "torch.save" in out and "none" in out and "exp_inf" in out and "0.125" in out


def test_inspect_cuts_long_lists_unless_asked(tmp_path: Path, run: Callable[..., str]) -> None:
    path = tmp_path / "many"
    optimizer = optkit.create("adamax", [torch.nn.Parameter(torch.ones(1)) for _ in range(30)])
    optimizer.init_state()
    optkit.save(optimizer, path)
    assert "... and 70 more entries; --all shows them" in run("inspect", path)
    out = run("inspect", path, "--all")
    assert "more" not in out and "  29 " in out


def test_inspect_reads_the_content_only_when_asked(ours: Path, run: Callable[..., str]) -> None:
    content = bytearray(ours.read_bytes())
    content[-100] ^= 1
    ours.write_bytes(content)
    run("inspect", ours)
    assert "damaged" in run("inspect", ours, "--check", status=2)


def test_a_key_where_several_states_are(tmp_path: Path, run: Callable[..., str]) -> None:
    path, state = tmp_path / "all.pt", stepped(torchs).state_dict()
    torch.save({"model": model().state_dict(), "optimizer": state, "more": [state]}, path)
    line = run("inspect", path, status=2)
    assert "--key optimizer" in line and "--key more.0" in line
    assert "exp_inf" in run("inspect", path, "--key", "more.0")
    assert "'model'" in run("inspect", path, "--key", "model", status=2)
    torch.save({"model": model().state_dict(), "optimizer": state}, path)
    assert "exp_inf" in run("inspect", path)


@pytest.mark.parametrize("command", ["inspect", "migrate"])
def test_wrong_files_are_one_line(
    command: str, tmp_path: Path, ours: Path, run: Callable[..., str]
) -> None:
    assert "No such file" in run(command, tmp_path / "none", status=2)
    assert "is a directory" in run(command, tmp_path, status=2)
    wrong = tmp_path / "wrong"
    wrong.write_text("lr: 0.1")
    assert "isn't a checkpoint" in run(command, wrong, status=2)
    torch.save({"weight": torch.ones(3)}, wrong)
    assert "holds no state of an optimizer" in run(command, wrong, status=2)
    torch.save(stepped(adamax), wrong)
    assert "without running code" in run(command, wrong, status=2)
    wrong.write_bytes(ours.read_bytes()[:-20])
    assert "cut off" in run(command, wrong, status=2)
    assert "for files of torch.save" in run(command, ours, "--key", "x", status=2)


def test_migrate_turns_a_file_of_torch_into_a_checkpoint(
    theirs: Path, tmp_path: Path, run: Callable[..., str]
) -> None:
    output = tmp_path / "new.safetensors"
    assert "--output" in run("migrate", theirs, status=2)
    assert "--algorithm" in run("migrate", theirs, "--output", output, status=2)
    words = ("migrate", theirs, "--output", output, "--algorithm")
    assert "isn't certain" in run(*words, "adagrad", status=2)
    assert "'adamix'" in run(*words, "adamix", status=2)
    assert "goes to 1 only" in run(*words, "adamax", "--to", "2", status=2)
    assert "would write" in run(*words, "adamax", "--dry-run") and not output.exists()
    assert "marked as adamax/1" in run(*words, "adamax")
    optimizer = adamax(model())
    optkit.load(optimizer, output)
    assert optimizer.param_groups[0]["lr"] == 0.125
    assert "adamax/1" in run("inspect", output)


def test_migrate_takes_algorithms_of_optkit_only(
    theirs: Path, tmp_path: Path, run: Callable[..., str], registered: Any
) -> None:
    registered("house-sgd", torch.optim.SGD)
    words = ("migrate", theirs, "--output", tmp_path / "new", "--algorithm", "house-sgd")
    assert "house-sgd isn't an optkit algorithm" in run(*words, status=2)


class Toy(optkit_core.Elementwise):
    """Toy: gradient descent with a sum."""

    schema_version = 3
    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    total = optkit_core.Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.add_(s.total.add_(g), alpha=-h.lr)


def renamed(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def migrate(state_dict: dict[str, Any]) -> None:
        for state in state_dict["state"].values():
            state[new] = state.pop(old)

    return migrate


@pytest.fixture
def toy(registered: Callable[[str, type], None], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Register an algorithm of three versions, whose buffer was renamed twice."""
    monkeypatch.setattr(conversion_registry, "migrations", dict(conversion_registry.migrations))
    import optkit_core.checkpoint.migrations as used

    steps = {("toy", 1): renamed("a", "b"), ("toy", 2): renamed("b", "total")}
    monkeypatch.setattr(used, "migrations", steps)
    registered("toy", Toy)
    return stepped(lambda net: Toy(net.named_parameters()))


def first_version(optimizer: Any) -> Any:
    state_dict = copy.deepcopy(optimizer.state_dict())
    renamed("total", "a")(state_dict)
    for group in state_dict["param_groups"]:
        group["schema"] = "toy/1"
    return state_dict


@pytest.mark.parametrize("kind", ["optkit.save", "torch.save"])
def test_migrate_through_versions(
    kind: str, toy: Any, tmp_path: Path, run: Callable[..., str]
) -> None:
    from optkit_core.checkpoint.file import checkpoint_file

    path = tmp_path / "file"
    output = path if kind == "optkit.save" else tmp_path / "output"
    if kind == "optkit.save":
        checkpoint_file.write(checkpoint_file.Checkpoint("Toy", first_version(toy)), path)
    else:
        torch.save(first_version(toy), path)
    before = path.read_bytes()
    words = ("--output", output)
    assert "toy/1 to toy/2" in run("migrate", path, "--dry-run", *words)
    assert path.read_bytes() == before
    assert "possible" in run("migrate", path, "--to", 4, *words, status=2)
    assert run("migrate", path, "--to", 2, *words).splitlines()[0] == "toy/1 to toy/2"
    assert "toy/2" in run("inspect", output)
    assert run("migrate", output).splitlines()[0] == "toy/2 to toy/3"
    assert "possible" in run("migrate", output, "--to", 1, status=2)
    target = Toy(model().named_parameters())
    optkit.load(target, output)
    assert saved_by(target) == saved_by(toy)


@pytest.mark.parametrize("kind", ["optkit.save", "torch.save"])
def test_entries_of_user_code_are_shown_and_kept(
    kind: str, toy: Any, tmp_path: Path, run: Callable[..., str]
) -> None:
    from optkit_core.checkpoint.file import checkpoint_file

    path, output = tmp_path / "file", tmp_path / "output"
    state_dict = first_version(toy)
    state_dict["state"]["mine"] = [7, torch.ones(2, 3)]
    state_dict["param_groups"][0]["note"] = torch.bfloat16
    if kind == "optkit.save":
        checkpoint_file.write(checkpoint_file.Checkpoint("Toy", state_dict), path)
    else:
        torch.save(state_dict, path)
    found = json.loads(run("inspect", path, "--json"))
    names = [(e["parameter"], e["name"], e["shape"]) for e in found["entries"]]
    assert names[-2:] == [("", "mine[0]", "7"), ("", "mine[1]", "2 x 3")]
    assert found["groups"][0]["note"] == "torch.bfloat16"
    assert "4, 4 with state" in run("inspect", path)
    run("migrate", path, "--output", output)
    target = Toy(model().named_parameters())
    target.param_groups[0]["note"] = None
    optkit.load(target, output)
    assert target.state["mine"][0] == 7 and torch.equal(target.state["mine"][1], torch.ones(2, 3))
    assert target.param_groups[0]["note"] is torch.bfloat16


def test_of_a_training_setup_the_optimizers_part_is_shown(
    run: Callable[..., str], tmp_path: Path
) -> None:
    path, config = tmp_path / "setup.safetensors", {"name": "adamax", "lr": 0.125}
    setup = optkit.from_config({"optimizer": config, "averaging": {"name": "ema"}}, model())
    optkit.save(setup, path)
    shown = run("inspect", path)
    assert "adamax/1" in shown and "0.125" in shown and "of a training setup" in shown
    assert "--output" in run("migrate", path, status=2)
    alone = tmp_path / "optimizer.safetensors"
    run("migrate", path, "--output", alone)
    optkit.load(setup.optimizer, alone)
    optkit.load(setup, path)
