"""Values that other libraries and user code put into groups and state: saved, loaded, refused."""

from __future__ import annotations

import copy
import enum
import io
import json
import pickle
import threading
from collections import UserDict, UserList
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from algorithms import FEW, TORCH
from states import fingerprint
from stepped import frozen, named, step, stepped

import optkit
from optkit_core import CheckpointError, CheckpointFileError
from optkit_core.checkpoint.file import checkpoint_file, json_decoding

NUMPY: dict[str, tuple[Any, Any]] = {
    "float32": (np.float32(0.1), 0.10000000149011612),
    "float64": (np.float64(0.1), 0.1),
    "float16": (np.float16(0.5), 0.5),
    "int64": (np.int64(2), 2),
    "uint8": (np.uint8(2), 2),
    "0-d": (np.array(0.25), 0.25),
    "bool": (np.bool_(True), True),
    "complex64": (np.complex64(1 - 2j), 1 - 2j),
    "in a tuple": ((np.float32(0.5), np.int32(3)), (0.5, 3)),
}


@pytest.mark.parametrize("case", NUMPY)
@pytest.mark.parametrize("name", FEW)
def test_numbers_of_numpys_are_saved_as_the_numbers_they_are(
    name: str, case: str, tmp_path: Path
) -> None:
    value, number = NUMPY[case]
    source, target = stepped(name, named()), optkit.create(name, named())
    source.param_groups[0]["note"], target.param_groups[0]["note"] = value, None
    kept = source.state_dict()["param_groups"][0]["note"]
    assert fingerprint(kept) == fingerprint(number)
    optkit.save(source, tmp_path / "file")
    optkit.load(target, tmp_path / "file")
    assert fingerprint(target.param_groups[0]["note"]) == fingerprint(number)


@pytest.mark.parametrize("case", NUMPY)
def test_numbers_of_numpys_anywhere_in_the_state_of_any_optimizer(
    case: str, tmp_path: Path
) -> None:
    value, number = NUMPY[case]
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([p], lr=0.1)
    optimizer.state[p] = {"it": value, "more": [{"a": value}]}
    optimizer.param_groups[0]["note"] = {"deep": (value, [value])}
    optkit.save(optimizer, tmp_path / "file")
    optkit.load(optimizer, tmp_path / "file")
    note = optimizer.param_groups[0]["note"]
    assert fingerprint(note) == fingerprint({"deep": (number, [number])})
    assert fingerprint(optimizer.state[p]["it"]) == fingerprint(number)


@pytest.mark.parametrize("value", [np.float32(0.1), np.float64(0.1), np.array(0.1)], ids=repr)
@pytest.mark.parametrize("name", FEW)
def test_a_rate_that_a_schedule_of_numpys_wrote(name: str, value: Any, tmp_path: Path) -> None:
    source, target = stepped(name, named()), optkit.create(name, named())
    source.param_groups[0]["lr"] = value
    through_torch = io.BytesIO()
    torch.save(source.state_dict(), through_torch)
    through_torch.seek(0)
    target.load_state_dict(torch.load(through_torch, weights_only=True))
    assert fingerprint(target.param_groups[0]["lr"]) == fingerprint(float(value))
    optkit.save(source, tmp_path / "file")
    again = optkit.create(name, named())
    optkit.load(again, tmp_path / "file")
    assert fingerprint(again.param_groups[0]["lr"]) == fingerprint(float(value))


ACCEPTED: dict[str, tuple[str, Any, Any]] = {
    "a sequence": ("betas", UserList([0.5, 0.75]), (0.5, 0.75)),
    "an array": ("betas", np.array([0.5, 0.75]), (0.5, 0.75)),
    "an array of halves": ("betas", np.array([0.5, 0.75], np.float16), (0.5, 0.75)),
    "a list": ("betas", [0.5, 0.75], (0.5, 0.75)),
    "fractions": ("betas", (Fraction(1, 2), Fraction(3, 4)), (0.5, 0.75)),
    "numbers of numpys": ("betas", [np.float32(0.5), np.array(0.75)], (0.5, 0.75)),
    "a fraction": ("lr", Fraction(1, 4), 0.25),
    "float32": ("lr", np.float32(0.25), 0.25),
    "0-d": ("eps", np.array(0.25), 0.25),
    "a whole number": ("lr", np.int64(2), 2),
    "bool": ("maximize", np.bool_(True), True),
}


