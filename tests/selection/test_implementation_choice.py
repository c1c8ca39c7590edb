"""Who says which implementation runs, what is refused, and what the plan tells."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from algorithms import COUNTED, TORCH
from processes import PATIENCE
from torch.utils._python_dispatch import TorchDispatchMode

import optkit
from optkit_core import Choice, Offer, OptkitError
from optkit_core.selection import requests, select_implementation
from optkit_core.step.bucket_key import BucketKey

LEVELS = ["argument", "use", "environment", "file"]
SOURCES = {
    "argument": "the argument implementation=",
    "use": "optkit.use",
    "environment": "the environment variable OPTKIT_IMPLEMENTATION",
    "file": "choice.toml (OPTKIT_CONFIG)",
}


def parameters(count: int = 2, dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    params = [torch.nn.Parameter(torch.ones(3, dtype=dtype)) for _ in range(count)]
    for p in params:
        p.grad = torch.ones_like(p)
    return params


def ran(optimizer: Any) -> list[str]:
    """Take a step and return what the plan says ran."""
    optimizer.step()
    return [choice.name for choice in optimizer.plan]


class Speaker:
    """States wishes at each level, then creates."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = folder / "choice.toml"
        self.monkeypatch = monkeypatch
        self.stack = ExitStack()
        self.argument: dict[str, Any] = {}

    def say(self, level: str, wish: Any) -> None:
        if level == "argument":
            self.argument = {"implementation": wish}
        elif level == "use":
            self.stack.enter_context(optkit.use(wish))
        elif level == "environment":
            self.monkeypatch.setenv("OPTKIT_IMPLEMENTATION", wish)
        else:
            self.write(f"implementation = {_toml(wish)}\n")

    def write(self, text: str | bytes) -> None:
        self.file.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.monkeypatch.setenv("OPTKIT_CONFIG", str(self.file))

    def create(self, name: str = "adamax", **options: Any) -> Any:
        return optkit.create(name, parameters(), **self.argument, **options)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{k}" = {_toml(v)}' for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value).lower()


