"""Algorithms and whole plugins of other distributions: found, imported, blocked, replaced."""

from __future__ import annotations

import contextlib
import pkgutil
import threading
import warnings
from typing import Any

import distributions
import pytest
import torch
from algorithms import ALGORITHMS
from distributions import FEW, OPTIMIZER, PLUGIN, World
from processes import python

import optkit
import optkit_core
from optkit_core.plugins import hook_calls

world = pytest.fixture(distributions.world)


def zeros() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(2))]


@pytest.mark.slow
def test_algorithms_are_imported_one_at_a_time_on_first_use() -> None:
    printed = python(
        """
import sys
from importlib.metadata import entry_points
known = {e.value.partition(":")[0] for e in entry_points(group="optkit.algorithms")}
def plugins(): return sorted(known.intersection(sys.modules))
import optkit, torch
print(optkit.available(), plugins())
optimizer = optkit.create("adamax", [torch.zeros(1)])
print(plugins())
print(optkit.describe("adagrad").distribution, plugins())
"""
    )
    assert printed.splitlines() == [
        f"{list(ALGORITHMS)} []",
        "['optkit_plugins.adamax']",
        "optkit ['optkit_plugins.adagrad', 'optkit_plugins.adamax']",
    ]


def test_an_entry_point_makes_an_algorithm(world: World) -> None:
    world.install_algorithm("lion-pack", "lion", "lion_module")
    assert optkit.available("l*") == ["lbfgs", "lion"]
    assert world.imported() == set()
    optimizer = optkit.create("lion", zeros(), lr=0.5)
    assert world.imported() == {"lion_module"}
    assert isinstance(optimizer, torch.optim.SGD) and optimizer.defaults["lr"] == 0.5
    description = optkit.describe("lion")
    assert (description.distribution, description.version) == ("lion-pack", "1.0")
    assert description.location == "lion_module:Lion"
    assert description.summary == "An optimizer that somebody else wrote."


def test_the_class_is_imported_once(world: World) -> None:
    world.install_algorithm("lion-pack", "lion", "lion_module")
    assert optkit.get("lion") is optkit.get("LION") is optkit.get("lion-pack:lion")


def test_two_names_for_one_class(world: World) -> None:
    world.install(
        "lion-pack",
        algorithms={"lion": "lion_module:Lion", "evolved": "lion_module:Lion"},
        modules={"lion_module": OPTIMIZER.format(name="Lion")},
    )
    assert optkit.get("lion") is optkit.get("evolved")


@pytest.mark.parametrize(
    ("pattern", "exclude", "expected"),
    [
        ("*", (), FEW),
        ("ada*", (), ["adagrad", "adamax"]),
        ("ADA*", (), ["adagrad", "adamax"]),
        ("ada*", "*grad", ["adamax"]),
        ("*", "*GRAD", ["adamax", "lbfgs"]),
        ("*", ["adagrad", "l*"], ["adamax"]),
        ("*", iter(["ada*"]), ["lbfgs"]),
        ("*", [], FEW),
        ("ada", (), []),
        ("adama[xy]", (), ["adamax"]),
        ("optkit:ada*", (), ["adagrad", "adamax"]),
        ("*", "optkit:*", []),
        ("", (), []),
    ],
)
@pytest.mark.usefixtures("world")
def test_available_takes_patterns(pattern: str, exclude: Any, expected: list[str]) -> None:
    assert optkit.available(pattern, exclude=exclude) == expected


