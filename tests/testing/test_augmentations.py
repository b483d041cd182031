"""What `bench check --augmentations` measures: an augmentation that takes a class away is named, others are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import bench.builtin
from bench import Clips, DatasetSpec
from bench.plugins.discovery import load_modules
from bench.plugins.registry import Entry, Provenance
from bench.testing import augmentations
from bench.testing.augmentations import ALONE, augmentation_checks, effects
from bench.testing.datasets import DatasetCase

RATE, SAMPLES, COUNT, CLASSES = 4_000, 4_000, 240, 6


def places(index: int):
    """Noise with a tone in one of six places: rolled, nothing tells the classes apart."""
    rng = np.random.default_rng(index)
    sound = 0.02 * rng.standard_normal(SAMPLES)
    place = slice(index % CLASSES * SAMPLES // CLASSES, (index % CLASSES + 1) * SAMPLES // CLASSES)
    sound[place] += 0.2 * np.sin(2 * np.pi * rng.uniform(300, 900) * np.arange(SAMPLES)[place] / RATE)
    return sound.astype(np.float32), RATE


def clips(**fields) -> Clips:
    given = {
        "title": "places", "ids": tuple(f"c{i:03d}" for i in range(COUNT)), "targets": np.arange(COUNT) % CLASSES,
        "label_names": tuple("abcdef"), "audio": places, "sample_rate": RATE, "clip_samples": SAMPLES,
        "manifest_sha256": "places", "folds": np.arange(COUNT) // 12 % 5 + 1,
        "groups": tuple(f"g{i // 12}" for i in range(COUNT)),
    }  # fmt: skip
    return Clips(**{**given, **fields})


def case_of(registry, settings=None, **fields) -> DatasetCase:
    spec = DatasetSpec(name="places", load="m:load", needs_files=False, settings=settings or {})
    entry = Entry(spec, Provenance(plugin="test", module=""), "m:load")
    return DatasetCase(registry=registry, entry=entry, data=None, root=None, clips=clips(**fields))


@pytest.fixture(scope="module")
def registry():
    return load_modules(bench.builtin).registry


@pytest.fixture(scope="module")
def measured(registry):
    """What was measured, in a few seconds, and what was said meanwhile."""
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentations, "SECONDS", 5.0)
        patch.setattr(augmentations, "FEWEST", 60)
        return augmentations.measure(case_of(registry), said.append), said


def judged(case, measured, monkeypatch):
    monkeypatch.setattr(augmentations, "measure", lambda *_: measured[0])
    return {name: check() for name, check in augmentation_checks(case, print).items()}


def test_rolling_what_has_an_order_is_found_to_hurt(registry, measured, monkeypatch) -> None:
    found = judged(case_of(registry), measured, monkeypatch)
    assert set(found) == {f"augmentation[{name}]" for name in ALONE}
    roll = found["augmentation[roll]"]
    assert roll.measured < -0.3
    assert "hurts, and is off for this data set" in roll.message
    assert found["augmentation[gain]"].measured > -0.1
    assert all(result.status == "passed" for result in found.values())
    assert "run 12 of 12, about" in measured[1][-1]


def test_a_setting_of_the_data_set_that_hurts_fails_with_the_command(registry, measured, monkeypatch) -> None:
    result = judged(case_of(registry, {"texture": True}), measured, monkeypatch)["augmentation[roll]"]
    assert result.status == "failed"
    assert "train with --set recipe.roll=false" in result.message


def test_no_test_clip_is_heard_and_groups_stay_together(registry) -> None:
    case = case_of(registry)
    learnt, held = augmentations._parts(case)
    groups = np.asarray(case.clips.groups)
    assert set(groups[learnt]).isdisjoint(groups[held])
    assert 0.2 < len(held) / (len(learnt) + len(held)) < 0.35
    split = replace(case, clips=clips(folds=None, splits=("train",) * 200 + ("test",) * 40))
    learnt, held = augmentations._parts(split)
    assert max(learnt.max(), held.max()) < 200


def test_features_and_a_handful_of_clips_are_skipped(registry) -> None:
    few = case_of(registry, label_names=tuple(f"l{i}" for i in range(200)))
    assert augmentation_checks(few, print)["augmentation[roll]"]().status == "skipped"


def test_the_interval_covers_the_truth_with_noise_over_clips_and_seeds() -> None:
    """Of 300 experiments whose truth is no change, at most 8 in 100 say otherwise."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        skill = 0.6 + 0.03 * rng.standard_normal((6, 2, 1))
        right = (rng.random((6, 2, 200)) < skill).astype(float)
        change, half = effects(right, np.arange(200))[0]
        wrong += abs(change) > half
    assert wrong <= 24
