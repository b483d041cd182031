"""Own filters and front ends against torchaudio, Kaldi, transformers and nnAudio2 on drawn settings.

Each rival is asked where it is installed and loads; the rest of these tests needs none of them.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nnAudio.features.mel import MelSpectrogram
from transformers.audio_utils import mel_filter_bank

from bench.clips import TaskInfo
from bench.frontends import kaldi
from bench.frontends.filters import cosine_transform, kaldi_filters, mel_filters
from bench_plugins.meamtm.resample import Resample

RATES = (8_000, 16_000, 22_050, 44_100, 48_000)


@st.composite
def banks(draw):
    """``(n_fft, n_mels, rate, limits)`` that every library takes."""
    rate, n_fft = draw(st.sampled_from(RATES)), draw(st.sampled_from((256, 400, 512, 1024, 2048)))
    low = draw(st.one_of(st.sampled_from((0.0, 20.0)), st.floats(0, rate / 4)))
    return n_fft, draw(st.integers(4, 160)), rate, (low, draw(st.floats(rate / 3, rate // 2)))


def hears(n_fft, n_mels, rate, limits):
    """Whether the narrowest filter is two Fourier bins wide: float32 then tells a bin's weight to a part in 1 000."""
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in limits)
    width = (700 + limits[0]) * (10 ** ((high - low) / (n_mels + 1) / 2595) - 1)
    return width > 2 * rate / n_fft


@settings(max_examples=30)
@given(bank=banks(), scale=st.sampled_from(("htk", "slaney")), equal_area=st.booleans())
def test_mel_filters_equal_torchaudio_s_to_the_last_bit(torchaudio, bank, scale, equal_area):
    n_fft, n_mels, rate, limits = bank
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # empty filters
        theirs = torchaudio.functional.melscale_fbanks(
            n_fft // 2 + 1, *limits, n_mels, rate, norm="slaney" if equal_area else None, mel_scale=scale
        )
    assert torch.equal(mel_filters(n_fft, n_mels, rate, limits, scale=scale, equal_area=equal_area), theirs.T)


@settings(max_examples=30)
@given(bank=banks())
def test_kaldi_filters_equal_torchaudio_s_to_the_last_bit(torchaudio, bank):
    n_fft, n_mels, rate, limits = bank
    banks = torchaudio.compliance.kaldi.get_mel_banks
    theirs, _ = banks(n_mels, n_fft, float(rate), *limits, 100.0, -500.0, 1.0)
    ours = kaldi_filters(n_fft, n_mels, rate, limits)
    assert torch.equal(ours[:, :-1], theirs)
    assert not ours[:, -1].any()


@settings(max_examples=30)
@given(bank=banks(), scale=st.sampled_from(("htk", "slaney", "kaldi")), equal_area=st.booleans())
def test_filters_agree_with_transformers_double_precision(bank, scale, equal_area):
    assume(hears(*bank))
    n_fft, n_mels, rate, limits = bank
    in_mel = scale == "kaldi"
    theirs = mel_filter_bank(
        n_fft // 2 + 1, n_mels, *limits, rate, norm="slaney" if equal_area and not in_mel else None,
        mel_scale=scale, triangularize_in_mel_space=in_mel,
    )  # fmt: skip
    if in_mel:
        ours = kaldi_filters(n_fft, n_mels, rate, limits)
        theirs[-1] = 0  # Kaldi has no bin at half the rate
    else:
        ours = mel_filters(n_fft, n_mels, rate, limits, scale=scale, equal_area=equal_area)
    np.testing.assert_allclose(ours.numpy(), theirs.T, atol=1e-3 * theirs.max())


@settings(max_examples=30)
@given(bands=st.integers(1, 160), share=st.floats(0, 1))
def test_the_cosine_transform_is_scipy_s(bands, share):
    count = max(1, round(share * bands))
    ours = cosine_transform(count, bands)
    theirs = scipy.fft.dct(np.eye(bands), type=2, axis=0, norm="ortho")[:count]
    np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-5)
    assert ours.is_contiguous()


@settings(max_examples=30)
@given(bands=st.integers(1, 160), share=st.floats(0, 1))
def test_the_cosine_transform_equals_torchaudio_s_to_the_last_bit(torchaudio, bands, share):
    count = max(1, round(share * bands))
    assert torch.equal(cosine_transform(count, bands), torchaudio.functional.create_dct(count, bands, "ortho").T)


