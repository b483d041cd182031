"""Every run mode from start to record: what is seen, what moves, what is stored, and what is said about mistakes."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from bench.cell import Cell
from bench.errors import CheckpointError, PluginError, RecipeError
from bench.execution import network
from bench.execution.build import build_model, build_pipeline
from bench.execution.classifiers import fit_neighbours, fit_probe
from bench.execution.embeddings import Embeddings, like
from bench.execution.evaluate import CellResult, Progress, run_evaluate
from bench.execution.inputs import prepare
from bench.execution.opening import split_for
from bench.execution.optimisation import make_optimizer
from bench.execution.pretraining import passes
from bench.execution.pricing import Known, run_estimate, run_price
from bench.execution.results import DivergedError
from bench.job import Job
from bench.planning.costs import Cost, cost_key, expected_seconds
from bench.planning.plan import PlannedCell
from bench.plugins.discovery import load
from bench.recipe import Recipe
from bench.results.provenance import weights_label, weights_sha256
from bench.results.store import Store

PLUGIN = Path(__file__).with_name("modes_plugin.py")
PLAIN = Recipe(
    name="plain", epochs=2, batch=8, ema=None, mixup_alpha=0.0, trim_db=None, roll=False, gain_db=0.0, shift=0.0,
    pretrain_steps=12, pretrain_batch=8,
)  # fmt: skip
TRAIN, TEST, UNKNOWN = 32, 12, 4


@pytest.fixture(scope="module")
def registry():
    return load((PLUGIN,)).registry


@pytest.fixture
def run(registry, evaluated, tmp_path: Path) -> Callable[..., CellResult]:
    """``run(mode, weights, model, ...)`` one cell in this process."""

    def one(mode="scratch", weights="random", model="modes.good", **changes) -> CellResult:
        return evaluated(registry, job(mode, weights, model, **changes))

    return one


def job(mode, weights, model, *, dataset="tones", recipe=PLAIN, file=None, **changes) -> Job:
    cell = Cell(
        kind="evaluate", dataset=dataset, protocol="official@1", fold=0, model=model, mode=mode, weights=weights,
        frontend="torchaudio", recipe="plain", batch=recipe.batch, clip_samples=1600,
    )  # fmt: skip
    return Job(cell=cell, recipe=recipe, fingerprint="f", weights=file, **changes)


def from_file(run, mode: str, file: Path, **changes) -> CellResult:
    return run(mode, weights_label(file), file=file, **changes)


def checkpoint(found: CellResult) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(found.files["checkpoint.safetensors"])


@pytest.fixture
def stored(run, tmp_path: Path) -> Path:
    """The checkpoint of a cell trained from scratch."""
    path = tmp_path / "trained.safetensors"
    path.write_bytes(run().files["checkpoint.safetensors"])
    return path


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


def test_pretraining_sees_training_clips_only(run, registry, tmp_path, monkeypatch) -> None:
    log = tmp_path / "seen.jsonl"
    monkeypatch.setenv("BENCH_TEST_SEEN", str(log))
    run("knn", "masked", limit=20)
    seen = np.concatenate([json.loads(line) for line in log.read_text().splitlines()])
    work = job("knn", "masked", "modes.good", limit=20)
    data = prepare(registry, work)
    split = split_for(registry, data.clips, work)
    pipeline = build_pipeline(build_model(registry.models["modes.good"], data.task, 0), data, PLAIN, split.train)
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


def blobs(classes: int = 3, clips: int = 90, seed: int = 0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(classes, size=clips)
    x = rng.normal(size=(clips, 6)) + 1.5 * rng.normal(size=(classes, 6))[targets]
    return x.astype(np.float32), targets


@pytest.mark.parametrize("classes", [2, 3])
def test_probe_against_scikit_learn(classes: int) -> None:
    x, targets = blobs(classes)
    wide = x.astype(np.float64)
    scaler = StandardScaler().fit(wide[:60])
    theirs = LogisticRegression(C=1.0, max_iter=2000, tol=1e-9).fit(scaler.transform(wide[:60]), targets[:60])
    ours = torch.from_numpy(fit_probe(x[:60], targets[:60], classes).logits(x[60:])).softmax(1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(scaler.transform(wide[60:])), atol=1e-5)


def test_probe_with_several_labels_against_scikit_learn() -> None:
    x, first = blobs()
    targets = np.stack([first == 0, first > 0, np.zeros(90), np.ones(90)], axis=1).astype(np.float32)
    logits = fit_probe(x[:60], targets[:60], 4).logits(x[60:])
    scaler = StandardScaler().fit(x[:60])
    theirs = LogisticRegression(max_iter=2000, tol=1e-9).fit(scaler.transform(x[:60]), targets[:60, 1])
    np.testing.assert_allclose(logits[:, 1], theirs.decision_function(scaler.transform(x[60:])), atol=1e-3)
    assert np.ptp(logits[:, 2]) == 0
    assert logits[0, 2] == pytest.approx(-logits[0, 3]) == pytest.approx(np.log(0.5 / 60.5))


def test_probe_never_predicts_an_unseen_class() -> None:
    x, targets = blobs()
    logits = fit_probe(x, np.where(targets == 1, 0, targets), 3).logits(x)
    assert (logits.argmax(axis=1) != 1).all()
    assert np.isfinite(logits).all()
    alone = fit_probe(x, np.full(90, 2), 3).logits(x)
    assert (alone.argmax(axis=1) == 2).all()


def test_neighbours_against_scikit_learn() -> None:
    x, targets = blobs()

    def weigh(distances):
        return np.exp((1 - distances) / 0.07)

    theirs = KNeighborsClassifier(20, metric="cosine", weights=weigh).fit(x[:60], targets[:60])
    ours = fit_neighbours(x[:60], targets[:60], 3)
    assert ours.k == 20
    np.testing.assert_allclose(np.exp(ours.logits(x[60:])), theirs.predict_proba(x[60:]).clip(1e-6), atol=2e-4)
    several = fit_neighbours(x[:60], np.eye(3, dtype=np.float32)[targets[:60]], 3).logits(x[60:])
    chances = 1 / (1 + np.exp(-several.astype(np.float64)))
    np.testing.assert_allclose(chances, theirs.predict_proba(x[60:]).clip(1e-6, 1 - 1e-6), atol=2e-4)


def test_few_clips_are_all_neighbours() -> None:
    x, targets = blobs(clips=5)
    assert fit_neighbours(x, targets, 3).k == 5
    assert np.isfinite(fit_neighbours(np.zeros_like(x), targets, 3).logits(x)).all()


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


def test_stored_checkpoint_round_trip(run, stored: Path) -> None:
    recipe = PLAIN.model_copy(update={"lr": 1e-30, "weight_decay": 0.0, "epochs": 1})
    found = from_file(run, "finetune", stored, recipe=recipe)
    before, after = safetensors.torch.load_file(stored), checkpoint(found)
    names = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.allclose(before[name], after[name], atol=1e-12) for name in names)
    section = found.record.provenance["weights"]
    assert (section["kind"], section["fresh"], section["loaded"]) == ("file", [], 9)
    assert section["ignored"] == sorted(n for n in before if not n.startswith("model."))
    assert section["sha256"] == weights_sha256(stored)
    assert section["name"] == f"trained~{section['sha256'][:6]}"


def test_other_classes_get_a_fresh_output_layer(run, stored: Path) -> None:
    found = from_file(run, "finetune", stored, dataset="tones-more")
    assert found.record.provenance["weights"]["fresh"] == ["head.bias", "head.weight"]
    assert found.record.provenance["weights"]["loaded"] == 7


def test_own_names_torch_files_and_folders(run, stored: Path, tmp_path: Path) -> None:
    tensors = {n.removeprefix("model."): x for n, x in safetensors.torch.load_file(stored).items() if n[:6] == "model."}
    plain, folder = tmp_path / "plain.pt", tmp_path / "folder"
    torch.save({"state_dict": tensors}, plain)
    folder.mkdir()
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    expected = from_file(run, "knn", stored).arrays["logits"]
    for path in (plain, folder):
        np.testing.assert_array_equal(from_file(run, "knn", path).arrays["logits"], expected)
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({f"net.{name}": x for name, x in tensors.items()}, other)
    found = from_file(run, "knn", other, weights_prefix="net.=")
    np.testing.assert_array_equal(found.arrays["logits"], expected)
    with pytest.raises(
        CheckpointError, match=r"modes\.own reads weight files itself: leave out --weights-prefix net\.="
    ):
        from_file(run, "knn", other, model="modes.own", weights_prefix="net.=")


def test_a_factory_that_takes_weights_gets_the_path(run, stored: Path, tmp_path: Path) -> None:
    tensors = {n.removeprefix("model."): x for n, x in safetensors.torch.load_file(stored).items() if n[:6] == "model."}
    path = tmp_path / "own.safetensors"
    safetensors.torch.save_file(tensors, path)
    found = from_file(run, "knn", path, model="modes.own")
    np.testing.assert_array_equal(found.arrays["logits"], from_file(run, "knn", stored).arrays["logits"])
    assert found.record.provenance["weights"]["loaded"] is None


def bad_file(kind: str, tensors: dict[str, torch.Tensor], path: Path) -> Path:
    """A weight file with one fault."""
    if kind == "missing":
        del tensors["body.1.weight"]
    if kind == "left":
        tensors["tail.weight"] = torch.ones(2)
    if kind == "shape":
        tensors["body.1.weight"] = torch.ones(3, 3)
    if kind == "code":
        torch.save({"a": Path("x")}, path)
    elif kind == "torn":
        path.write_bytes(b"PK\x03\x04 nothing")
    elif kind == "other":
        torch.save([1, 2], path)
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", r"lacks body\.1\.weight of Model; give the weights"),
        ("left", r"holds tail\.weight, which Model does not have"),
        ("shape", r"body\.1\.weight has shape \(3, 3\), the model needs \(12, "),
        ("code", r"cannot be read as weights .* tensors only"),
        ("torn", r"cannot be read as weights"),
        ("other", r"holds a list, not a mapping"),
    ],
)
def test_bad_files_name_themselves_and_the_tensor(run, stored: Path, tmp_path: Path, kind: str, says: str) -> None:
    tensors = {n.removeprefix("model."): x for n, x in safetensors.torch.load_file(stored).items() if n[:6] == "model."}
    path = bad_file(kind, tensors, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=says) as caught:
        from_file(run, "finetune", path)
    assert str(path) in str(caught.value)


def test_absent_files_are_named(run, tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    for ask in (weights_sha256, weights_label):
        with pytest.raises(CheckpointError, match="give --weights an existing file") as caught:
            ask(path)
        assert str(path) in str(caught.value)
    with pytest.raises(CheckpointError, match="no weights at"):
        run("finetune", "none~000000", file=path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"looked for model\.safetensors"):
        from_file(run, "finetune", tmp_path / "empty")


def test_a_file_that_changed_since_the_plan_is_refused(run, stored: Path) -> None:
    with pytest.raises(CheckpointError, match="has changed since the cells were planned"):
        run("finetune", "trained~000000", file=stored)


def test_labels_follow_contents(tmp_path: Path) -> None:
    one, two = tmp_path / "my weights-1.pt", tmp_path / "folder"
    one.write_bytes(b"a")
    two.mkdir()
    (two / "b").write_bytes(b"b")
    assert weights_label(one) == f"my_weights_1~{weights_sha256(one)[:6]}"
    first = weights_label(two)
    (two / "a").write_bytes(b"")
    assert weights_label(two) != first


@pytest.mark.parametrize(
    ("model", "mode", "stage", "kind", "says"),
    [
        ("modes.blind", "probe@random", "build", PluginError, r"no embed\(\*\*inputs\).*add this method"),
        ("modes.blind", "finetune@masked", "build", PluginError, r"names no pretrain factory"),
        ("modes.bare", "finetune@masked", "build", PluginError, r"without pretrain_loss"),
        ("modes.diverges", "finetune@masked", "pretrain", DivergedError, r"1 to 1 is inf.*--set recipe\.pretrain_lr="),
    ],
)
def test_mistakes_are_explained(registry, tmp_path, model, mode, stage, kind, says) -> None:
    progress = Progress()
    with pytest.raises(kind, match=says):
        run_evaluate(registry, job(*mode.split("@"), model), progress, lambda *_: None)
    assert progress.stage == stage


def test_head_rate(registry) -> None:
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


def test_progress_counts_all_passes(registry, tmp_path: Path) -> None:
    seen = []
    progress = Progress()

    def observe(epoch, scores) -> None:
        seen.append((progress.stage, progress.passes + epoch, progress.total, next(iter(scores))))

    run_evaluate(registry, job("finetune", "masked", "modes.good"), progress, observe)
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


def test_costs_by_mode(registry, tmp_path: Path) -> None:
    jobs = {
        name: job(mode, weights, "modes.good")
        for name, mode, weights in (
            ("scratch", "scratch", "random"), ("tuned", "finetune", "masked"), ("filed", "finetune", "x~012345"),
            ("probe", "probe", "masked"), ("knn", "knn", "random"),
        )
    }  # fmt: skip
    for measure in (run_price, partial(run_estimate, known=Known())):
        found = {name: measure(registry, work, Progress()) for name, work in jobs.items()}
        assert {name for name, cost in found.items() if cost["pretrain_step_s"]} == {"tuned", "probe"}
        assert {name for name, cost in found.items() if cost["step_s"]} == {"scratch", "tuned", "filed"}
    keys = {name: cost_key(planned(work), registry, 1) for name, work in jobs.items()}
    assert keys["scratch"] == keys["filed"]
    assert len(set(keys.values())) == 4
    cost = Cost(step_s=1.0, infer_clip_s=0.0, fit_clip_s=None, pretrain_step_s=2.0)
    seconds = {name: expected_seconds(planned(work), cost) for name, work in jobs.items()}
    assert seconds["tuned"] - seconds["scratch"] == pytest.approx(24.0)
    assert seconds["scratch"] == seconds["filed"] == pytest.approx(8.5, abs=0.1)  # and maps of the embeddings
    assert seconds["probe"] == pytest.approx(0.5 + 24.0, abs=0.2)
    assert seconds["knn"] < 1.0
