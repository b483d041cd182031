"""The front-end study: one backbone under each feeding, on the fly and from stored features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.analysis.comparison import Source, compare, parse_choice
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.data.cache import digest
from bench.data.locate import open_clips
from bench.data.waveforms import open_waveforms
from bench.errors import NoCellError, SelectionError
from bench.measurement.environment import describe
from bench.measurement.machine import hardware_fingerprint
from bench.plugins.registry import Registry
from bench.recipe import Recipe
from bench.results.folder import write_atomic
from bench.results.provenance import source_hash
from bench.results.reading import parse_json, read_bytes, reason, set_aside
from bench.results.records import Record
from bench.running.progress import Progress
from bench.running.runner import Runner
from bench.studies.common import ends, only_model, profile_in_turns, registry_of, unlimited
from bench.studies.frontends.claims import judge_claims
from bench.studies.frontends.delivery import measure_delivery
from bench.studies.frontends.features import REFERENCE, Spectrogram, examples, frontend_of, look_at_features
from bench.studies.frontends.loaders import StudyData
from bench.studies.frontends.read import feeding_row

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
class FrontendStudy:
    """What the study found.

    Attributes:
        found: JSON values, unknown is ``None`` with its reason: ``what`` (model, data set, device, ...), ``rows`` (by
            feeding, see :func:`bench.studies.frontends.read.feeding_row`), ``features`` and ``delivery`` (see
            :mod:`bench.studies.frontends.features` and :mod:`bench.studies.frontends.delivery`), ``accuracy``
            (trainable against frozen front ends, empty where nothing was trained), ``verdicts``, ``environment``,
            ``reasons``, ``reused`` (cells measured before), ``measured_before`` (whether features and delivery were
            taken from the run folder), ``pictures`` (names of the examples).
        examples: Two clips under each frozen front end.
    """

    found: dict[str, Any]
    examples: tuple[Spectrogram, ...]

    @property
    def failed(self) -> bool:
        """Whether a cell that could be run has no result."""
        return any(row["status"] not in ("ok", "incompatible") for row in self.found["rows"].values())


def run_study(
    selection: Selection,
    frontends: Sequence[str],
    settings: Settings,
    progress: Progress,
    *,
    evaluate: bool = False,
    processes: int = 1,
) -> FrontendStudy:
    """Profile one model under each feeding, prepare, deliver and compare features, judge the claims."""
    if processes < 1:
        raise SelectionError(f"processes is {processes}; it must be at least 1")
    registry = registry_of(selection, settings)
    model = only_model(selection, registry)
    stored = registry.models[model].spec.frontend
    if stored is None:
        raise SelectionError(f"{model!r} takes the waveform: it has no front end to compare")
    feedings = [*((name, "fly") for name in dict.fromkeys(frontends)), (stored, "precomputed")]
    variants = {pair: replace(selection, frontend=pair[0], feeding=pair[1]) for pair in feedings}
    cells = profile_in_turns(variants, settings, progress, processes=processes)
    rows = {" ".join(pair): feeding_row(one.records, one.refused) for pair, one in cells.items()}
    planned = next((one.planned for one in cells.values() if one.planned), None)
    if planned is None:
        raise NoCellError(f"{model!r} takes none of the front ends {', '.join(frontends)} on this data set")
    taken = [name for name in dict.fromkeys(frontends) if cells[name, "fly"].refused is None]
    data = _data(selection, registry, model, planned.recipe, (taken, stored))
    key = _key(data, registry, model, taken, selection.device)
    measured, again = _measured(data, key, selection.device, settings, progress)
    accuracy = _accuracy(selection, taken, settings, progress) if evaluate else []
    pictures = _pictures(data)
    cases = judge_claims(rows, f"{stored} precomputed", measured["features"], measured["delivery"])
    names = ("model", "dataset", "device", "precision", "batch", "clip_samples", "recipe")
    found = {
        "what": {**{name: getattr(planned.cell, name) for name in names}, "processes": processes},
        "rows": rows,
        "features": measured["features"],
        "delivery": measured["delivery"],
        "accuracy": accuracy,
        "environment": next(record.environment for one in cells.values() for record in one.records),
        "reasons": {} if accuracy else {"accuracy": NO_TRAINABLE if evaluate else NOT_TRAINED},
        "reused": sum(one.reused for one in cells.values()),
        "measured_before": again,
        "verdicts": [{**asdict(case), "ratio": case.ratio} for case in cases],
        "pictures": [{"clip": one.clip, "frontend": one.frontend, "silent": one.silent} for one in pictures],
    }
    return FrontendStudy(found=found, examples=pictures)


def _data(
    selection: Selection, registry: Registry, model: str, recipe: Recipe, names: tuple[Sequence[str], str]
) -> StudyData:
    """The clips and, under ``names`` (those taken on the fly, the stored one), the front ends of the model."""
    taken, stored = names
    entry = registry.datasets[selection.datasets[0]]
    clips = open_clips(entry.spec, selection.data, load=entry.factory)
    return StudyData(
        clips=clips,
        waveforms=open_waveforms(clips, trim_db=recipe.trim_db, fill=recipe.fill),
        recipe=recipe,
        frontends={name: frontend_of(registry, model, clips, name) for name in (*taken, stored, REFERENCE)},
        fly=tuple(name for name in taken if not registry.frontends[name].spec.trainable),
        stored=stored,
    )


def _pictures(data: StudyData) -> tuple[Spectrogram, ...]:
    """Examples under each frozen front end, neither trimmed nor tiled, or there is no silence to see."""
    frozen = {name: data.frontends[name] for name in (*data.fly, data.stored)}
    return tuple(examples(data.clips, open_waveforms(data.clips, trim_db=None, fill="zeros"), frozen))


def _key(data: StudyData, registry: Registry, model: str, taken: Sequence[str], device: str) -> str:
    """What a stored measurement depends on: data, settings, front ends, libraries, machine."""
    sources = [source_hash(registry.frontends[name].factory) for name in (*taken, data.stored)]
    machine = describe(device, watch_s=0.1)
    return digest(
        CODE_VERSION, data.waveforms.fingerprint, list(taken), data.stored,
        dict(registry.models[model].spec.frontend_options), data.recipe.model_dump(mode="json"), sources, device,
        machine["libraries"], hardware_fingerprint(machine), torch.get_num_threads(),
    )  # fmt: skip


def _kept(file: Path) -> dict[str, Any]:
    """What was measured before; an error that says why where that is damaged."""
    kept = parse_json(read_bytes(file))
    told = [kept[name] for name in ("key", "features", "delivery")]
    if kept.get("digest", digest(*told)) != digest(*told):  # earlier versions wrote none
        raise ValueError("its bytes are not those that were written")
    return {**kept}


def _measured(
    data: StudyData, key: str, device: str, settings: Settings, progress: Progress
) -> tuple[dict[str, Any], bool]:
    """Features and delivery, measured now or taken from the run folder, and whether they were taken."""
    file = settings.out / KEPT
    try:
        kept = _kept(file)
        if kept["key"] == key:
            return kept, True
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        progress.note(f"{file} is damaged ({reason(error)}): set aside as {set_aside(file).name}, measured again")
    before = describe(device)["contended"]
    delivery = measure_delivery(data, device)
    delivery["contended"] = before or describe(device)["contended"]
    found = {"key": key, "features": look_at_features(data), "delivery": delivery}
    found["digest"] = digest(*json.loads(json.dumps([*found.values()])))
    write_atomic(file, (json.dumps(found, indent=1) + "\n").encode())
    return found, False


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
        result = Runner(chosen, settings, progress).run()
        records += result.records
    source = Source(predictions=result.store.predictions, metrics=result.metrics)
    found = []
    for frontend in trained:
        a, b = (parse_choice(f"{records[0].cell.model},frontend={name}") for name in (frontend, FROZEN))
        verdicts, problems = compare(records, a, b, source)
        sides = {"frontend": frontend, "against": FROZEN}
        for one in verdicts:
            found.append(
                {
                    **sides,
                    "protocol": one.protocol,
                    "folds": list(one.folds),
                    "seeds": [list(one.seeds_a), list(one.seeds_b)],
                    "accuracy": one.value_a,
                    "accuracy_frozen": one.value_b,
                    "difference": one.value_a - one.value_b,
                    **ends(one.paired),
                }
            )
        if not verdicts:
            reason = "; ".join(problems) or "no fold that both have finished"
            found.append({**sides, "difference": None, "reason": reason})
    return found