@pytest.mark.parametrize("side", ["torch", "optkit"])
@pytest.mark.parametrize("case", ACCEPTED)
def test_what_stands_for_a_builtin_is_loaded_as_one(case: str, side: str, tmp_path: Path) -> None:
    key, value, builtin = ACCEPTED[case]
    cls = TORCH["adamax"] if side == "torch" else optkit.get("adamax")
    saved = cls(named()).state_dict()
    saved["param_groups"][0][key] = value
    target = stepped("adamax", named())
    target.load_state_dict(saved)
    assert fingerprint(target.param_groups[0][key]) == fingerprint(builtin)
    step(target, 1)
    optkit.save(target, tmp_path / "file")


REFUSED: dict[str, tuple[str, Any, str]] = {
    "too long": ("betas", UserList([0.5, 0.6, 0.7]), r"betas must be 2 values.*0\.5, 0\.6, 0\.7"),
    "out of range": ("betas", np.array([0.5, 1.5]), r"betas\[1\] must be in \[0, 1\), got 1\.5"),
    "text": ("betas", "ab", "betas must be 2 values.* got 'ab'"),
    "a matrix": ("betas", np.ones((2, 2)), r"betas\[0\] must be a number"),
    "a mapping": ("betas", UserDict(a=0.5), "betas must be 2 values.*'a': 0.5"),
    "a negative fraction": ("lr", Fraction(-1, 2), "lr must be in .* got -0.5"),
    "beyond all floats": ("lr", Fraction(10**400), "lr must be in .* got Fraction"),
    "text for a number": ("lr", "0.1", "lr must be a number .* got '0.1'"),
    "no copy": ("lr", threading.Lock(), "lr of saved group 0 is <.*lock.*can't be copied"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_doesnt_is_refused_by_its_value(case: str) -> None:
    key, value, said = REFUSED[case]
    saved, target = stepped("adamax", named()).state_dict(), stepped("adamax", named())
    saved["param_groups"][0][key] = value
    before = frozen(target)
    with pytest.raises(CheckpointError, match=said) as caught:
        target.load_state_dict(saved)
    assert str(caught.value).count("\n- ") == 1
    assert frozen(target) == before


@pytest.mark.parametrize("value", [np.array([0.5, 0.75]), UserList([0.5, 0.75])], ids=repr)
def test_groups_that_agree_in_arrays_may_be_joined(value: Any) -> None:
    a, b, c = named()
    groups = [{"params": [a, b]}, {"params": [c]}]
    saved = stepped("adamax", groups).state_dict()
    for group in saved["param_groups"]:
        group["betas"] = copy.copy(value)
    target = optkit.create("adamax", [{"params": [x]} for x in named()])
    with pytest.raises(CheckpointError, match="different number of parameter groups"):
        target.load_state_dict(saved)
    target.load_state_dict(saved, strict=False)
    joined = optkit.create("adamax", [{"params": named()[:1]}, {"params": named()[1:]}])
    joined.load_state_dict(saved)
    assert joined.param_groups[1]["betas"] == (0.5, 0.75)
    saved["param_groups"][1]["betas"] = (0.5, 0.5)
    with pytest.raises(CheckpointError, match="differ in betas"):
        joined.load_state_dict(saved)


CONSTANTS: dict[str, Any] = {
    "dtype": torch.bfloat16,
    "device": torch.device("cpu"),
    "another device": torch.device("cuda", 3),
    "size": torch.Size([2, 0, 3]),
    "layout": torch.strided,
    "memory format": torch.channels_last,
    "within": {"a": [(torch.float32, torch.device("meta"))]},
}


@pytest.mark.parametrize("case", CONSTANTS)
@pytest.mark.parametrize("cls", [torch.optim.SGD, optkit.get("adamax")])
def test_constants_of_torchs_are_saved_by_name(cls: Any, case: str, tmp_path: Path) -> None:
    value, path = CONSTANTS[case], tmp_path / "file"
    source, target = cls(named(), lr=0.1), cls(named(), lr=0.1)
    source.param_groups[0]["precision"], target.param_groups[0]["precision"] = value, None
    optkit.save(source, path)
    optkit.load(target, path)
    found = target.param_groups[0]["precision"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("mark", "content"),
    [
        ("$dtype", "float31"),
        ("$dtype", "nn"),
        ("$dtype", 7),
        ("$device", "abacus"),
        ("$device", [0]),
        ("$layout", "float32"),
        ("$memory_format", None),
        ("$size", [1.5]),
        ("$size", "23"),
    ],
)
def test_constants_that_torch_hasnt_are_refused(mark: str, content: Any) -> None:
    said = f"this torch has no {mark[1:]} {content!r}".replace("[", r"\[")
    with pytest.raises(ValueError, match=said):
        json_decoding.decode(json.dumps({mark: content}), {})
    with pytest.raises(ValueError, match="something stands beside"):
        json_decoding.decode(json.dumps({mark: content, "more": 1}), {})


def test_what_only_a_later_version_knows_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer = stepped("adamax", named())
    optimizer.param_groups[0]["initial_lr"] = torch.float32
    optkit.save(optimizer, tmp_path / "file")
    monkeypatch.delitem(json_decoding.READERS, "$dtype")
    before = frozen(optimizer)
    with pytest.raises(CheckpointFileError, match=r"holds '\$dtype', .* written by optkit \d"):
        optkit.load(optimizer, tmp_path / "file")
    assert frozen(optimizer) == before


class Color(enum.Enum):
    RED = 1


UNSAVABLE: dict[str, Any] = {
    "a set": {1, 2},
    "a function": len,
    "bytes": b"bytes",
    "an enum": Color.RED,
    "a fraction": Fraction(1, 3),
    "an array": np.ones(3),
    "a date": np.datetime64("2020-01-01"),
    "an extended float": np.longdouble(1) if np.dtype(np.longdouble).itemsize > 8 else object(),
}


@pytest.mark.parametrize("case", UNSAVABLE)
@pytest.mark.parametrize("name", FEW)
def test_a_state_dict_hands_on_what_a_file_refuses_by_name(
    name: str, case: str, tmp_path: Path
) -> None:
    optimizer, path = stepped(name, named()), tmp_path / "file"
    optkit.save(optimizer, path)
    before = path.read_bytes()
    optimizer.param_groups[0]["note"] = {"deep": UNSAVABLE[case]}
    saved = optimizer.state_dict()["param_groups"][0]["note"]
    assert saved["deep"] is UNSAVABLE[case]
    with pytest.raises(CheckpointError, match=r"param_groups\.0\.note\.deep is .*can't be saved"):
        optkit.save(optimizer, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [{1, 2}, len, b"bytes", {"a": [1, {2}]}, Color.RED], ids=str)
@pytest.mark.parametrize("name", FEW)
def test_notes_of_any_kind_go_from_group_to_group(name: str, value: Any) -> None:
    source, target = stepped(name, named()), optkit.create(name, named())
    source.param_groups[0]["note"], target.param_groups[0]["note"] = value, None
    saved = source.state_dict()
    assert saved["param_groups"][0]["note"] is value
    target.load_state_dict(saved)
    found = target.param_groups[0]["note"]
    assert found == value
    assert (found is value) == (not isinstance(value, (set, dict)))


ENTRIES: dict[str, Any] = {
    "a number": 1,
    "a flag": True,
    "text": "warm-up",
    "nothing": None,
    "a tensor": torch.arange(3.0),
    "a dict": {"seen": [1, 2], "mean": torch.ones(2)},
    "an empty dict": {},
    "a list": [torch.ones(2), (1, 2)],
}


def through(how: str, saved: Any, folder: Path) -> Any:
    """Return a state dict after a journey."""
    if how == "as it is":
        return saved
    if how == "torch.save":
        torch.save(saved, folder / "torch")
        return torch.load(folder / "torch", weights_only=True)
    checkpoint_file.write(checkpoint_file.Checkpoint("It", saved), folder / "file")
    return checkpoint_file.read(folder / "file").state_dict


@pytest.mark.slow
@pytest.mark.parametrize("how", ["as it is", "torch.save", "optkit.save"])
@pytest.mark.parametrize("case", ENTRIES)
@pytest.mark.parametrize("name", [*FEW, "torch's adamax"])
def test_what_user_code_puts_into_the_state_is_saved_and_loaded(
    name: str, case: str, how: str, tmp_path: Path
) -> None:
    cls = TORCH["adamax"] if name.startswith("torch") else optkit.get(name)
    source, target = cls(named(), lr=0.1), cls(named(), lr=0.1)
    step(source, 3)
    step(target, 1)
    source.register_state_dict_pre_hook(
        lambda optimizer: optimizer.state.update({"test": ENTRIES[case]})
    )
    saved = source.state_dict()
    assert saved["state"]["test"] is ENTRIES[case]
    target.load_state_dict(through(how, saved, tmp_path))
    assert fingerprint(target.state["test"]) == fingerprint(ENTRIES[case])
    assert repr(target.state_dict()["state"]) == repr(source.state_dict()["state"])
    step(target, 1)
    target.load_state_dict(stepped_without_entries(cls))
    assert "test" not in target.state


def stepped_without_entries(cls: Any) -> Any:
    optimizer = cls(named(), lr=0.1)
    step(optimizer, 1)
    return optimizer.state_dict()


@pytest.mark.parametrize("name", FEW)
def test_entries_of_user_code_are_copied_and_survive_what_is_no_match(name: str) -> None:
    source, target = stepped(name, named()), stepped(name, named()[:2])
    source.state["mine"], target.state["here"] = [torch.ones(2)], 1
    target.load_state_dict(source.state_dict(), strict=False)
    assert target.state["here"] == 1
    source.state["mine"][0].zero_()
    source.state["mine"].append(2)
    assert torch.equal(target.state["mine"][0], torch.ones(2)) and len(target.state["mine"]) == 1


@pytest.mark.parametrize("name", FEW)
def test_copies_and_pickles_take_entries_along(name: str) -> None:
    optimizer = stepped(name, named())
    optimizer.state["mine"] = [1]
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert twin.state["mine"] == [1]
        step(twin, 1)


def test_entries_are_no_sums_to_be_shared_by_processes() -> None:
    optimizer: Any = optkit.create("adagrad", named())
    optimizer.init_state()
    optimizer.state["mine"] = 1
    optimizer.share_memory()
    assert all(optimizer.state[p]["sum"].is_shared() for p in optimizer.param_groups[0]["params"])


def test_a_post_hook_may_leave_a_note_in_the_state() -> None:
    optimizer = stepped("adamax", named())
    optimizer.register_load_state_dict_post_hook(lambda o: o.state.update(loaded=True))
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.state["loaded"] is True
    step(optimizer, 1)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("weight", {"step": torch.tensor(1.0)}, "state of 'weight'"),
        ("weight", {"exp_avg": torch.ones(33), "more": 1}, "state of 'weight'"),
        (77, {"step": torch.tensor(1.0)}, "state of 77"),
        (77, 1, "state must be a dict"),
        ("mine", threading.Lock(), "can't be copied"),
    ],
)
def test_states_of_parameters_are_never_taken_for_entries(key: Any, value: Any, said: str) -> None:
    source, target = stepped("adamax", named()), stepped("adamax", named(), steps=1)
    saved = source.state_dict()
    saved["state"][key] = value
    before = frozen(target)
    with pytest.raises(CheckpointError, match=said):
        target.load_state_dict(saved)
    assert frozen(target) == before


def test_entries_must_not_be_nested_endlessly() -> None:
    optimizer = stepped("adamax", named())
    saved, value = optimizer.state_dict(), 1
    for _ in range(2000):
        value = [value]
    saved["state"]["mine"] = value
    with pytest.raises(CheckpointError, match="nested more than 10 levels"):
        optimizer.load_state_dict(saved)


def test_names_as_keys_leave_no_room_for_entries() -> None:
    saved = stepped("adamax", named()).state_dict()
    saved["param_groups"][0]["params"] = ["p0", "p1", "p2"]
    saved["state"] = {f"p{i}": state for i, state in saved["state"].items()}
    target = stepped("adamax", named(), steps=1)
    target.load_state_dict(saved)
    saved["state"]["p9"] = {}
    with pytest.raises(CheckpointError, match="state of 'p9'"):
        target.load_state_dict(saved)
