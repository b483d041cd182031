"""A measurement: how far the process that measures steps back for others."""

from __future__ import annotations

import os
from collections.abc import Callable


def niceness(call: Callable[[int], int], clips: int) -> float:
    """The scheduling priority that speeds were measured at."""
    return float(os.getpriority(os.PRIO_PROCESS, 0))
