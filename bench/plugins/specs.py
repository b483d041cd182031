"""What a plugin declares: frozen values, no torch.

A spec names its code as a string (``"package.module:function"``), so that listing a hundred models imports
none of them. In the module that gave the spec, ``":function"`` means "in this file".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.allowed import Address, Count, Name, Positive, Sha256, Suffix
from bench.clips import TaskInfo, TaskType
from bench.plugins.model_spec import Axis, ModelSpec, Reference

__all__ = (
    "Axis", "BuiltinRecipe", "DatasetSpec", "Feeding", "FrontendSpec", "LauncherSpec", "MeasurementSpec", "MetricSpec",
    "ModelSpec", "Need", "ObserverSpec", "ProtocolSpec", "Reference", "ReporterSpec", "TaskInfo",
)  # fmt: skip

BuiltinRecipe = Literal["smoke", "quick", "full"]
Feeding = Literal["fly", "precomputed"]
Need = Literal["folds", "groups", "splits", "validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """A data set, declared without reading it.

    Attributes:
        name: What ``--dataset`` takes.
        load: ``"package.module:load"``; ``load(root: Path | None) -> bench.Clips``. ``root`` is the folder the
            host located (``--data``, ``BENCH_DATA`` or the download cache), ``None`` for generated data.
        task: What is known before loading; ``None`` where the user's files decide.
        folds: The authors' fold numbers, ``()`` where there are none.
        part_of: Name of the data set whose clips these are, under the same fold numbers; empty where there is none.
        recordings_of: Names of the collections whose recordings these are, whatever their folds (``("fsdd",)``); a
            model that was trained on one has heard them, and two sets of one collection are no two results.
        groups: What a group is (``"source recording"``, ``"speaker"``), empty where clips are independent.
        protocols: Names of the protocols that are recommended for it, the default first. Any other runs too where the
            clips have what it needs.
        primary_metric: Name of the metric that epochs are chosen by and boards sort by; ``None`` = that of the task
            type: accuracy, or mean average precision for ``multi_label``.
        recipe: Default recipe; ``None`` = the host's (``quick``).
        settings: Recipe settings that these clips need, below what a file states or a model declares. ``texture`` says
            whether a clip means the same wherever it begins (rain, an engine; no word, no tune): only then do the
            recipes ``quick`` and ``full`` roll it.
        license: SPDX identifier or a short name.
        url: Where it can be downloaded, empty where it cannot.
        download_bytes: Size of that download.
        archive_sha256: Its checksum, empty where the archive is made on demand and not byte-stable.
        manifest_sha256: Checksum over the publishers' metadata and clip list, empty where the user decides.
        known_leaks: Group ids that the official split itself shares between folds; reported, not refused.
        needs_files: ``False`` for generated data.
        description: One line for ``bench list``.
    """

    name: Name
    load: str
    task: TaskInfo | None = None
    folds: tuple[Count, ...] = ()
    part_of: str = ""
    recordings_of: tuple[str, ...] = ()
    groups: str = ""
    protocols: tuple[Name, ...] = ("4+1",)
    primary_metric: Name | None = None
    recipe: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    license: str = ""
    url: Address = ""
    download_bytes: Positive | None = None
    archive_sha256: Sha256 = ""
    manifest_sha256: Sha256 = ""
    known_leaks: tuple[str, ...] = ()
    needs_files: bool = True
    description: str = ""

    @property
    def collections(self) -> frozenset[str]:
        """Its own name and those of all that it shares recordings with."""
        return frozenset(filter(None, (self.name, self.part_of, *self.recordings_of)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendSpec:
    """A front end: waveform ``(batch, samples)`` to features ``(batch, freq, time)``.

    Attributes:
        name: What ``--frontend`` takes.
        factory: ``"package.module:build"``; ``build(task, **options) -> torch.nn.Module``.
        trainable: Whether it has parameters that training may change (then it cannot be precomputed).
        bands: Whether ``freq`` counts bands, which SpecAugment may hide. Where it counts something else (cepstra),
            ``forward(waveform, hide)`` takes a function that hides bands of ``(batch, bands, time)`` and applies it
            to the spectrogram that the features are made of.
        description: One line for ``bench list``.
    """

    name: Name
    factory: str
    trainable: bool = False
    bands: bool = True
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """A score computed from logits and targets.

    Attributes:
        name: Key of the score in a record.
        compute: ``"package.module:function"``; ``function(logits, targets) -> float`` on numpy arrays
            ``(clips, classes)`` and ``(clips,)`` class indices (or ``(clips, classes)`` indicators).
        higher_is_better: Its direction, which travels in the record.
        unit: ``"fraction"`` (shown in percent), ``"nats"``, ``""``.
        task_types: The kinds of task it is defined for.
        per_clip: ``"package.module:function"`` for a score that is a mean over clips: ``function(logits, targets) ->
            (clips,)`` values whose mean it is, or ``None`` where it is undefined. Rows are then compared clip by clip.
        weighted: For any other score, ``function(logits, targets, weights) -> (draws,)``: the score under each row of
            ``weights`` ``(draws, clips)``, which count a clip so many times; NaN where it is undefined. With neither
            the host calls ``compute`` on resampled clips, which takes longer.
        reads: What the functions are given in place of logits: ``"retrieval"`` ``(clips, 10)``, what each test clip
            finds by its vector (:func:`bench.metrics.retrieval.retrieved`), or ``"clusters"`` ``(clips,)``, its k-means
            cluster. Both are there where a cell has a head on embeddings.
        chance: ``"package.module:function"``; ``function(logits, targets) -> float``, what guessing scores here.
        description: One line for ``bench list``.
    """

    name: Name
    compute: str
    higher_is_better: bool = True
    unit: str = "fraction"
    task_types: tuple[TaskType, ...] = ("single_label",)
    per_clip: str | None = None
    weighted: str | None = None
    reads: Literal["logits", "retrieval", "clusters"] = "logits"
    chance: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementSpec:
    """Something measured of every model in its profile cells, beside speed and memory.

    The record describes it (title, unit, direction), so that boards show it wherever they are made.

    Attributes:
        name: Key in the record, under ``timing["measurements"]``.
        measure: ``"package.module:function"``; ``function(call, clips) -> float | None`` in the worker, after
            everything else: ``call(i)`` runs inference on batch ``i`` of ``clips`` clips, from the waveform to
            the logits, and does not wait for the device. ``None`` = it cannot be measured here; what it raises is
            stored as the reason.
        unit: Of the number.
        higher_is_better: Its direction.
        title: Header of its column, with the unit; empty = the name.
        description: One line for ``bench list``.
    """

    name: Name
    measure: str
    unit: str = ""
    higher_is_better: bool = False
    title: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherSpec:
    """Who runs cells.

    Attributes:
        name: What ``--launcher`` takes.
        factory: ``"package.module:build"``; ``build(**options)`` is called with the options of
            ``--launcher NAME:key=value,...`` and returns a :class:`bench.Launcher`.
        default: Whether it is taken where none is named.
        description: One line for ``bench list``.
    """

    name: Name
    factory: str
    default: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReporterSpec:
    """A leaderboard format.

    Attributes:
        name: What ``--format`` takes.
        render: ``"package.module:function"``; ``function(board: bench.Board) -> str | bytes``.
        suffix: Of the file, ``.csv``; two formats of one suffix are written as ``leaderboard.NAME.suffix``.
        verbs: The verbs that write it where ``--format`` is not given: ``run``, ``report``.
        description: One line for ``bench list``.
    """

    name: Name
    render: str
    suffix: Suffix
    verbs: tuple[Literal["run", "report"], ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverSpec:
    """Where a run is written to while it goes on: a tool that tracks experiments, a chat, a file.

    Attributes:
        name: What ``--observer`` takes.
        factory: ``"package.module:build"``; ``build(**options)`` is called in the host with the options of
            ``--observer NAME:key=value,...`` and returns a :class:`bench.Observer`. One that takes ``folder`` is given
            ``OUT/observers/NAME`` where the user names none; it need not be there yet.
        description: One line for ``bench list``.
    """

    name: Name
    factory: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolSpec:
    """How clips are divided and which checkpoint is kept; versioned and hashed.

    It runs on every data set that has what it needs; the test part stays sealed and leaks are refused whatever it says.

    Attributes:
        name: What ``--protocol`` takes.
        version: Raised whenever the meaning changes.
        divide: ``"package.module:function"``; ``divide(clips, fold, **options) -> (train, validation, test)``, arrays
            of indices. What else it may ask for and what is checked: :class:`bench.Divide`.
        folds: ``"package.module:function"``; ``folds(clips, **options) -> (clips,)`` numbers, the test folds to choose
            from; ``None`` = the authors' folds where it needs folds, else one fixed split, fold 0.
        needs: What a data set must have: ``folds`` (of the authors), ``groups``, ``splits`` (the publishers' train and
            test) or ``validation`` (their validation clips).
        options: Keyword arguments of ``divide`` and ``folds``.
        validation: ``none``, ``next_fold`` (the fold after the test fold) or ``split`` (a part of its own).
        select_on: Which part picks the epoch: ``none`` (fixed number of epochs), ``validation``, ``test``.
        leaks: ``refused``, or ``reported`` in the record where showing the leak is the point; never ranked.
        ranked: Whether its rows may be ranked with clean ones; not where the test part picks the epoch.
        description: One line for ``bench list`` and above boards.
    """

    name: Name
    version: Positive = 1
    divide: str = "bench.protocols.divisions:folds"
    folds: str | None = None
    needs: tuple[Need, ...] = ("folds",)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    validation: Literal["none", "next_fold", "split"] = "none"
    select_on: Literal["none", "validation", "test"] = "none"
    leaks: Literal["refused", "reported"] = "refused"
    ranked: bool = True
    description: str = ""
