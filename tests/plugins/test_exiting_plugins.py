"""Plugins that try to end the program while they are imported: errors that name them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import distributions
import pytest
import torch
from distributions import FEW, PLUGIN, World
from processes import completed, python

import optkit
import optkit_core

pytest.importorskip("typer")
pytest.importorskip("rich")

from optkit.cli import main

world = pytest.fixture(distributions.world)

EXITS = {
    "sys.exit(3)": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "sys.exit()": ("import sys; sys.exit()", "SystemExit: "),
    "quit": ("raise SystemExit('this needs a license')", "SystemExit: this needs a license"),
    "odd": ("class Odd(BaseException): pass\nraise Odd('x')", "Odd: x"),
    "generator": ("raise GeneratorExit", "GeneratorExit: "),
}
each_exit = pytest.mark.parametrize("exits", EXITS.values(), ids=EXITS)
REGISTER = "import optkit_core\n@optkit_core.hookimpl\ndef optkit_register(registrar):\n    "


def zeros() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(3))]


def install_lion(world: World, source: str) -> None:
    world.install("bad-dist", algorithms={"lion": "lions:Lion"}, modules={"lions": source})


WAYS: dict[str, Callable[[], Any]] = {
    "create": lambda: optkit.create("lion", zeros()),
    "get": lambda: optkit.get("lion"),
    "describe": lambda: optkit.describe("lion"),
}


@each_exit
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_algorithm_cannot_end_the_program(
    world: World, exits: tuple[str, str], way: Callable[[], Any]
) -> None:
    source, told = exits
    install_lion(world, source)
    for _ in range(2):
        with pytest.raises(optkit_core.PluginError) as raised:
            way()
        for part in ("bad-dist 1.0", "'lion'", told, "OPTKIT_DISABLE_PLUGINS=lion"):
            assert part in str(raised.value)
    assert optkit.create("adamax", zeros())


@each_exit
@pytest.mark.parametrize("where", ["import", "optkit_register"])
def test_a_whole_plugin_cannot_either(world: World, exits: tuple[str, str], where: str) -> None:
    source, told = exits
    if where == "optkit_register":
        source = REGISTER + source.replace("\n", "\n    ")
    good = PLUGIN.format(name="Tiger", algorithm="tiger")
    world.install("bad-dist", plugins={"bad": "bad"}, modules={"bad": source})
    world.install("good-dist", plugins={"good": "good"}, modules={"good": good})
    with pytest.warns(optkit_core.PluginWarning) as warned:
        assert optkit.create("adamax", zeros())
    (warning,) = warned
    assert all(part in str(warning.message) for part in ("'bad'", "bad-dist 1.0", told))
    assert optkit.available() == [*FEW, "tiger"]


def test_a_plugin_that_registers_and_exits_leaves_nothing(world: World) -> None:
    source = PLUGIN.format(name="Lion", algorithm="lion") + "    raise SystemExit(3)\n"
    world.install("bad-dist", plugins={"bad": "bad"}, modules={"bad": source})
    with pytest.warns(optkit_core.PluginWarning, match="SystemExit: 3"):
        optkit.create("adamax", zeros())
    assert "lion" not in optkit.available()
    assert "bad" not in optkit_core.plugins.hook_calls.names()


def test_a_plugin_of_run_time_cannot_either() -> None:
    class Plugin:
        @optkit_core.hookimpl
        def optkit_register(self) -> None:
            raise SystemExit(3)

    with pytest.raises(optkit_core.PluginError, match=r"'exiting' .* SystemExit: 3"):
        optkit_core.register_plugin(Plugin(), "exiting")
    assert "exiting" not in optkit_core.plugins.hook_calls.names()


class Exiting:
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    @optkit_core.hookimpl
    def optkit_offers(self) -> None:
        raise self.error("of the plugin's")


@pytest.mark.parametrize("error", [SystemExit, KeyError, GeneratorExit])
def test_a_plugin_that_is_asked_for_offers_cannot_either(error: type[BaseException]) -> None:
    name = optkit_core.register_plugin(Exiting(error), "exiting")
    try:
        with pytest.raises(optkit_core.PluginError, match=rf"Adamax: {error.__name__}: "):
            optkit.create("adamax", zeros(), implementation="forloop")
    finally:
        optkit_core.unregister_plugin(name)


@pytest.mark.parametrize("where", ["algorithm", "plugin", "register", "offers"])
def test_ctrl_c_passes(world: World, where: str) -> None:
    source = "raise KeyboardInterrupt"
    if where == "algorithm":
        install_lion(world, source)
    elif where != "offers":
        source = source if where == "plugin" else REGISTER + source
        world.install("bad-dist", plugins={"bad": "bad"}, modules={"bad": source})
    else:
        optkit_core.register_plugin(Exiting(KeyboardInterrupt), "exiting")
    with pytest.raises(KeyboardInterrupt):
        name = "lion" if where == "algorithm" else "adamax"
        optkit.create(name, zeros(), implementation="forloop")


def told(capsys: Any, *words: str) -> tuple[int, str, str]:
    status = main(words)
    out, err = capsys.readouterr()
    return status, " ".join(out.split()), err


def test_the_list_shows_it_as_broken_and_goes_on(world: World, capsys: Any) -> None:
    install_lion(world, "import sys; sys.exit(3)")
    status, out, err = told(capsys, "list")
    assert (status, err) == (0, "")
    assert all(name in out for name in (*FEW, "lion not available:"))
    assert "bad-dist 1.0" in out and "SystemExit: 3" in out


def test_building_all_kernels_goes_on_too(world: World, capsys: Any, monkeypatch: Any) -> None:
    from optkit_core.native import compiler

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OPTKIT_CACHE_DIR", str(world.root / "kernels"))
    monkeypatch.setattr(compiler, "compile_to", lambda source, path, flags: path.write_text("so"))
    install_lion(world, "import sys; sys.exit(3)")
    status, out, err = told(capsys, "kernels", "build", "--dtype", "float32")
    assert (status, err) == (0, "")
    assert "adamax float32 8" in out and "adagrad float32 8" in out
    assert "lion not available:" in out and "bad-dist 1.0" in out


@pytest.mark.parametrize(
    "words",
    [
        ["show", "lion"],
        ["compare", "adamax", "lion"],
        ["explain", "lion"],
        ["kernels", "build", "lion"],
    ],
    ids=" ".join,
)
def test_a_command_about_it_is_one_line(world: World, capsys: Any, words: list[str]) -> None:
    install_lion(world, "import sys; sys.exit(3)")
    status, out, err = told(capsys, *words)
    assert (status, out) == (2, "")
    assert err.startswith("optkit: error: ") and err.count("\n") == 1
    assert "bad-dist 1.0" in err and "SystemExit: 3" in err


def test_an_optimizer_that_exits_is_one_line(world: World, capsys: Any) -> None:
    step = "    def step(self, closure=None):\n        raise SystemExit(3)\n"
    source = f"import torch\nclass Lion(torch.optim.SGD):\n{step}"
    install_lion(world, source)
    status, out, err = told(capsys, "compare", "lion", "--data", "iris", "--epochs", "1")
    assert (status, out) == (2, "")
    assert "optimizer 'lion' failed" in err and "SystemExit: 3" in err


@pytest.mark.slow
def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    distributions.install(
        tmp_path, "bad-dist", algorithms={"lion": "lions:Lion"}, modules={"lions": "exit(3)"}
    )
    python("import optkit, torch; optkit.create('adamax', [torch.zeros(1)])", tmp_path)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from optkit.cli import main; "
    done = completed("-c", f"{code}sys.exit(main(['list']))")
    assert done.returncode == 0, done.stderr
    assert "adamax" in done.stdout and "bad-dist" in done.stdout
