"""What the pictures of a row need, read from the arrays beside its records: curves, embeddings, reconstructions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.results.predictions import Arrays
from bench.results.records import Record, Score

UNNAMED = Score(name="score", value=None)
MAP = "embed_map"
MAX_DRAWN = 3
"""Clips whose reconstruction is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSection:
    """A further section of the page, made by a study; pictures are ``(title, caption, inline SVG or HTML)``."""

    anchor: str
    title: str
    context: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    pictures: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Training of one cell: per epoch its mean training loss, the score on validation and the seconds since it began.

    ``None`` where not measured, seconds empty where not stored; ``metric`` is the score on validation without a value.
    """

    fold: int
    seed: int
    loss: tuple[float | None, ...]
    validation: tuple[float | None, ...]
    seconds: tuple[float | None, ...] = ()
    metric: Score = UNNAMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Embeddings of the test clips of one cell, and how well clusters of them match the classes in all cells.

    Attributes:
        name: Which of the model's embeddings; empty where it has one.
        fold: Of the cell that is drawn, as ``seed``, ``points`` (t-SNE) and ``targets`` (class indices) are.
        clusters: k of k-means: the number of classes.
        purity: Of each cell's clusters, 0 to 1.
        adjusted_rand: Of each cell's clusters, 1 = the classes, 0 = chance.
    """

    name: str
    fold: int
    seed: int
    points: tuple[tuple[float, float], ...]
    targets: tuple[int, ...]
    clusters: int = 0
    purity: tuple[float, ...] = ()
    adjusted_rand: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """What masked pre-training guessed of one clip: pictures of 8 bit ``(height, width)`` or ``(height, width, 3)``.

    ``given`` is the whole, ``masked`` what the model saw, ``guess`` the hidden places as guessed.
    """

    modality: str
    clip: str
    given: bytes
    masked: bytes
    guess: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """Loss of the pre-training of one cell, at some of its steps."""

    fold: int
    seed: int
    steps: tuple[int, ...]
    loss: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What plots need; over the same cells as the accuracy.

    Attributes:
        confusion: ``(classes, classes)`` counts, target by prediction, summed over seeds; empty if unknown.
        recall: Per-class recall; ``None`` for a class without clips.
        curves: One per cell with a stored curve.
        embeddings: One per embedding that the model gives; drawn for the first cell.
        pretraining: One per cell that was pre-trained.
        reconstructions: Of the first cell that was pre-trained.
    """

    confusion: tuple[tuple[int, ...], ...] = ()
    recall: tuple[float | None, ...] = ()
    curves: tuple[Curve, ...] = ()
    embeddings: tuple[Embedding, ...] = ()
    pretraining: tuple[Pretraining, ...] = ()
    reconstructions: tuple[Reconstruction, ...] = ()


def read_embeddings(record: Record, arrays: Arrays) -> Iterator[Embedding]:
    """The maps of its test clips, still without figures of clusters."""
    targets = tuple(int(value) for value in arrays["targets"].tolist()) if arrays["targets"].ndim == 1 else ()
    for name in sorted(arrays):
        if name.startswith(MAP):
            yield Embedding(
                name=name.removeprefix(MAP).removeprefix("_"),
                fold=record.cell.fold,
                seed=record.cell.seed,
                points=tuple((float(x), float(y)) for x, y in arrays[name].tolist()),
                targets=targets,
            )


def read_reconstructions(arrays: Arrays) -> Iterator[Reconstruction]:
    """What pre-training guessed of its first clips."""
    names = [name for name in sorted(arrays) if name.startswith("reconstruct_") and name.endswith("_input")]
    ids = arrays["reconstruct_ids"].tolist() if names else []
    for name in names:
        modality = name.removeprefix("reconstruct_").removesuffix("_input")
        parts = [arrays[f"reconstruct_{modality}_{part}"].astype(np.float32) for part in ("input", "masked", "guess")]
        for index, clip in enumerate(ids[:MAX_DRAWN]):
            given, masked, guess = (part[index] for part in parts)
            low, high = np.percentile(given, [1.0, 99.0])
            shown = [_eight_bit(picture, float(low), float(high)) for picture in (given, masked, guess)]
            whole, seen, guessed = (picture.tobytes() for picture in shown)
            yield Reconstruction(
                modality=modality, clip=str(clip), given=whole, masked=seen, guess=guessed, shape=shown[0].shape
            )


def _eight_bit(picture: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.uint8]:
    """``(channels, height, width)`` as ``(height, width)`` or ``(height, width, 3)`` from 1; 0 = hidden (nan)."""
    hidden = np.isnan(picture)
    scaled = 1 + 254 * np.clip((np.where(hidden, low, picture) - low) / max(high - low, 1e-9), 0, 1)
    values = np.where(hidden, 0, np.rint(scaled)).astype(np.uint8)
    return values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)


def _numbers(values: np.ndarray[Any, Any] | None) -> tuple[float | None, ...]:
    if values is None:
        return ()
    numbers = values.tolist()
    return tuple(
        numbers if all(map(math.isfinite, numbers)) else [one if math.isfinite(one) else None for one in numbers]
    )


def read_curve(record: Record, arrays: Arrays) -> Curve | None:
    """The curve of the cell's training, ``None`` where none is stored."""
    loss = _numbers(arrays.get("curve_train_loss"))
    if not loss:
        return None
    seen = next((name for name in arrays if name.startswith("curve_val_")), "")
    validation, name = _numbers(arrays.get(seen)), seen.removeprefix("curve_val_")
    seconds = _numbers(arrays.get("curve_seconds")) if any(value is not None for value in validation) else ()
    return Curve(
        fold=record.cell.fold,
        seed=record.cell.seed,
        loss=loss,
        validation=validation,
        seconds=seconds,
        metric=next((one.of(None) for one in record.scores if one.name == name), None) or Score(name=name, value=None),
    )


def read_pretraining(record: Record, arrays: Arrays) -> Pretraining | None:
    """The loss of its pre-training, ``None`` where it had none."""
    loss = _numbers(arrays.get("pretrain_loss"))
    if not loss:
        return None
    steps = tuple(int(step) for step in arrays["pretrain_step"].tolist())
    return Pretraining(fold=record.cell.fold, seed=record.cell.seed, steps=steps, loss=loss)
