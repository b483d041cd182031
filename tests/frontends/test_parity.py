"""Each front end against an independent reference under matched settings."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.fft
import torch
from nnAudio.features.mel import MelSpectrogram

from bench.clips import TaskInfo
from bench.frontends import kaldi, mfcc, nnaudio
from bench.frontends import torchaudio as torchaudio_frontend

FLOOR = 1e-7
DECIBEL = 10 / math.log(10)
CASES = [
    (16_000, {}),
    (16_000, {"n_fft": 1024, "window": 640, "hop": 320, "n_mels": 64}),
    (8_000, {"n_mels": 40, "fmin": 0.0}),
    (44_100, {"n_fft": 1024, "window": 1024, "hop": 441, "n_mels": 64, "fmin": 50.0, "fmax": 12_000.0}),
]


def task(rate: int) -> TaskInfo:
    return TaskInfo(num_classes=10, sample_rate=rate, clip_samples=rate)


def waveform(rate: int, seconds: float = 1.0, batch: int = 3) -> torch.Tensor:
    """A sweep, noise with digital silence, and a quiet tone."""
    n = int(rate * seconds)
    t = torch.arange(n) / rate
    generator = torch.Generator().manual_seed(0)
    sweep = 0.8 * torch.sin(2 * math.pi * (50 + 0.4 * rate * t / (2 * seconds)) * t)
    noise = 0.1 * torch.randn(n, generator=generator)
    noise[n // 3 : n // 2] = 0
    tone = 1e-3 * torch.sin(2 * math.pi * 440 * t) + 0.01
    return torch.stack([sweep, noise, tone])[:batch].float()


def torchaudio_reference(torchaudio, x: torch.Tensor, rate: int, options: dict) -> torch.Tensor:
    o = {"n_fft": 512, "window": 400, "hop": 160, "n_mels": 128, "fmin": 20.0, "fmax": 8000.0, **options}
    transform = torchaudio.transforms.MelSpectrogram(
        sample_rate=rate, n_fft=o["n_fft"], win_length=o["window"], hop_length=o["hop"], n_mels=o["n_mels"],
        f_min=o["fmin"], f_max=min(o["fmax"], rate / 2), power=2.0, center=True, norm="slaney", mel_scale="slaney",
    )  # fmt: skip
    return transform(x)


@pytest.mark.parametrize(("rate", "options"), CASES)
def test_torchaudio_equals_its_transform(torchaudio, rate, options):
    x = waveform(rate)
    ours = torchaudio_frontend.build(task(rate), **options)(x)
    theirs = torchaudio_reference(torchaudio, x, rate, options).clamp(min=FLOOR).log()
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=0)


@pytest.mark.parametrize(("rate", "options"), CASES)
def test_nnaudio_agrees_with_torchaudio_to_a_fraction_of_a_decibel(rate, options):
    x = waveform(rate)
    ours = nnaudio.build(task(rate), **options)(x)
    theirs = torchaudio_frontend.build(task(rate), **options)(x)
    assert ours.shape == theirs.shape
    above = theirs > math.log(FLOOR) + 0.01
    assert above.float().mean() > 0.3
    # Both compute in float32: a bin 10 orders of magnitude below the loudest of its frame is rounding noise.
    loudest = theirs.amax(dim=1, keepdim=True)
    heard = above & (theirs > loudest - 90 / DECIBEL)
    assert ((ours - theirs).abs()[heard] * DECIBEL).max() < 0.06


@pytest.mark.parametrize(("rate", "options"), CASES)
def test_nnaudio_equals_its_own_mel_spectrogram(rate, options):
    x = waveform(rate)
    front = nnaudio.build(task(rate), **options)
    s = front.settings
    layer = MelSpectrogram(
        sr=rate, n_fft=s.n_fft, win_length=s.window, hop_length=s.hop, n_mels=s.n_mels, fmin=s.fmin, fmax=s.top,
        verbose=False,
    )  # fmt: skip
    torch.testing.assert_close(front(x), layer(x).clamp(min=FLOOR).log(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("key", ["htk", "norm"])
def test_a_mismatched_filter_bank_is_seen(torchaudio, key):
    """The tolerance above is tight enough to catch the wrong mel scale or norm."""
    x = waveform(16_000)
    wrong = {"mel_scale": "htk" if key == "htk" else "slaney", "norm": None if key == "norm" else "slaney"}
    transform = torchaudio.transforms.MelSpectrogram(
        16_000, n_fft=512, win_length=400, hop_length=160, n_mels=64, f_min=20, f_max=8000, **wrong
    )
    ours = nnaudio.build(task(16_000), n_mels=64)(x)
    assert ((ours - transform(x).clamp(min=FLOOR).log()).abs() * DECIBEL).max() > 1


@pytest.mark.parametrize(
    ("rate", "n_mels", "window", "hop"), [(16_000, 128, 400, 160), (16_000, 64, 400, 160), (8_000, 40, 200, 80)]
)
def test_kaldi_equals_the_compliance_function_clip_by_clip(torchaudio, rate, n_mels, window, hop):
    x = waveform(rate)
    front = kaldi.build(task(rate), n_mels=n_mels, window=window, hop=hop, n_fft=512 if rate == 16_000 else 256)
    ours = front(x)
    for clip, features in zip(x, ours, strict=True):
        centred = (clip - clip.mean())[None]
        theirs = torchaudio.compliance.kaldi.fbank(
            centred, htk_compat=True, sample_frequency=rate, use_energy=False, window_type="hanning",
            num_mel_bins=n_mels, dither=0.0, frame_shift=1000 * hop / rate, frame_length=1000 * window / rate,
        ).T  # fmt: skip
        assert features.shape == theirs.shape
        torch.testing.assert_close(features, theirs, atol=1e-4, rtol=0)


def test_kaldi_gives_498_frames_for_five_seconds():
    front = kaldi.build(task(16_000))
    assert front.feature_shape(80_000) == (128, 498)
    assert nnaudio.build(task(16_000)).feature_shape(80_000) == (128, 501)


def test_mfcc_is_the_orthonormal_dct_of_the_log_mel():
    x = waveform(16_000)
    ours = mfcc.build(task(16_000), n_mfcc=20, n_mels=48)(x)
    mel = torchaudio_frontend.build(task(16_000), n_mels=48)(x).numpy().astype(np.float64)
    theirs = scipy.fft.dct(mel, type=2, axis=1, norm="ortho")[:, :20]
    np.testing.assert_allclose(ours.numpy(), theirs, atol=5e-4)


def test_a_lower_sample_rate_lowers_the_upper_edge():
    front = torchaudio_frontend.build(task(8_000), fmax=8000.0, n_mels=40)
    assert front.settings.fmax == 8000.0
    assert front.settings.top == 4000.0
    equal = torchaudio_frontend.build(task(8_000), fmax=4000.0, n_mels=40)
    torch.testing.assert_close(front.mel_basis, equal.mel_basis)


def test_empty_filters_are_announced_once_in_our_own_words():
    for module in (torchaudio_frontend, nnaudio):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            module.build(task(44_100))
        messages = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        assert len(messages) == 1
        assert messages[0].startswith("25 of 128 mel filters hold no Fourier bin at n_fft 512 and 44100 Hz")
