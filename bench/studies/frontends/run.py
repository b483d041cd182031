"""The front-end study: one backbone under each feeding, on the fly and from stored features."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.analysis.comparison import Verdict, compare, parse_choice
from bench.clips import Clips
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.data.cache import digest
from bench.data.locate import open_clips
from bench.data.waveforms import Waveforms, open_waveforms
from bench.errors import NoCellError, SelectionError
from bench.measurement.environment import describe
from bench.measurement.machine import hardware_fingerprint
from bench.plugins.registry import Registry
from bench.recipe import Recipe
from bench.results.provenance import source_hash
from bench.results.records import Record
from bench.results.store import Store, write_atomic
from bench.running.progress import Progress
from bench.running.runner import Runner
from bench.statistics import Refusal
from bench.studies.frontends.cells import profile_feedings, unlimited
from bench.studies.frontends.claims import Case, judge_claims
from bench.studies.frontends.delivery import Stock, measure_delivery
from bench.studies.frontends.features import frontend_of, look_at_features
from bench.studies.frontends.spectrogram_examples import Pictured, picture
from bench.studies.profile.run import only_model

CODE_VERSION = 1
"""Raised whenever what is measured of features and delivery changes."""
KEPT = "delivery.json"
"""File of the run folder that holds features and delivery, so that a second call need not measure them."""
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
        features: Storage, preparation and parity, see :func:`bench.studies.frontends.features.look_at_features`.
        delivery: See :func:`bench.studies.frontends.delivery.measure_delivery`; ``contended`` = others were busy.
        accuracy: Trainable against frozen front ends, with intervals; empty where nothing was trained.
        cases: The verdicts.
        environment: The machine.
        reasons: Why something is missing.
        reused: Cells that were measured before.
        measured_before: Whether features and delivery were taken from the run folder.
        pictures: Two clips under each frozen front end; the JSON values only name them.
    """

    what: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    features: dict[str, Any]
    delivery: dict[str, Any]
    accuracy: list[dict[str, Any]]
    cases: tuple[Case, ...]
    environment: dict[str, Any]
    reasons: dict[str, str]
    reused: int
    measured_before: bool
    pictures: tuple[Pictured, ...]

    @property
    def failed(self) -> bool:
        """Whether a cell that could be run has no result."""
        return any(row["status"] not in ("ok", "incompatible") for row in self.rows.values())

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        names = ("what", "rows", "features", "delivery", "accuracy", "environment", "reasons", "reused",
                 "measured_before")  # fmt: skip
        verdicts = [{**asdict(case), "ratio": case.ratio} for case in self.cases]
        drawn = [{"clip": one.clip, "frontend": one.frontend, "silent": one.silent} for one in self.pictures]
        return {**{name: getattr(self, name) for name in names}, "verdicts": verdicts, "pictures": drawn}


def run_study(
    selection: Selection,
    frontends: Sequence[str],
    settings: Settings,
    progress: Progress,
    *,
    evaluate: bool = False,
    processes: int = 1,
) -> Study:
    """Profile one model under each feeding, prepare, deliver and compare features, judge the claims.

    Args:
        selection: One model and one data set; front end and feeding are the study's own.
        frontends: Computed on the fly; the model's own is also stored.
        settings: How to run.
        progress: Told what happens.
        evaluate: Also train the frozen and the trainable front ends over the selection's seeds.
        processes: Profile cells per feeding, each in a fresh process; 8 give the ratios an interval.

    Raises:
        SelectionError: No or several models, the model takes the waveform, or fewer than one process.
        NoCellError: The model takes none of the front ends.
        BenchError: As :meth:`bench.running.runner.Runner.run`.
    """
    if processes < 1:
        raise SelectionError(f"processes is {processes}; it must be at least 1")
    first = Runner(replace(selection, evaluate=False), settings, progress)
    registry = first.host.registry
    model = only_model(selection.models, registry)
    stored = registry.models[model].spec.frontend
    if stored is None:
        raise SelectionError(f"{model!r} takes the waveform: it has no front end to compare")
    feedings = [*((name, "fly") for name in dict.fromkeys(frontends)), (stored, "precomputed")]
    profiled = profile_feedings(selection, feedings, settings, progress, processes=processes)
    if profiled.planned is None:
        raise NoCellError(f"{model!r} takes none of the front ends {', '.join(frontends)} on this data set")
    taken = [name for name in frontends if profiled.rows[f"{name} fly"]["status"] != "incompatible"]
    material = _Material(registry, model, _clips(first, selection), profiled.planned.recipe, taken, stored)
    measured, again = _measured(material, selection.device, settings.out)
    accuracy = _accuracy(selection, taken, settings, progress) if evaluate else []
    untrained = NO_TRAINABLE if evaluate else NOT_TRAINED
    names = ("model", "dataset", "device", "precision", "batch", "clip_samples", "recipe")
    features, delivery = measured["features"], measured["delivery"]
    return Study(
        what={**{name: getattr(profiled.planned.cell, name) for name in names}, "processes": processes},
        rows=profiled.rows,
        features=features,
        delivery=delivery,
        accuracy=accuracy,
        cases=tuple(judge_claims(profiled.rows, f"{stored} precomputed", features, delivery)),
        environment=profiled.environment,
        reasons={} if accuracy else {"accuracy": untrained},
        reused=profiled.reused,
        measured_before=again,
        pictures=tuple(picture(material.clips, material.untouched(), material.modules())),
    )


