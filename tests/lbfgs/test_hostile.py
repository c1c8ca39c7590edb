"""L-BFGS where user code, the host or the user's patience interferes with a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from optkit_core import GroupError
from optkit_plugins.lbfgs import LBFGS, Line, Trial
from optkit_plugins.lbfgs.vectors.block import Block

STORAGES = ("fused", "flat", "foreach", "forloop")
each_storage = pytest.mark.parametrize("storage", STORAGES)
RATES = torch.tensor([1.0, 5.0, 25.0], dtype=torch.float64)


def bowl(**given: Any) -> tuple[Tensor, LBFGS, Any]:
    """Return parameters, an optimizer and a closure whose minimum is at 0."""
    x = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = LBFGS([x], **given)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (RATES * x**2 / 2 + x**4 / 4).sum()
        loss.backward()
        return loss

    return x, optimizer, closure


@each_storage
def test_the_default_device_does_not_matter(storage: str) -> None:
    ends = []
    for device in ("cpu", "meta"):
        x, optimizer, closure = bowl(line_search_fn="hager_zhang", implementation=storage)
        with torch.device(device):
            optimizer.step(closure)
            optimizer.load_state_dict(optimizer.state_dict())
            optimizer.step(closure)
        ends.append(x.detach())
    assert torch.equal(*ends)


@each_storage
def test_parameters_that_share_memory_are_refused(storage: str) -> None:
    base = torch.ones(6, dtype=torch.float64)
    params = [torch.nn.Parameter(base[:4]), torch.nn.Parameter(base[2:])]
    optimizer = LBFGS(params, implementation=storage)
    with pytest.raises(GroupError, match="share memory"):
        optimizer.step(lambda: 1.0)
    assert torch.equal(base, torch.ones(6, dtype=torch.float64))


@each_storage
def test_a_search_of_ones_own_begins_at_the_start(storage: str) -> None:
    seen, ends = [], []

    def search(line: Line, step: float) -> Trial:
        seen.append(x.detach().clone())
        return line.try_step(step)

    x, optimizer, closure = bowl(line_search_fn=search, lr=0.1, implementation=storage)
    optimizer.callback = lambda progress: ends.append(x.detach().clone())
    for _ in range(2):
        optimizer.step(closure)
    assert len(seen) == len(ends)
    assert all(map(torch.equal, seen[1:], ends))


@each_storage
def test_a_trial_is_where_it_is_said_to_be_whatever_was_done_before(storage: str) -> None:
    tried: list[Tensor] = []

    def search(line: Line, step: float) -> Trial:
        start = x.detach().clone()
        tried.clear()
        line.try_step(step)
        line.try_step(step)
        assert not torch.equal(x, start)
        assert torch.equal(tried[0], tried[1])
        x.detach().add_(1.0)
        last = line.try_step(step)
        assert torch.equal(tried[0], tried[2])
        return last

    x, optimizer, plain = bowl(line_search_fn=search, lr=0.1, implementation=storage)

    def closure() -> Tensor:
        loss: Tensor = plain()
        tried.append(x.detach().clone())
        x.detach().mul_(0.9)
        return loss

    optimizer.step(closure)
    assert len(tried) == 3


@each_storage
@pytest.mark.parametrize("search", [None, "hager_zhang"])
def test_a_callback_may_save_what_a_step_that_ended_there_would_save(
    search: str | None, storage: str
) -> None:
    given: dict[str, Any] = {"line_search_fn": search, "implementation": storage, "lr": 0.1}
    saved = []
    for last in (2, 5):
        _, optimizer, closure = bowl(**given, max_iter=4, max_eval=50)
        optimizer.step(closure)
        optimizer.param_groups[0]["max_iter"] = last

        def callback(progress: Any, optimizer: Any = optimizer) -> bool:
            if progress.iteration == 2:
                saved.append(optimizer.state_dict())
            return False

        optimizer.callback = callback
        optimizer.step(closure)
        if last == 2:
            saved.append(optimizer.state_dict())
    ended, in_the_last, on_the_way = saved[1], saved[0], saved[2]
    if search is not None:
        assert repr(on_the_way["state"]) == repr(ended["state"])
    assert repr(in_the_last["state"]) == repr(ended["state"])


@each_storage
@pytest.mark.parametrize("search", [None, "hager_zhang"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("roundings", "is_noticed"), [(1, False), (2, False), (1000, True)])
def test_a_move_that_rounding_could_have_made_keeps_the_pair(
    roundings: int, is_noticed: bool, dtype: torch.dtype, search: str | None, storage: str
) -> None:
    x = torch.tensor([3.0, 2.0, 1.0], dtype=dtype, requires_grad=True)
    given: dict[str, Any] = {"line_search_fn": search, "implementation": storage, "lr": 0.1}
    optimizer = LBFGS([x], max_iter=1, max_eval=30, **given)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (RATES.to(dtype) * x**2 / 2 + x**4 / 4).sum()
        loss.backward()
        return loss

    for count in range(4):
        optimizer.step(closure)
        assert len(optimizer.state_dict()["state"][0]["old_dirs"]) == (0 if is_noticed else count)
        x.detach().mul_(1 + roundings * torch.finfo(dtype).eps)


class Fragile(dict[str, Any]):
    """A dict in which nothing can be deleted while it is armed."""

    armed = False

    def __delitem__(self, key: str) -> None:
        if self.armed:
            raise KeyboardInterrupt
        super().__delitem__(key)


@each_storage
def test_an_interrupt_while_the_state_is_written_is_survived(storage: str) -> None:
    x, optimizer, closure = bowl(line_search_fn="hager_zhang", max_iter=3, implementation=storage)
    optimizer.step(closure)
    optimizer.state_dict()
    fragile = optimizer.state[x] = Fragile(optimizer.state[x])
    optimizer.step(closure)
    optimizer.state_dict()
    fragile.armed = True
    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    fragile.armed = False
    optimizer.param_groups[0].update(max_iter=50, max_eval=90, tolerance_change=0.0)
    optimizer.step(closure)
    assert optimizer.result.success


@pytest.mark.parametrize("storage", ["flat", "forloop"])
def test_an_interrupt_between_two_parameters_mixes_no_points(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = [torch.full((2,), 3.0, requires_grad=True) for _ in range(2)]
    optimizer = LBFGS(params, lr=0.1, line_search_fn="hager_zhang", implementation=storage)
    accepted: list[list[Tensor]] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.stack([(p**4).sum() for p in params]).sum()
        loss.backward()
        return loss

    save = Block.save

    def interrupted(block: Block) -> None:
        save(block)
        if len(accepted) == 2:
            block.views(0)[-1].fill_(77.0)
            raise KeyboardInterrupt

    def callback(progress: Any) -> bool:
        accepted.append([p.detach().clone() for p in params])
        return False

    optimizer.callback = callback
    monkeypatch.setattr(Block, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert all(bool((p != 77.0).all()) for p in params)
    monkeypatch.setattr(Block, "save", save)
    optimizer.step(closure)
