"""Stored predictions of a section, in one order of clips so that rows can be paired; do they give the scores?"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bench.analysis.artifacts import (
    Curve,
    Embedding,
    Pretraining,
    Reconstruction,
    read_curve,
    read_embeddings,
    read_pretraining,
    read_reconstructions,
)
from bench.analysis.grouping import part
from bench.cell import Cell, axes
from bench.errors import StoreError
from bench.metrics.scoring import Metric
from bench.results.predictions import Arrays, Predictions, clip_groups
from bench.results.provenance import source_hash
from bench.results.records import Record, Score

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Groups = npt.NDArray[np.str_] | None
Metrics = Mapping[str, Metric]
"""Every metric that a plugin gives, by name."""

TOLERANCE = 1e-9
"""Largest difference between a stored and a recomputed score."""


@dataclass(frozen=True, slots=True)
class FoldClips:
    """The test clips of one fold, in the order that every row is brought to.

    Attributes:
        ids: ``(clips,)`` names.
        labels: ``(clips,)`` class indices or ``(clips, classes)`` indicators, as stored.
        targets: ``(clips,)`` class indices, ``None`` for indicator targets.
        groups: ``(clips,)`` group names, empty for a clip without one.
        grouped: Whether any has one.
    """

    ids: npt.NDArray[np.str_]
    labels: npt.NDArray[Any]
    targets: Ints | None
    groups: npt.NDArray[np.str_]
    grouped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """One evaluate cell that ended well.

    Attributes:
        scores: Those of the record, and those that were computed from its predictions.
        value: Of the score that the board sorts by.
        values: Its values per clip in the section's order, where it is a mean over clips.
        logits: ``(clips, classes)``, or what the score reads instead, in the section's order; only where it is none.
        predicted: ``(clips,)`` class indices in the section's order, of single-label tasks.
        answers: Checksum of its logits.
        note: Why it has no comparable predictions; empty if it has.
        embeddings: Of the first cell of a row only, as ``reconstructions`` are.
    """

    record: Record
    scores: tuple[Score, ...]
    value: float | None
    values: npt.NDArray[Any] | None = None
    logits: npt.NDArray[Any] | None = None
    predicted: Ints | None = None
    answers: int | None = None
    note: str = ""
    curve: Curve | None = None
    pretraining: Pretraining | None = None
    embeddings: tuple[Embedding, ...] = ()
    reconstructions: tuple[Reconstruction, ...] = ()


_row = attrgetter(*(axis.name for axis in fields(Cell) if axis.name not in {"fold", "seed"}))


@dataclass(slots=True)
class Reader:
    """Reads the predictions of one section.

    Attributes:
        predictions: Gives the arrays of a record; ``None`` where the board is made from scores only.
        shown: The score that the section sorts by, without a value.
        folds: The clips of each fold, filled by the first records read.
        problems: What could not be read or computed.
        drawn: Rows whose embeddings and reconstructions have been read: those of one cell are enough.
    """

    predictions: Predictions | None
    metrics: Metrics
    shown: Score
    folds: dict[int, FoldClips] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    drawn: set[tuple[Any, ...]] = field(default_factory=set)

    @property
    def metric(self) -> Metric | None:
        """What computes the score that the section sorts by, ``None`` where no plugin gives it here."""
        return self.metrics.get(self.shown.name)

    def read(self, records: Iterable[Record]) -> dict[Cell, Evaluated]:
        """All records of status ``ok`` by cell; the fullest is read first, so that a cut run never sets the clips."""
        good = [record for record in records if record.status == "ok"]
        evaluated = {}
        for record in sorted(good, key=lambda record: (-(part(record, "dataset").get("test") or 0), axes(record.cell))):
            try:
                evaluated[record.cell] = self._evaluated(record)
            except StoreError as error:  # an array is unpacked, and found damaged, when it is asked for
                self.problems.append(str(error))
        return evaluated

    def groups(self, folds: Sequence[int]) -> Groups:
        """As :func:`bench.results.predictions.clip_groups`, over all of ``folds``."""
        parts = [self.folds[fold] for fold in folds if fold in self.folds]
        if not parts:
            return None
        return clip_groups(*(np.concatenate([getattr(one, name) for one in parts]) for name in ("ids", "groups")))

    def _evaluated(self, record: Record) -> Evaluated:
        if self.predictions is None or "predictions" not in record.artifacts:
            note = "" if self.predictions is None else "no stored predictions"
            return Evaluated(record=record, scores=record.scores, value=record.score(self.shown.name), note=note)
        arrays = self.predictions(record)
        codes = record.provenance.get("metrics") or {}
        stored = record.scores
        if codes:
            stored = tuple(one for one in stored if one.name not in codes or self._stands(one.name, codes))
        scores = (*stored, *self._missing(stored, arrays))
        aligned, note = self._align(record, arrays)
        logits, read = aligned.get("logits"), aligned.get(self._reads)
        clips = self.folds[record.cell.fold]
        values = None
        if read is not None and self.metric is not None and self.metric.per_clip is not None:
            values = self.guarded(self.metric.values, read, clips.labels)
        row = _row(record.cell)
        embeddings = () if row in self.drawn else tuple(read_embeddings(record, arrays))
        reconstructions = () if row in self.drawn else tuple(read_reconstructions(arrays))
        self.drawn.add(row)
        return Evaluated(
            record=record,
            scores=scores,
            value=next((score.value for score in scores if score.name == self.shown.name), None),
            values=values,
            logits=read if self.metric is not None and self.metric.per_clip is None else None,
            predicted=None if logits is None or clips.targets is None else logits.argmax(axis=1).astype(np.int64),
            answers=None if logits is None else zlib.crc32(logits.tobytes()),
            note=note,
            curve=read_curve(record, arrays),
            pretraining=read_pretraining(record, arrays),
            embeddings=embeddings,
            reconstructions=reconstructions,
        )

    def _stands(self, name: str, codes: Mapping[str, Any]) -> bool:
        """Whether the code of a metric is still that of the record, as far as both are known."""
        return codes[name] is None or name not in self.metrics or codes[name] == source_hash(self.metrics[name].compute)

    def _missing(self, stored: Iterable[Score], arrays: Arrays) -> Iterator[Score]:
        """Scores of metrics that were not there when the record was made, or have changed, from its predictions."""
        known = {score.name for score in stored}
        for metric in (metric for name, metric in self.metrics.items() if name not in known):
            read, targets = arrays.get(metric.reads), arrays["targets"]
            task = "multi_label" if targets.ndim == 2 else "single_label"
            if read is None or task not in metric.task_types:
                continue
            if (score := self.guarded(metric.score, read, targets)) is not None:
                yield score

    def guarded(self, function: Callable[..., T | None], *arrays: npt.NDArray[Any]) -> T | None:
        """What a plugin's metric gives; a metric that raises is named once and spoils nothing else."""
        try:
            return function(*arrays)
        except Exception as error:  # noqa: BLE001  a plugin may raise anything; it is reported
            name = getattr(getattr(function, "__self__", None), "name", "?")
            problem = f"metric {name!r} raised {type(error).__name__}: {error}"
            if problem not in self.problems:
                self.problems.append(problem)
            return None

    @property
    def _reads(self) -> str:
        return "logits" if self.metric is None else self.metric.reads

    def _align(self, record: Record, arrays: Arrays) -> tuple[Arrays, str]:
        """Arrays in the section's order, none and why where they cannot be compared clip by clip."""
        ids = arrays["ids"]
        if record.cell.fold not in self.folds:
            self.folds[record.cell.fold] = _fold_clips(arrays)
        fold = self.folds[record.cell.fold]
        if ids is not fold.ids and not np.array_equal(ids, fold.ids):
            if len(ids) != len(fold.ids) or set(ids.tolist()) != set(fold.ids.tolist()):
                return {}, "tested on other clips than the rest of the section"
            place = {name: index for index, name in enumerate(ids.tolist())}
            order = np.array([place[name] for name in fold.ids.tolist()])
            wanted = {"logits", "targets", "groups", self._reads}
            arrays = {name: arrays[name][order] for name in wanted if name in arrays}
        if arrays["targets"] is not fold.labels and not np.array_equal(arrays["targets"], fold.labels):
            return {}, "its targets differ from the rest of the section"
        if not fold.grouped and "groups" in arrays:
            groups = _groups(arrays)
            self.folds[record.cell.fold] = replace(fold, groups=groups, grouped=bool((groups != "").any()))
        return arrays, ""


