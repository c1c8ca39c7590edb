"""A rank that fails ends the others with an error, within the limit of their process group."""

from __future__ import annotations

import signal
from typing import Any

import failing_ranks
import pytest
from failing_ranks import CASES, Outcome
from once import once

from optkit_core.shards.broken_steps import BROKEN

pytestmark = pytest.mark.slow

NAMES = [case.__name__ for case in CASES]

BREAKING = ("reducing", "summing", "gathering", "owning")
"""What waits in the middle of a step."""

WHERE = {
    "redistributing": "show_gradients",
    "reducing": "collectives.py",
    "summing": "collectives.py",
    "gathering": "all_to_all",
    "owning": "scatter",
    "minimizing": "communicator",
    "creating": "all_gather_object",
    "skipping": "shared_scaling",
}
"""Where the first rank waits."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: Any) -> dict[str, list[Outcome]]:
    folder = tmp_path_factory.mktemp("failing")
    return once(tmp_path_factory, "failing", lambda: failing_ranks.outcomes(folder))


@pytest.mark.parametrize("name", NAMES)
def test_nobody_waits_for_a_rank_that_has_raised(name: str, seen: Any) -> None:
    waiting, failed = seen[f"raising {name}"]
    assert "this rank's loss isn't finite" in failed.said
    assert WHERE[name] in waiting.said
    assert (waiting.status, failed.status) == (0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_nobody_waits_for_a_rank_that_is_killed(name: str, seen: Any) -> None:
    waiting, ended = seen[f"killed {name}"]
    assert ended.status == -signal.SIGKILL
    assert WHERE[name] in waiting.said


@pytest.mark.parametrize("name", NAMES)
def test_all_is_as_it_was_or_the_error_says_what_is_not(name: str, seen: Any) -> None:
    for outcome in (*seen[f"raising {name}"], seen[f"killed {name}"][0]):
        assert outcome.is_as_before or BROKEN in outcome.said
    waiting, _ = seen[f"raising {name}"]
    assert (BROKEN in waiting.said) is (name in BREAKING)
