"""Small synthetic records with numpy predictions, for the tests of boards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from bench import builtin
from bench.analysis.board import build_board
from bench.analysis.model import Board
from bench.cell import Cell
from bench.metrics.scoring import Metric, catalog
from bench.plugins.discovery import load_modules
from bench.results.records import Failure, Record, Score
from bench.results.store import Store

METRICS = catalog(load_modules(builtin).registry)
STORED_METRICS = {name: METRICS[name] for name in ("accuracy", "macro_f1")}
"""Those that the records hold: nothing is computed beside them."""
LABELS = ("dog", "rain", "clock", "saw")
CLIPS = 40
"""Test clips of each fold."""

ENVIRONMENT = {
    "hardware_fingerprint": "f00d",
    "cpu": {"model": "Test CPU", "cores": 1, "logical_cores": 2},
    "torch": {"threads": 1},
    "os": "Test OS 1",
    "python": "CPython 3.11.7",
    "libraries": {"torch": "2.11.0", "numpy": "2.3.0", "timm": None},
}


def cell(model: str, fold: int = 1, seed: int = 0, **axes: Any) -> Cell:
    values = {"kind": "evaluate", "dataset": "toy", "protocol": "4+1@1", "frontend": "logmel", "recipe": "quick"}
    return Cell(**{**values, **axes}, model=model, fold=fold, seed=seed)


def provenance(model: str, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "schema_version": 1,
        "fingerprint": "abc",
        "protocol": {
            "name": "4+1", "version": 1, "hash": "0123456789abcdef", "ranked": True,
            "select_on": "none", "validation": "none", "authors_parts": True,
            "description": "test on one fold, train on all others for a fixed number of epochs, no selection",
            "leak": {"rate": 0.0, "clips": 0, "test_clips": CLIPS, "groups": [], "documented": False},
        },
        "dataset": {
            "name": "toy", "title": "Toy sounds (16 kHz Ogg)", "label_names": list(LABELS),
            "train": 4 * CLIPS, "validation": 0, "test": CLIPS, "manifest_sha256": "m" * 64,
            "notes": ["lossy copy"], "faithful": False, "license": "CC0-1.0", "groups": "source recording",
            "majority_accuracy": 0.25, "chance_accuracy": 0.25,
        },
        "model": {
            "name": model, "family": model.partition(".")[0], "parameters": 1_903_204, "frontend_parameters": 0,
            "plugin": "toys", "distribution": "bench-audio", "version": "0.1.0", "inputs": {"audio": "given"},
            "inductive": True, "trained_on": [],
        },
        "publishable": True,
        "not_publishable": [],
    }  # fmt: skip
    for path, value in changes.items():
        block, _, name = path.partition("__")
        if name:
            values[block] = {**values[block], name: value}
        else:
            values[block] = value
    return values


def fold_arrays(fold: int, accuracy: float, rng: np.random.Generator, grouped: bool = True) -> dict[str, Any]:
    """Predictions of one cell, right with probability ``accuracy``."""
    targets = np.arange(CLIPS, dtype=np.int64) % len(LABELS)
    wrong = (targets + 1 + rng.integers(0, len(LABELS) - 1, CLIPS)) % len(LABELS)
    predicted = np.where(rng.random(CLIPS) < accuracy, targets, wrong)
    logits = rng.normal(0, 0.1, (CLIPS, len(LABELS))).astype(np.float32)
    logits[np.arange(CLIPS), predicted] += 4
    return {
        "ids": np.array([f"{fold}-{index:03d}" for index in range(CLIPS)]),
        "targets": targets,
        "logits": logits,
        "groups": np.array([f"r{fold}-{index // 2}" if grouped else "" for index in range(CLIPS)]),
        "curve_epoch": np.arange(1, 4),
        "curve_train_loss": np.array([1.4, 0.9, 0.6]),
        "curve_val_accuracy": np.full(3, np.nan),
        "curve_lr": np.full(3, 1e-3),
        "curve_seconds": np.arange(1.0, 4.0),
    }


def evaluated(store: Store, where: Cell, accuracy: float, **changes: Any) -> Record:
    """Store an ``ok`` evaluate record; ``changes``: ``block__key=value`` of its provenance; environment; arrays."""
    environment = changes.pop("environment", ENVIRONMENT)
    grouped = changes.pop("grouped", True)
    seed = sum(map(ord, where.model)) * 1000 + where.fold * 10 + where.seed
    arrays = fold_arrays(where.fold, accuracy, np.random.default_rng(seed), grouped) | changes.pop("arrays", {})
    value = float((arrays["logits"].argmax(1) == arrays["targets"]).mean())
    record = Record(
        cell=where,
        status="ok",
        scores=(Score(name="accuracy", value=value), Score(name="macro_f1", value=value - 0.01)),
        timing={"wall_s": 12.0, "train_s": 10.0, "train_clips_per_s": 300.0, "infer_clips_per_s": 900.0},
        memory={"host_peak_mib": 512.0, "device_peak_mib": None, "reasons": {"device_peak_mib": "no CUDA device"}},
        environment=environment,
        provenance=provenance(where.model, **changes),
        started_at="2026-01-01T00:00:00Z",
    )
    return store.write(record, arrays)


FLOPS = {
    "clips": 2, "total": 84_000_000,
    "frontend": {"total": 4_000_000, "by_operator": {"aten.mm": 4_000_000}, "uncounted": {"aten._fft_r2c": 1}},
    "model": {"total": 80_000_000, "by_operator": {"aten.mm": 80_000_000}, "uncounted": {"aten.mean": 2}},
}  # fmt: skip
"""Work of two clips."""

NO_COUNTER = {"joules_per_clip": None, "source": None, "reasons": {"joules_per_clip": "no RAPL on this machine"}}
COUNTED = {"joules_per_clip": 0.25, "net_joules_per_clip": 0.125, "source": "RAPL", "reasons": {}}


def profiled(
    store: Store, where: Cell, clips_per_s: float, environment: dict[str, Any] = ENVIRONMENT, **timing: Any
) -> Record:
    """Store an ``ok`` profile record; ``timing``: further blocks of it."""
    latency = {"median_ms": 1e3 / clips_per_s, "mad_ms": 1e2 / clips_per_s, "samples": 100, "unsteady": False}
    if "flops" in timing:
        latency["real_time_factor"] = 1 / clips_per_s / 5
    record = Record(
        cell=where,
        status="ok",
        timing={
            "wall_s": 5.0,
            "latency": latency,
            "infer": {"clips_per_s": clips_per_s, "batch": 64},
            "train": {"clips_per_s": clips_per_s / 3, "batch": 16},
            **timing,
        },
        memory={"host_peak_mib": 640.4, "device_peak_mib": None, "reasons": {"device_peak_mib": "no CUDA device"}},
        environment=environment,
        provenance=provenance(where.model),
        started_at="2026-01-01T00:00:00Z",
    )
    return store.write(record)


def ended(store: Store, where: Cell, status: str, reason: str, stage: str, message: str, **changes: Any) -> Record:
    """Store a record without result; a planned outcome knows nothing of the data."""
    known = provenance(where.model, **changes)
    if stage == "plan":
        known = {"schema_version": 1, "fingerprint": "abc", "model": known["model"]}
    record = Record(
        cell=where,
        status=status,
        environment=ENVIRONMENT,
        provenance=known,
        started_at="2026-01-01T00:00:00Z",
        error=Failure(reason=reason, stage=stage, message=message),
    )
    return store.write(record)


def golden_run(root: Path) -> Store:
    """The run of the golden files: good rows, a tie, a hole, a failure, planned outcomes, a paper-style row."""
    store = Store(root)
    for fold in range(1, 6):
        for seed in range(3):
            evaluated(store, cell("alpha.tiny", fold, seed), 0.92)
            evaluated(store, cell("beta.small", fold, seed), 0.90)
            evaluated(store, cell("kappa", fold, seed), 0.5)
        evaluated(store, cell("gamma", fold), 0.55, model__parameters=None)
        if fold < 4:
            evaluated(store, cell("delta", fold), 0.7)
        evaluated(
            store,
            cell("epsilon", fold, inputs="audio+image"),
            0.97,
            model__inductive=False,
            model__inputs={"audio": "given", "image": "derived"},
        )
        style = {"protocol": {**provenance("")["protocol"], "hash": "feedfeedfeedfeed", "ranked": False,
                              "name": "paper-style", "select_on": "test",
                              "description": "the epoch is chosen on the test fold, as in many papers: too good, "
                                             "never ranked"}}  # fmt: skip
        evaluated(store, cell("alpha.tiny", fold, protocol="paper-style@1"), 0.95, **style)
        ended(
            store, cell("zeta.base", fold), "over_budget", "budget", "plan",
            "planned 3400 s, budget 120 s (recipe quick); --recipe full has none",
        )  # fmt: skip
    ended(store, cell("delta", 4), "failed", "nan", "train", "the loss became NaN in epoch 3")
    ended(store, cell("delta", 5), "oom", "memory", "train", "killed by the kernel at 4096 MiB")
    ended(store, cell("eta.text", 1), "incompatible", "needs", "plan", "needs text, toy gives audio")
    profile = {"kind": "profile", "fold": 0}
    profiled(store, cell("alpha.tiny", **profile), 100.0, flops=FLOPS, energy=NO_COUNTER)
    profiled(store, cell("beta.small", **profile), 40.0)
    profiled(store, cell("gamma", **profile), 2500.0)
    other = {**ENVIRONMENT, "hardware_fingerprint": "beef", "cpu": {"model": "Other CPU", "logical_cores": 64}}
    profiled(store, cell("beta.small", **profile, seed=1), 170.0, other)
    return store


def planned(store: Store) -> Iterable[Cell]:
    """What the golden run had planned: everything stored and one cell that never ran."""
    return [*(record.cell for record in store.records()[0]), cell("theta", 1)]


def costly_errors(logits: Any, targets: Any) -> float:
    """A plugin's metric of which less is better: the mean distance of the answer from the target, in classes."""
    return float(np.abs(logits.argmax(axis=1) - targets).mean())


