"""Row A against row B on the clips and folds that both have, per section; never across sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.analysis.discordant import Discordant, Side, discordant
from bench.analysis.grouping import RowGroup, SectionGroup, gather, part
from bench.analysis.model import RowKey
from bench.analysis.predictions import PRIMARY, Judged, Reader, pooled, primary_metric
from bench.analysis.resampling import MAP, score_resampled
from bench.analysis.rows import Pair, choose, finished
from bench.errors import SelectionError, UnknownNameError
from bench.results.predictions import Predictions
from bench.results.records import Record
from bench.statistics import (
    Comparison,
    FoldTest,
    McNemar,
    Refusal,
    corrected_fold_t,
    mcnemar_exact,
    paired_cluster_bootstrap,
)

AXES = ("mode", "weights", "inputs", "frontend", "feeding", "recipe", "precision", "clip_samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which row is meant: a model, and axes where it has several rows.

    Attributes:
        model: Its name.
        axes: Axis of :class:`~bench.analysis.model.RowKey` to its value.
        label: As the user wrote it.
    """

    model: str
    axes: tuple[tuple[str, str], ...]
    label: str

    def fits(self, key: RowKey) -> bool:
        """Whether the row is meant."""
        return key.model == self.model and all(str(getattr(key, name)) == value for name, value in self.axes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A against B in one section.

    Attributes:
        dataset: Title of the data set.
        dataset_name: What ``--dataset`` takes.
        manifest_sha256: Identity of the clips.
        protocol: Name of the protocol.
        a: Row A.
        b: Row B.
        folds: Folds that both have.
        seeds_a: Seeds of A.
        seeds_b: Seeds of B.
        metric: ``accuracy``, or ``map`` where the data set's boards sort by it.
        accuracy_a: The metric over the shared clips and A's seeds.
        accuracy_b: The metric over the shared clips and B's seeds.
        paired: Bootstrap over groups and seeds, or why there is none.
        mcnemar: Exact test of each seed that both have: these trained models only; empty for other metrics.
        fold_differences: A minus B for each of ``folds``.
        fold_test: Corrected t over folds, or why there is none.
        discordant: Clips judged differently, the clearest first; empty for other metrics.
    """

    dataset: str
    dataset_name: str
    manifest_sha256: str
    protocol: str
    a: RowKey
    b: RowKey
    folds: tuple[int, ...]
    seeds_a: tuple[int, ...]
    seeds_b: tuple[int, ...]
    accuracy_a: float
    accuracy_b: float
    paired: Comparison | Refusal
    mcnemar: tuple[tuple[int, McNemar], ...]
    fold_differences: tuple[float, ...]
    fold_test: FoldTest | Refusal
    discordant: tuple[Discordant, ...]
    metric: str = PRIMARY


def parse_choice(text: str) -> Choice:
    """``model`` or ``model,axis=value,...``.

    Raises:
        SelectionError: Not of that form, or no such axis.

    >>> parse_choice("meamtm.micro,frontend=kaldi").axes
    (('frontend', 'kaldi'),)
    """
    model, *parts = text.split(",")
    axes = []
    for item in parts:
        name, equals, value = item.partition("=")
        if not equals or name not in AXES:
            raise SelectionError(f"{text!r}: {item!r} is not AXIS=VALUE; axes: {', '.join(AXES)}")
        axes.append((name, value))
    return Choice(model=model, axes=tuple(axes), label=text)


def compare(
    records: Sequence[Record], a: Choice, b: Choice, predictions: Predictions, *, dataset: str | None = None
) -> tuple[list[Verdict], list[str]]:
    """Compare two rows wherever both have results.

    Args:
        records: Of one or several runs.
        a: Row A.
        b: Row B.
        predictions: Gives the stored arrays of a record.
        dataset: Look at this data set only.

    Returns:
        One verdict per section with shared folds, and what was left out, each with its reason.

    Raises:
        UnknownNameError: No record of one of the models, or of the data set.
        SelectionError: A choice fits several rows of a section.
    """
    _known(records, a, b, dataset)
    verdicts, problems = [], []
    for section in gather(records, ()):
        if dataset is not None and section.identity.dataset != dataset:
            continue
        rows = [_row(section, choice) for choice in (a, b)]
        if rows[0] is None or rows[1] is None:
            continue
        where = f"{section.identity.title or section.identity.dataset}, {section.identity.protocol}"
        if rows[0] is rows[1]:
            raise SelectionError(f"{where}: {a.label!r} and {b.label!r} are the same row")
        reader = Reader(predictions, MAP if primary_metric(section) == MAP else PRIMARY)
        found = _verdict(section, reader, rows[0], rows[1])
        problems += reader.problems
        if isinstance(found, str):
            problems.append(f"{where}: {found}")
        else:
            verdicts.append(found)
    return verdicts, problems


def _known(records: Sequence[Record], a: Choice, b: Choice, dataset: str | None) -> None:
    models = {record.cell.model for record in records}
    for choice in (a, b):
        if choice.model not in models:
            raise UnknownNameError("model", choice.model, models)
    datasets = {record.cell.dataset for record in records}
    if dataset is not None and dataset not in datasets:
        raise UnknownNameError("dataset", dataset, datasets)


def _row(section: SectionGroup, choice: Choice) -> RowGroup | None:
    fitting = [row for key, row in sorted(section.rows.items()) if choice.fits(key) and row.evaluate]
    if len(fitting) > 1:
        differing = [name for name in AXES if len({getattr(row.key, name) for row in fitting}) > 1]
        options = [
            ",".join([choice.model, *(f"{name}={getattr(row.key, name)}" for name in differing)]) for row in fitting
        ]
        raise SelectionError(f"{choice.label!r} fits {len(fitting)} rows; say which: {' or '.join(options)}")
    return fitting[0] if fitting else None


def _verdict(section: SectionGroup, reader: Reader, a: RowGroup, b: RowGroup) -> Verdict | str:
    judged = reader.read([*a.evaluate, *b.evaluate])
    (found_a, _), (found_b, _) = finished(a, judged), finished(b, judged)
    shared = sorted({fold for fold, _ in found_a} & {fold for fold, _ in found_b})
    folds_a, _ = choose(found_a, shared)
    folds, seeds_b = choose(found_b, folds_a)
    _, seeds_a = choose(found_a, folds)
    if not folds:
        return "no fold that both have finished"
    if reader.primary == MAP:
        return _score_verdict(section, reader, (a, found_a, seeds_a), (b, found_b, seeds_b), folds)
    correct_a, correct_b = pooled(found_a, folds, seeds_a), pooled(found_b, folds, seeds_b)
    if correct_a is None or correct_b is None:
        notes = sorted({one.note for one in (*found_a.values(), *found_b.values()) if one.note})
        return f"predictions cannot be paired ({'; '.join(notes) or 'not single-label'})"
    sizes = [len(reader.folds[fold].ids) for fold in folds]
    differences = _by_fold(correct_a.mean(axis=0) - correct_b.mean(axis=0), sizes)
    return Verdict(
        dataset=section.identity.title,
        dataset_name=section.identity.dataset,
        manifest_sha256=section.identity.manifest,
        protocol=section.identity.protocol,
        a=a.key,
        b=b.key,
        folds=folds,
        seeds_a=seeds_a,
        seeds_b=seeds_b,
        accuracy_a=float(correct_a.mean()),
        accuracy_b=float(correct_b.mean()),
        paired=paired_cluster_bootstrap(correct_a, correct_b, reader.groups(folds)),
        mcnemar=tuple(
            (seed, mcnemar_exact(correct_a[seeds_a.index(seed)], correct_b[seeds_b.index(seed)]))
            for seed in seeds_a
            if seed in seeds_b
        ),
        fold_differences=differences,
        fold_test=_fold_test(differences, next(iter(found_a.values())).record),
        discordant=discordant(
            section, reader, Side(found_a, folds, seeds_a, correct_a), Side(found_b, folds, seeds_b, correct_b)
        ),
    )


_Ranked = tuple[RowGroup, Mapping[Pair, Judged], tuple[int, ...]]


def _score_verdict(
    section: SectionGroup, reader: Reader, a: _Ranked, b: _Ranked, folds: tuple[int, ...]
) -> Verdict | str:
    """A against B by mean average precision: the same draws of groups for both."""
    scores = [score_resampled(found, folds, seeds, reader) for _, found, seeds in (a, b)]
    means = [_fold_means(found, folds, seeds) for _, found, seeds in (a, b)]
    refused = next((one for one in scores if isinstance(one, Refusal)), None)
    if any(value is None for side in means for value in side):
        return f"a cell has no {MAP}"
    fold_a, fold_b = (np.array(side, dtype=np.float64) for side in means)
    differences = tuple((fold_a - fold_b).tolist())
    first, second = scores
    paired: Comparison | Refusal
    if isinstance(first, Refusal) or isinstance(second, Refusal):
        paired = refused or Refusal(reason="no stored predictions to draw from")
    else:
        paired = paired_cluster_bootstrap(first, second, None)
    return Verdict(
        dataset=section.identity.title, dataset_name=section.identity.dataset,
        manifest_sha256=section.identity.manifest, protocol=section.identity.protocol,
        a=a[0].key, b=b[0].key, folds=folds, seeds_a=a[2], seeds_b=b[2],
        accuracy_a=float(fold_a.mean()), accuracy_b=float(fold_b.mean()), paired=paired, mcnemar=(),
        fold_differences=differences, fold_test=_fold_test(differences, next(iter(a[1].values())).record),
        discordant=(), metric=MAP,
    )  # fmt: skip


def _fold_means(found: Mapping[Pair, Judged], folds: Sequence[int], seeds: Sequence[int]) -> list[float | None]:
    """The stored score of each fold, averaged over seeds; ``None`` where a cell has none."""
    means: list[float | None] = []
    for fold in folds:
        values = [found[fold, seed].accuracy for seed in seeds]
        known = [value for value in values if value is not None]
        means.append(sum(known) / len(known) if len(known) == len(values) else None)
    return means


def _by_fold(values: npt.NDArray[np.float64], sizes: Sequence[int]) -> tuple[float, ...]:
    parts = np.split(values, np.cumsum(sizes)[:-1])
    return tuple(float(part_.mean()) for part_ in parts)


def _fold_test(differences: Sequence[float], record: Record) -> FoldTest | Refusal:
    data = part(record, "dataset")
    train, test = data.get("train"), data.get("test")
    if not train or not test:
        return Refusal(reason="the records do not say how many clips were trained on")
    return corrected_fold_t(differences, test / train)