def _groups(arrays: Arrays) -> npt.NDArray[np.str_]:
    groups, none = arrays.get("groups"), np.full(arrays["ids"].shape, "")
    return groups if groups is not None and groups.shape == none.shape else none


def _fold_clips(arrays: Arrays) -> FoldClips:
    targets, groups = arrays["targets"], _groups(arrays)
    return FoldClips(
        ids=arrays["ids"],
        labels=targets,
        targets=targets.astype(np.int64) if targets.ndim == 1 else None,
        groups=groups,
        grouped=bool((groups != "").any()),
    )


def confusion(
    found: Mapping[tuple[int, int], Evaluated],
    clips: Mapping[int, FoldClips],
    cells: Iterable[tuple[int, int]],
    classes: int,
) -> npt.NDArray[np.int64] | None:
    """Counts ``(classes, classes)``, target by prediction, over the cells; ``None`` where one has no predictions."""
    total = np.zeros(classes * classes, dtype=np.int64)
    for fold, seed in cells:
        predicted, targets = found[fold, seed].predicted, clips[fold].targets if fold in clips else None
        if predicted is None or targets is None:
            return None
        total += np.bincount(targets * classes + predicted, minlength=classes * classes)
    return total.reshape(classes, classes)


def verify(records: Sequence[Record], predictions: Predictions, metrics: Metrics) -> tuple[int, list[str]]:
    """Compare stored scores with those of the stored predictions; only ``ok`` evaluate cells have scores.

    Returns:
        How many scores were recomputed, and one line for each that differs or cannot be recomputed.
    """
    checked, problems = 0, []
    for record in records:
        if record.status != "ok" or record.cell.kind != "evaluate":
            continue
        try:
            arrays = predictions(record)
        except StoreError as error:
            problems.append(str(error))
            continue
        for score in record.scores:
            try:
                problem = _difference(score, arrays, metrics)
                checked += 1
            except LookupError as error:
                problem = f"{score.name} cannot be recomputed: {error.args[0]}"
            problems += [f"{record.cell.id}: {problem}"] if problem else []
    return checked, problems


def _difference(score: Score, arrays: Arrays, metrics: Metrics) -> str:
    """How a stored score differs from what its predictions give, empty where it does not; else a ``LookupError``."""
    if score.name not in metrics:
        raise LookupError("no plugin gives this metric")
    try:
        found = metrics[score.name].score(arrays[metrics[score.name].reads], arrays["targets"]).value
    except Exception as error:  # a plugin may raise anything; it is reported
        raise LookupError(f"it raised {type(error).__name__}: {error}") from error
    if found is None or score.value is None:
        return "" if found is score.value else f"{score.name} is stored as {score.value}, recomputed {found}"
    if abs(found - score.value) <= TOLERANCE:
        return ""
    return f"{score.name} is stored as {score.value:.9g}, recomputed {found:.9g}"
