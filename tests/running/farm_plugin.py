"""A plugin file for tests: models, clips without sound, a launcher that makes results up, the same each time."""

import bench_test_samples as samples  # of tests/conftest.py
import numpy as np

from bench import Clips, DatasetSpec, LauncherSpec, ModelSpec, hookimpl
from bench.plugins.interfaces import Answered, Finished
from bench.results.records import Record
from bench.results.store import npz_bytes

MODELS, FOLDS, PER_FOLD = 16, 5, 8


@hookimpl
def bench_add_models():
    return [
        ModelSpec(
            name=f"farm.m{i:02d}", factory=":nothing", frontend="given", estimator=True, parameters=(i + 1) * 10**5
        )
        for i in range(MODELS)
    ]


@hookimpl
def bench_add_datasets():
    return [DatasetSpec(name="toy", load=":load", needs_files=False, groups="source", protocols=("4+1",))]


@hookimpl
def bench_add_launchers():
    return [LauncherSpec(name="made", factory=":Made")]


def load(_root):
    count = FOLDS * PER_FOLD
    return Clips(
        title="Toy", ids=tuple(f"c{i:02d}" for i in range(count)), targets=np.arange(count) % 4,
        label_names=samples.LABELS, audio=None, features=np.zeros((count, 3, 5), dtype=np.float32), sample_rate=8,
        clip_samples=4, manifest_sha256="toy", folds=np.arange(count) // PER_FOLD + 1,
        groups=tuple(f"g{i}" for i in range(count)),
    )  # fmt: skip


def nothing(*_given, **_options):
    raise AssertionError("no model is built")


class Made:
    def run(self, jobs, on_event, _resources):
        for job in jobs:
            if job.action == "cell":
                on_event(made(job))
            else:
                on_event(Answered(job=job, values={"step_s": None, "infer_clip_s": 1e-3, "fit_clip_s": 1e-3}))


def made(job):
    cell = job.cell
    rng = np.random.default_rng([*cell.id.encode()])
    told = samples.provenance(cell.model, fingerprint=job.fingerprint, schema_version=2, dataset__manifest_sha256="toy")
    values = {"cell": cell, "status": "ok", "provenance": told, "started_at": "2026-01-01T00:00:00Z"}
    ids = np.array([f"c{i:02d}" for i in range((cell.fold - 1) * PER_FOLD, cell.fold * PER_FOLD)])
    arrays = {"ids": ids, "logits": rng.normal(size=(PER_FOLD, 4)).astype(np.float32)}
    record = Record(**values, environment=samples.ENVIRONMENT, timing={"wall_s": 1.0, "train_s": 0.5})
    return Finished(job=job, record=record, files={"predictions.npz": npz_bytes(arrays)}, log=f"{cell.id}\n")
