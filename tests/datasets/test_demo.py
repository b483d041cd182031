"""The generated data: what is known about it must be true."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.clips import TaskInfo
from bench.data.check import check_clips
from bench.data.text import hash_tokens
from bench.frontends import mfcc as cepstra
from bench_datasets import demo


@pytest.fixture(scope="module")
def clips():
    return check_clips(demo.load(None), "demo")


@pytest.fixture(scope="module")
def sounds(clips) -> np.ndarray:
    return np.stack([clips.audio(i)[0] for i in range(len(clips))])


def accuracy(build, features, clips) -> float:
    hits = 0
    for fold in range(1, 6):
        train, test = clips.folds != fold, clips.folds == fold
        model = build().fit(features[train], clips.targets[train])
        hits += int((model.predict(features[test]) == clips.targets[test]).sum())
    return hits / len(clips)


def linear():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def forest():
    return RandomForestClassifier(100, random_state=0)


def chance_interval(n: int) -> tuple[float, float]:
    low, high = scipy.stats.binom.interval(0.99, n, 0.1)
    return low / n, high / n


def test_shape(clips, sounds):
    assert len(clips) == 400
    assert Counter(clips.folds.tolist()) == dict.fromkeys(range(1, 6), 80)
    assert sounds.shape == (400, 16_000)
    assert sounds.dtype == np.float32
    assert np.abs(sounds).max() < 1
    assert [f for f, split in zip(clips.folds.tolist(), clips.splits, strict=True) if split == "test"] == [5] * 80
    members = defaultdict(set)
    for group, fold in zip(clips.groups, clips.folds.tolist(), strict=True):
        members[group].add(fold)
    assert max(map(len, members.values())) == 1
    assert set(Counter(clips.groups).values()) == {4}


def test_deterministic(clips, sounds):
    again = demo.load(None)
    assert again.manifest_sha256 == clips.manifest_sha256
    assert again.texts == clips.texts
    np.testing.assert_array_equal(again.targets, clips.targets)
    np.testing.assert_array_equal(again.audio(399)[0], sounds[399])
    np.testing.assert_array_equal(again.images([7]), clips.images(np.array([3, 7]))[1:])


def test_bayes_accuracy_is_exactly_090(clips):
    right = clips.targets == clips.audio.truth
    assert [int(right[clips.folds == fold].sum()) for fold in range(1, 6)] == [72] * 5
    wrong = clips.targets[~right] - clips.audio.truth[~right]
    assert len(set((wrong % 10).tolist())) > 5


def test_loudness_length_and_silence_say_nothing(clips, sounds):
    peak = np.abs(sounds).max(axis=1)
    power = np.square(sounds).mean(axis=1)
    frames = 10 * np.log10(np.square(sounds.reshape(400, 40, 400)).mean(axis=2))
    features = np.stack(
        [
            np.sqrt(power), np.log(power), peak, (np.abs(sounds) < 0.01 * peak[:, None]).mean(axis=1),
            (np.abs(sounds) < 1e-3).mean(axis=1), (frames < frames.max(axis=1, keepdims=True) - 30).mean(axis=1),
        ],
        axis=1,
    )  # fmt: skip
    low, high = chance_interval(400)
    assert low <= accuracy(linear, features, clips) <= high
    assert low <= accuracy(forest, features, clips) <= high
    amplitudes = np.sort(sounds / np.sqrt(power)[:, None], axis=1)
    np.testing.assert_allclose(amplitudes, np.tile(amplitudes[0], (400, 1)), atol=1e-5)


def test_spectrum_over_time_says_it(clips, sounds):
    task = TaskInfo(num_classes=2, sample_rate=16_000, clip_samples=sounds.shape[1])
    mfcc = cepstra.build(task, n_mfcc=13, n_mels=40)(torch.from_numpy(sounds)).numpy()
    features = np.concatenate([mfcc.mean(axis=-1), mfcc.std(axis=-1)], axis=1)
    assert 0.7 < accuracy(forest, features, clips) <= 0.90


def test_pictures_and_words_say_it_too(clips):
    images = clips.images(np.arange(400))
    assert images.shape == (400, 1, 28, 28)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    spectrum = np.abs(np.fft.rfft2(images[:, 0]))[:, :, :8].reshape(400, -1)
    assert 0.7 < accuracy(forest, spectrum, clips) <= 0.90
    ids, mask = hash_tokens(clips.texts, 8)
    assert mask.sum(axis=1).tolist() == [5] * 400
    bags = (ids[:, :, None] == np.unique(ids[mask])).sum(axis=1)
    assert 0.7 < accuracy(lambda: LogisticRegression(max_iter=2000), bags, clips) <= 0.90
