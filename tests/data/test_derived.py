"""The thumbnail of a clip shows its frequencies and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from bench.data.derived import thumbnail
from bench.errors import DataError

RATE = 16_000


def tone(hz: float, samples: int = RATE) -> np.ndarray:
    return (9000 * np.sin(2 * np.pi * hz * np.arange(samples) / RATE)).astype(np.int16)


def test_shape_range_and_direction():
    pictures = thumbnail(np.stack([tone(200), tone(6000), np.zeros(RATE, np.int16)]), RATE)
    assert pictures.shape == (3, 1, 28, 28)
    assert pictures.dtype == np.float32
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    low, high = (int(pictures[i, 0].mean(axis=1).argmax()) for i in range(2))
    assert low > 20 > 8 > high
    assert not pictures[2].any()


def test_time_runs_in_columns():
    late = np.concatenate([np.zeros(RATE // 2, np.int16), tone(1000, RATE // 2)])
    picture = thumbnail(late[None], RATE)[0, 0]
    assert picture[:, :12].max() < 0.1
    assert picture[:, 16:].max() == 1.0


def test_each_clip_alone_and_loudness_free():
    clips = np.stack([tone(300), tone(900)])
    together = thumbnail(clips, RATE)
    np.testing.assert_allclose(thumbnail(clips[1:], RATE)[0], together[1], atol=1e-6)
    np.testing.assert_allclose(thumbnail(clips // 2, RATE), together, atol=0.02)


@pytest.mark.parametrize(("rate", "samples"), [(8_000, 100), (44_100, 9_000)])
def test_short_clips_and_other_rates(rate, samples):
    noise = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32) * 0.1
    assert np.isfinite(thumbnail(noise, rate)).all()


def test_wrong_shape():
    with pytest.raises(DataError, match="clips, samples"):
        thumbnail(np.zeros(10, np.int16))
