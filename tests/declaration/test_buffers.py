"""Buffers of every kind: how they are declared, allocated, described, saved and loaded."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kinds import Columns, Factored, Product
from torch import Tensor

import optkit
from optkit_core import Buffer, DeclarationError, Elementwise, Optimizer, at_least, hyperparameter

WRONG: list[Any] = [
    ({"kind": "per-element"}, "kind must be one of .* got 'per-element'. Did you mean 'per elem"),
    ({"kind": "Scalar"}, "Did you mean 'scalar'?"),
    ({"kind": ""}, "kind must be one of"),
    ({"kind": 3}, "kind must be one of .* got 3"),
    ({"init": "0.5", "kind": []}, "kind must be one of"),
    ({"init": None, "kind": "joint", "optional": True}, "init must be a number"),
    ({"when": 3}, "when must be the name of a hyperparameter or a function"),
    ({"when": "amsgrad", "optional": True}, "leave out when="),
    ({"init": True}, "init must be a number"),
    ({"init": float("nan")}, "init must be a number"),
    ({"init": 1j}, "init must be a number"),
    ({"init": [0.0]}, "init must be a number"),
    ({"init": torch.zeros(2)}, "init must be a number"),
    ({"init": object(), "kind": "opaque"}, "init must be numbers, None, tensors, lists or dicts"),
    ({"dtype": torch.int64}, "dtype must be one of torch.float16, .* got torch.int64"),
    ({"dtype": torch.complex64}, "dtype must be one of"),
    ({"dtype": torch.float8_e5m2}, "dtype must be one of"),
    ({"dtype": "float32"}, "dtype must be one of"),
    ({"dtype": float}, "dtype must be one of"),
    ({"since": 0}, "since must be a version of the schema, from 1 on, got 0"),
    ({"since": 1.0}, "since must be"),
    ({"since": True}, "since must be"),
    ({"doc": None}, "doc must be a string, got None"),
    ({"optional": "no"}, "optional must be True or False, got 'no'"),
    ({"shape": (3,)}, r"shape must be a function of the parameter, .* got \(3,\)"),
    ({"kind": "shaped"}, "kind 'shaped' needs shape=, a function"),
    ({"kind": "scalar", "shape": len}, "shape= makes a buffer of kind 'shaped', not 'scalar'"),
    ({"kind": "per element", "shape": len}, "leave one of them out"),
    ({"kind": "joint"}, "of kind 'joint', so it needs optional=True"),
    ({"kind": "joint", "optional": True, "dtype": torch.float32}, "has a dtype of its own"),
    ({"kind": "opaque", "dtype": torch.float32}, "has a dtype of its own"),
    ({"init": 1.0, "optional": True}, "what is optional starts from nothing: leave out init=1.0"),
    ({"kin": "scalar"}, "Buffer takes no 'kin'. Did you mean 'kind'?"),
    ({"default": 1.0}, "Buffer takes no 'default'. It takes init, doc, dtype, shape, kind, since"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), WRONG, ids=lambda value: str(value)[:50].partition(" at 0x")[0]
)
def test_a_wrong_argument_is_refused_where_it_is_declared(arguments: Any, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        Buffer(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"init": float("inf")},
        {"init": -3},
        {"dtype": torch.bfloat16, "since": 2, "doc": "a phrase"},
        {"kind": "opaque", "init": {"rows": [1, None, torch.ones(2)]}},
        {"kind": "joint", "optional": True},
        {"kind": "shaped", "shape": len},
        {"init": 0, "optional": True},
    ],
    ids=str,
)
def test_what_can_be_is_accepted(arguments: Any) -> None:
    buffer = Buffer(**arguments)
    assert all(getattr(buffer, name) == value for name, value in arguments.items())


def body(**content: Any) -> type[Elementwise]:
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g)

    rate = hyperparameter(default=0.1, range=at_least(0.0))
    content = {"rate": rate, "update": staticmethod(update), **content}
    return type("Wrong", (Elementwise,), {"__module__": __name__, **content})


@pytest.mark.parametrize(
    ("buffer", "words"),
    [
        (Buffer(init="rats"), "init='rats' isn't a hyperparameter. Did you mean 'rate'?"),
        (Buffer(init="implementation"), "a hyperparameter whose default, None, is no number"),
        (Buffer(since=2), "since=2 is later than schema_version = 1"),
        (Buffer(optional=True), "tensors that are always there, and it is optional"),
        (Buffer(kind="opaque"), "and it is opaque. State of a shape of its own is"),
        (Buffer(kind="joint", optional=True), "and it is optional"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_buffer_that_the_class_cant_have_is_refused(buffer: Buffer, words: str) -> None:
    with pytest.raises(DeclarationError, match=f"can't have the buffer 'wrong': .*{words}"):
        body(wrong=buffer)


def test_a_mixins_buffer_is_checked_where_it_is_mixed_in() -> None:
    class Mixin:
        wrong = Buffer(kind="opaque")

    with pytest.raises(DeclarationError, match="can't have the buffer 'wrong'"):
        type("Mixed", (Mixin, body()), {"__module__": __name__})


class Listing(Optimizer):
    """Notes what it sees in a list."""

    seen = Buffer(kind="opaque", init=[])

    def advance(self, closure: Any) -> None:
        for group in self.param_groups:
            self.init_group_state(group)
            for p in group["params"]:
                self.state[p]["seen"].append(float(p.sum()))


def test_a_list_to_start_from_is_every_parameters_own() -> None:
    first, second = torch.ones(2), torch.ones(3)
    optimizers = [Listing([first, second]), Listing([torch.ones(1)])]
    for optimizer in optimizers:
        optimizer.step()
    assert optimizers[0].state[first] == {"seen": [2.0]}
    assert optimizers[0].state[second] == {"seen": [3.0]}


DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.complex64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("declared", [None, torch.float32], ids=str)
def test_scalars_and_shapes_are_real_numbers(dtype: Any, declared: Any) -> None:
    """A complex parameter is stepped as pairs of real numbers."""
    p = torch.zeros(4, 3, dtype=dtype)
    scalar = Buffer(kind="scalar", init=0.5, dtype=declared).allocate(p, {})
    shaped = Buffer(shape=lambda p: p.shape[1:], init=0.5, dtype=declared).allocate(p, {})
    assert scalar.dtype == shaped.dtype == (declared or dtype.to_real())
    assert scalar.shape == () and scalar == 0.5
    assert shaped.tolist() == torch.full((3, 2) if dtype.is_complex else (3,), 0.5).tolist()
    assert not scalar.requires_grad and not shaped.requires_grad


@pytest.mark.parametrize("init", ["rate"])
@pytest.mark.parametrize("rate", [0.25, torch.tensor(0.25), torch.tensor([0.25])], ids=str)
@pytest.mark.parametrize("arguments", [{}, {"kind": "scalar"}, {"shape": lambda p: p.shape[:1]}])
def test_every_kind_starts_from_a_hyperparameter(arguments: Any, rate: Any, init: str) -> None:
    p = torch.zeros(2, 1)
    optimizer = body(total=Buffer(init=init, **arguments))([p], rate=rate)
    optimizer.init_state()
    assert optimizer.state[p]["total"].eq(0.25).all()


def test_the_device_of_a_shaped_buffer_is_the_parameters() -> None:
    p = torch.zeros(4, 3, device="meta")
    assert Buffer(shape=lambda p: p.shape[1:]).allocate(p, {}).is_meta
    assert not Buffer(kind="scalar").allocate(p, {}).is_meta
    assert Buffer(kind="scalar").allocate(p, {"capturable": True}).is_meta


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (lambda p: p.shape[3], r"for a parameter of shape \[2, 3\], raised IndexError"),
        (lambda p: p.shape[0], r"must return sizes, as lambda p: p.shape\[:1\] does; got 2"),
        (lambda p: (-1,), r"got \(-1,\)"),
        (lambda p: (1.5,), r"got \(1.5,\)"),
        (lambda p: None, "got None"),
    ],
)
@pytest.mark.parametrize("eager", [False, True])
def test_a_shape_that_cant_be_names_the_buffer(shape: Any, words: str, eager: bool) -> None:
    p = torch.nn.Parameter(torch.ones(2, 3))
    p.grad = torch.ones(2, 3)
    algorithm = body(row=Buffer(shape=shape))
    with pytest.raises(DeclarationError, match=f"shape= of the buffer 'row', .*{words}"):
        algorithm([p], eager_state=eager).step()
    assert p.eq(1).all()


def trained(cls: Any = Factored, *shapes: Any, steps: int = 3, **options: Any) -> Any:
    """Return an optimizer with the state of a few steps."""
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(s, generator=generator) for s in shapes or ((4, 3), (2, 5))]
    optimizer = cls([(f"p{i}", p) for i, p in enumerate(params)], **options)
    stepped(optimizer, steps)
    return optimizer


def stepped(optimizer: Any, steps: int, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    params: list[Tensor] = optimizer.param_groups[0]["params"]
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
    return params


def reloaded(optimizer: Any) -> Any:
    twin = type(optimizer)([(f"p{i}", p.clone()) for i, p in enumerate(of(optimizer))])
    twin.load_state_dict(optimizer.state_dict())
    return twin


def from_a_file(optimizer: Any, path: Path) -> Any:
    optkit.save(optimizer, path)
    twin = type(optimizer)([(f"p{i}", p.clone()) for i, p in enumerate(of(optimizer))])
    optkit.load(twin, path)
    return twin


def of(optimizer: Any) -> list[Tensor]:
    params: list[Tensor] = optimizer.param_groups[0]["params"]
    return params


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "deepcopy": lambda optimizer, path: copy.deepcopy(optimizer),
    "pickle": lambda optimizer, path: pickle.loads(pickle.dumps(optimizer)),
    "load_state_dict": lambda optimizer, path: reloaded(optimizer),
    "file": lambda optimizer, path: from_a_file(optimizer, path / "o.safetensors"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cls", [Factored, Columns, Product])
def test_training_goes_on_from_every_kind(cls: Any, way: str, tmp_path: Path) -> None:
    optimizer = trained(cls)
    twin = WAYS[way](optimizer, tmp_path)
    for p, q in zip(of(optimizer), of(twin), strict=True):
        for name, value in optimizer.state[p].items():
            copied = twin.state[q][name]
            assert torch.equal(copied, value) and copied.data_ptr() != value.data_ptr()
            assert (copied.dtype, copied.stride()) == (value.dtype, value.stride())
    for p, q in zip(stepped(optimizer, 2), stepped(twin, 2), strict=True):
        assert torch.equal(p, q)


def test_state_before_the_first_step_has_the_declared_shapes() -> None:
    p = torch.zeros(4, 3)
    optimizer = Factored([p])
    optimizer.init_state()
    eager = Factored([q := torch.zeros(4, 3)], eager_state=True)
    for state in (optimizer.state[p], eager.state[q]):
        assert {name: list(value.shape) for name, value in state.items()} == {
            "step": [],
            "row": [4, 1],
            "column": [3],
        }


def test_loading_keeps_the_live_tensors() -> None:
    optimizer, other = trained(), trained(steps=5)
    rows = [optimizer.state[p]["row"] for p in of(optimizer)]
    optimizer.load_state_dict(other.state_dict())
    for row, p, q in zip(rows, of(optimizer), of(other), strict=True):
        assert optimizer.state[p]["row"] is row
        assert torch.equal(row, other.state[q]["row"])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(9, 9), r"row of p1 has shape \[9, 9\], not \[2, 1\]"),
        (torch.zeros(2), r"row of p1 has shape \[2\], not \[2, 1\]"),
        (torch.zeros(2, 5), r"row of p1 has shape \[2, 5\], not \[2, 1\]"),
        (torch.zeros(2, 1, dtype=torch.int64), "row of p1 is int64, not float32"),
        ([0.0, 0.0], "row of p1 must be a tensor, got list"),
        (torch.zeros(2, 1, device="meta"), "row of p1 has no values"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_saved_buffer_of_another_shape_is_refused_by_name(value: Any, words: str) -> None:
    optimizer = trained()
    saved = copy.deepcopy(optimizer.state_dict())
    before = copy.deepcopy(saved)
    saved["state"][0]["row"] += 1
    saved["state"][1]["row"] = value
    with pytest.raises(optkit.CheckpointError, match=words):
        optimizer.load_state_dict(saved)
    for position, p in enumerate(of(optimizer)):
        for name, kept in before["state"][position].items():
            assert torch.equal(optimizer.state[p][name], kept)


@pytest.fixture
def ranked() -> Any:
    """An optimizer of many equal parameters, of which one asks for another shape of its state."""
    cls = body(row=Buffer(shape=lambda p: (getattr(p, "rank", 1),)))
    params = [torch.zeros(3) for _ in range(40)]
    params[30].rank = 2
    optimizer = cls([(f"p{i}", p) for i, p in enumerate(params)])
    optimizer.init_state()
    return optimizer


def test_every_saved_shape_is_looked_at(ranked: Any) -> None:
    saved = copy.deepcopy(ranked.state_dict())
    ranked.load_state_dict(saved)
    saved["state"][30]["row"] = torch.zeros(1)
    with pytest.raises(optkit.CheckpointError, match=r"row of p30 has shape \[1\], not \[2\]"):
        ranked.load_state_dict(saved)


@pytest.mark.parametrize("place", [29, 30])
def test_every_live_shape_is_looked_at(ranked: Any, place: int) -> None:
    """What somebody has put in a buffer's place isn't filled, but replaced."""
    saved = copy.deepcopy(ranked.state_dict())
    p = of(ranked)[place]
    ranked.state[p]["row"] = torch.full((1 if place == 30 else 2,), 7.0)
    ranked.load_state_dict(saved)
    assert torch.equal(ranked.state[p]["row"], saved["state"][place]["row"])


def test_state_that_torch_saved_loads() -> None:
    """Without a schema's tag, as a class of torch's that keeps the same entries saves it."""

    class Torchs(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 0.1, "decay": 0.9})

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for p in self.param_groups[0]["params"]:
                rows = {"row": torch.full((p.shape[0], 1), 2.0), "column": torch.ones(p.shape[1])}
                self.state[p] = {"step": torch.tensor(3.0), **rows}

    theirs = Torchs([torch.zeros(4, 3), torch.zeros(2, 5)])
    theirs.step()
    optimizer = trained()
    optimizer.load_state_dict(theirs.state_dict())
    assert optimizer.state[of(optimizer)[1]]["row"].eq(2).all()
    assert all(state["step"] == 3 for state in optimizer.state.values())


@pytest.mark.parametrize("cls", [Factored, Product])
def test_every_kind_is_described(registered: Any, cls: Any) -> None:
    registered("described", cls)
    described = optkit.describe("described")
    rules = {item.name: (item.kind, item.shape, item.dtype) for item in described.buffers}
    assert rules["step"] == ("scalar", "one number", "float64")
    if cls is Factored:
        shaped = ("shaped", "a function of the parameter")
        assert rules["row"][:2] == rules["column"][:2] == shaped
        assert "buffer row: shaped" in str(described)
    else:
        assert rules["product"][:2] == ("scalar", "one number")
