"""A plugin adds an implementation to an algorithm that isn't its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributions
import pytest
import torch
from distributions import World

import optkit
import optkit_core
from optkit_core import Offer

world = pytest.fixture(distributions.world)


def stepping(algorithm: Any, bucket: Any, h: Any) -> Any:
    def launch() -> None:
        for p, state in zip(bucket.params, bucket.states, strict=True):
            state["step"] += 1
            p.sub_(h.lr)

    return launch


def refusing(algorithm: Any, kind: Any, h: Any) -> str:
    return "the vendor's kernel takes float32" if kind.dtype != torch.float32 else ""


class Vendor:
    def __init__(self, *names: str) -> None:
        self.names = names

    @optkit_core.hookimpl
    def optkit_offers(self, algorithm: Any) -> Any:
        if algorithm.__name__ == "Adamax":
            return [Offer(name, stepping, refusing) for name in self.names]
        return None


@pytest.fixture
def vendor() -> Iterator[None]:
    optkit_core.register_plugin(Vendor("vendor-x"), "vendor")
    yield
    optkit_core.unregister_plugin("vendor")


def parameter(dtype: torch.dtype = torch.float32) -> torch.nn.Parameter:
    p = torch.nn.Parameter(torch.ones(5, dtype=dtype))
    p.grad = torch.ones(5, dtype=dtype)
    return p


@pytest.mark.usefixtures("vendor")
def test_it_runs_where_it_is_asked_for() -> None:
    p = parameter()
    optimizer = optkit.create("adamax", [p], implementation="vendor-x", lr=0.25)
    optimizer.step()
    assert p.tolist() == [0.75] * 5
    assert [choice.name for choice in optimizer.plan] == ["vendor-x"]
    assert optimizer.explain().buckets[0].implementation == "vendor-x"


@pytest.mark.usefixtures("vendor")
def test_auto_does_not_prefer_it() -> None:
    optimizer = optkit.create("adamax", [parameter() for _ in range(9)])
    bucket = optimizer.explain().buckets[0]
    assert bucket.implementation != "vendor-x"
    assert bucket.rejected["vendor-x"] == "not preferred"


@pytest.mark.usefixtures("vendor")
def test_its_own_reason_is_told() -> None:
    with pytest.raises(optkit.ImplementationError, match="the vendor's kernel takes float32"):
        optkit.create("adamax", [parameter(torch.float64)], implementation="vendor-x")


@pytest.mark.usefixtures("vendor")
def test_other_algorithms_do_not_have_it() -> None:
    with pytest.raises(optkit.ImplementationError, match="Adagrad has no vendor-x implementation"):
        optkit.create("adagrad", [parameter()], implementation="vendor-x")
    assert "vendor-x" in optkit.describe("adamax").implementations
    assert "vendor-x" not in optkit.describe("adagrad").implementations


def created(**options: Any) -> Any:
    return optkit.create("adamax", [parameter()], **options)


def by_argument(name: str, monkeypatch: Any, tmp_path: Path) -> Any:
    return created(implementation=name)


def by_device(name: str, monkeypatch: Any, tmp_path: Path) -> Any:
    return created(implementation={"cpu": name, "cuda": name})


def by_class(name: str, monkeypatch: Any, tmp_path: Path) -> Any:
    return optkit.get("adamax")([parameter()], implementation=name)


def by_group(name: str, monkeypatch: Any, tmp_path: Path) -> Any:
    return optkit.create("adamax", [{"params": [parameter()], "implementation": name}])


def by_use(name: str, monkeypatch: Any, tmp_path: Path) -> Any:
    with optkit.use(name):
        return created()


def by_environment(name: str, monkeypatch: Any, tmp_path: Path) -> Any:
    monkeypatch.setenv("OPTKIT_IMPLEMENTATION", name)
    return created()


def by_file(name: str, monkeypatch: Any, tmp_path: Path) -> Any:
    (tmp_path / "optkit.toml").write_text(f'implementation = "{name}"')
    monkeypatch.setenv("OPTKIT_CONFIG", str(tmp_path / "optkit.toml"))
    return created()


DOORS: list[Callable[[str, Any, Path], Any]] = [
    by_argument, by_device, by_class, by_group, by_use, by_environment, by_file,
]  # fmt: skip
each_door = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)


@each_door
@pytest.mark.usefixtures("vendor")
def test_every_door_takes_it(door: Any, monkeypatch: Any, tmp_path: Path) -> None:
    optimizer = door("vendor-x", monkeypatch, tmp_path)
    optimizer.step()
    assert [choice.name for choice in optimizer.plan] == ["vendor-x"]


TYPOS = {"vendr-x": "vendor-x", "vendor_x": "vendor-x", "foreahc": "foreach", "fsued": "fused"}


@each_door
@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize("typo", TYPOS)
def test_every_door_refuses_a_typo(door: Any, monkeypatch: Any, tmp_path: Path, typo: str) -> None:
    with pytest.raises(optkit.OptkitError) as raised:
        door(typo, monkeypatch, tmp_path)
    assert f"{typo!r} (from" in str(raised.value)
    assert f"Did you mean {TYPOS[typo]!r}" in str(raised.value)
    # Classes of other tests in this process may offer more.
    listed = str(raised.value).partition("one of ")[2].partition(", or a mapping")[0].split(", ")
    assert {"auto", "forloop", "foreach", "fused", "flat", "vendor-x"} <= {*listed}


@pytest.mark.usefixtures("vendor")
def test_a_typo_for_another_device_is_refused_too() -> None:
    with pytest.raises(optkit.OptkitError, match="Did you mean 'fused'"):
        created(implementation={"cpu": "vendor-x", "cuda": "fusde"})
    with pytest.raises(optkit.OptkitError, match="Did you mean 'fused'"), optkit.use("fusde"):
        pass


COMMANDS = {
    "explain": ("explain", "adamax", "--shape", "4", "--count", "2"),
    "compare": ("compare", "adamax", "--data", "iris", "--epochs", "1"),
}


@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_every_command_takes_it(
    words: tuple[str, ...], capsys: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    pytest.importorskip("typer")
    from optkit.cli import main

    monkeypatch.chdir(tmp_path)
    assert main([*words, "--implementation", "vendor-x"]) == 0
    assert "vendor-x" in capsys.readouterr().out
    for typo, meant in TYPOS.items():
        assert main([*words, "--implementation", typo]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        assert repr(typo) in err and f"Did you mean {meant!r}" in err


@pytest.mark.parametrize("name", ["own-kernel", {"cpu": "own-kernel"}], ids=str)
def test_an_algorithm_may_bring_one_of_its_own(name: Any) -> None:
    adamax: Any = optkit.get("adamax")
    offers = (*adamax.offers, Offer("own-kernel", stepping, refusing))
    optimizer = type("Own", (adamax,), {"offers": offers})([parameter()], implementation=name)
    optimizer.step()
    assert [choice.name for choice in optimizer.plan] == ["own-kernel"]
    with pytest.raises(optkit.ImplementationError, match="Adamax has no own-kernel"):
        created(implementation=name)


def test_a_name_is_found_in_an_algorithm_that_nobody_has_imported(world: World) -> None:
    world.install("kernels", algorithms={"lion": "lions:Lion"}, modules={"lions": LION})
    world.install("bad-dist", algorithms={"bad": "bad:Bad"}, modules={"bad": "exit(3)"})
    with optkit.use("lion-kernel"):
        optimizer = optkit.create("lion", [parameter()])
    assert optimizer.explain().buckets[0].implementation == "lion-kernel"


LION = """
from optkit_core import Offer
from optkit_plugins.adamax import Adamax
class Lion(Adamax):
    offers = (Offer("lion-kernel", lambda *_: lambda: None, lambda *_: ""),)
