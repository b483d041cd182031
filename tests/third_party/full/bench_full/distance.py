"""A score whose direction is down: by how many registers a tone is missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def per_clip(logits: Array, targets: Array) -> npt.NDArray[np.float64]:
    """Registers between the predicted and the true one, ``(clips,)``."""
    return np.abs(logits.argmax(axis=1) - targets).astype(np.float64)


def mean(logits: Array, targets: Array) -> float:
    """Their mean; 0 is best."""
    return float(per_clip(logits, targets).mean())
