"""One clip: read, mixed down, resampled, rounded; every failure names the file."""

from __future__ import annotations

import os

import numpy as np
import pytest
import scipy.signal
import soundfile

from bench.data.decode import at_level, decode, to_int16
from bench.data.decoders import audio_seconds
from bench.errors import DataError

RATE = 16_000


def tone(rate: int, seconds: float = 0.5, hz: float = 440.0, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)


def test_16_bit_wav_is_exact(tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    clip = decode((tmp_path / "a.wav",), 0, "a", RATE)
    np.testing.assert_array_equal(clip.samples, samples)
    assert (clip.changes, clip.scale) == (frozenset(), 1.0)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_resampling_agrees_with_scipy(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(44_100), 44_100)
    clip = decode((path,), 0, "a", RATE)
    expected = scipy.signal.resample_poly(tone(44_100), 160, 441)
    assert clip.changes == {"resampled"}
    assert len(clip.samples) == len(expected)
    inner = slice(800, -800)
    error = clip.samples[inner] / 32768 - expected[inner]
    assert np.sqrt(np.mean(error**2)) < (0.02 if suffix == "ogg" else 0.002)


def test_channels_are_averaged(tmp_path):
    left, right = tone(RATE), tone(RATE, hz=1000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    clip = decode((tmp_path / "a.wav",), 0, "a", RATE)
    assert clip.changes == {"mixed_down"}
    np.testing.assert_array_equal(clip.samples, to_int16(((left + right) / 2).astype(np.float32)))


def test_overshoot_is_cut_and_said(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(RATE, level=1.5), RATE, subtype="FLOAT")
    clip = decode((tmp_path / "a.wav",), 0, "a", RATE)
    assert (clip.changes, clip.scale) == ({"clipped"}, 1.0)
    assert clip.samples.max() == 32767
    assert clip.samples.min() == -32768


def test_generators_give_mono_or_channels():
    clip = decode(lambda i: (np.full((2, 100), 0.25 * i, dtype=np.float32), RATE), 2, "g", RATE)
    assert clip.changes == {"mixed_down"}
    assert set(clip.samples.tolist()) == {16384}


def test_corrupt_files_are_named(tmp_path):
    (tmp_path / "empty.ogg").write_bytes(b"")
    (tmp_path / "noise.ogg").write_bytes(bytes(range(256)) * 20)
    soundfile.write(tmp_path / "silent.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "ok.flac", tone(RATE, 3.0), RATE)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "ok.flac").read_bytes()[:9000])
    reasons = {
        "missing.wav": "no such file", "empty.ogg": "0 bytes", "noise.ogg": "cannot read", "silent.wav": "no samples",
        "cut.flac": "cannot read",
    }  # fmt: skip
    for name, reason in reasons.items():
        with pytest.raises(DataError, match=reason) as caught:
            decode((tmp_path / name,), 0, f"clip of {name}", RATE)
        assert name in str(caught.value)
        assert f"'clip of {name}'" in str(caught.value)


def test_nan_is_refused():
    with pytest.raises(DataError, match="NaN"):
        decode(lambda _: (np.array([0.0, np.nan], dtype=np.float32), RATE), 0, "g", RATE)


@pytest.mark.parametrize("loudest", [1e20, -3e38, np.inf])
def test_samples_whose_squares_are_infinite_are_refused(loudest):
    with pytest.raises(DataError, match="endlessly loud"):
        decode(lambda _: (np.array([0.0, loudest], dtype=np.float32), RATE), 0, "g", RATE)


def test_channels_out_of_phase_are_said_to_cancel(tmp_path):
    samples = tone(RATE)
    soundfile.write(tmp_path / "a.wav", np.stack([samples, -samples], 1), RATE)
    clip = decode((tmp_path / "a.wav",), 0, "a", RATE)
    assert clip.changes >= {"mixed_down", "cancelled"}
    apart = decode(lambda _: (np.stack([samples, -0.5 * samples]).astype(np.float32), RATE), 0, "a", RATE)
    assert apart.changes == {"mixed_down"}


@pytest.mark.parametrize(
    ("peak", "said"), [(1e-5, "quiet"), (1e-9, "quiet"), (2.5, "overdriven"), (20_000, "overdriven")]
)
def test_no_level_loses_the_signal(tmp_path, peak, said):
    samples = tone(RATE, level=peak).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    clip = decode((tmp_path / "a.wav",), 0, "a", RATE)
    assert clip.changes == {said}
    np.testing.assert_allclose(at_level(clip.samples, clip.scale), samples, atol=peak / 20_000)


def test_quiet_16_bit_files_stay_as_they_are(tmp_path):
    samples = np.array([0, 1, -1, 2] * 100, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    clip = decode((tmp_path / "a.wav",), 0, "a", RATE)
    assert (clip.changes, clip.scale) == ({"quiet"}, 1.0)
    np.testing.assert_array_equal(clip.samples, samples)


def test_digital_silence_is_said():
    assert decode(lambda _: (np.zeros(10, dtype=np.float32), RATE), 0, "a", RATE).changes == {"silent"}


def test_a_folder_whose_name_is_in_another_encoding(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    soundfile.write(tmp_path / "a.wav", tone(RATE), RATE)
    (tmp_path / "a.wav").rename(folder / "a.wav")
    assert len(decode((folder / "a.wav",), 0, "a", RATE).samples) == RATE // 2
    assert audio_seconds(folder / "a.wav") == 0.5