@st.composite
def fbanks(draw):
    """``(waveform, rate, window, hop, n_mels)``: whole milliseconds, a window that the transform holds."""
    rate = draw(st.sampled_from((8_000, 16_000, 48_000)))
    window, hop = (draw(st.sampled_from(ms)) * rate // 1000 for ms in ((20, 25, 32), (5, 10, 16)))
    generator = np.random.default_rng(draw(st.integers(0, 2**31)))
    samples = window + draw(st.integers(0, 20 * hop))
    time = np.arange(samples) / rate
    tone = np.sin(2 * np.pi * generator.uniform(50, rate / 2) * time)
    mixed = generator.uniform(0, 0.5) * tone + generator.uniform(0.01, 0.1) * generator.standard_normal(samples)
    return mixed.astype(np.float32), rate, window, hop, draw(st.integers(8, 64))


def own_fbank(waveform, rate, window, hop, n_mels):
    task = TaskInfo(num_classes=2, sample_rate=rate, clip_samples=len(waveform))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # empty filters
        front = kaldi.build(
            task, n_mels=n_mels, window=window, hop=hop, n_fft=2 ** math.ceil(math.log2(window)), fmax=rate / 2
        )
    return front(torch.from_numpy(waveform)[None])[0].T.numpy()


@settings(max_examples=20)
@given(case=fbanks())
def test_kaldi_s_features_agree_with_torchaudio_to_a_hundred_thousandth(torchaudio, case):
    """Energies, relative to the loudest band of their frame: a band far below it holds the transform's rounding."""
    waveform, rate, window, hop, n_mels = case
    theirs = torchaudio.compliance.kaldi.fbank(
        torch.from_numpy(waveform - waveform.mean())[None], sample_frequency=rate, window_type="hanning", dither=0.0,
        frame_length=1000 * window / rate, frame_shift=1000 * hop / rate, num_mel_bins=n_mels, use_energy=False,
    ).numpy()  # fmt: skip
    ours, theirs = np.exp(own_fbank(*case).astype(np.float64)), np.exp(theirs.astype(np.float64))
    assert (np.abs(ours - theirs) / theirs.max(axis=1, keepdims=True)).max() < 1e-5


@settings(max_examples=20)
@given(case=fbanks())
def test_kaldi_s_features_agree_with_kaldi_native_fbank(case):
    rival = pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank is not installed")
    waveform, rate, window, hop, n_mels = case
    options = rival.FbankOptions()
    frames, mels = options.frame_opts, options.mel_opts
    frames.samp_freq, frames.dither, frames.window_type = rate, 0.0, "hanning"
    frames.frame_length_ms, frames.frame_shift_ms = 1000 * window / rate, 1000 * hop / rate
    mels.num_bins, mels.low_freq, mels.high_freq = n_mels, 20.0, rate / 2
    computer = rival.OnlineFbank(options)
    computer.accept_waveform(rate, (waveform - waveform.mean()).tolist())
    computer.input_finished()
    theirs = np.stack([computer.get_frame(number) for number in range(computer.num_frames_ready)])
    np.testing.assert_allclose(own_fbank(*case), theirs, atol=5e-3, rtol=0)


@settings(max_examples=30)
@given(source=st.sampled_from(RATES), target=st.sampled_from(RATES), samples=st.integers(1, 9_000))
def test_resampling_equals_torchaudio_s_to_the_last_bit(torchaudio, source, target, samples):
    x = torch.from_numpy(np.random.default_rng(samples).standard_normal((2, samples), dtype=np.float32))
    ours, theirs = Resample(source, target), torchaudio.transforms.Resample(source, target)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(("source", "target"), [(16_000, 44_100), (44_100, 16_000), (8_000, 48_000)])
def test_a_resampled_tone_is_the_tone(source, target):
    def tone(rate):
        return torch.sin(2 * math.pi * 440 * torch.arange(rate, dtype=torch.float64) / rate).float()

    found = Resample(source, target)(tone(source)[None])[0]
    assert len(found) == target
    torch.testing.assert_close(found[500:-500], tone(target)[500:-500], atol=2e-3, rtol=0)


@pytest.mark.parametrize(("rate", "n_fft", "window", "hop", "n_mels"), [
    (16_000, 512, 400, 160, 128), (16_000, 1024, 640, 320, 64), (44_100, 2048, 1024, 441, 128),
])  # fmt: skip
def test_the_successor_of_nnaudio_gives_the_same_mel(rate, n_fft, window, hop, n_mels):
    successor = pytest.importorskip("nnAudio2.features.mel", reason="nnAudio2 is not installed")
    settings = {
        "sr": rate, "n_fft": n_fft, "win_length": window, "hop_length": hop, "n_mels": n_mels, "fmin": 20.0,
        "fmax": 8000.0, "verbose": False,
    }  # fmt: skip
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, rate), dtype=np.float32) * 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # empty filters
        old, new = MelSpectrogram(**settings), successor.MelSpectrogram(**settings)
    assert torch.equal(old(x), new(x))
