"""How hypothesis runs here: the same examples each time, however long a busy machine takes."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck

PATIENT: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.too_slow],
}
"""Settings for every property."""
