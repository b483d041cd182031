"""What a board is: sections that are never averaged across, rows, and everything a reader must be told.

All values are plain: fractions, seconds, MiB, clips per second. Percent appears in the formats only. ``None`` means
unknown; the reason stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.analysis.artifacts import Detail, PageSection
from bench.analysis.grouping import RowKey
from bench.analysis.row_metadata import ModelFacts, Unfinished
from bench.results.quantities import Hardware, Speed
from bench.results.records import Score
from bench.statistics.results import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """Where a row stands, as far as the clips can tell.

    Attributes:
        best: The best place it may have, from 1.
        worst: The worst place it may have.
        tie: Letters of the tie groups it belongs to; rows that share a letter cannot be told apart.
    """

    best: int
    worst: int
    tie: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellScore:
    """The score of one evaluate cell."""

    fold: int
    seed: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a board.

    Attributes:
        key: Its axes.
        model: Facts about the model.
        primary: The score that the board sorts by (mean over seeds of the pooled predictions); without a value where
            there is no result.
        interval: 95 % interval of it, ``None`` where none can be made.
        rank: ``None`` where the row is not ranked.
        scores: Every other score.
        cells: Score of every finished cell, also of those outside the common set.
        folds_used: Folds that ``primary`` covers.
        seeds_used: Seeds that ``primary`` covers.
        folds_done: Folds with at least one result.
        folds_planned: All folds of the section.
        seeds_done: Seeds with at least one result.
        seeds_planned: Seeds that records or plan name.
        cells_done: Finished evaluate cells.
        cells_planned: Evaluate cells that records or plan name.
        devices: Where its evaluate cells ran.
        speeds: At most one per hardware.
        outcomes: Cells without a result.
        publishable: Whether it may enter a published table.
        not_publishable: Why not.
        not_ranked: Why it has no rank; empty for ranked rows.
        notes: What else a reader must know (averages over fewer folds, ...).
        seen: Folds of its results that its recipe was chosen by; ``None`` where its records do not say.
        whole: The score over all folds, where ``primary`` leaves out those that recipes of the section have seen.
        provenance: ``measured here``.
        command: A command that makes the row again.
        detail: For plots.
    """

    key: RowKey
    model: ModelFacts
    primary: Score
    interval: Interval | None
    rank: Rank | None
    scores: tuple[Score, ...]
    cells: tuple[CellScore, ...]
    folds_used: tuple[int, ...]
    seeds_used: tuple[int, ...]
    folds_done: tuple[int, ...]
    folds_planned: tuple[int, ...]
    seeds_done: tuple[int, ...]
    seeds_planned: tuple[int, ...]
    cells_done: int
    cells_planned: int
    devices: tuple[str, ...]
    speeds: tuple[Speed, ...]
    outcomes: tuple[Unfinished, ...]
    publishable: bool
    not_publishable: tuple[str, ...]
    not_ranked: tuple[str, ...]
    notes: tuple[str, ...]
    command: str
    seen: tuple[int, ...] | None = ()
    whole: float | None = None
    provenance: str = "measured here"
    detail: Detail = field(default_factory=Detail)

    @property
    def value(self) -> float | None:
        """Of the score that the board sorts by."""
        return self.primary.value

    def speed(self, hardware: str | None) -> Speed | None:
        """What was measured on one hardware, ``None`` where nothing was."""
        return next((speed for speed in self.speeds if speed.hardware == hardware), None)

    def score(self, name: str) -> float | None:
        """The value of one score, ``None`` where the row has none of that name."""
        return next((score.value for score in self.scores if score.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How the clips of a section were divided.

    Attributes:
        name: With version, ``4+1@1``.
        hash: Of its meaning; different hashes never share a section. Empty where no record ran.
        words: The same for people.
        ranked: Whether its rows may be ranked.
        leak: What the official split itself shares, in words; empty for none.
    """

    name: str
    hash: str
    words: str
    ranked: bool
    leak: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What a section was measured on.

    Attributes:
        name: What ``--dataset`` takes.
        title: For tables, says where the copy differs from the original.
        label_names: Class names in the order of the indices.
        manifest_sha256: Identity of the clips.
        test_clips: Clips over all folds that the board covers; ``None`` if unknown.
        groups: What a group is, empty where clips are independent.
        group_count: Distinct groups among the test clips, ``None`` if unknown.
        notes: What a reader must know about this copy.
        faithful: Whether the copy may stand beside published results as equal.
        license: Of the data.
        majority: Accuracy of always answering the majority class; ``None`` where the section shows another score.
        chance: What guessing scores, of the score that the section shows; ``None`` if unknown.
    """

    name: str
    title: str
    label_names: tuple[str, ...] = ()
    manifest_sha256: str = ""
    test_clips: int | None = None
    groups: str = ""
    group_count: int | None = None
    notes: tuple[str, ...] = ()
    faithful: bool = True
    license: str = ""
    majority: float | None = None
    chance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedPair:
    """Two ranked rows on the same clips.

    Attributes:
        better: Number of the row with the better score, from 0.
        worse: Number of the other.
        difference: Score of the former minus that of the latter.
        low: Lower end of the 95 % interval of the difference, of this pair alone; ``None`` if unknown.
        high: Upper end.
        p_value: Two-sided, of this pair alone.
        p_adjusted: By Holm's method over all pairs of ranked rows.
        resolution: Smallest true difference that one test of this pair finds with 80 % power; ``None`` if unknown.
    """

    better: int
    worse: int
    difference: float
    low: float | None
    high: float | None
    p_value: float
    p_adjusted: float
    resolution: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What the section can tell apart.

    Attributes:
        low: Smallest true difference that one test finds with 80 % power (paired), in the unit of the score, of the
            pair of neighbouring ranked rows where it is smallest; ``None`` if unknown.
        high: Of the pair where it is largest.
        clips: Shared clips it rests on.
        reason: Why the differences are unknown, empty where they are known.
        pairs: Every pair of ranked rows.
    """

    low: float | None
    high: float | None
    clips: int
    reason: str
    pairs: tuple[RankedPair, ...] = ()


SUITE = "suite"
"""Name of the protocol of a section that sums up others: its rows have no folds, their scores are of data sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table: one data set, one protocol, one label set, one copy of the data; or a suite of such tables.

    Attributes:
        dataset: What was measured on.
        protocol: How.
        primary: The score that sorts it, without a value.
        rows: Ranked first, then other results, then rows without any; best first.
        folds: All folds that records or plan name.
        common_folds: Folds that averages cover.
        seeds: All seeds that records or plan name.
        hardware: Everything that speed was measured on; the first fills the speed columns.
        resolution: What the table can tell apart.
        notes: What a reader must know (what was kept apart, mixed versions, provisional ranks, ...).
    """

    dataset: Dataset
    protocol: Protocol
    primary: Score
    rows: tuple[Row, ...]
    folds: tuple[int, ...]
    common_folds: tuple[int, ...]
    seeds: tuple[int, ...]
    hardware: tuple[Hardware, ...]
    resolution: Resolution
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A result from elsewhere, shown beside the measured ones and never ranked.

    Attributes:
        dataset: Name of the data set.
        system: Name of the system.
        value: A fraction.
        plus_minus: Its published spread, ``None`` where none is given.
        metric: What the value is.
        protocol: How it was obtained, with the differences from ours.
        trained_on: Data the weights had seen, empty for training from scratch.
        source: Where it stands.
    """

    dataset: str
    system: str
    value: float
    plus_minus: float | None
    metric: str
    protocol: str
    trained_on: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Everything a reporter needs; it never reads a file.

    Attributes:
        sections: Never averaged across but by a suite, whose own section is the last.
        problems: Files and cells that were left out, each with its reason.
        environments: Distinct software environments, one line each.
        published: Context rows.
        records: How many records it was made from.
        extra: Further sections of the page, made by studies of the same folder.
    """

    sections: tuple[Section, ...]
    problems: tuple[str, ...]
    environments: tuple[str, ...]
    published: tuple[Published, ...]
    records: int
    extra: tuple[PageSection, ...] = ()
