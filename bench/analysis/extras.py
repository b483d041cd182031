"""The arrays beside a record that only pictures need: maps of embeddings, reconstructions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.analysis.artifacts import Reconstruction

Arrays = Mapping[str, npt.NDArray[Any]]
MAP = "embed_map"
MAX_DRAWN = 3
"""Clips whose reconstruction is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What one cell has to draw.

    Attributes:
        maps: Coordinates of the test clips by name of the embedding (empty where a model has one).
        targets: Class index of each of those clips.
        reconstructions: Of masked pre-training.
    """

    maps: Mapping[str, tuple[tuple[float, float], ...]]
    targets: tuple[int, ...]
    reconstructions: tuple[Reconstruction, ...]


def read_extras(arrays: Arrays) -> Extras | None:
    """What ``arrays`` hold of it; ``None`` where that is nothing."""
    maps = {
        name.removeprefix(MAP).removeprefix("_"): tuple((float(x), float(y)) for x, y in arrays[name].tolist())
        for name in sorted(arrays)
        if name.startswith(MAP)
    }
    pictures = tuple(_reconstructions(arrays))
    if not maps and not pictures:
        return None
    targets = tuple(int(value) for value in arrays["targets"].tolist()) if arrays["targets"].ndim == 1 else ()
    return Extras(maps=maps, targets=targets, reconstructions=pictures)


def _reconstructions(arrays: Arrays) -> Iterator[Reconstruction]:
    names = [name for name in sorted(arrays) if name.startswith("reconstruct_") and name.endswith("_input")]
    ids = arrays["reconstruct_ids"].tolist() if names else []
    for name in names:
        modality = name.removeprefix("reconstruct_").removesuffix("_input")
        parts = [arrays[f"reconstruct_{modality}_{part}"].astype(np.float32) for part in ("input", "masked", "guess")]
        for index, clip in enumerate(ids[:MAX_DRAWN]):
            given, masked, guess = (part[index] for part in parts)
            low, high = np.percentile(given, [1.0, 99.0])
            shown = [_eight_bit(picture, float(low), float(high)) for picture in (given, masked, guess)]
            yield Reconstruction(
                modality=modality,
                clip=str(clip),
                given=shown[0].tobytes(),
                masked=shown[1].tobytes(),
                guess=shown[2].tobytes(),
                shape=shown[0].shape,
            )


def _eight_bit(picture: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.uint8]:
    """``(channels, height, width)`` as ``(height, width)`` or ``(height, width, 3)`` from 1; 0 = hidden (nan)."""
    hidden = np.isnan(picture)
    scaled = 1 + 254 * np.clip((np.where(hidden, low, picture) - low) / max(high - low, 1e-9), 0, 1)
    values = np.where(hidden, 0, np.rint(scaled)).astype(np.uint8)
    return values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)