PLUGIN_METRIC = Metric(
    name="costly_errors", unit="classes", higher_is_better=False, task_types=("single_label",),
    compute=f"{__name__}:costly_errors",
)  # fmt: skip
"""Neither values per clip nor weighted clips: the host draws clips for it."""


def tagged(store: Store, where: Cell, noise: float) -> Record:
    """Store an ``ok`` record of a multi-label data set without scores; more noise is a worse model."""
    rng = np.random.default_rng(sum(map(ord, where.model)) + 100 * where.seed + where.fold)
    targets = (np.random.default_rng(where.fold).random((CLIPS, len(LABELS))) < 0.4).astype(np.float32)
    logits = (2 * targets - 1 + rng.normal(0, noise, targets.shape)).astype(np.float32)
    rates = {"dataset__majority_accuracy": None, "dataset__chance_accuracy": None}
    record = evaluated(store, where, 0.9, arrays={"targets": targets.argmax(axis=1)}, **rates)
    arrays = {**store.predictions(record), "targets": targets, "logits": logits}
    return store.write(record.model_copy(update={"scores": ()}), arrays)


def metric_board(root: Path, name: str) -> Board:
    """A board that is sorted by another metric than accuracy; ``map``: of a multi-label data set."""
    store = Store(root)
    for fold in (1, 2, 3):
        for seed in range(3):
            for model, accuracy, noise in (("good", 0.9, 0.5), ("near", 0.88, 0.55), ("poor", 0.5, 2.5)):
                if name == "map":
                    tagged(store, cell(model, fold, seed), noise)
                else:
                    evaluated(store, cell(model, fold, seed), accuracy, dataset__primary_metric=name)
    known = {**METRICS, PLUGIN_METRIC.name: PLUGIN_METRIC}
    offered = {**(STORED_METRICS if name != "map" else {}), name: known[name]}
    return build_board(store.records()[0], metrics=offered, predictions=store.predictions)