@pytest.mark.parametrize(
    "name", ["adamax", "Adamax", "ADAMAX", "ada-max", "Ada_Max", "_adamax-", "OptKit:Ada-Max"]
)
def test_spelling_of_a_name_is_free(name: str) -> None:
    assert optkit.get(name) is optkit.get("adamax")


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("adamx", "'adamax'"),
        ("AdaGard", "'adagrad'"),
        ("optkit:adagrda", "'adagrad'"),
        ("nobody:adagrad", "'adagrad'"),
        ("lbgfs", "'lbfgs'"),
        ("qqqq", ""),
        ("", ""),
        ("optkit:", ""),
        (" adamax", "'adamax'"),
        ("ada*", ""),
    ],
)
@pytest.mark.parametrize("call", [optkit.get, optkit.describe, lambda n: optkit.create(n, zeros())])
@pytest.mark.usefixtures("world")
def test_an_unknown_name_brings_the_close_ones(call: Any, name: str, close: str) -> None:
    with pytest.raises(optkit.UnknownAlgorithmError) as raised:
        call(name)
    assert repr(name) in str(raised.value)
    assert close in str(raised.value)
    assert "optkit.available()" in str(raised.value)


@pytest.mark.parametrize("name", [None, 3, torch.optim.SGD, ["adamax"]])
def test_a_name_is_a_string(name: Any) -> None:
    with pytest.raises(optkit.UnknownAlgorithmError, match="must be a string"):
        optkit.create(name, zeros())


@pytest.mark.parametrize("spelling", ["lion", "LION", "L-I-O-N"])
def test_two_distributions_claim_one_name(world: World, spelling: str) -> None:
    world.install_algorithm("savanna", "lion", "savanna_lion")
    world.install_algorithm("zoo", spelling, "zoo_lion")
    assert optkit.available("*l*i*o*n*") == sorted(["savanna:lion", f"zoo:{spelling}"])
    with pytest.raises(optkit_core.AmbiguousAlgorithmError) as raised:
        optkit.create("lion", zeros(), lr=0.1)
    for words in ("'lion'", "savanna 1.0", "zoo 1.0", "'savanna:lion'", f"'zoo:{spelling}'"):
        assert words in str(raised.value)
    assert world.imported() == set()
    assert type(optkit.create("savanna:lion", zeros())).__module__ == "savanna_lion"
    assert optkit.get("Zoo:Lion").__module__ == "zoo_lion"
    assert optkit.describe(f"zoo:{spelling}").distribution == "zoo"


def test_a_claim_on_an_own_name(world: World) -> None:
    world.install_algorithm("rival", "Adamax", "rival_adamax")
    assert optkit.available("*adamax") == ["adamax", "rival:Adamax"]
    for name in ("adamax", "AdaMax", "optkit:adamax"):
        assert optkit.get(name).__module__ == "optkit_plugins.adamax"
    assert type(optkit.create("adamax", zeros())).__module__ == "optkit_plugins.adamax"
    assert world.imported() == set()
    assert optkit.get("rival:adamax").__module__ == "rival_adamax"


@pytest.mark.parametrize(
    ("blocked", "left"), [("rival", "optkit_plugins.adamax"), ("optkit:adamax", "rival_adamax")]
)
def test_blocking_one_of_two_settles_the_claim(world: World, blocked: str, left: str) -> None:
    world.install_algorithm("rival", "adamax", "rival_adamax")
    world.monkeypatch.setenv(hook_calls.DISABLED, blocked)
    assert optkit.get("adamax").__module__ == left
    assert optkit.available("*adamax") == ["adamax"]


