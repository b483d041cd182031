"""Stored predictions of a section, brought to one order of clips so that rows can be paired."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.analysis.artifacts import Curve, Pretraining
from bench.analysis.extras import Extras, read_extras
from bench.analysis.grouping import SectionGroup, part
from bench.cell import Cell
from bench.errors import StoreError
from bench.results.predictions import Arrays, Predictions
from bench.results.records import Record

PRIMARY = "accuracy"
"""The score that sorts a section whose records name no other."""

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Groups = npt.NDArray[np.str_] | None


@dataclass(frozen=True, slots=True)
class FoldClips:
    """The test clips of one fold, in the order that every row is brought to.

    Attributes:
        ids: ``(clips,)`` names.
        labels: ``(clips,)`` class indices or ``(clips, classes)`` indicators, as stored.
        targets: ``(clips,)`` class indices, ``None`` for indicator targets.
        groups: ``(clips,)`` group names, ``None`` where clips are independent.
    """

    ids: npt.NDArray[np.str_]
    labels: npt.NDArray[Any]
    targets: Ints | None
    groups: npt.NDArray[np.str_] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One evaluate cell that ended well.

    Attributes:
        record: Its record.
        accuracy: Value of the score that the board sorts by.
        predicted: ``(clips,)`` class indices in the section's order; ``None`` without comparable predictions.
        correct: ``(clips,)``; ``None`` likewise.
        logits: ``(clips, classes)`` in the section's order, kept only where the board sorts by a score that needs
            them.
        curve: Of its training, where one is stored.
        note: Why it has no comparable predictions; empty if it has.
        pretraining: Of its pre-training, where there was one.
        extras: Embeddings and reconstructions, of the first cell of a row only.
    """

    record: Record
    accuracy: float | None
    predicted: Ints | None
    correct: Bools | None
    curve: Curve | None
    note: str
    pretraining: Pretraining | None = None
    extras: Extras | None = None
    logits: npt.NDArray[Any] | None = None


@dataclass(slots=True)
class Reader:
    """Reads the predictions of one section.

    Attributes:
        predictions: Gives the arrays of a record; ``None`` where the board is made from scores only.
        primary: Name of the score that the board sorts by.
        folds: The clips of each fold, filled by the first records read.
        problems: What could not be read.
        drawn: Rows whose embeddings and reconstructions have been read: those of one cell are enough.
    """

    predictions: Predictions | None
    primary: str
    folds: dict[int, FoldClips] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    drawn: set[Cell] = field(default_factory=set)

    def read(self, records: Iterable[Record]) -> dict[Cell, Judged]:
        """All records of status ``ok`` by cell; the fullest is read first, so that a cut run never sets the clips."""
        good = [record for record in records if record.status == "ok"]
        judged = {}
        for record in sorted(good, key=lambda record: (-_test_clips(record), record.cell)):
            one = self._judge(record)
            if one is not None:
                judged[record.cell] = one
        return judged

    def groups(self, folds: Sequence[int]) -> Groups:
        """The group of each clip of ``folds``; ``None`` where one of them has none."""
        parts = [self.folds[fold].groups for fold in folds if fold in self.folds]
        known = [groups for groups in parts if groups is not None]
        return np.concatenate(known) if known and len(known) == len(folds) else None

    def _judge(self, record: Record) -> Judged | None:
        accuracy = record.score(self.primary)
        if self.predictions is None or "predictions" not in record.artifacts:
            note = "" if self.predictions is None else "no stored predictions"
            return Judged(record=record, accuracy=accuracy, predicted=None, correct=None, curve=None, note=note)
        try:
            arrays = self.predictions(record)
        except StoreError as error:
            self.problems.append(str(error))
            return None
        curve = _curve(record, arrays)
        logits, note = self._align(record, arrays)
        targets = self.folds[record.cell.fold].targets
        predicted = None if logits is None or targets is None else logits.argmax(axis=1).astype(np.int64)
        correct = None if predicted is None else predicted == targets
        return Judged(
            record=record, accuracy=accuracy, predicted=predicted, correct=correct, curve=curve, note=note,
            pretraining=_pretraining(record, arrays), extras=self._extras(record, arrays),
            logits=None if self.primary == PRIMARY else logits,
        )  # fmt: skip

    def _extras(self, record: Record, arrays: Arrays) -> Extras | None:
        row = replace(record.cell, fold=0, seed=0)
        if row in self.drawn:
            return None
        self.drawn.add(row)
        return read_extras(arrays)

    def _align(self, record: Record, arrays: Arrays) -> tuple[npt.NDArray[Any] | None, str]:
        """The logits in the section's order, or why they cannot be compared clip by clip."""
        ids, targets, logits = arrays["ids"], arrays["targets"], arrays["logits"]
        if record.cell.fold not in self.folds:
            self.folds[record.cell.fold] = _fold_clips(arrays)
        fold = self.folds[record.cell.fold]
        if not np.array_equal(ids, fold.ids):
            if len(ids) != len(fold.ids) or set(ids.tolist()) != set(fold.ids.tolist()):
                return None, "tested on other clips than the rest of the section"
            place = {name: index for index, name in enumerate(ids.tolist())}
            order = np.array([place[name] for name in fold.ids.tolist()])
            logits, targets = logits[order], targets[order]
        if not np.array_equal(targets, fold.labels):
            return None, "its targets differ from the rest of the section"
        return logits, ""


