"""The front-end study: one backbone under each feeding, on the fly and from stored features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bench.clips import Clips
from bench.data.locate import open_clips
from bench.errors import NoCellError, SelectionError
from bench.plan import PlannedCell, Selection
from bench.records import Record
from bench.reports.stored import board_predictions
from bench.reports.versus import Verdict, compare, parse_choice
from bench.runner import Runner, Settings
from bench.statistics import Refusal
from bench.store import Store
from bench.studies.claims import Case, judge_claims
from bench.studies.features import look_at_features
from bench.studies.sweep import only_model, run_cells
from bench.watch import Watch

FLY = ("nnaudio", "nnaudio_mel", "nnaudio_stft", "torchaudio", "kaldi")
TRAINED = ("nnaudio_mel", "nnaudio_stft")
FROZEN = "nnaudio"
NOT_TRAINED = "not trained; ask with --evaluate"
NO_TRAINABLE = "the model takes no trainable front end beside frozen nnAudio, or none was asked for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What the study found; JSON values throughout, unknown is ``None`` with its reason.

    Attributes:
        what: Model, data set, device, precision, batch.
        rows: By feeding, speed and memory of its profile cell.
        features: Storage, preparation and parity, see :func:`bench.studies.features.look_at_features`.
        accuracy: Trainable against frozen front ends, with intervals; empty where nothing was trained.
        cases: The verdicts.
        environment: The machine.
        reasons: Why something is missing.
        reused: Cells that were measured before.
    """

    what: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    features: dict[str, Any]
    accuracy: list[dict[str, Any]]
    cases: tuple[Case, ...]
    environment: dict[str, Any]
    reasons: dict[str, str]
    reused: int

    @property
    def failed(self) -> bool:
        """Whether a cell that could be run has no result."""
        return any(row["status"] not in ("ok", "incompatible") for row in self.rows.values())

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        names = ("what", "rows", "features", "accuracy", "environment", "reasons", "reused")
        verdicts = [{**asdict(case), "ratio": case.ratio} for case in self.cases]
        return {**{name: getattr(self, name) for name in names}, "verdicts": verdicts}


def run_study(
    selection: Selection, frontends: Sequence[str], settings: Settings, watch: Watch, *, evaluate: bool = False
) -> Study:
    """Profile one model under each feeding, prepare and compare features, judge the claims.

    Args:
        selection: One model and one data set; front end and feeding are the study's own.
        frontends: Computed on the fly, one cell each; the model's own is also stored.
        settings: How to run.
        watch: Told what happens.
        evaluate: Also train the frozen and the trainable front ends over the selection's seeds.

    Raises:
        SelectionError: No or several models, or the model takes the waveform.
        NoCellError: The model takes none of the front ends.
        BenchError: As :meth:`bench.runner.Runner.run`.
    """
    first = Runner(replace(selection, evaluate=False), settings, watch)
    registry = first.host.registry
    model = only_model(selection.models, registry)
    stored = registry.models[model].spec.frontend
    if stored is None:
        raise SelectionError(f"{model!r} takes the waveform: it has no front end to compare")
    feedings = [*((name, "fly") for name in dict.fromkeys(frontends)), (stored, "precomputed")]
    profiled = _profile(selection, feedings, settings, watch)
    if profiled.planned is None:
        raise NoCellError(f"{model!r} takes none of the front ends {', '.join(frontends)} on this data set")
    taken = [name for name in frontends if profiled.rows[f"{name} fly"]["status"] != "incompatible"]
    clips = _clips(first, selection)
    features = look_at_features(registry, model, clips, profiled.planned.recipe, taken, stored)
    accuracy = _accuracy(selection, taken, settings, watch) if evaluate else []
    untrained = NO_TRAINABLE if evaluate else NOT_TRAINED
    names = ("model", "dataset", "device", "precision", "batch", "clip_samples", "recipe")
    return Study(
        what={name: getattr(profiled.planned.cell, name) for name in names},
        rows=profiled.rows,
        features=features,
        accuracy=accuracy,
        cases=tuple(judge_claims(profiled.rows, f"{stored} precomputed", features["storage"])),
        environment=profiled.environment,
        reasons={} if accuracy else {"accuracy": untrained},
        reused=profiled.reused,
    )


