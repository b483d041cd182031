"""The four estimators: what they declare, what they learn, and the published tables."""

from __future__ import annotations

import csv
import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from bench import BenchError, TaskInfo
from bench_plugins import classical
from bench_plugins.classical.estimators import build
from bench_plugins.classical.features import piczak_statistics, tuned_statistics

KINDS = ("knn", "svm", "forest", "forest_tuned")
TASK = TaskInfo(num_classes=3, sample_rate=8_000, clip_samples=4_000)


@pytest.fixture(scope="module")
def tones() -> tuple[np.ndarray, np.ndarray]:
    """Noisy tones at three frequencies, ``(60, 4000)``."""
    rng = np.random.default_rng(0)
    targets = np.arange(60) % 3
    time = np.arange(4_000) / 8_000
    frequency = np.array([300, 900, 2200])[targets, None]
    waves = np.sin(2 * np.pi * frequency * time + rng.uniform(0, 6, (60, 1))) * rng.uniform(0.2, 0.9, (60, 1))
    return (waves + rng.normal(0, 0.02, waves.shape)).astype(np.float32), targets


def test_specs() -> None:
    specs = {spec.name: spec for spec in classical.bench_add_models()}
    assert set(specs) == {f"classical.{kind}" for kind in KINDS}
    assert {name for name, spec in specs.items() if "default" in spec.sets} == {
        "classical.knn", "classical.svm", "classical.forest",
    }  # fmt: skip
    for name, spec in specs.items():
        assert spec.frontend is None
        assert spec.parameters is None
        tuned = name.endswith("tuned")
        assert spec.recipes["*"] == {"trim_db": 60.0 if tuned else None, "fill": "tile" if tuned else "zeros"}


def test_declaring_imports_nothing_heavy() -> None:
    code = (
        "import sys, bench_plugins.classical as c; assert len(c.bench_add_models()) == 4; "
        "assert not {'torch', 'numpy', 'sklearn', 'scipy'} & set(sys.modules), sorted(sys.modules)"
    )
    path = [str(Path(classical.__file__).parents[2]), str(Path(__file__).parents[3])]
    subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path[:0] = {path!r}; {code}"], check=True, timeout=300
    )


@pytest.mark.parametrize("kind", KINDS)
def test_learns_tones_and_survives_silence(kind, tones) -> None:
    waves, targets = tones
    estimator = build(TASK, kind=kind).fit(waves[:30], targets[:30])
    assert (estimator.predict(waves[30:]) == targets[30:]).all()
    scores = estimator.decision_function if kind == "svm" else estimator.predict_proba
    assert scores(waves[30:]).shape == (30, 3)
    assert np.isfinite(scores(np.zeros((2, 4_000), np.float32))).all()
    with_silence = build(TASK, kind=kind).fit(np.zeros((6, 4_000), np.float32), np.arange(6) % 3)
    assert np.isfinite((with_silence.decision_function if kind == "svm" else with_silence.predict_proba)(waves)).all()


@pytest.mark.parametrize("kind", ["forest", "forest_tuned"])
def test_the_seed_decides_the_forest(kind, tones) -> None:
    waves, _ = tones
    targets = np.random.default_rng(1).integers(0, 3, 30)  # hopeless labels, so that forests differ
    same, again, other = (
        build(TASK, kind=kind, seed=seed)
        .set_params(classify__n_estimators=20)
        .fit(waves[:30], targets)
        .predict_proba(waves[30:])
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(same, again)
    assert np.abs(same - other).max() > 0


@pytest.mark.parametrize("kind", ["knn", "svm"])
def test_the_others_ignore_the_seed_and_standardise(kind, tones) -> None:
    waves, targets = tones
    estimator = build(TASK, kind=kind, seed=1).fit(waves, targets)
    scaled = estimator[:-1].transform(waves)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_array_equal(
        estimator.predict(waves), build(TASK, kind=kind, seed=2).fit(waves, targets).predict(waves)
    )


def test_refusals() -> None:
    with pytest.raises(BenchError, match="no kind 'tree'; known: knn, svm, forest, forest_tuned"):
        build(TASK, kind="tree")


@pytest.mark.parametrize("kind", ["knn", "svm", "forest", "forest_tuned"])
def test_several_labels_are_learnt_one_class_at_a_time(kind, tones) -> None:
    waves, targets = tones
    indicators = np.stack([targets == 0, targets != 1, targets == 2], axis=1).astype(np.int64)
    estimator = build(TaskInfo(num_classes=3, task_type="multi_label"), kind=kind).fit(waves, indicators)
    assert (estimator.predict(waves) == indicators).mean() > 0.95


Corpus = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def esc10(data_root) -> Callable[[str], Corpus]:
    """ESC-10 as one kind takes it (padded with zeros; tiled without silence): statistics, targets, folds."""
    folder = data_root / "esc10"
    with (folder / "meta" / "esc10.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    clips = []
    for row in rows:
        wave, rate = soundfile.read(folder / "audio" / f"{Path(row['filename']).stem}.ogg", dtype="float32")
        clips.append(soxr.resample(wave, rate, 16_000))
    labels = np.array([int(row["target10"]) for row in rows])
    folds = np.array([int(row["fold"]) for row in rows])

    @functools.cache  # three kinds share their statistics, which have no state: once for all folds
    def described(*, tile: bool) -> np.ndarray:
        waves = np.zeros((len(clips), 80_000), np.float32)
        for out, clip in zip(waves, clips, strict=True):
            loud = np.flatnonzero(np.abs(clip) > np.abs(clip).max() * 1e-3)
            wave = np.resize(clip[loud[0] : loud[-1] + 1], 80_000) if tile else clip[:80_000]
            out[: len(wave)] = wave
        kind = "forest_tuned" if tile else "forest"
        return build(TaskInfo(num_classes=10), kind=kind)[:1].transform(waves)

    return lambda kind: (described(tile=kind == "forest_tuned"), labels, folds)


@pytest.mark.data
@pytest.mark.parametrize(
    ("kind", "published", "within"),
    [("knn", 0.667, 0.05), ("svm", 0.675, 0.05), ("forest", 0.727, 0.03), ("forest_tuned", 0.835, 0.03)],
)
def test_esc10_reaches_the_published_table(kind, published, within, esc10) -> None:
    described, targets, folds = esc10(kind)
    full = build(TaskInfo(num_classes=10), kind=kind)
    uses = full["describe"].func.func
    assert uses is (tuned_statistics if kind == "forest_tuned" else piczak_statistics)
    scores = []
    for fold in range(1, 6):
        train, test = folds != fold, folds == fold
        estimator = full[1:].fit(described[train], targets[train])
        scores.append(float((estimator.predict(described[test]) == targets[test]).mean()))
    assert np.mean(scores) == pytest.approx(published, abs=within)