def primary_metric(group: SectionGroup) -> str:
    """The data set's primary metric, as its records say."""
    named = (part(record, "dataset").get("primary_metric") for record in group.records())
    return next((str(name) for name in named if name), PRIMARY)


def _test_clips(record: Record) -> int:
    value = part(record, "dataset").get("test")
    return value if isinstance(value, int) else 0


def _fold_clips(arrays: Arrays) -> FoldClips:
    groups = arrays.get("groups")
    named = groups is not None and groups.size > 0 and bool((groups != "").all())
    targets = arrays["targets"]
    return FoldClips(
        ids=arrays["ids"],
        labels=targets,
        targets=targets.astype(np.int64) if targets.ndim == 1 else None,
        groups=groups if named else None,
    )


def _numbers(values: np.ndarray[Any, Any] | None) -> tuple[float | None, ...]:
    if values is None:
        return ()
    return tuple(float(value) if math.isfinite(value) else None for value in values.tolist())


def _curve(record: Record, arrays: Arrays) -> Curve | None:
    loss = _numbers(arrays.get("curve_train_loss"))
    if not loss:
        return None
    validation = _numbers(next((x for name, x in arrays.items() if name.startswith("curve_val_")), None))
    seconds = _numbers(arrays.get("curve_seconds")) if any(value is not None for value in validation) else ()
    return Curve(fold=record.cell.fold, seed=record.cell.seed, loss=loss, validation=validation, seconds=seconds)


def _pretraining(record: Record, arrays: Arrays) -> Pretraining | None:
    loss = _numbers(arrays.get("pretrain_loss"))
    if not loss:
        return None
    steps = tuple(int(step) for step in arrays["pretrain_step"].tolist())
    return Pretraining(fold=record.cell.fold, seed=record.cell.seed, steps=steps, loss=loss)


def pooled(judged: Mapping[tuple[int, int], Judged], folds: Sequence[int], seeds: Sequence[int]) -> Bools | None:
    """Correctness of out-of-fold predictions.

    Args:
        judged: By ``(fold, seed)``.
        folds: Folds to pool, in this order.
        seeds: Seeds to stack.

    Returns:
        ``(seeds, clips)``, or ``None`` where a cell has no comparable predictions.
    """
    rows = []
    for seed in seeds:
        parts = [judged[fold, seed].correct for fold in folds]
        known = [value for value in parts if value is not None]
        if not known or len(known) < len(parts):
            return None
        rows.append(np.concatenate(known))
    return np.stack(rows) if rows else None


def confusion(
    judged: Mapping[tuple[int, int], Judged],
    clips: Mapping[int, FoldClips],
    cells: Iterable[tuple[int, int]],
    classes: int,
) -> npt.NDArray[np.int64] | None:
    """Counts ``(classes, classes)``, target by prediction, over the cells; ``None`` where one has no predictions."""
    total = np.zeros(classes * classes, dtype=np.int64)
    for fold, seed in cells:
        predicted, targets = judged[fold, seed].predicted, clips[fold].targets if fold in clips else None
        if predicted is None or targets is None:
            return None
        total += np.bincount(targets * classes + predicted, minlength=classes * classes)
    return total.reshape(classes, classes)