BROKEN = {
    "raises": ("broken:Lion", "raise RuntimeError('out of order')", "RuntimeError: out of order"),
    "syntax": ("broken:Lion", "def :", "SyntaxError"),
    "dependency": ("broken:Lion", "import no_such_thing", "No module named 'no_such_thing'"),
    "assertion": ("broken:Lion", "assert False, 'never'", "AssertionError: never"),
    "module": ("no_such_module:Lion", "", "No module named 'no_such_module'"),
    "attribute": ("broken:Lion", "Tiger = 1", "has no attribute 'Lion'"),
    "number": ("broken:Lion", "Lion = 3", "must be a subclass of torch.optim.Optimizer, got 3"),
    "class": ("broken:Lion", "class Lion: pass", "must be a subclass of torch.optim.Optimizer"),
    "function": ("broken:Lion", "def Lion(params): pass", "must be a subclass"),
    "whole module": ("broken", "", "must be a subclass"),
    "value": ("broken:", "", "broken:"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_algorithm_breaks_only_itself(world: World, kind: str) -> None:
    value, source, words = BROKEN[kind]
    world.install("bad-dist", algorithms={"lion": value}, modules={"broken": source})
    assert "lion" in optkit.available()
    assert type(optkit.create("adamax", zeros())).__name__ == "Adamax"
    for call in (optkit.get, optkit.describe, lambda name: optkit.create(name, zeros())):
        with pytest.raises(optkit_core.PluginError) as raised:
            call("lion")
        assert "bad-dist" in str(raised.value) and words in str(raised.value)
        assert value in str(raised.value)
    assert optkit.get("adagrad").__name__ == "Adagrad"


def test_a_distribution_without_a_name_breaks_nothing(world: World) -> None:
    world.install_algorithm("left-over", "adagrad", "left_over")
    (world.root / "left-over" / "left_over-1.0.dist-info" / "METADATA").unlink()
    assert optkit.get("adamax").__name__ == "Adamax"
    assert optkit.get("optkit:adagrad").__module__ == "optkit_plugins.adagrad"
    assert "adamax" in optkit.available()


def test_the_cause_of_a_failed_import_is_kept_and_a_repair_is_seen(world: World) -> None:
    broken = {"broken": "raise KeyError('x')"}
    world.install("bad-dist", algorithms={"lion": "broken:Lion"}, modules=broken)
    with pytest.raises(optkit_core.PluginError) as raised:
        optkit.get("lion")
    assert isinstance(raised.value.__cause__, KeyError)
    assert f"{hook_calls.DISABLED}=lion" in str(raised.value)
    (world.root / "bad-dist" / "broken.py").write_text(OPTIMIZER.format(name="Lion") + "\n#\n" * 9)
    assert optkit.get("lion").__name__ == "Lion"


ALL_STARTED = """
import threading, time
while sum(thread.name == "getting" for thread in threading.enumerate()) < 4:
    time.sleep(0.001)
"""


def test_two_threads_import_one_algorithm(world: World) -> None:
    source = ALL_STARTED + OPTIMIZER.format(name="Lion")
    algorithms = {"lion": "slow_lion:Lion"}
    world.install("slow", algorithms=algorithms, modules={"slow_lion": source})
    found: list[Any] = []

    def get() -> None:
        try:
            found.append(optkit.get("lion"))
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=get, name="getting") for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [optkit.get("lion")] * 4


@pytest.mark.parametrize(
    ("setting", "left"),
    [
        ("adagrad", ["adamax", "lbfgs"]),
        ("optkit:adagrad", ["adamax", "lbfgs"]),
        ("adagrad,adamax", ["lbfgs"]),
        ("adagrad adamax", ["lbfgs"]),
        (" adagrad ,, adamax\t", ["lbfgs"]),
        ("optkit", []),
        ("Adagrad", ["adamax", "lbfgs"]),
        ("L-BFGS", ["adagrad", "adamax"]),
        ("OptKit:ada_grad", ["adamax", "lbfgs"]),
        ("ada", FEW),
        ("rival:adagrad", FEW),
        ("", FEW),
        (" , ", FEW),
    ],
)
def test_names_are_blocked(world: World, setting: str, left: list[str]) -> None:
    world.monkeypatch.setenv(hook_calls.DISABLED, setting)
    assert optkit.available() == left
    for name in FEW:
        for spelled in (name, f"optkit:{name}", name.upper()):
            if name in left:
                assert optkit.get(spelled).__name__.lower() == name
            else:
                with pytest.raises(optkit.UnknownAlgorithmError, match=hook_calls.DISABLED):
                    optkit.get(spelled)


def test_a_blocked_algorithm_is_never_imported(world: World) -> None:
    module = {"broken": "raise RuntimeError"}
    world.install("bad-dist", algorithms={"lion": "broken:Lion"}, modules=module)
    world.monkeypatch.setenv(hook_calls.DISABLED, "lion")
    for name in ("lion", "bad-dist:lion"):
        with pytest.raises(optkit.UnknownAlgorithmError, match="blocked"):
            optkit.get(name)


def test_blocked_at_run_time_says_so(world: World) -> None:
    optkit.register("lion", torch.optim.SGD)
    world.monkeypatch.setenv(hook_calls.DISABLED, "lion")
    assert "lion" not in optkit.available()
    with pytest.raises(optkit.UnknownAlgorithmError, match="blocked"):
        optkit.get("lion")


@pytest.mark.usefixtures("world")
def test_register_as_a_function_and_as_a_decorator() -> None:
    @optkit.register("my-lion")
    class Lion(torch.optim.SGD):
        pass

    assert Lion.__name__ == "Lion"
    assert optkit.register("tiger", torch.optim.Adam) is torch.optim.Adam
    assert optkit.get("MyLion") is Lion
    assert optkit.available(exclude=FEW) == ["my-lion", "tiger"]
    assert "test_registry" in optkit.describe("my_lion").location
    optkit.unregister("My_Lion")
    with pytest.raises(optkit.UnknownAlgorithmError):
        optkit.get("my-lion")


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("taken", ["adagrad", "Ada-Grad", "lion", "L_ION"])
def test_a_taken_name_needs_replace(taken: str) -> None:
    optkit.register("lion", torch.optim.SGD)
    old = optkit.get(taken)
    for attempt in (
        lambda: optkit.register(taken, torch.optim.Adam),
        lambda: optkit.register(taken)(torch.optim.Adam),
    ):
        with pytest.raises(optkit_core.RegistrationError, match="replace=True") as raised:
            attempt()
        assert repr(taken) in str(raised.value)
        assert optkit.get(taken) is old
    optkit.register(taken, replace=True)(torch.optim.Adam)
    assert optkit.get(taken) is torch.optim.Adam
    assert len(optkit.available()) == 4


def test_registering_neither_imports_nor_trips_over_the_old(world: World) -> None:
    module = {"broken": "raise RuntimeError"}
    world.install("bad-dist", algorithms={"lion": "broken:Lion"}, modules=module)
    optkit.register("lion", torch.optim.SGD, replace=True)
    assert optkit.get("lion") is torch.optim.SGD
    assert world.imported() == set()


def test_replacing_settles_a_claim_and_both_stay_within_reach(world: World) -> None:
    world.install_algorithm("savanna", "lion", "savanna_lion")
    world.install_algorithm("zoo", "lion", "zoo_lion")
    optkit.register("lion", torch.optim.SGD, replace=True)
    assert optkit.available("lion") == ["lion"]
    assert optkit.get("lion") is torch.optim.SGD
    assert optkit.get("zoo:lion").__module__ == "zoo_lion"
    optkit.unregister("lion")
    assert optkit.available("*:lion") == ["savanna:lion", "zoo:lion"]


@pytest.mark.usefixtures("world")
def test_unregister_shows_the_old_one_again() -> None:
    old = optkit.get("adamax")
    optkit.register("adamax", torch.optim.SGD, replace=True)
    optkit.unregister("AdaMax")
    assert optkit.get("adamax") is old
    with pytest.raises(optkit_core.RegistrationError, match="'adamax'"):
        optkit.unregister("adamax")


@pytest.mark.usefixtures("world")
def test_unregister_shows_an_older_registration_again() -> None:
    optkit.register("lion", torch.optim.SGD)
    optkit.register("lion", torch.optim.Adam, replace=True)
    optkit.unregister("lion")
    assert optkit.get("lion") is torch.optim.SGD
    optkit.unregister("lion")
    assert "lion" not in optkit.available()


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("name", ["", " ", "-", "a b", "a:b", "a.b", "li/on", "lion!", None, 3])
def test_names_that_cannot_be_registered(name: Any) -> None:
    with pytest.raises(optkit_core.RegistrationError, match="name must be") as raised:
        optkit.register(name, torch.optim.SGD)
    assert repr(name) in str(raised.value)
    assert optkit.available() == FEW


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("name", ["lion", "Lion_2", "l-i-o-n", "3pg", "löwe"])
def test_names_of_letters_digits_and_dashes_can_be_registered(name: str) -> None:
    optkit.register(name, torch.optim.SGD)
    assert name in optkit.available()
    assert optkit.get(name) is torch.optim.SGD


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    "algorithm",
    [3, "torch.optim:SGD", torch.nn.Linear, object, dict, torch.optim, lambda params: None],
)
def test_what_cannot_be_registered(algorithm: Any) -> None:
    for attempt in (optkit.register, lambda name, cls: optkit.register(name)(cls)):
        with pytest.raises(optkit_core.RegistrationError, match="subclass"):
            attempt("lion", algorithm)
    assert optkit.available() == FEW