@dataclass(slots=True)
class _Profiled:
    """The profile cells of all feedings."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    planned: PlannedCell | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    reused: int = 0


def _profile(selection: Selection, feedings: Sequence[tuple[str, str]], settings: Settings, watch: Watch) -> _Profiled:
    found = _Profiled()
    for frontend, feeding in feedings:
        chosen = replace(_unlimited(selection), frontend=frontend, feeding=feeding, evaluate=False, profile=True)
        try:
            result = run_cells(Runner(chosen, settings, watch))
        except NoCellError as error:
            found.rows[f"{frontend} {feeding}"] = _row(None, str(error))
            continue
        (record,) = result.records
        found.rows[f"{frontend} {feeding}"] = _row(record)
        found.planned = found.planned or result.plan.cells[0]
        found.environment = found.environment or record.environment
        found.reused += len(result.reused)
    return found


def _unlimited(selection: Selection) -> Selection:
    """Without the budget that a recipe sets for many models."""
    return replace(selection, overrides=("recipe.budget_seconds=none", *selection.overrides))


def _clips(runner: Runner, selection: Selection) -> Clips:
    entry = runner.host.registry.datasets[selection.datasets[0]]
    return open_clips(entry.spec, selection.data, load=entry.factory)


def _row(record: Record | None, problem: str = "") -> dict[str, Any]:
    """Speed and memory of one feeding."""
    names = ("infer", "train", "infer_spread", "train_spread", "latency_ms", "cpu_ms", "flops", "host_train_mib",
             "host_infer_mib", "device_peak_mib", "augmentable", "contended")  # fmt: skip
    unknown = dict.fromkeys(names)
    if record is None:
        return {**unknown, "status": "incompatible", "problem": problem, "cell": None, "reasons": {}}
    if record.status != "ok":
        why = record.error.message if record.error else "no reason given"
        return {**unknown, "status": record.status, "problem": why, "cell": record.cell.id, "reasons": {}}
    timing, memory = record.timing, record.memory
    infer, train, latency = timing["infer"], timing.get("train"), timing.get("latency")
    flops = timing.get("flops")
    return {
        "status": "ok",
        "problem": None,
        "cell": record.cell.id,
        "infer": infer["clips_per_s"],
        "train": None if train is None else train["clips_per_s"],
        "infer_spread": infer.get("spread"),
        "train_spread": None if train is None else train.get("spread"),
        "latency_ms": None if latency is None else latency["median_ms"],
        "cpu_ms": 1e3 * infer["cpu_s"] / infer["clips"],
        "flops": None if flops is None else flops["total"] / flops["clips"],
        **{name: memory.get(name) for name in ("host_train_mib", "host_infer_mib", "device_peak_mib")},
        "augmentable": record.cell.feeding == "fly",
        "contended": record.environment.get("contended"),
        "reasons": {**memory.get("reasons", {}), **timing.get("reasons", {})},
    }


def _accuracy(selection: Selection, taken: Sequence[str], settings: Settings, watch: Watch) -> list[dict[str, Any]]:
    """Train the frozen and the trainable front ends, and compare them clip by clip."""
    trained = [name for name in TRAINED if name in taken]
    if FROZEN not in taken or not trained:
        return []
    records: list[Record] = []
    for frontend in (FROZEN, *trained):
        chosen = replace(_unlimited(selection), frontend=frontend, feeding="fly", evaluate=True, profile=False)
        records += Runner(chosen, settings, watch).run().records
    found = []
    for frontend in trained:
        a, b = (parse_choice(f"{records[0].cell.model},frontend={name}") for name in (frontend, FROZEN))
        verdicts, problems = compare(records, a, b, board_predictions(Store(settings.out)))
        found += [_compared(frontend, verdict) for verdict in verdicts]
        if not verdicts:
            why = "; ".join(problems) or "no fold that both have finished"
            found.append({"frontend": frontend, "against": FROZEN, "difference": None, "reason": why})
    return found


def _compared(frontend: str, verdict: Verdict) -> dict[str, Any]:
    paired = verdict.paired
    known: Mapping[str, Any] = {
        "frontend": frontend,
        "against": FROZEN,
        "protocol": verdict.protocol,
        "folds": list(verdict.folds),
        "seeds": [list(verdict.seeds_a), list(verdict.seeds_b)],
        "accuracy": verdict.accuracy_a,
        "accuracy_frozen": verdict.accuracy_b,
        "difference": verdict.accuracy_a - verdict.accuracy_b,
    }
    if isinstance(paired, Refusal):
        return {**known, "interval": None, "reason": paired.reason}
    return {**known, "interval": [paired.interval.low, paired.interval.high]}
