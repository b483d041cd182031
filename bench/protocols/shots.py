"""A few clips of each class to train on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import DataError

if TYPE_CHECKING:
    from bench.clips import Clips
    from bench.plugins.interfaces import Indices


def drawn(clips: Clips, pool: Indices, fold: int, *, seed: int, shots: int) -> Indices:
    """``shots`` clips a class out of a pool: another draw for each seed and fold.

    Raises:
        DataError: A class has fewer.
    """
    rng = np.random.default_rng([abs(seed), abs(fold)])
    targets: Any = clips.targets[pool]
    chosen, short = [], []
    for index, label in enumerate(clips.label_names):
        members = pool[targets == index] if targets.ndim == 1 else pool[targets[:, index] > 0]
        if len(members) < shots:
            short.append(f"{label!r} has {len(members)}")
        chosen.append(rng.permutation(members)[:shots])
    if short:
        more = f" and {len(short) - 5} more classes have too few" if len(short) > 5 else ""
        raise DataError(f"{clips.title}: outside fold {fold} {', '.join(short[:5])} of {shots} clips needed{more}")
    return np.unique(np.concatenate(chosen))
