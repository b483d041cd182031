"""Near copies: found at another level, shift, rate or codec; other sounds and mere likeness are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import soxr

from bench.clips import Clips
from bench.data.near_copies import near_copies
from bench.data.waveforms import open_recordings

RATE = 16_000


def sound(seed: int, seconds: float = 3.0) -> np.ndarray:
    """Bursts of tones over noise, unlike those of any other seed."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    tones = np.zeros(len(time))
    for _ in range(25):
        start, pitch = rng.uniform(0, seconds), rng.uniform(150, 4_000)
        envelope = np.exp(-8 * np.clip(time - start, 0, None)) * (time >= start)
        tones += rng.uniform(0.1, 1) * envelope * np.sin(2 * np.pi * pitch * time)
    return (0.1 * tones + 0.01 * rng.normal(size=len(time))).astype(np.float32)


def encoded(samples: np.ndarray, **how) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, **how)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def found(tmp_path, *sounds: np.ndarray):
    clips = Clips(
        title="T", ids=tuple(f"c{i}" for i in range(len(sounds))), targets=np.arange(len(sounds)) % 2,
        label_names=("a", "b"), audio=lambda i: (sounds[i].astype(np.float32), RATE), sample_rate=RATE,
        clip_samples=RATE, manifest_sha256=str(hash(tuple(s.tobytes() for s in sounds))),
    )  # fmt: skip
    return near_copies(open_recordings(clips, cache=tmp_path), RATE)


@pytest.mark.parametrize(
    ("change", "shift_s"),
    [
        (lambda x: x * 0.2, 0.0),
        (lambda x: -x, 0.0),
        (lambda x: np.concatenate([np.zeros(5_000, np.float32), x]), 5_000 / RATE),
        (lambda x: 0.5 * x[7_777:], -7_777 / RATE),
        (lambda x: soxr.resample(soxr.resample(x, RATE, 8_000), 8_000, RATE), 0.0),
        (lambda x: encoded(x, format="MP3"), None),
        (lambda x: encoded(x[3_000:40_000], format="OGG", subtype="VORBIS"), -3_000 / RATE),
    ],
)
def test_a_changed_copy_is_found_with_its_shift(tmp_path, change, shift_s):
    sounds = [sound(seed) for seed in range(6)]
    (pair,) = found(tmp_path, *sounds, change(sounds[4]))
    assert (pair.first, pair.second) == (4, 6)
    assert 0.8 <= pair.correlation <= 1
    assert shift_s is None or abs(pair.shift_s - shift_s) < 2 / RATE


def test_what_holds_nothing_or_next_to_nothing_is_like_nothing(tmp_path):
    empty = np.zeros(20_000, np.float32)
    click = empty.copy()
    click[100] = 1.0
    short = sound(1)[:200]
    assert found(tmp_path, empty, empty, click, click, short, short, sound(2)) == []


def test_another_performance_of_the_same_is_no_copy(tmp_path):
    """The same tones at the same times with other noise and phases agree in landmarks, not in their waveforms."""
    time = np.arange(3 * RATE) / RATE
    beep = (np.sin(2 * np.pi * 1.4 * time) > 0.6).astype(np.float32)
    takes = [
        beep * 0.3 * np.sin(2 * np.pi * (2_000 + 7 * turn) * time + turn) + 0.02 * sound(turn) for turn in range(3)
    ]
    assert found(tmp_path, *takes) == []
