"""State dicts of torch's distributed layer under FSDP2: gathered, saved meanwhile, refused."""

from __future__ import annotations

from typing import Any

import distributed_state
import pytest
from once import once
from processes import on_ranks

WAYS = ("gathered_and_distributed", "saved_meanwhile", "asked_by_position")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: Any) -> list[Any]:
    folder = tmp_path_factory.mktemp("ways")
    ranks = tmp_path_factory.mktemp("ranks")
    return once(
        tmp_path_factory, "ways", lambda: on_ranks(distributed_state.all_ways, 2, ranks, folder)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", ["gathered_and_distributed", "saved_meanwhile", "asked_by_position"]
)
def test_state_comes_back_bit_for_bit(way: str, seen: list[Any]) -> None:
    for of_rank in seen:
        assert of_rank[way]
        assert [case for case, is_right in of_rank[way].items() if not is_right] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("another algorithm False", "this state is of adam/1, this optimizer is AdamW"),
        ("another algorithm True", "this state is of adam/1"),
        ("plain tensors", "StateDictOptions(full_state_dict=True)"),
        ("save", 'dcp.save({"optimizer": get_optimizer_state_dict(model, optimizer)}, checkp'),
        ("load", 'set_optimizer_state_dict(model, optimizer, state["optimizer"])'),
    ],
)
def test_what_does_not_fit_is_refused_on_all_ranks(case: str, words: str, seen: list[Any]) -> None:
    for of_rank in seen:
        said, is_as_before = of_rank["refused"][case]
        assert words in said
        assert is_as_before