@pytest.fixture
def speaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Speaker(tmp_path, monkeypatch)
    with made.stack:
        yield made


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "fused"),
        ({"implementation": None}, "fused"),
        ({"implementation": "auto"}, "fused"),
        ({"implementation": "forloop"}, "forloop"),
        ({"implementation": "foreach"}, "foreach"),
        ({"implementation": {"cpu": "foreach", "cuda": "fused"}}, "foreach"),
        ({"implementation": {"cuda": "fused"}}, "fused"),
        ({"implementation": {"*": "foreach"}}, "foreach"),
        ({"implementation": {"*": "fused", "cpu": "foreach"}}, "foreach"),
        ({"implementation": {"*": "foreach", "cpu": "auto"}}, "fused"),
        ({"implementation": {}}, "fused"),
        ({"foreach": True}, "foreach"),
        ({"foreach": False}, "forloop"),
        ({"fused": False}, "forloop"),
        ({"foreach": True, "fused": False}, "foreach"),
        ({"foreach": False, "fused": False}, "forloop"),
        ({"foreach": None, "fused": None}, "fused"),
        ({"foreach": True, "implementation": "foreach"}, "foreach"),
        ({"foreach": False, "implementation": "forloop"}, "forloop"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", TORCH)
def test_what_is_asked_for_runs(name: str, options: dict[str, Any], expected: str) -> None:
    assert ran(optkit.create(name, parameters(), **options)) == [expected]


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_the_name_tells_what_is_really_run(name: str, implementation: str) -> None:
    optimizer = optkit.create(name, parameters(), implementation=implementation)
    called: list[str] = []

    class Log(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.append(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    with Log():
        optimizer.step()
    on_lists = [name for name in called if name.startswith("_foreach_")]
    counted = ["_foreach_add_"] if name in COUNTED else []  # counters are a list
    assert on_lists[: len(counted)] == counted
    assert bool(on_lists[len(counted) :]) == (implementation == "foreach")


@pytest.mark.parametrize(
    "options",
    [
        {"foreach": True, "fused": True},
        {"implementation": "forloop", "foreach": True},
        {"implementation": "foreach", "foreach": False},
        {"implementation": "foreach", "fused": True},
        {"implementation": "fused", "foreach": True},
        {"implementation": "fused", "fused": False},
        {"implementation": {"cpu": "foreach"}, "foreach": False},
    ],
    ids=str,
)
def test_contradictions_are_refused(options: dict[str, Any]) -> None:
    for way in (
        lambda: optkit.create("adagrad", parameters(), **options),
        lambda: optkit.create("adagrad", [{"params": parameters(), **options}]),
    ):
        with pytest.raises(optkit.ImplementationError, match=r"contradicts|`True` together"):
            way()


@pytest.mark.parametrize("top", range(len(LEVELS)), ids=LEVELS.__getitem__)
@pytest.mark.parametrize(("wish", "below"), [("foreach", "forloop"), ("forloop", "foreach")])
def test_the_highest_level_that_speaks_decides(
    speaker: Speaker, top: int, wish: str, below: str
) -> None:
    speaker.say(LEVELS[top], wish)
    for level in LEVELS[top + 1 :]:
        speaker.say(level, below)
    optimizer = speaker.create()
    assert ran(optimizer) == [wish]
    assert optimizer.plan[0].reason.startswith("requested by ")
    assert SOURCES[LEVELS[top]] in optimizer.plan[0].reason


@pytest.mark.parametrize("top", range(len(LEVELS) - 1), ids=LEVELS.__getitem__)
def test_auto_is_a_word_too(speaker: Speaker, top: int) -> None:
    speaker.say(LEVELS[top], "auto")
    for level in LEVELS[top + 1 :]:
        speaker.say(level, "foreach")
    assert ran(speaker.create()) == ["fused"]


@pytest.mark.parametrize("level", LEVELS[1:])
@pytest.mark.parametrize(("flag", "expected"), [(True, "foreach"), (False, "forloop")])
def test_a_flag_is_an_argument(speaker: Speaker, level: str, flag: bool, expected: str) -> None:
    speaker.say(level, "forloop" if flag else "foreach")
    optimizer = speaker.create(foreach=flag)
    assert ran(optimizer) == [expected]
    assert "foreach= or fused= flag" in optimizer.plan[0].reason


@pytest.mark.parametrize("level", ["argument", "use", "file"])
@pytest.mark.parametrize(
    ("wish", "expected"),
    [({"cpu": "foreach"}, "foreach"), ({"cuda": "fused", "mps": "foreach"}, "fused")],
    ids=str,
)
def test_a_mapping_is_by_device(speaker: Speaker, level: str, wish: Any, expected: str) -> None:
    speaker.say(level, wish)
    assert ran(speaker.create()) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('implementation = "foreach"', "foreach"),
        ('[implementation]\ncpu = "foreach"\ncuda = "fused"', "foreach"),
        ('[implementation]\ncuda = "fused"', "fused"),
        ("[implementation]", "fused"),
        ("", "fused"),
        ("# nothing\n", "fused"),
    ],
)
def test_the_file_is_toml(speaker: Speaker, text: str, expected: str) -> None:
    speaker.write(text)
    assert ran(speaker.create()) == [expected]


@pytest.mark.parametrize("variable", ["OPTKIT_IMPLEMENTATION", "OPTKIT_CONFIG"])
def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "")
    assert ran(optkit.create("adamax", parameters())) == ["fused"]


def test_spaces_around_the_variable_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTKIT_IMPLEMENTATION", " foreach\n")
    assert ran(optkit.create("adamax", parameters())) == ["foreach"]


def chosen() -> str:
    return ran(optkit.create("adamax", parameters()))[0]


def test_use_nests() -> None:
    with optkit.use("foreach"):
        with optkit.use("forloop"):
            assert chosen() == "forloop"
            with optkit.use({"cpu": "foreach"}):
                assert chosen() == "foreach"
            assert chosen() == "forloop"
        assert chosen() == "foreach"
    assert chosen() == "fused"


def test_use_is_restored_by_an_exception() -> None:
    def fails() -> None:
        with optkit.use("foreach"):
            raise ArithmeticError(chosen())

    with pytest.raises(ArithmeticError, match="foreach"):
        fails()
    assert chosen() == "fused"


