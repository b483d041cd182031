"""Clip descriptors against torchaudio, scipy, hand-made loops and algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_plugins.classical import features


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (3, 16_000)).astype(np.float32)


@pytest.mark.parametrize(
    ("bands", "fft", "rate", "limits", "scale"),
    [(40, 1024, 16_000, (0.0, 8000.0), "slaney"), (64, 1024, 16_000, (20.0, 8000.0), "htk")],
)
def test_mel_filters_equal_torchaudio(torchaudio, bands, fft, rate, limits, scale) -> None:
    reference = torchaudio.functional.melscale_fbanks(
        fft // 2 + 1, *limits, bands, rate, norm="slaney" if scale == "slaney" else None, mel_scale=scale
    ).numpy()
    filters = features.mel_filters(bands, fft, rate, limits, scale)
    assert filters.shape == (fft // 2 + 1, bands)
    assert filters.max() > 0
    np.testing.assert_allclose(filters, reference, atol=1e-5 * reference.max())


def test_power_spectrum_equals_torch_stft(noise) -> None:
    frames = features.frame(noise, size=1024, hop=512)
    power = features.power_spectrum(frames, 1024)
    stft = torch.stft(
        torch.from_numpy(noise), 1024, 512, window=torch.hann_window(1024), pad_mode="constant", return_complex=True
    )
    reference = stft.abs().square().transpose(1, 2).numpy()
    assert power.shape == reference.shape
    np.testing.assert_allclose(power, reference, rtol=1e-3, atol=1e-4)


def test_mfcc_equals_the_cosine_sum(noise) -> None:
    log_mel = noise[:, :400].reshape(3, 10, 40)
    n = np.arange(40)
    basis = np.cos(np.pi * np.outer(np.arange(13), n + 0.5) / 40) * np.sqrt(2 / 40)
    basis[0] /= np.sqrt(2)
    np.testing.assert_allclose(features.mfcc(log_mel, 13), log_mel @ basis.T, atol=1e-5)


def test_zero_crossing_rate_of_known_signals() -> None:
    frames = np.array([[[1, -1, 1, -1, 1]], [[1, 1, 1, 1, 1]], [[0, -0.0, 1, 0, -1]]], dtype=np.float32)
    np.testing.assert_allclose(features.zero_crossing_rate(frames)[:, 0], [1.0, 0.0, 0.25])


def test_zero_crossing_rate_of_a_sine_is_twice_its_frequency() -> None:
    time = np.arange(16_000) / 16_000
    wave = np.sin(2 * np.pi * 1000 * time + 0.3).astype(np.float32)[None]
    middle = features.zero_crossing_rate(features.frame(wave, size=1024, hop=512))[0, 2:-3]
    np.testing.assert_allclose(middle, 2 * 1000 / 16_000, atol=2e-3)


def test_piczak_leaves_the_level_out(noise) -> None:
    quiet = features.piczak_statistics(noise * 0.1, sample_rate=16_000)
    loud = features.piczak_statistics(noise, sample_rate=16_000)
    np.testing.assert_allclose(quiet, loud, atol=2e-3)
    assert np.abs(loud[0] - loud[1]).max() > 1e-3


def test_piczak_columns_are_means_then_deviations(noise) -> None:
    values = features.piczak_statistics(noise, sample_rate=16_000)
    frames = features.frame(noise, size=1024, hop=512)
    rate = features.zero_crossing_rate(frames)
    assert values.shape == (3, 26)
    np.testing.assert_allclose(values[:, 12], rate.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(values[:, 25], rate.std(axis=1), rtol=1e-4)


def test_tuned_statistics_equal_a_loop(torchaudio, noise) -> None:
    values = features.tuned_statistics(noise, sample_rate=16_000)
    transform = torchaudio.transforms.MelSpectrogram(
        16_000, n_fft=1024, win_length=640, hop_length=320, f_min=20, f_max=8000, n_mels=64, center=False
    )
    wave = np.pad(noise[0], (320, 320))
    rows = []
    for start in range(0, len(wave) - 639, 320):
        windowed = np.zeros(1024, np.float32)
        windowed[192:832] = wave[start : start + 640]  # torchaudio centres the window in the transform
        rows.append(np.log(transform(torch.from_numpy(windowed)).numpy()[:, 0] + 1e-7))
    series = features.mfcc(np.array(rows)[None], 20)[0]
    expected = np.concatenate(
        [
            series.mean(0), series.std(0), (series[1:] - series[:-1]).std(0),
            np.percentile(series, 10, axis=0), np.percentile(series, 90, axis=0),
        ]
    )  # fmt: skip
    assert values.shape == (3, 100)
    np.testing.assert_allclose(values[0], expected, atol=2e-2)


@pytest.mark.parametrize("describe", [features.piczak_statistics, features.tuned_statistics])
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050])
def test_silence_and_single_samples_stay_finite(describe, rate) -> None:
    for samples in (1, rate // 100, rate):
        values = describe(np.zeros((2, samples), np.float32), sample_rate=rate)
        assert np.isfinite(values).all()
        impulse = np.zeros((1, samples), np.float32)
        impulse[0, 0] = 1
        assert np.isfinite(describe(impulse, sample_rate=rate)).all()


@settings(max_examples=20, deadline=None)
@given(clips=st.integers(1, 70), seed=st.integers(0, 99))
def test_a_clip_is_described_alone(clips, seed) -> None:
    waves = np.random.default_rng(seed).normal(0, 0.1, (clips, 800)).astype(np.float32)
    together = features.piczak_statistics(waves, sample_rate=8_000)
    alone = features.piczak_statistics(waves[-1:], sample_rate=8_000)
    np.testing.assert_allclose(together[-1:], alone, rtol=1e-4, atol=1e-4)
