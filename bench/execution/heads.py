"""What heads on embeddings share: what they are fitted on, what they can do once fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from bench.recipe import Recipe

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Targets = npt.NDArray[Any]


class Head(Protocol):
    """A fitted classifier of embeddings."""

    def logits(self, x: Any) -> Floats:
        """Embeddings ``(clips, dim)``, or of each clip its frames, to ``(clips, classes)``."""

    def tensors(self) -> dict[str, Tensor]:
        """What belongs into a checkpoint."""

    def describe(self) -> dict[str, Any]:
        """Settings, for the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a head is fitted on.

    Attributes:
        x: Embeddings of the training clips, ``(clips, dim)``; of mode ``attention`` ``(steps, layers, dim)`` of each.
        targets: Class indices ``(clips,)``, or indicators ``(clips, classes)``.
        classes: Number of classes.
        groups: What inner folds must not part, one name for each clip; ``None`` = unknown.
        seed: Of a network's start and order.
        recipe: Gives the settings of heads.
    """

    x: Any
    targets: Targets
    classes: int
    groups: Sequence[str] | None = None
    seed: int = 0
    recipe: Recipe

    @property
    def indicators(self) -> Floats:
        """``(clips, classes)``."""
        return indicators(self.targets, self.classes)


def moments(x: Floats) -> tuple[Doubles, Doubles]:
    """Mean and deviation of each column, the latter 1 where a column is constant."""
    wide = x.astype(np.float64)
    mean, scale = wide.mean(axis=0), wide.std(axis=0)
    constant = scale <= 10 * np.finfo(np.float32).eps * np.maximum(np.abs(mean), 1e-30)
    return mean, np.where(constant, 1.0, scale)


def indicators(targets: Targets, classes: int) -> Floats:
    """``(clips, classes)`` of class indices, or as they are."""
    return np.asarray(targets if targets.ndim == 2 else np.eye(classes)[targets.astype(np.int64)], dtype=np.float32)
