"""Damaged checkpoints, more than 20,000 of them: refused by one clear error, or harmless."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import damage
import pytest
import torch
from algorithms import ELEMENTWISE, NAMES, with_state
from states import fingerprint, state_of

import optkit
from optkit_core.checkpoint.file import checkpoint_file

pytestmark = pytest.mark.slow

FILES = 500
HEADERS = 250
DICTS = 200


def small(name: str, steps: int) -> Any:
    """Return an optimizer of three small parameters in two groups."""
    generator = torch.Generator().manual_seed(steps)
    shapes = [(3, 2), (5,), ()]
    params = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.5}]
    own = groups if name in ELEMENTWISE else groups[:1]
    optimizer = optkit.create(name, own, **with_state(name))
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step(lambda: torch.ones(()))
    return optimizer


class Target:
    """An optimizer with a state of its own, which every refusal must leave as it is."""

    def __init__(self, name: str) -> None:
        self.optimizer = small(name, steps=2)
        self.own = copy.deepcopy(self.optimizer.state_dict())
        self.before = state_of(self.optimizer)

    def accepts(self, load: Any) -> bool:
        """Whether loading succeeds; if so, the optimizer is put back."""
        try:
            load(self.optimizer)
        except optkit.CheckpointError as error:
            message = str(error)
        else:
            self.optimizer.load_state_dict(self.own)
            self.before = state_of(self.optimizer)
            return True
        assert 0 < len(message.splitlines()) <= 25
        assert state_of(self.optimizer) == self.before, message
        return False


@pytest.mark.parametrize("name", NAMES)
def test_damaged_bytes(name: str, tmp_path: Path) -> None:
    """What is still accepted, such as a changed byte of padding, holds what it held before."""
    path, rng, target = tmp_path / "file", random.Random(name), Target(name)
    optkit.save(small(name, steps=3), path)
    whole, content = path.read_bytes(), fingerprint(checkpoint_file.read(path).state_dict)
    refused = 0
    for number in range(FILES):
        damaged = bytearray(whole)
        damage.BYTES[number % len(damage.BYTES)](damaged, rng)
        path.write_bytes(damaged)
        if target.accepts(lambda optimizer: optkit.load(optimizer, path)):
            assert fingerprint(checkpoint_file.read(path).state_dict) == content
            assert bytes(damaged) == whole
        else:
            refused += 1
    assert refused > FILES * 0.9


@pytest.mark.parametrize("name", NAMES)
def test_damaged_headers_of_the_right_length(name: str, tmp_path: Path) -> None:
    path, rng, target = tmp_path / "file", random.Random(name), Target(name)
    optkit.save(small(name, steps=3), path)
    header, rest = damage.split(path.read_bytes())
    content = fingerprint(checkpoint_file.read(path).state_dict)
    refused = 0
    for number in range(HEADERS):
        damaged = damage.HEADERS[number % len(damage.HEADERS)](header, rng)
        path.write_bytes(damage.joined(damaged, rest, signed=False))
        if target.accepts(lambda optimizer: optkit.load(optimizer, path)):
            assert damaged == header
            assert fingerprint(checkpoint_file.read(path).state_dict) == content
        else:
            refused += 1
    assert refused > HEADERS * 0.9


@pytest.mark.parametrize("name", NAMES)
def test_headers_that_somebody_forged(name: str, tmp_path: Path) -> None:
    """With the right checksum, a header may say another number; but it can't do any harm."""
    path, rng, target = tmp_path / "file", random.Random(name), Target(name)
    optkit.save(small(name, steps=3), path)
    header, rest = damage.split(path.read_bytes())
    refused = 0
    for number in range(HEADERS):
        forged = damage.HEADERS[number % len(damage.HEADERS)](header, rng)
        path.write_bytes(damage.joined(forged, rest, signed=True))
        if not target.accepts(lambda optimizer: optkit.load(optimizer, path)):
            refused += 1
    assert refused > HEADERS * 0.5


@pytest.mark.parametrize("name", NAMES)
def test_damaged_states(name: str) -> None:
    """Each of these states is one that no optimizer of the algorithm can have."""
    rng, target = random.Random(name), Target(name)
    whole = small(name, steps=3).state_dict()
    assert target.accepts(lambda optimizer: optimizer.load_state_dict(damage.fresh(whole)))
    for number in range(DICTS):
        state = damage.fresh(whole)
        wrong = damage.DICTS[number % len(damage.DICTS)]
        wrong(state, rng)
        if fingerprint(state) != fingerprint(whole):
            accepted = target.accepts(
                lambda optimizer, given=state: optimizer.load_state_dict(given)
            )
            assert not accepted, f"{wrong.__name__}, number {number}"


def test_the_number_of_damaged_inputs() -> None:
    assert len(NAMES) * (FILES + HEADERS * 2 + DICTS) > 20_000
