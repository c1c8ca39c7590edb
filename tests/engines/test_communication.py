"""What a step communicates under each engine: nothing, but for ZeRO's updated parameters."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_elementwise_steps_communicate_nothing_of_their_own(on_two: Any) -> None:
    for found in on_two:
        counts = found["collectives_of_steps"]
        # A broadcast of each of four parameters, or of the views that each of two ranks updates.
        assert (counts.pop("ZeRO"), counts.pop("ZeRO with views")) == (4, 2)
        assert len(counts) == 4
        assert not any(counts.values())