@pytest.mark.usefixtures("world")
def test_a_decorator_without_its_name_is_refused_at_once() -> None:
    with pytest.raises(optkit_core.RegistrationError):
        optkit.register(torch.optim.SGD)


def test_a_whole_plugin_registers_at_the_first_create(world: World) -> None:
    source = PLUGIN.format(name="Lion", algorithm="lion")
    world.install("pride", plugins={"pride-plugin": "pride"}, modules={"pride": source})
    assert optkit.available() == FEW
    assert world.imported() == set()
    optkit.create("adamax", zeros())
    assert optkit.available() == sorted([*FEW, "lion"])
    assert optkit.get("lion").__module__ == "pride"
    assert "pride-plugin" in hook_calls.names()


def test_an_unknown_name_looks_into_whole_plugins(world: World) -> None:
    source = PLUGIN.format(name="Lion", algorithm="lion")
    world.install("pride", plugins={"pride": "pride"}, modules={"pride": source})
    assert optkit.describe("lion").location == "pride:Lion"


def test_a_whole_plugin_is_loaded_once_and_watches(world: World) -> None:
    source = """
import optkit_core
seen = []
class Plugin:
    @optkit_core.hookimpl
    def optkit_register(self, registrar):
        seen.append("register")
    @optkit_core.hookimpl
    def optkit_created(self, optimizer):
        seen.append(type(optimizer).__name__)
plugin = Plugin()
"""
    world.install("watcher", plugins={"watch": "watcher:plugin"}, modules={"watcher": source})
    optkit.create("adamax", zeros())
    optkit.register("torch-sgd", torch.optim.SGD)
    optkit.create("torch-sgd", zeros())
    from watcher import seen

    assert seen == ["register", "Adamax", "SGD"]


