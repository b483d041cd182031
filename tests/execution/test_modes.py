"""Every run mode from start to record: what is seen, what moves, what is stored, and what is said about mistakes."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from bench.cell import FROZEN
from bench.errors import PluginError, RecipeError
from bench.execution import network
from bench.execution.build import build_model, build_pipeline
from bench.execution.counting import Known, count_work
from bench.execution.embeddings import Embeddings, like
from bench.execution.evaluate import Progress, run_evaluate
from bench.execution.inputs import prepare
from bench.execution.opening import split_for
from bench.execution.optimisation import make_optimizer
from bench.execution.pretraining import passes
from bench.execution.pricing import run_price
from bench.execution.results import DivergedError
from bench.job import Job
from bench.measurement.pace import Pace, estimate
from bench.planning.costs import Cost, cost_key, expected_seconds
from bench.planning.plan import PlannedCell
from bench.results.store import Store

from .modes import PLAIN, PLUGIN, TEST, TRAIN, UNKNOWN, checkpoint, from_file, job


@pytest.mark.parametrize("mode", ["finetune", "probe", "knn"])
def test_masked_from_start_to_record(run, mode: str) -> None:
    found = run(mode, "masked")
    record, arrays = found.record, found.arrays
    assert record.status == "ok"
    assert record.score("accuracy") is not None
    assert arrays["logits"].shape == (TEST, 3)
    assert record.timing["pretrain_steps"] == 12
    assert record.timing["pretrain_clips"] == 96
    assert record.timing["pretrain_s"] > 0
    assert arrays["pretrain_step"].tolist() == list(range(1, 13))
    assert np.isfinite(arrays["pretrain_loss"]).all()
    assert arrays["pretrain_lr"].argmax() == 1
    assert arrays["pretrain_lr"].max() <= PLAIN.pretrain_lr
    weights = record.provenance["weights"]
    assert (weights["kind"], weights["steps"], weights["clips"]) == ("masked", 12, TRAIN)
    assert weights["from"] == "training part of the split"
    assert weights["transductive"] is False
    assert not any("decoder" in name for name in checkpoint(found))
    frozen = mode != "finetune"
    assert record.timing["epochs"] == (None if frozen else 2)
    assert len(arrays["curve_epoch"]) == (0 if frozen else 2)


def test_reconstructions_are_of_training_clips(run) -> None:
    arrays = run("probe", "masked").arrays
    parts = [arrays[f"reconstruct_audio_{part}"] for part in ("input", "masked", "guess")]
    assert {part.dtype for part in parts} == {np.dtype(np.float16)}
    assert {part.shape[:2] for part in parts} == {(4, 1)}
    hidden = np.isnan(parts[1])
    assert 0 < hidden.sum() < hidden.size
    np.testing.assert_array_equal(parts[0][~hidden], parts[1][~hidden])
    train = {f"tone-{i}" for i in range(TRAIN)}
    assert set(arrays["reconstruct_ids"].tolist()) <= train
    assert len(set(arrays["reconstruct_ids"].tolist())) == 4


def test_pretraining_sees_training_clips_only(run, modes, tmp_path, monkeypatch) -> None:
    log = tmp_path / "seen.jsonl"
    monkeypatch.setenv("BENCH_TEST_SEEN", str(log))
    run("knn", "masked", limit=20)
    seen = np.concatenate([json.loads(line) for line in log.read_text().splitlines()])
    work = job("knn", "masked", "modes.good", limit=20)
    data = prepare(modes, work)
    split = split_for(modes, data.clips, work)
    pipeline = build_pipeline(build_model(modes.models["modes.good"], data.task, 0), data, PLAIN, split.train)
    everything = data.batches(np.arange(len(data.clips)), 64).epoch(0)
    with torch.no_grad():
        features = torch.cat([pipeline.features(batch.inputs["audio"]) for batch in everything])
    marks = features.abs().sum(dim=(1, 2)).numpy()
    nearest = np.abs(seen[:, None] - marks).argmin(axis=1)
    assert np.abs(seen - marks[nearest]).max() < 0.01
    assert np.diff(np.sort(marks)).min() > 0.02, "the marks must tell the clips apart"
    assert set(nearest.tolist()) == set(split.train.tolist())


@pytest.mark.parametrize("mode", ["finetune", "probe", "knn"])
def test_same_seed_same_everything(run, mode: str) -> None:
    first, second = run(mode, "masked"), run(mode, "masked")
    timed = {"curve_seconds"}
    assert first.arrays.keys() == second.arrays.keys()
    for name in first.arrays.keys() - timed:
        np.testing.assert_array_equal(first.arrays[name], second.arrays[name])
    assert first.files == second.files


@pytest.mark.parametrize("mode", ["probe", "knn"])
def test_frozen_means_frozen(run, stored: Path, mode: str) -> None:
    before, after = safetensors.torch.load_file(stored), checkpoint(from_file(run, mode, stored))
    own = {name for name in after if not name.startswith(("probe.", "knn."))}
    assert own == set(before)
    assert all(torch.equal(before[name], after[name]) for name in own if name.startswith("model."))
    probe = {name for name in after if name.startswith("probe.")}
    wanted = {"probe.weight", "probe.bias", "probe.mean", "probe.scale"}
    assert probe == (wanted if mode == "probe" else set())


def test_probe_coefficients_give_the_logits(run, stored: Path) -> None:
    found = from_file(run, "probe", stored)
    kept = {name: x.double().numpy() for name, x in checkpoint(found).items() if name.startswith("probe.")}
    x = found.arrays["embed"].astype(np.float64)
    logits = (x - kept["probe.mean"]) / kept["probe.scale"] @ kept["probe.weight"].T + kept["probe.bias"]
    np.testing.assert_allclose(logits, found.arrays["logits"], atol=0.05)


def test_random_weights_are_a_control(run) -> None:
    found = run("knn")
    assert found.record.provenance["weights"]["kind"] == "random"
    assert "pretrain_loss" not in found.arrays
    assert "pretrain_s" not in found.record.timing


def test_mapping_is_joined_by_name_and_stored_apart(run) -> None:
    found = run("probe", "masked", "modes.mapping")
    assert found.arrays["embed_late"].shape == (TEST, 12)
    assert found.arrays["embed_early"].shape == (TEST, 5)
    assert found.record.provenance["frozen"]["dim"] == 17
    mean = checkpoint(found)["probe.mean"]
    assert float(mean[:5].abs().max()) > 0


def test_other_names_in_test_are_explained() -> None:
    known = Embeddings(values={"a": np.ones((2, 3), np.float32)}, index=np.arange(2), seconds=0.0)
    with pytest.raises(PluginError, match=r"\{'a': 3\} .* \{'b': 3\}"):
        like(replace(known, values={"b": np.ones((2, 3), np.float32)}), known)


def test_embeddings_too_large_to_keep_say_so(run, monkeypatch) -> None:
    kept = run()
    assert kept.arrays["embed"].dtype == np.float16
    assert kept.arrays["embed"].shape == (TEST, 12)
    monkeypatch.setattr(network, "EMBED_BYTES", 2 * 12 * TEST - 1)
    left = run()
    assert "embed" not in left.arrays
    assert left.record.provenance["embeddings"]["embedding"]["dim"] == 12
    assert "kept up to" in left.record.provenance["embeddings"]["embedding"]["reason"]
    assert run(model="modes.blind").record.provenance["embeddings"] is None


def test_several_labels_in_every_mode(run) -> None:
    for mode, weights in (("scratch", "random"), ("probe", "masked"), ("knn", "masked"), ("finetune", "masked")):
        found = run(mode, weights, dataset="chords")
        assert found.arrays["logits"].shape == (TEST, 4)
        assert found.record.score("map_macro") is not None or found.record.scores


@pytest.mark.parametrize(
    ("model", "mode", "stage", "kind", "says"),
    [
        ("modes.blind", "probe@random", "build", PluginError, r"no embed\(\*\*inputs\).*add this method"),
        ("modes.blind", "finetune@masked", "build", PluginError, r"names no pretrain factory"),
        ("modes.bare", "finetune@masked", "build", PluginError, r"without pretrain_loss"),
        ("modes.diverges", "finetune@masked", "pretrain", DivergedError, r"1 to 1 is inf.*--set recipe\.pretrain_lr="),
    ],
)
def test_mistakes_are_explained(modes, tmp_path, model, mode, stage, kind, says) -> None:
    progress = Progress()
    with pytest.raises(kind, match=says):
        run_evaluate(modes, job(*mode.split("@"), model), progress, lambda *_: None)
    assert progress.stage == stage


def test_head_rate(modes) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = torch.nn.Linear(3, 3), torch.nn.Linear(3, 2)

    recipe = PLAIN.model_copy(update={"lr": 0.01, "head_lr_scale": 10.0})
    model = Model()
    rates = {id(p): g["lr"] for g in make_optimizer(model, recipe, "cpu").param_groups for p in g["params"]}
    assert [rates[id(p)] for p in model.head.parameters()] == pytest.approx([0.1, 0.1])
    assert {rates[id(p)] for p in model.body.parameters()} == {0.01}
    model.param_groups = lambda _: [{"params": [model.body.weight], "lr_scale": 0.5, "head": True}]
    rates = {id(p): g["lr"] for g in make_optimizer(model, recipe, "cpu").param_groups for p in g["params"]}
    assert rates[id(model.body.weight)] == pytest.approx(0.05)
    assert rates[id(model.head.weight)] == 0.01
    with pytest.raises(RecipeError, match="no module `head`"):
        make_optimizer(torch.nn.Linear(2, 2), recipe, "cpu")


def test_clips_to_predict_are_written_and_never_scored(run) -> None:
    for mode, weights in (("scratch", "random"), ("probe", "masked"), ("knn", "masked")):
        found = run(mode, weights)
        rows = list(csv.DictReader(io.StringIO(found.files["predicted.csv"].decode())))
        assert [row["id"] for row in rows] == [f"tone-{i}" for i in range(44, 48)]
        assert {row["label"] for row in rows} <= {"pitch0", "pitch1", "pitch2"}
        assert all(1 / 3 - 1e-6 <= float(row["probability"]) <= 1 for row in rows)
        assert not set(found.arrays["ids"].tolist()) & {row["id"] for row in rows}
    several = run(dataset="chords").files["predicted.csv"].decode().splitlines()
    assert len(several) == 1 + UNKNOWN * 4


def test_artifacts_do_not_replace_each_other(run, tmp_path: Path) -> None:
    found = run("probe", "masked")
    store = Store(tmp_path / "store")
    record = store.write(found.record, found.arrays, found.files)
    assert set(record.artifacts) == {"predictions", "checkpoint", "predicted"}
    assert store.predictions(record).keys() == found.arrays.keys()


def test_progress_counts_all_passes(modes, tmp_path: Path) -> None:
    seen = []
    progress = Progress()

    def observe(epoch, scores) -> None:
        seen.append((progress.stage, progress.passes + epoch, progress.total, next(iter(scores))))

    run_evaluate(modes, job("finetune", "masked", "modes.good"), progress, observe)
    assert [one[:3] for one in seen] == [
        ("pretrain", 1, 5), ("pretrain", 2, 5), ("pretrain", 3, 5), ("train", 4, 5), ("train", 5, 5)
    ]  # fmt: skip
    assert [one[3] for one in seen] == ["pretrain_loss"] * 3 + ["train_loss"] * 2
    assert passes(12, TRAIN, 8) == 3
    assert passes(3, 5, 8) == 3


def test_long_curves_are_means_over_blocks(run) -> None:
    recipe = PLAIN.model_copy(update={"pretrain_steps": 310})
    arrays = run("knn", "masked", recipe=recipe).arrays
    assert len(arrays["pretrain_loss"]) == 104
    assert arrays["pretrain_step"][-1] == 310
    assert arrays["pretrain_loss"][-10:].mean() < arrays["pretrain_loss"][:10].mean()


def command(out: Path) -> list[str]:
    """A run whose pre-training takes a few seconds, as a user types it."""
    return [
        sys.executable, "-P", "-m", "bench", "run", "--models", "modes.slow", "--dataset", "tones", "--mode", "probe",
        "--weights", "masked", "--recipe", "smoke", "--set", "recipe.pretrain_steps=60", "--no-profile",
        "--set", "recipe.budget_seconds=600", "--plugin", str(PLUGIN), "--out", str(out), "--jobs", "1",
    ]  # fmt: skip


@pytest.mark.slow
def test_killed_in_pretraining_then_resumed(processes, tmp_path: Path) -> None:
    whole, torn, log = tmp_path / "whole", tmp_path / "torn", tmp_path / "seen.jsonl"
    processes.run(command(whole), capture_output=True, check=True, timeout=300)
    with subprocess.Popen(
        command(torn), env={**os.environ, "BENCH_TEST_SEEN": str(log)}, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as parent:  # fmt: skip
        deadline = time.monotonic() + 300
        while not (log.exists() and len(log.read_text().splitlines()) > 10):
            assert time.monotonic() < deadline
            assert parent.poll() is None
            time.sleep(0.05)
        parent.kill()
    assert Store(torn).records() == ([], [])
    processes.run(command(torn), capture_output=True, check=True, timeout=300)
    (expected,), (found,) = Store(whole).records()[0], Store(torn).records()[0]
    one, two = Store(whole).predictions(expected), Store(torn).predictions(found)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    assert found.artifacts["checkpoint"]["sha256"] == expected.artifacts["checkpoint"]["sha256"]


def planned(work: Job) -> PlannedCell:
    return PlannedCell(cell=work.cell, recipe=work.recipe, fingerprint="f", train_clips=32, test_clips=12)


def test_costs_by_mode(modes, tmp_path: Path) -> None:
    jobs = {
        name: job(mode, weights, "modes.good")
        for name, mode, weights in (
            ("scratch", "scratch", "random"), ("tuned", "finetune", "masked"), ("filed", "finetune", "x~012345"),
            ("probe", "probe", "masked"), ("knn", "knn", "random"),
        )
    }  # fmt: skip
    pace = Pace(flops_s=1e10, bytes_s=1e10, operator_s=1e-6, transform_flops_s=1e11)

    def counted(registry, work: Job, progress: Progress) -> dict:
        found = count_work(registry, work, progress, Known())
        masked = 8 * (work.cell.weights == "masked")
        return estimate(found, pace, batch=work.cell.batch, frozen=work.cell.mode in FROZEN, pretrain_batch=masked)

    for measure in (run_price, counted):
        found = {name: measure(modes, work, Progress()) for name, work in jobs.items()}
        assert {name for name, cost in found.items() if cost["pretrain_step_s"]} == {"tuned", "probe"}
        assert {name for name, cost in found.items() if cost["step_s"]} == {"scratch", "tuned", "filed"}
    keys = {name: cost_key(planned(work), modes, 1) for name, work in jobs.items()}
    assert keys["scratch"] == keys["filed"]
    assert len(set(keys.values())) == 4
    cost = Cost(step_s=1.0, infer_clip_s=0.0, fit_clip_s=None, pretrain_step_s=2.0)
    seconds = {name: expected_seconds(planned(work), cost) for name, work in jobs.items()}
    assert seconds["tuned"] - seconds["scratch"] == pytest.approx(24.0)
    assert seconds["scratch"] == seconds["filed"] == pytest.approx(8.5, abs=0.1)  # and maps of the embeddings
    assert seconds["probe"] == pytest.approx(0.5 + 24.0, abs=0.2)
    assert seconds["knn"] < 1.0
