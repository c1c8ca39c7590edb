"""Names of parameters survive wrapping: state follows them into wrapped models, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from algorithms import FEW
from stepped import frozen, step, stepped
from torch import distributed, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

import optkit
from optkit_core import CheckpointError

Wrap = Callable[[nn.Module], nn.Module]


@pytest.fixture(scope="module")
def process_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Be the only process of a group."""
    store = distributed.FileStore(str(tmp_path_factory.mktemp("group") / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def network() -> nn.Module:
    """Return a model whose parameters all have different shapes."""
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


class Inner(nn.Module):
    """Holds another module under a name."""

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__()
        self.add_module(name, module)


def middle(wrap: Wrap) -> Wrap:
    """Return what wraps only the last part of a model."""

    def wrapped(module: Any) -> nn.Module:
        module[2] = wrap(module[2])
        return module

    return wrapped


def compiled(module: nn.Module) -> nn.Module:
    return torch.compile(module, backend="eager")


WRAPPED: dict[str, Wrap] = {
    "DistributedDataParallel": nn.parallel.DistributedDataParallel,
    "DataParallel": nn.DataParallel,
    "torch.compile": compiled,
    "activation checkpointing": middle(checkpoint_wrapper),  # of a whole, it hides its part
    "compiling of a part": middle(compiled),
    "AveragedModel": torch.optim.swa_utils.AveragedModel,
    "nested": lambda m: nn.DataParallel(compiled(middle(checkpoint_wrapper)(m))),
    "nested the other way": lambda m: compiled(nn.DataParallel(m)),
    "FSDP's part": lambda m: Inner("_fsdp_wrapped_module", m),
    "Fabric's part": lambda m: Inner("_forward_module", m),
}


def of(name: str, module: nn.Module, steps: int = 3) -> Any:
    return stepped(name, module.named_parameters(), steps, lr=0.05)


def assert_same_state(one: Any, other: Any) -> None:
    mine, wanted = (sorted(o.state_dict()["state"].items()) for o in (one, other))
    assert repr(mine) == repr(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("wrapper", WRAPPED)
@pytest.mark.parametrize("way", ["into", "out of"])
@pytest.mark.usefixtures("process_group")
def test_the_parts_that_wrappers_add_dont_count(wrapper: str, way: str, name: str) -> None:
    plain, wrapped = of(name, network()), of(name, WRAPPED[wrapper](network()), steps=1)
    names = wrapped.param_groups[0]["param_names"]
    assert names != plain.param_groups[0]["param_names"]
    source, target = (plain, wrapped) if way == "into" else (wrapped, plain)
    report = target.load_state_dict(source.state_dict())
    assert report.renamed == report.missing == report.unexpected == ()
    assert wrapped.param_groups[0]["param_names"] == names
    assert_same_state(source, target)


@pytest.mark.usefixtures("process_group")
def test_one_wrapper_instead_of_another_and_another_order() -> None:
    source = of("adamax", nn.parallel.DistributedDataParallel(network()))
    model = compiled(network())
    pairs = list(model.named_parameters())
    target = stepped("adamax", [pairs[i] for i in (2, 0, 3, 1)], 1)
    report = target.load_state_dict(source.state_dict())
    assert not report.renamed
    assert report.loaded == tuple(pairs[i][0] for i in (2, 0, 3, 1))
    for here, there in enumerate((2, 0, 3, 1)):
        mine, other = (o.state_dict()["state"] for o in (target, source))
        assert repr(mine[here]) == repr(other[there])


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("wrap", [None, "DataParallel", "nested"])
@pytest.mark.parametrize("way", ["into", "out of"])
def test_a_module_inside_another_is_found_and_reported(
    way: str, wrap: str | None, name: str
) -> None:
    model = WRAPPED[wrap](network()) if wrap else network()
    plain, inner = of(name, network()), of(name, Inner("model", model), steps=1)
    source, target = (plain, inner) if way == "into" else (inner, plain)
    report = target.load_state_dict(source.state_dict())
    (note,) = report.renamed
    assert note.startswith("every name, below 'model." if way == "into" else "every name, without")
    assert note in str(report) and "renamed=1" in repr(report)
    assert_same_state(source, target)


def test_a_file_keeps_the_names_as_they_were_given(tmp_path: Path) -> None:
    from optkit_core.checkpoint.file import checkpoint_file

    source = of("adamax", compiled(network()))
    optkit.save(source, tmp_path / "file")
    (group,) = checkpoint_file.read(tmp_path / "file").state_dict["param_groups"]
    assert group["param_names"] == source.param_groups[0]["param_names"]
    target = of("adamax", Inner("model", nn.DataParallel(network())), steps=1)
    report: Any = optkit.load(target, tmp_path / "file")
    assert report.renamed
    assert_same_state(source, target)


def sized(*names: str, size: int = 3) -> list[tuple[str, Any]]:
    return [(name, nn.Parameter(torch.full((size,), 1.0 + i))) for i, name in enumerate(names)]


REFUSED = {
    "siblings of one shape": (["generator.w", "generator.b"], ["critic.w", "critic.b"]),
    "a prefix for one of two": (["w", "b"], ["model.w", "b"]),
    "two prefixes": (["w", "b"], ["model.w", "net.b"]),
    "a part of the names": (["w", "b"], ["model.w", "model.b", "head.w"]),
    "no dot": (["w", "b"], ["aw", "ab"]),
    "in the middle": (["a.w", "a.b"], ["a.c.w", "a.c.b"]),
    "a wrapper's word for a parameter": (["module", "b"], ["w", "b"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_else_is_guessed(case: str) -> None:
    there, here = REFUSED[case]
    source, target = stepped("adamax", sized(*there)), stepped("adamax", sized(*here), 1)
    before = frozen(target)
    with pytest.raises(CheckpointError, match="isn't in the checkpoint") as caught:
        target.load_state_dict(source.state_dict())
    assert "rename= says what the saved parameters are called here" in str(caught.value)
    assert frozen(target) == before


AMBIGUOUS = {
    "saved": (["w", "module.w"], ["module.w"], "'w', 'module.w' in the checkpoint"),
    "here": (["w"], ["_orig_mod.w", "module.w"], "'_orig_mod.w', 'module.w' here"),
    "both": (["w", "module.w"], ["module.w", "_orig_mod.w"], "are all 'w'"),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", AMBIGUOUS)
def test_two_parameters_that_become_one_are_an_error(case: str, strict: bool) -> None:
    there, here, said = AMBIGUOUS[case]
    source, target = stepped("adamax", sized(*there)), stepped("adamax", sized(*here), 1)
    before = frozen(target)
    with pytest.raises(CheckpointError, match=said) as caught:
        target.load_state_dict(source.state_dict(), strict=strict)
    assert "say by rename= which is which" in str(caught.value)
    assert str(caught.value).count("\n- ") == 1
    assert frozen(target) == before


def test_a_model_with_a_module_called_module_is_itself() -> None:
    names = ["module.w", "w", "module.module.w"]
    source, target = stepped("adamax", sized(*names)), stepped("adamax", sized(*names[::-1]), 1)
    target.load_state_dict(source.state_dict())
    saved, found = (o.state_dict()["state"] for o in (source, target))
    assert [repr(found[i]) for i in (2, 1, 0)] == [repr(saved[i]) for i in (0, 1, 2)]
    wrapped = stepped("adamax", sized(*(f"module.{name}" for name in names)), 1)
    assert not wrapped.load_state_dict(source.state_dict()).renamed
    assert_same_state(source, wrapped)
    grown = stepped("adamax", sized(*names, "new"), 1)
    report = grown.load_state_dict(source.state_dict(), strict=False)
    assert report.loaded == tuple(names)


RENAMES: dict[str, Any] = {
    "a mapping": {"a.w": "b.w", "a.b": "b.b"},
    "a mapping of one, the other wrapped": {"a.w": "b.w", "a.b": "module.b.b"},
    "a function": lambda name: name.replace("a.", "b."),
    "a mapping of another kind": MappingProxyType({"a.w": "b.w", "a.b": "b.b"}),
}


@pytest.mark.parametrize("rename", RENAMES)
@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize("name", FEW)
def test_any_other_renaming_is_said(
    name: str, from_file: bool, rename: str, tmp_path: Path
) -> None:
    source = stepped(name, sized("a.w", "a.b"))
    target = stepped(name, sized("b.b", "b.w"), 1)
    if from_file:
        optkit.save(source, tmp_path / "file")
        report: Any = optkit.load(target, tmp_path / "file", rename=RENAMES[rename])
    else:
        report = target.load_state_dict(source.state_dict(), rename=RENAMES[rename])
    assert {line.split(" to ")[0] for line in report.renamed} == {"a.w", "a.b"}
    assert target.param_groups[0]["param_names"] == ["b.b", "b.w"]
    twin = stepped(name, sized("a.b", "a.w"), 1)
    twin.load_state_dict(source.state_dict())
    assert_same_state(twin, target)
    step(twin, 1)
    step(target, 1)
    assert_same_state(twin, target)


def test_names_may_be_exchanged_and_ambiguity_resolved() -> None:
    source, target = stepped("adamax", sized("a", "b")), stepped("adamax", sized("a", "b"), 1)
    target.load_state_dict(source.state_dict(), rename={"a": "b", "b": "a"})
    saved, found = (o.state_dict()["state"] for o in (source, target))
    assert repr([found[1], found[0]]) == repr([saved[0], saved[1]])
    source, target = (
        stepped("adamax", sized("w", "module.w")),
        stepped("adamax", sized("w", "v"), 1),
    )
    target.load_state_dict(source.state_dict(), rename={"module.w": "v"})
    assert_same_state(source, target)


WRONG: dict[str, tuple[Any, str]] = {
    "a key that isn't there": ({"a.x": "b.w"}, r"'a\.x', which isn't in the checkpoint.*'a\.w'"),
    "a key of another kind": ({3: "b.w"}, "has 3, which isn't in the checkpoint"),
    "two for one": ({"a.w": "a.b"}, r"makes both 'a\.w' and 'a\.b' 'a\.b'"),
    "all for one": (lambda name: "x", r"makes both 'a\.w' and 'a\.b' 'x'"),
    "no name": ({"a.w": None}, r"must make a name of 'a\.w', got None"),
    "nothing": (lambda name: None, r"must make a name of 'a\.w', got None"),
    "a failure": ({}.__getitem__, r"failed for 'a\.w': KeyError: 'a\.w'"),
    "neither": (["a.w"], r"must be a mapping of saved names to new ones or a function.*\['a\.w'\]"),
    "names of nobody": ({"a.w": "c.w"}, r"b\.w isn't in the checkpoint"),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_renaming_is_an_error(case: str, strict: bool) -> None:
    rename, said = WRONG[case]
    source, target = stepped("adamax", sized("a.w", "a.b")), stepped("adamax", sized("b.w", "b.b"))
    before = frozen(target)
    if case == "names of nobody" and not strict:
        assert not target.load_state_dict(source.state_dict(), strict, rename).loaded
        return
    with pytest.raises(CheckpointError, match=said):
        target.load_state_dict(source.state_dict(), strict, rename)
    assert frozen(target) == before


@pytest.mark.parametrize("named", ["saved", "here", "neither"])
def test_a_renaming_needs_names(named: str) -> None:
    source, target = (
        stepped("adamax", sized("w") if named == side else [p for _, p in sized("w")])
        for side in ("saved", "here")
    )
    before = frozen(target)
    with pytest.raises(CheckpointError, match="rename= needs names on both sides"):
        target.load_state_dict(source.state_dict(), rename={"w": "v"})
    assert frozen(target) == before


def test_other_optimizers_go_by_position(tmp_path: Path) -> None:
    optimizer = torch.optim.Adam(sized("w"))
    optkit.save(optimizer, tmp_path / "file")
    with pytest.raises(CheckpointError, match="Adam isn't an optimizer of optkit"):
        optkit.load(optimizer, tmp_path / "file", rename={"w": "v"})
