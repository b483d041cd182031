"""The provenance and memory sections of a record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.check import decoding_faults, decoding_note
from bench.execution.inputs import Inputs
from bench.job import Job
from bench.measurement.environment import describe as describe_machine
from bench.measurement.machine import hardware_fingerprint
from bench.measurement.readings import Reading, join, table
from bench.metrics.specs import PRIMARY
from bench.planning.fingerprints import metric_sources
from bench.plugins.registry import Registry
from bench.protocols.split import HOME, Split, authors_parts, describe_split, protocol_hash
from bench.results.provenance import PROFILE_CODE, RESULT_CODE, engine_hash, git_state, source_hash
from bench.results.records import SCHEMA_VERSION, Record

if TYPE_CHECKING:
    from bench.execution.pipeline import Pipeline
    from bench.measurement.device_memory import DevicePeak

TASK_FIELDS = ("task_type", "sample_rate", "clip_samples", "image_shape", "text_length")
"""What a record keeps of what its model was told of the task, beside the labels."""
_PATH = re.compile(r"(?<![\w.])/(?:[\w.@+~-]+/){2,}[\w.@+~-]+")


def ok_record(
    registry: Registry, job: Job, data: Inputs, pipeline: Pipeline | None, sections: Mapping[str, Any],
    **found: Any,
) -> Record:  # fmt: skip
    """The record of a cell that came to its end.

    ``pipeline`` is ``None`` for an estimator, which has no parameters to count; ``sections`` are further ones of the
    provenance; ``found`` are ``started_at``, ``timing``, ``memory`` and ``scores`` of the record.
    """
    leak, mates = sections.get("protocol", {}).get("leak", {}), sections.get("batch_mates", {})
    reasons = unpublishable(job, data)
    if leak.get("at_random") and leak["unknown"]:
        reasons.append(f"divided at random, and whether recordings leak is unknown: {leak['unknown']}")
    counts = {"parameters": None, "frontend_parameters": 0} if pipeline is None else pipeline.counts
    known = common(registry, job)
    spec = registry.models[job.cell.model].spec
    model = {
        **known["model"],
        "inputs": dict(data.given),
        "inductive": None if spec.inductive and "reason" in mates else spec.inductive and not mates.get("transductive"),
        "trained_on": list(spec.trained_on),
        "source": spec.source,
        "license": spec.license,
        "code_sha256": source_hash(registry.models[job.cell.model].factory),
        **counts,
    }
    return Record(
        cell=job.cell,
        status="ok",
        recipe=job.recipe.model_dump(mode="json"),
        environment=environment(job.cell.device),
        provenance={
            **known,
            "dataset": dataset_section(data),
            "task": {name: getattr(data.task, name) for name in TASK_FIELDS},
            "model": model,
            "publishable": not reasons,
            "not_publishable": reasons,
            **sections,
        },
        **found,
    )


def evaluation_sections(registry: Registry, job: Job, data: Inputs, split: Split) -> dict[str, Any]:
    """What the record of an evaluate cell says about its division of the data."""
    parts = {"train": len(split.train), "validation": len(split.validation), "test": len(split.test)}
    return {
        "protocol": _protocol(registry, job, data, split),
        "dataset": {**dataset_section(data), **parts, **_references(data, split)},
        "metrics": metric_sources(registry),
        "waveform_augmentation": "not applied: features are stored" if data.stored_features else "as the recipe",
    }


def common(registry: Registry, job: Job) -> dict[str, Any]:
    """What every record of a cell says, also of one that failed before there was data."""
    entry = registry.models[job.cell.model]
    parts = RESULT_CODE if job.cell.kind == "evaluate" else PROFILE_CODE
    return {
        "schema_version": SCHEMA_VERSION,
        "fingerprint": job.fingerprint,
        "engine_sha256": engine_hash(parts),
        "git": git_state(),
        "threads": job.threads,
        "limit": job.limit,
        "model": {
            "name": entry.spec.name,
            "family": entry.spec.family,
            **{name: getattr(entry.provenance, name) for name in ("plugin", "distribution", "version")},
        },
        **({"stack": {"cells": 1, "reason": job.apart}} if job.apart else {}),
    }


def environment(device: str) -> dict[str, Any]:
    """Hardware, libraries and state of the machine, and the short name of what makes speeds comparable."""
    description = describe_machine(device)
    return {**description, "hardware_fingerprint": hardware_fingerprint(description)}


def unpublishable(job: Job, data: Inputs) -> list[str]:
    """Why a record may not enter a published table; empty = it may."""
    reasons = []
    if not job.recipe.publishable:
        reasons.append(f"recipe {job.recipe.name!r} is for trying out")
    if job.limit is not None:
        reasons.append(f"--limit {job.limit} clips a part")
    report = data.waveform_report
    if report.get("failed"):
        reasons.append(f"{len(report['failed'])} clips could not be decoded")
    return reasons + (decoding_faults(report) if report else [])


def memory(train: Reading | None, infer: Reading, device: DevicePeak | None) -> dict[str, Any]:
    """Peaks in MiB per phase; unknown is ``None`` with its reason.

    Of the host in training (``None`` where a model has no training steps) and inference; of the ``device`` in training
    (in inference without training; ``None`` where nothing ran there).
    """
    known = [r.value for r in (train, infer) if r is not None and r.value is not None]
    host = {
        "host_peak_mib": Reading.of(max(known)) if known else infer,
        "host_infer_mib": infer,
        "host_train_mib": train or Reading.unknown("no training steps"),
    }
    if device is None:
        return table({**host, "device_peak_mib": Reading.unknown("runs on the host")})
    return join(table(host), device.to_json())


def _protocol(registry: Registry, job: Job, data: Inputs, split: Split) -> dict[str, Any]:
    protocol = registry.protocols[job.cell.protocol.partition("@")[0]]
    spec = protocol.spec
    known = data.spec.known_leaks
    return {
        "name": spec.name,
        "version": spec.version,
        "hash": protocol_hash(protocol, data.spec.name, data.clips.manifest_sha256, known),
        "scheme": spec.divide.removeprefix(HOME),
        **{name: getattr(spec, name) for name in ("description", "validation", "select_on", "ranked")},
        "authors_parts": authors_parts(spec),
        "leak": describe_split(split, known),
        "test_targets": "scored outside" if spec.select_on != "test" else "seen by the process that fits",
    }


def dataset_section(data: Inputs) -> dict[str, Any]:
    """The data set as it stood on this machine."""
    spec, clips = data.spec, data.clips
    report = {key: value for key, value in data.waveform_report.items() if value not in (None, [], (), {})}
    notes = [*clips.notes, *([decoding_note(data.waveform_report)] if report else [])]
    return {
        "name": spec.name,
        "title": clips.title,
        "label_names": list(clips.label_names),
        "clips": len(clips),
        "manifest_sha256": clips.manifest_sha256,
        "contents_sha256": clips.contents_sha256,
        "notes": notes,
        "faithful": clips.faithful,
        "license": spec.license,
        "groups": spec.groups,
        "primary_metric": spec.primary_metric or PRIMARY[data.task.task_type],
        "report": report,
    }


def _references(data: Inputs, split: Split) -> dict[str, Any]:
    """The commonest label in training, whose accuracy in test the host works out, and the accuracy of chance."""
    targets = data.clips.targets
    if targets.ndim == 2:
        return {"majority_label": None, "majority_accuracy": None, "chance_accuracy": None}
    majority = int(np.bincount(targets[split.train].astype(np.int64)).argmax())
    chance = 1 / data.task.num_classes
    return {"majority_label": data.clips.label_names[majority], "majority_accuracy": None, "chance_accuracy": chance}


def without_paths(text: str) -> str:
    """A traceback or message whose absolute paths are cut to their last three parts: records travel."""
    return _PATH.sub(lambda found: ".../" + "/".join(found.group(0).split("/")[-3:]), text)