FAILING = {
    "raises": ("raise RuntimeError('out of order')", ["out of order"]),
    "syntax": ("def :", ["SyntaxError"]),
    "dependency": ("import no_such_thing", ["no_such_thing"]),
    "unknown hook": (
        "import optkit_core\n@optkit_core.hookimpl\ndef optkit_bogus(optimizer): pass",
        ["optkit_bogus", "optkit_before_step"],
    ),
    "unknown argument": (
        "import optkit_core\n@optkit_core.hookimpl\ndef optkit_created(banana): pass",
        ["optkit_created", "banana"],
    ),
    "register raises": (
        "import optkit_core\n@optkit_core.hookimpl\n"
        "def optkit_register(registrar): raise KeyError('lost')",
        ["KeyError", "lost"],
    ),
    "takes a name": (PLUGIN.format(name="Lion", algorithm="adamax"), ["adamax", "replace=True"]),
    "registers nonsense": (PLUGIN.format(name="Lion", algorithm="a b"), ["'a b'"]),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_failing_plugin_warns_and_breaks_only_itself(world: World, kind: str) -> None:
    source, words = FAILING[kind]
    good = PLUGIN.format(name="Tiger", algorithm="tiger")
    world.install("good-dist", plugins={"good": "good"}, modules={"good": good})
    world.install("bad-dist", version="7", plugins={"bad": "bad"}, modules={"bad": source})
    with pytest.warns(optkit_core.PluginWarning) as warned:
        optimizer = optkit.create("adamax", zeros())
    assert type(optimizer).__module__ == "optkit_plugins.adamax"
    assert len(warned) == 1
    for part in ("'bad'", "bad-dist 7", *words):
        assert part in str(warned[0].message)
    assert optkit.get("tiger").__name__ == "Tiger"
    assert "good" in hook_calls.names() and "bad" not in hook_calls.names()
    optkit.create("adagrad", zeros())
    optkit_core.register_plugin(distributions.Notes(), "later")


def test_a_plugin_that_is_left_out_leaves_no_algorithms(world: World) -> None:
    source = PLUGIN.format(name="Lion", algorithm="lion") + "    raise RuntimeError('halfway')\n"
    world.install("bad-dist", plugins={"bad": "bad"}, modules={"bad": source})
    with pytest.warns(optkit_core.PluginWarning, match="halfway"):
        optkit.create("adamax", zeros())
    assert optkit.available() == FEW


def test_two_plugins_of_one_name(world: World) -> None:
    for dist, name in (("savanna", "Lion"), ("zoo", "Tiger")):
        source = PLUGIN.format(name=name, algorithm=name.lower())
        world.install(dist, plugins={"cats": f"{dist}_cats"}, modules={f"{dist}_cats": source})
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        optkit.create("adamax", zeros())
    assert all("cats" in str(warning.message) for warning in warned)
    assert "cats" in hook_calls.names(), "the first of them has done nothing wrong"


def test_a_hook_on_an_algorithm_class_does_not_fail_a_whole_plugin(world: World) -> None:
    body = "    @optkit_core.hookimpl\n    def optkit_bogus(self): pass\n"
    source = "import optkit_core" + OPTIMIZER.format(name="Lion") + body
    algorithms = {"lion": "lion_module:Lion"}
    world.install("bad-dist", algorithms=algorithms, modules={"lion_module": source})
    with contextlib.suppress(optkit_core.PluginError):
        optkit.get("lion")
    assert optkit_core.register_plugin(distributions.Notes(), "innocent") == "innocent"


@pytest.mark.parametrize("setting", ["pride-plugin", "pride-dist", "pride-dist:pride-plugin"])
def test_whole_plugins_are_blocked(world: World, setting: str) -> None:
    module = {"pride": "raise RuntimeError('imported')"}
    world.install("pride-dist", plugins={"pride-plugin": "pride"}, modules=module)
    world.monkeypatch.setenv(hook_calls.DISABLED, f"other, {setting}")
    optkit.create("adamax", zeros())
    assert hook_calls.names() == ["optkit:adamax"]
    assert world.imported() == set()


@pytest.mark.slow
def test_plugins_load_in_a_process_of_their_own(tmp_path: Any) -> None:
    good = PLUGIN.format(name="Lioness", algorithm="lioness")
    distributions.install(tmp_path, "pride", plugins={"pride": "pride"}, modules={"pride": good})
    bad = {"bad": FAILING["unknown hook"][0]}
    distributions.install(tmp_path, "bad-dist", plugins={"bad": "bad"}, modules=bad)
    code = """
import optkit, torch
print("lioness" in optkit.available())
print(type(optkit.create("adamax", [torch.zeros(1)])).__name__, "lioness" in optkit.available())
print(type(optkit.create("lioness", [torch.zeros(1)])).__module__)
"""
    printed = python(code, tmp_path)
    assert printed.splitlines()[:3] == ["False", "Adamax True", "pride"]
    assert printed.count("PluginWarning") == 1
    for words in ("'bad'", "bad-dist 1.0", "optkit_bogus"):
        assert words in printed
    code = "import optkit, torch; optkit.create('adamax', [torch.zeros(1)])"
    assert python(code, tmp_path, OPTKIT_DISABLE_PLUGINS="bad-dist") == ""


def test_no_module_hides_a_name_of_the_public_door() -> None:
    """Importing a submodule sets it as an attribute of its package, over a function of its name."""
    modules = {module.name for module in pkgutil.iter_modules(optkit_core.__path__)}
    offered = {"scalar_math"}  # the module itself
    assert modules.intersection(optkit_core.__all__) == offered
    for _ in range(2):
        assert optkit_core.describe("adamax").name == "adamax"