def test_use_holds_in_its_own_thread_only() -> None:
    inside, outside = threading.Event(), threading.Event()
    found: dict[str, str] = {}

    def other() -> None:
        found["before"] = chosen()
        with optkit.use("foreach"):
            inside.set()
            assert outside.wait(PATIENCE)
            found["inside"] = chosen()

    with optkit.use("foreach"):
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(PATIENCE)
    found["main"] = chosen()
    outside.set()
    thread.join()
    assert found == {"before": "fused", "inside": "foreach", "main": "fused"}


def test_use_holds_in_its_own_task_only() -> None:
    async def task(wish: str) -> str:
        with optkit.use(wish):
            await asyncio.sleep(0)
            return chosen()

    async def main() -> list[str]:
        return await asyncio.gather(task("foreach"), task("forloop"), task("foreach"))

    assert asyncio.run(main()) == ["foreach", "forloop", "foreach"]


def test_use_speaks_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds later, at a step, at a further group or at a load, changes nothing."""
    with optkit.use("foreach"):
        optimizer = optkit.create("adagrad", parameters())
    plain = optkit.create("adagrad", parameters())
    monkeypatch.setenv("OPTKIT_IMPLEMENTATION", "forloop")
    optimizer.add_param_group({"params": parameters(1, torch.float64)})
    assert ran(optimizer) == ["foreach", "foreach"]
    with optkit.use("foreach"):
        plain.load_state_dict(plain.state_dict())
        assert ran(plain) == ["fused"]


BAD_NAMES = ["Foreach", "for-loop", "cuda", "auto,foreach", "*"]
BAD_VALUES = [3, True, ["foreach"], {"cpu": "quick"}, {"cpu": 3}, {"cuda": ""}]
BAD_DEVICES = [{"gpu": "foreach"}, {"cuda:0": "foreach"}, {"": "foreach"}, {"CPU": "foreach"}]


def refused(speaker: Speaker, level: str, wish: Any) -> str:
    """Return the message of the one error that a bad wish brings."""
    with pytest.raises(OptkitError) as raised:
        speaker.say(level, wish)
        speaker.create()
    assert isinstance(raised.value, ValueError)
    assert SOURCES[level] in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("wish", [*BAD_NAMES, *BAD_VALUES], ids=str)
def test_a_bad_wish_is_one_clear_error(speaker: Speaker, level: str, wish: Any) -> None:
    if level == "environment" and not isinstance(wish, str):
        wish = str(wish)
    message = refused(speaker, level, wish)
    bad = next(iter(wish.values())) if isinstance(wish, dict) else wish
    assert f"got {bad!r}" in message
    for name in ("auto", "forloop", "foreach", "fused", "mapping"):
        assert name in message


@pytest.mark.parametrize("level", ["argument", "use", "file"])
@pytest.mark.parametrize("wish", BAD_DEVICES, ids=str)
def test_a_bad_device_is_one_clear_error(speaker: Speaker, level: str, wish: Any) -> None:
    message = refused(speaker, level, wish)
    assert (
        f"device type must be a name such as 'cpu' or 'cuda', got {next(iter(wish))!r}" in message
    )


@pytest.mark.parametrize("key", [3, None, torch.device("cpu")], ids=str)
def test_a_device_that_is_no_name(key: Any) -> None:
    with pytest.raises(optkit.HyperparameterError, match="device type must be a name"):
        optkit.create("adamax", parameters(), implementation={key: "foreach"})


def test_a_near_miss_brings_the_name() -> None:
    with pytest.raises(ValueError, match="Did you mean 'foreach'"):
        optkit.create("adamax", parameters(), implementation="foreech")


@pytest.mark.parametrize("value", ["yes", 1, 0, "foreach"])
@pytest.mark.parametrize("flag", ["foreach", "fused"])
def test_flags_are_true_false_or_none(flag: str, value: Any) -> None:
    with pytest.raises(optkit.HyperparameterError, match=flag) as raised:
        optkit.create("adamax", parameters(), **{flag: value})
    assert repr(value) in str(raised.value) and "True" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("implementation = ", "isn't TOML"),
        ("implementation foreach", "isn't TOML"),
        (b'implementation = "\xff"', "isn't text in UTF-8"),
        ('implementaton = "foreach"', "'implementaton'"),
        ('implementation = "foreach"\ncolour = 3', "'colour'"),
        ('[optkit]\nimplementation = "foreach"', "'optkit'"),
    ],
)
def test_a_broken_file_is_named(speaker: Speaker, text: str | bytes, words: str) -> None:
    speaker.write(text)
    with pytest.raises(requests.ConfigError) as raised:
        speaker.create()
    for part in (str(speaker.file), "OPTKIT_CONFIG", words):
        assert part in str(raised.value)


@pytest.mark.parametrize("place", ["missing.toml", "."])
def test_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("OPTKIT_CONFIG", str(tmp_path / place))
    with pytest.raises(requests.ConfigError, match="can't be read") as raised:
        optkit.create("adamax", parameters())
    assert str(tmp_path / place) in str(raised.value)


def test_a_lower_level_is_not_read(speaker: Speaker) -> None:
    speaker.write("nonsense")
    speaker.say("environment", "foreach")
    assert ran(speaker.create()) == ["foreach"]
    speaker.monkeypatch.setenv("OPTKIT_IMPLEMENTATION", "nonsense")
    with optkit.use("foreach"):
        assert ran(speaker.create()) == ["foreach"]
    assert ran(speaker.create(implementation="foreach")) == ["foreach"]


@pytest.mark.parametrize("level", [*LEVELS, "flag"])
@pytest.mark.parametrize("name", TORCH)
def test_fused_does_not_record_a_graph(speaker: Speaker, level: str, name: str) -> None:
    if level != "flag":
        speaker.say(level, "fused")
    with pytest.raises(optkit.ImplementationError) as raised:
        speaker.create(name, differentiable=True, **({"fused": True} if level == "flag" else {}))
    source = SOURCES.get(level, "the foreach= or fused= flag")
    for words in ("'fused'", "cpu", "What could run: forloop;", "'auto'", source):
        assert words in str(raised.value)


@pytest.mark.parametrize("options", [{"foreach": True}, {"implementation": {"cpu": "foreach"}}])
def test_foreach_does_not_record_a_graph(options: dict[str, Any]) -> None:
    for way in (
        lambda: optkit.create("adamax", parameters(), differentiable=True, **options),
        lambda: optkit.create(
            "adamax", [{"params": parameters(), "differentiable": True}], **options
        ),
    ):
        with pytest.raises(optkit.ImplementationError, match=r"What could run: forloop; or") as err:
            way()
        assert "differentiable" in str(err.value) and "'foreach'" in str(err.value)


def test_auto_knows_what_records_a_graph() -> None:
    optimizer = optkit.create("adamax", parameters())
    kind = BucketKey(torch.device("cuda"), torch.float32, differentiable=True)
    choice = select_implementation.select(requests.DEFAULT, kind, optimizer.offers, type(optimizer))
    assert choice.name == "forloop"
    assert dict(choice.rejected)["foreach"].startswith("multi-tensor operations don't record")


REFUSED_GROUPS = [
    {"implementation": "fused", "differentiable": True},
    {"fused": True, "differentiable": True},
    {"implementation": {"cpu": "fused"}, "differentiable": True},
    {"foreach": True, "differentiable": True},
    {"foreach": True, "fused": True},
]


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("options", REFUSED_GROUPS, ids=str)
def test_a_refused_group_leaves_everything_as_it_was(name: str, options: dict[str, Any]) -> None:
    first = parameters()
    optimizer = optkit.create(name, first)
    optimizer.step()
    states = {p: dict(optimizer.state[p]) for p in first}
    plan, groups = optimizer.plan, list(map(id, optimizer.param_groups))
    group = {"params": parameters(1), **options}
    before = dict(group)
    with pytest.raises(optkit.ImplementationError):
        optimizer.add_param_group(group)
    assert list(map(id, optimizer.param_groups)) == groups
    assert dict(optimizer.state) == states and optimizer.plan == plan
    assert group.keys() == before.keys() and all(group[k] is before[k] for k in group)
    optimizer.add_param_group({"params": group["params"]})
    assert ran(optimizer) == ["fused"]


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("options", REFUSED_GROUPS[:4], ids=str)
def test_a_later_group_of_the_constructor_is_checked_too(
    name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(optkit.ImplementationError, match="What could run: forloop"):
        optkit.create(name, [{"params": parameters()}, {"params": parameters(), **options}])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"implementation": "foreach"}, "foreach"),
        ({"implementation": {"cpu": "foreach"}}, "foreach"),
        ({"foreach": True}, "foreach"),
        ({"foreach": False}, "forloop"),
    ],
    ids=str,
)
@pytest.mark.parametrize("level", ["default", "use", "environment"])
def test_a_group_may_differ(
    speaker: Speaker, options: dict[str, Any], expected: str | None, level: str
) -> None:
    others = "fused" if level == "default" else "forloop"
    if level != "default":
        speaker.say(level, others)
    special = {"params": parameters(2, torch.float64), **options}
    optimizer = optkit.create("adagrad", [special, {"params": parameters()}])
    optimizer.step()
    assert {choice.key.dtype: choice.name for choice in optimizer.plan} == {
        torch.float64: expected or others,
        torch.float32: others,
    }


@pytest.mark.parametrize("given", [{"foreach": False}, {"implementation": "forloop"}], ids=str)
@pytest.mark.parametrize("own", [{"foreach": True}, {"implementation": "foreach"}], ids=str)
def test_a_groups_wish_overrides_the_constructors(given: Any, own: Any) -> None:
    optimizer = optkit.create("adagrad", [{"params": parameters(), **own}], **given)
    optimizer.add_param_group({"params": parameters(1, torch.float64), **own})
    assert ran(optimizer) == ["foreach", "foreach"]
    optimizer.load_state_dict(optimizer.state_dict())
    assert ran(optimizer) == ["foreach", "foreach"]


@pytest.mark.parametrize("flag", [True, False])
def test_a_group_without_a_wish_follows_the_constructor(flag: bool) -> None:
    optimizer = optkit.create("adamax", [{"params": parameters()}], foreach=flag)
    optimizer.add_param_group({"params": parameters(1, torch.float64)})
    assert optimizer.param_groups[1]["foreach"] is flag
    assert ran(optimizer) == ["foreach" if flag else "forloop"] * 2


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize(
    ("key", "values"), [("foreach", (True, False)), ("implementation", ("foreach", "forloop"))]
)
def test_a_later_change_takes_effect(name: str, key: str, values: tuple[Any, Any]) -> None:
    optimizer = optkit.create(name, parameters())
    group = optimizer.param_groups[0]
    assert ran(optimizer) == ["fused"]
    group[key] = values[0]
    assert ran(optimizer)[-1] == "foreach"
    before = len(optimizer.plan)
    group[key] = values[1]
    assert ran(optimizer)[-1] == "forloop"
    assert len(optimizer.plan) == before + 1
    assert "flag" in optimizer.plan[-1].reason or "argument" in optimizer.plan[-1].reason


def test_a_later_change_to_none_returns_to_what_was_wished() -> None:
    with optkit.use("foreach"):
        optimizer = optkit.create("adamax", parameters(), foreach=False)
        other = optkit.create("adamax", parameters())
    assert ran(optimizer) == ["forloop"]
    other.param_groups[0]["foreach"] = False
    assert ran(other) == ["forloop"]
    other.param_groups[0]["foreach"] = None
    assert ran(other) == ["forloop", "foreach"]


@pytest.mark.parametrize("name", TORCH)
def test_a_later_change_that_cannot_be_met_moves_nothing(name: str) -> None:
    (p,) = params = parameters(1)
    optimizer = optkit.create(name, params)
    optimizer.step()
    before = p.detach().clone()
    optimizer.param_groups[0].update(fused=True, differentiable=True)
    with pytest.raises(optkit.ImplementationError, match="What could run: forloop; or"):
        optimizer.step()
    torch.testing.assert_close(p.detach(), before, rtol=0, atol=0)
    assert name not in COUNTED or optimizer.state[p]["step"] == 1
    optimizer.param_groups[0].update(fused=None, differentiable=False)
    assert ran(optimizer) == ["fused"]


@pytest.mark.parametrize("name", TORCH)
def test_a_checkpoint_does_not_override_how_to_run(name: str) -> None:
    source = optkit.create(name, parameters(), foreach=False, lr=0.5)
    source.step()
    for options in ({"foreach": True}, {"implementation": "foreach"}):
        target = optkit.create(name, parameters(), **options)
        target.load_state_dict(copy.deepcopy(source.state_dict()))
        assert ran(target) == ["foreach"]
        assert target.param_groups[0]["lr"] == 0.5
        theirs = TORCH[name](parameters(), foreach=False)
        theirs.step()
        target.load_state_dict(pickle.loads(pickle.dumps(theirs.state_dict())))
        assert ran(target) == ["foreach"]


def offer(name: str, refusal: str = "") -> Offer:
    return Offer(name, lambda *_: None, lambda *_: refusal)


class Algorithm:
    """Stands for an optimizer class where only its name counts."""


def select(wish: Any, device: str, *offers: Offer) -> Choice:
    request = requests.parse(wish, "a test")
    return select_implementation.select(
        request, BucketKey(torch.device(device), torch.float32), offers, Algorithm
    )


THREE = (offer("fused"), offer("foreach"), offer("forloop"))


@pytest.mark.parametrize(
    ("wish", "device", "expected"),
    [
        ("auto", "cpu", "fused"),
        ("auto", "cuda", "foreach"),
        ("auto", "cuda:1", "foreach"),
        ("auto", "xpu", "foreach"),
        ("auto", "mps", "forloop"),
        ({"cuda": "fused"}, "cuda:1", "fused"),
        ({"cuda": "forloop"}, "cpu", "fused"),
        ({"cuda": "fused", "*": "foreach"}, "mps", "foreach"),
        ("forloop", "cuda", "forloop"),
    ],
    ids=str,
)
def test_select_needs_no_device(wish: Any, device: str, expected: str) -> None:
    choice = select(wish, device, *THREE)
    assert choice.name == expected and choice.key.device == torch.device(device)
    assert sorted(dict(choice.rejected)) == sorted({"fused", "foreach", "forloop"} - {expected})


def test_select_is_pure(speaker: Speaker) -> None:
    first = select("auto", "cpu", *THREE)
    for level in LEVELS[1:]:
        speaker.say(level, "foreach")
    assert select("auto", "cpu", *THREE) == first
    assert select("auto", "cpu", *reversed(THREE)).offer == first.offer


def test_select_passes_over_what_refuses() -> None:
    offers = (offer("forloop", "too slow"), offer("foreach"), offer("fused", "unknown"))
    choice = select("auto", "cpu", *offers)
    assert choice.name == "foreach"
    assert choice.reason == "first choice on cpu that can run it"
    assert dict(choice.rejected) == {"forloop": "too slow", "fused": "unknown"}
    with pytest.raises(optkit.ImplementationError) as raised:
        select("forloop", "cpu", *offers)
    for words in ("'forloop'", "a test", "Algorithm", "cpu float32", "too slow", "run: foreach;"):
        assert words in str(raised.value)


@pytest.mark.parametrize("wish", ["auto", "foreach"])
@pytest.mark.parametrize("offers", [(), (offer("foreach", "wet"),)], ids=["none", "unable"])
def test_select_with_nothing_able_says_so(wish: str, offers: tuple[Offer, ...]) -> None:
    with pytest.raises(optkit.ImplementationError, match="Algorithm") as raised:
        select(wish, "cpu", *offers)
    assert not offers or "wet" in str(raised.value)


@pytest.mark.parametrize("name", TORCH)
def test_the_plan_has_one_entry_for_each_kind(name: str) -> None:
    params = [*parameters(3), *parameters(2, torch.float64), *parameters(1, torch.complex64)]
    optimizer = optkit.create(name, params)
    assert optimizer.plan == ()
    for _ in range(3):
        optimizer.step()
    kinds = [str(choice.key) for choice in optimizer.plan]
    assert kinds == ["cpu float32", "cpu float64", "cpu complex64"]
    for choice in optimizer.plan:
        assert choice.name == "fused"
        assert choice.reason == "first choice on cpu that can run it"
        assert dict(choice.rejected) == {
            "foreach": "not preferred",
            "forloop": "not preferred",
        }


def test_the_plan_knows_only_what_has_stepped() -> None:
    optimizer = optkit.create("adamax", [*parameters(1), *parameters(1, torch.float64)])
    optimizer.param_groups[0]["params"][1].grad = None
    assert ran(optimizer) == ["fused"]
    assert optimizer.plan[0].key.dtype == torch.float32


def test_the_plan_tells_of_a_sparse_gradient() -> None:
    (p,) = params = parameters(1)
    p.grad = torch.tensor([1.0, 0.0, 0.0]).to_sparse()
    optimizer = optkit.create("adagrad", params)
    optimizer.step()
    assert [str(choice.key) for choice in optimizer.plan] == ["cpu float32 sparse_coo"]
