"""Synthetic runs with the noise that a shared machine shows, for the tests of the gate."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench.results.records import Record, Score
from bench.results.store import Store

CLIPS = 200


def _samples():
    path = Path(__file__).resolve().parents[1] / "golden" / "samples.py"
    spec = importlib.util.spec_from_file_location("bench_test_samples_regression", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(kw_only=True)
class Change:
    """What a candidate does differently; the defaults change nothing but the noise."""

    slow: float = 1.0
    fat: float = 1.0
    worse: float = 0.0
    parameters: int = 1000
    hardware: str = "f00d"
    folds: tuple = (1, 2)
    seeds: tuple = (0,)
    processes: int = 1
    logits: bool = True
    machine: float | None = None


class Runs:
    """Writes run folders with one model: evaluate cells and profile cells."""

    def __init__(self, root: Path) -> None:
        self.root, self.made, self.samples = root, 0, _samples()

    def __call__(self, noise_seed: int = 0, **changes) -> Store:
        change = Change(**changes)
        store = Store(self.root / f"run{self.made}")
        self.made += 1
        noise = np.random.default_rng(noise_seed)
        for fold in change.folds:
            for seed in change.seeds:
                self.evaluated(store, fold, seed, change)
        for process in range(change.processes):
            self.profiled(store, process, change, noise)
        return store

    def environment(self, change: Change):
        return {**self.samples.ENVIRONMENT, "hardware_fingerprint": change.hardware}

    def evaluated(self, store: Store, fold: int, seed: int, change: Change) -> Record:
        rng = np.random.default_rng([fold, seed])
        targets = np.arange(CLIPS) % 4
        draws = rng.random(CLIPS)
        right = draws < 0.85 - change.worse
        predicted = np.where(right, targets, (targets + 1) % 4)
        arrays = {
            "ids": np.array([f"{fold}-{i:03d}" for i in range(CLIPS)]),
            "targets": targets,
            "logits": np.eye(4, dtype=np.float32)[predicted],
            "groups": np.array([f"r{fold}-{i // 2}" for i in range(CLIPS)]),
        }
        record = Record(
            cell=self.samples.cell("alpha.tiny", fold, seed),
            status="ok",
            scores=(Score(name="accuracy", value=float(right.mean())),),
            timing={"wall_s": 12.0, "infer_clips_per_s": 900.0},
            memory={"host_peak_mib": 512.0},
            environment=self.environment(change),
            provenance=self.samples.provenance("alpha.tiny", model__parameters=change.parameters, dataset__test=CLIPS),
            started_at="2026-01-01T00:00:00Z",
        )
        return store.write(record, arrays if change.logits else None)

    def profiled(self, store: Store, process: int, change: Change, noise: np.random.Generator) -> Record:
        offset = float(np.exp(noise.normal(0, 0.03)))
        latency = 0.01 * change.slow * offset * np.exp(noise.normal(0, 0.04, 400))
        latency[noise.random(400) < 0.02] *= 5
        rates = 100 / change.slow / offset * np.exp(noise.normal(0, 0.02, 10))
        record = Record(
            cell=self.samples.cell("alpha.tiny", 0, process, kind="profile", protocol="profile@1"),
            status="ok",
            timing={
                "latency": {"median_ms": float(np.median(latency)) * 1e3, "samples": 400},
                "infer": {"clips_per_s": float(rates.mean()), "block_clips_per_s": rates.tolist(), "batch": 16},
                "train": None,
                "reasons": {"train": "fitted as a whole"},
                "flops": {"total": 12_345},
                **({} if change.machine is None else {"reference": {"median_ms": 2.0 * change.machine}}),
            },
            memory={
                "host_peak_mib": 600.0 * change.fat * float(np.exp(noise.normal(0, 0.004))),
                "device_peak_mib": None,
                "reasons": {"device_peak_mib": "no CUDA device"},
            },
            environment=self.environment(change),
            provenance=self.samples.provenance("alpha.tiny", model__parameters=change.parameters),
            artifacts={"checkpoint": {"file": "x.safetensors", "bytes": 4000, "sha256": "0" * 64}},
            started_at="2026-01-01T00:00:00Z",
        )
        return store.write(record, {"latency_s": latency})

    def rewrite(self, store: Store, kind: str, **changes) -> None:
        """Change the stored records of one kind, as another outcome would have left them."""
        for record in store.records()[0]:
            if record.cell.kind == kind:
                store.write(record.model_copy(update=changes))


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path)


@pytest.fixture
def collected():
    from bench.gate.collect import collect
    from bench.metrics.scoring import catalog
    from bench.plugins.discovery import discover

    metrics = catalog(discover())
    return lambda store, wanted=(): collect(store.records()[0], store.predictions, metrics, wanted)


@pytest.fixture
def gated(collected):
    """The verdict of one run on another."""
    from bench.gate.baseline import Baseline, parse_baseline
    from bench.gate.comparison import compare
    from bench.gate.policy import DEFAULTS

    def gate(candidate: Store, baseline: Store, policy=DEFAULTS, wanted=(), **options):
        found = collected(baseline, wanted)
        pinned = Baseline(
            pinned_at="2026-01-01T00:00:00+00:00",
            libraries=dict(found.libraries),
            machines=dict(found.machines),
            rows=found.rows,
        )
        return compare(parse_baseline(pinned.to_json(), "base.json"), collected(candidate, wanted), policy, **options)

    return gate