"""


@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize("name", ["vendor-x", "flat"])
def test_a_class_of_torchs_has_no_flag_for_it(
    name: str, registered: Callable[[str, type], None]
) -> None:
    registered("torch-sgd", torch.optim.SGD)
    with pytest.raises(optkit.ImplementationError, match=f"SGD .* no flag for .*'{name}'"):
        optkit.create("torch-sgd", [parameter()], lr=0.1, implementation=name)


def test_without_the_plugin_the_name_is_unknown() -> None:
    with pytest.raises(optkit.OptkitError, match="implementation must be one of"):
        optkit.create("adamax", [parameter()], implementation="vendor-x")


def test_an_offer_that_is_none_is_refused() -> None:
    class Plugin:
        @optkit_core.hookimpl
        def optkit_offers(self, algorithm: Any) -> Any:
            return ["vendor-x"]

    optkit_core.register_plugin(Plugin(), "vendor")
    try:
        with pytest.raises(optkit_core.PluginError, match=r"must return .*Offer records"):
            optkit.create("adamax", [parameter()], implementation="forloop")
    finally:
        optkit_core.unregister_plugin("vendor")


@pytest.mark.parametrize("name", ["fused", "auto", "forloop"])
def test_a_taken_name_is_refused(name: str) -> None:
    optkit_core.register_plugin(Vendor(name), "vendor")
    try:
        with pytest.raises(optkit_core.PluginError, match="needs a name of its own"):
            optkit.create("adamax", [parameter()], implementation="forloop")
    finally:
        optkit_core.unregister_plugin("vendor")


def test_an_added_one_may_not_go_ahead_of_others() -> None:
    class Pushing:
        @optkit_core.hookimpl
        def optkit_offers(self, algorithm: Any) -> Any:
            return [Offer("vendor-x", stepping, refusing, ahead_of=frozenset({"forloop"}))]

    optkit_core.register_plugin(Pushing(), "vendor")
    try:
        with pytest.raises(optkit_core.PluginError, match="auto prefers no added one"):
            optkit.create("adamax", [parameter()], implementation="forloop")
    finally:
        optkit_core.unregister_plugin("vendor")