@dataclass(frozen=True, slots=True)
class _Material:
    """What features are made of, and with which front ends."""

    registry: Registry
    model: str
    clips: Clips
    recipe: Recipe
    taken: Sequence[str]
    stored: str

    @property
    def fly(self) -> tuple[str, ...]:
        """Frozen front ends; trainable ones compute the same before training."""
        return tuple(name for name in dict.fromkeys(self.taken) if not self.registry.frontends[name].spec.trainable)

    def modules(self) -> dict[str, nn.Module]:
        """Fresh modules of the frozen front ends and the stored one."""
        names = dict.fromkeys((*self.fly, self.stored))
        return {name: frontend_of(self.registry, self.model, self.clips, name) for name in names}

    def waveforms(self) -> Waveforms:
        """The decoded clips."""
        return open_waveforms(self.clips, trim_db=self.recipe.trim_db, fill=self.recipe.fill)

    def untouched(self) -> Waveforms:
        """The decoded clips with their silence: not trimmed, not tiled."""
        return open_waveforms(self.clips, trim_db=None, fill="zeros")

    def key(self, device: str) -> str:
        """What a stored measurement depends on: data, settings, front ends, libraries, machine."""
        spec = self.registry.models[self.model].spec
        entries = [self.registry.frontends[name] for name in (*self.taken, self.stored)]
        sources = [source_hash(entry.factory.partition(":")[0]) for entry in entries]
        machine = describe(device, watch_s=0.1)
        return digest(
            CODE_VERSION, self.waveforms().fingerprint, list(self.taken), self.stored, dict(spec.frontend_options),
            self.recipe.model_dump(mode="json"), sources, device, machine["libraries"], hardware_fingerprint(machine),
            torch.get_num_threads(),
        )  # fmt: skip


def _measured(material: _Material, device: str, out: Path) -> tuple[dict[str, Any], bool]:
    """Features and delivery, measured now or taken from the run folder, and whether they were taken."""
    file, key = out / KEPT, material.key(device)
    kept = _read(file)
    if kept.get("key") == key:
        return kept, True
    looked = look_at_features(
        material.registry, material.model, material.clips, material.recipe, material.taken, material.stored
    )
    stock = Stock(
        clips=material.clips, waveforms=material.waveforms(), recipe=material.recipe, frontends=material.modules(),
        fly=material.fly, stored=material.stored,
    )  # fmt: skip
    before = describe(device)["contended"]
    delivery = measure_delivery(stock, device)
    delivery["contended"] = before or describe(device)["contended"]
    found = {"key": key, "features": looked, "delivery": delivery}
    write_atomic(file, (json.dumps(found, indent=1) + "\n").encode())
    return found, False


def _read(file: Path) -> dict[str, Any]:
    """What an earlier call kept; nothing where there is no whole file, so that it is measured afresh."""
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _clips(runner: Runner, selection: Selection) -> Clips:
    entry = runner.host.registry.datasets[selection.datasets[0]]
    return open_clips(entry.spec, selection.data, load=entry.factory)


def _accuracy(
    selection: Selection, taken: Sequence[str], settings: Settings, progress: Progress
) -> list[dict[str, Any]]:
    """Train the frozen and the trainable front ends, and compare them clip by clip."""
    trained = [name for name in TRAINED if name in taken]
    if FROZEN not in taken or not trained:
        return []
    records: list[Record] = []
    for frontend in (FROZEN, *trained):
        chosen = replace(unlimited(selection), frontend=frontend, feeding="fly", evaluate=True, profile=False)
        records += Runner(chosen, settings, progress).run().records
    found = []
    for frontend in trained:
        a, b = (parse_choice(f"{records[0].cell.model},frontend={name}") for name in (frontend, FROZEN))
        verdicts, problems = compare(records, a, b, Store(settings.out).predictions)
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
