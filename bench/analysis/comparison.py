"""Row A against row B on the clips and folds that both have, per section; never across sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.analysis.average import Common, Pairs, unfit
from bench.analysis.discordant import Discordant, Side, discordant
from bench.analysis.evidence import check_metric, evidence, shown_score
from bench.analysis.family import ALPHA, Family, read_family
from bench.analysis.grouping import Identity, RowGroup, RowKey, SectionGroup, gather, part, titles
from bench.analysis.model import Row
from bench.analysis.phrases import plural
from bench.analysis.predictions import Metrics, Reader
from bench.analysis.rows import choose
from bench.analysis.tuned import told, unseen
from bench.cell import Cell, registered
from bench.errors import SelectionError, UnknownNameError
from bench.results.predictions import Predictions
from bench.results.records import Record, Score
from bench.statistics.draws import MIN_SEEDS
from bench.statistics.folds import FoldTest, corrected_fold_t
from bench.statistics.paired import Comparison, McNemar, mcnemar_exact, paired_cluster_bootstrap
from bench.statistics.results import Refusal

AXES = ("mode", "weights", "inputs", "frontend", "feeding", "recipe", "precision", "clip_samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which row is meant: a model, and axes where it has several rows; ``label`` as the user wrote it."""

    model: str
    axes: tuple[tuple[str, str], ...]
    label: str

    def fits(self, key: RowKey) -> bool:
        """Whether the row is meant."""
        return key.model == self.model and all(str(getattr(key, name)) == value for name, value in self.axes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a comparison reads and computes.

    Attributes:
        predictions: Gives the stored arrays of a record.
        metrics: What can be computed of them (``bench.metrics.scoring.catalog``).
        metric: Compare by this one instead of each data set's own, wherever it is defined.
        planned: Cells that were planned.
        families: Sections read so far, as their board ranks them.
    """

    predictions: Predictions
    metrics: Metrics
    metric: str | None = None
    planned: Sequence[Cell] = ()
    families: dict[Identity, tuple[Reader, Family]] = field(default_factory=dict)

    def family(self, section: SectionGroup) -> tuple[Reader, Family]:
        """A section as its board ranks it, read once."""
        if section.identity not in self.families:
            shown = shown_score(section.records(), self.metrics, self.metric)
            reader = Reader(self.predictions, self.metrics, shown)
            self.families[section.identity] = (reader, read_family(section, reader))
        return self.families[section.identity]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A against B in one section.

    Attributes:
        dataset: Title of the data set; ``dataset_name`` is what ``--dataset`` of a run takes.
        folds: Folds that both have.
        metric: The score they are compared by, without a value.
        value_a: That score over the shared clips and A's seeds.
        paired: Bootstrap over groups and seeds, with the p value of this pair alone, or why there is none.
        p_adjusted: By Holm's method over the pairs of ranked rows of the board; ``None`` where one of the two is not
            ranked (a control, few seeds, missing folds): then the pair is a family of its own.
        ranked: Rows that the board ranks.
        mcnemar: Exact test of each seed that both have: these trained models only; empty where clips are not right or
            wrong by the metric.
        fold_differences: A minus B for each of ``folds``.
        fold_test: Corrected t over folds, or why there is none.
        discordant: Clips judged differently, the clearest first; empty likewise.
        chosen: Which folds the recipes of the section's rows were chosen by, and what follows; empty for none.
        unfit: Why neither is called better whatever the clips say; empty where the clips decide.
        unranked: Why the board does not rank them, each with the row it is said of.
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
    metric: Score
    value_a: float
    value_b: float
    paired: Comparison | Refusal
    p_adjusted: float | None
    ranked: int
    mcnemar: tuple[tuple[int, McNemar], ...]
    fold_differences: tuple[float, ...]
    fold_test: FoldTest | Refusal
    discordant: tuple[Discordant, ...]
    chosen: str = ""
    unfit: tuple[str, ...] = ()
    unranked: tuple[str, ...] = ()

    @property
    def lead(self) -> float:
        """How far A is ahead of B, below 0 where B is."""
        return self.metric.sign * (self.value_a - self.value_b)

    @property
    def seeds(self) -> int:
        """The fewer seeds of the two."""
        return min(len(self.seeds_a), len(self.seeds_b))

    @property
    def resolved(self) -> bool:
        """Whether the two differ significantly, as the letters of the board say it; never where either is unfit."""
        if isinstance(self.paired, Refusal) or self.unfit:
            return False
        return (self.paired.p_value if self.p_adjusted is None else self.p_adjusted) < ALPHA


def row_names(a: RowKey, b: RowKey) -> tuple[str, str]:
    """The two rows, with the axes in which they differ where the model is the same."""
    if a.model != b.model:
        return a.model, b.model
    differing = [name for name in AXES if getattr(a, name) != getattr(b, name)]
    first, second = (", ".join(f"{name} {getattr(key, name)}" for name in differing) for key in (a, b))
    return f"{a.model} ({first})", f"{b.model} ({second})"


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
    records: Sequence[Record], a: Choice, b: Choice, source: Source, *, dataset: str | None = None
) -> tuple[list[Verdict], list[str]]:
    """Compare two rows wherever both have results, or in one data set only.

    Returns:
        One verdict per section with shared folds, and what was left out, each with its reason.

    Raises:
        UnknownNameError: No record of one of the models, or of the data set; or nobody knows the metric.
        SelectionError: A choice fits several rows of a section.
    """
    found, problems = compare_sections(records, a, b, source, dataset=dataset)
    return list(found.values()), problems


def compare_sections(
    records: Sequence[Record], a: Choice, b: Choice, source: Source, *, dataset: str | None = None
) -> tuple[dict[Identity, Verdict], list[str]]:
    """As :func:`compare`, the verdicts by section."""
    _known(records, a, b, dataset)
    check_metric(source.metric, records, source.metrics)
    verdicts: dict[Identity, Verdict] = {}
    problems: list[str] = []
    sections = gather(records, source.planned)
    names = titles([section.identity for section in sections])
    every = [row for section in sections for _, row in sorted(section.rows.items()) if row.evaluate]
    for choice in (a, b):
        same = [row for row in every if row.key.model == choice.model]
        if same and not any(choice.fits(row.key) for row in same):
            raise SelectionError(f"{choice.label!r} fits no row; there is {_told(choice.model, same)}")
    for section in sections:
        if dataset not in (None, section.identity.dataset, registered(section.identity.dataset)):
            continue
        rows = [_row(section, choice) for choice in (a, b)]
        if rows[0] is None or rows[1] is None:
            continue
        where = f"{names[section.identity]}, {section.identity.protocol}"
        if rows[0] is rows[1]:
            raise SelectionError(f"{where}: {a.label!r} and {b.label!r} are the same row")
        found = _verdict(section, source, rows[0], rows[1])
        problems += source.family(section)[0].problems
        if isinstance(found, str):
            problems.append(f"{where}: {found}")
        else:
            verdicts[section.identity] = replace(found, dataset=names[section.identity])
    return verdicts, problems


def _known(records: Sequence[Record], a: Choice, b: Choice, dataset: str | None) -> None:
    models, datasets = ({getattr(record.cell, kind) for record in records} for kind in ("model", "dataset"))
    for kind, name, known in (("model", a.model, models), ("model", b.model, models), ("dataset", dataset, datasets)):
        if name is not None and name not in known | set(map(registered, known)):
            raise UnknownNameError(kind, name, known)


def _row(section: SectionGroup, choice: Choice) -> RowGroup | None:
    fitting = [row for key, row in sorted(section.rows.items()) if choice.fits(key) and row.evaluate]
    if len(fitting) > 1:
        raise SelectionError(f"{choice.label!r} fits {len(fitting)} rows; say which: {_told(choice.label, fitting)}")
    return fitting[0] if fitting else None


def _told(start: str, rows: Sequence[RowGroup]) -> str:
    """What rows can be chosen by: a beginning that fits all of them, and the axes in which they differ."""
    differing = [name for name in AXES if len({getattr(row.key, name) for row in rows}) > 1]
    options = [",".join([start, *(f"{at}={getattr(row.key, at)}" for at in differing)]) for row in rows]
    return " or ".join(dict.fromkeys(options))


def _verdict(section: SectionGroup, source: Source, a: RowGroup, b: RowGroup) -> Verdict | str:
    reader, family = source.family(section)
    found_a, found_b = family.found[a.key], family.found[b.key]
    p_adjusted = family.p_adjusted(a.key, b.key)
    both = sorted({fold for fold, _ in found_a} & {fold for fold, _ in found_b})
    finished = sorted({record.cell.fold for record in section.records() if record.status == "ok"})
    clean = unseen(section.rows.values(), finished)
    shared = [fold for fold in clean if fold in both] or both
    sides = _sides(found_a, found_b, shared if p_adjusted is None else family.common.folds, reader)
    if isinstance(sides, str):
        return sides
    folds, seeds_a, seeds_b = sides[0].folds, sides[0].seeds, sides[1].seeds
    means = [side.by_fold([len(reader.folds[fold].ids) for fold in folds]) for side in sides]
    differences = tuple((means[0] - means[1]).tolist())
    told_apart = all(side.right_or_wrong for side in sides)
    known = {row.key: row for row in family.rows}
    rows = {name: known[row.key] for name, row in zip(row_names(a.key, b.key), (a, b), strict=True)}
    return Verdict(
        dataset=section.identity.title,
        dataset_name=registered(section.identity.dataset),
        manifest_sha256=section.identity.manifest,
        protocol=section.identity.protocol,
        a=a.key,
        b=b.key,
        folds=folds,
        seeds_a=seeds_a,
        seeds_b=seeds_b,
        metric=reader.shown,
        value_a=sides[0].mean,
        value_b=sides[1].mean,
        paired=paired_cluster_bootstrap(sides[0].evidence, sides[1].evidence, reader.groups(folds)),
        p_adjusted=p_adjusted,
        ranked=len(family.places),
        mcnemar=tuple(
            (seed, mcnemar_exact(*(side.values[side.seeds.index(seed)] for side in sides)))
            for seed in (seeds_a if told_apart else ())
            if seed in seeds_b
        ),
        fold_differences=differences,
        fold_test=_fold_test(differences, next(iter(found_a.values())).record),
        discordant=discordant(section, reader, *sides) if told_apart else (),
        chosen=told([(name, row.seen) for name, row in rows.items()], both, folds, clean={*folds} <= {*clean}),
        unfit=tuple(dict.fromkeys(_unfit(sides, rows, family.common))),
        unranked=tuple(f"{name}: {one}" for name, row in rows.items() for one in row.not_ranked),
    )


def _sides(found_a: Pairs, found_b: Pairs, among: Sequence[int], reader: Reader) -> tuple[Side, Side] | str:
    """Both rows on the folds that they share, or why they cannot be compared."""
    folds_a, _ = choose(found_a, among)
    folds, seeds_b = choose(found_b, folds_a)
    _, seeds_a = choose(found_a, folds)
    if not folds:
        return "no fold that both have finished"
    first, second = evidence(found_a, folds, seeds_a, reader), evidence(found_b, folds, seeds_b, reader)
    if isinstance(first, Refusal) or isinstance(second, Refusal):
        notes = sorted({one.note for one in (*found_a.values(), *found_b.values()) if one.note})
        reasons = [one.reason for one in (first, second) if isinstance(one, Refusal)]
        return f"predictions cannot be paired ({'; '.join(notes) or reasons[0]})"
    return Side(found_a, folds, seeds_a, first), Side(found_b, folds, seeds_b, second)


def _unfit(sides: tuple[Side, Side], rows: Mapping[str, Row], common: Common) -> Iterator[str]:
    """Why nothing calls one better or worse."""
    few = min(len(side.seeds) for side in sides)
    if few < MIN_SEEDS:
        yield f"{plural(few, 'seed')} of at least {MIN_SEEDS}"
    for name, row in rows.items():
        yield from (f"{name}: {one}" for one in unfit(row.model, row.seen, common, sides[0].folds))


def _fold_test(differences: Sequence[float], record: Record) -> FoldTest | Refusal:
    data = part(record, "dataset")
    train, test = data.get("train"), data.get("test")
    if not train or not test:
        return Refusal(reason="the records do not say how many clips were trained on")
    return corrected_fold_t(differences, test / train)
