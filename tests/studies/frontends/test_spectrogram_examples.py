"""Clips to draw: which are chosen, the frequencies on their axes; and parity numbers against hand computation."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from bench.frontends.settings import SpectralSettings
from bench.studies.frontends.features import _difference, centres, codec, examples, parity, silent_share

RATE = 8000


@pytest.mark.parametrize(("scale", "middle"), [("slaney", 1000 * 6.4 ** (5.1 / 27)), ("htk", 1278.4)])
def test_centres_are_equally_far_apart_on_the_mel_scale(scale, middle) -> None:
    """Slaney: 15 mel at 1000 Hz, above it 27 mel per factor of 6.4. HTK: 2595 log10(1 + f / 700)."""
    top = {
        "slaney": 1000 * 6.4 ** (25.2 / 27),
        "htk": 700 * (10 ** (2 * 2595 * math.log10(1 + 1278.4 / 700) / 2595) - 1),
    }
    settings = SpectralSettings(sample_rate=16_000, n_mels=1, fmin=0.0, fmax=top[scale])
    np.testing.assert_allclose(centres(settings, scale), [middle], rtol=1e-9)
    many = centres(SpectralSettings(sample_rate=16_000, n_mels=64, fmin=20.0), scale)
    assert np.all(np.diff(many) > 0)
    assert 20 < many[0] < many[-1] < 8000


def test_silence_is_counted_in_whole_frames_of_ten_milliseconds() -> None:
    samples = np.zeros(RATE, dtype=np.int16)
    samples[::80][:25] = 1
    assert silent_share(samples, RATE) == 0.75
    assert silent_share(np.zeros(10, dtype=np.int16), RATE) == 1.0
    assert silent_share(np.ones(10, dtype=np.int16), RATE) == 0.0


class Named(list):
    """Clips as far as drawing needs them."""

    @property
    def ids(self):
        return tuple(self)


class Levels(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.settings = settings

    def forward(self, audio):
        return audio.abs().reshape(len(audio), 4, -1)


def test_the_first_by_id_and_the_one_nearest_to_half_silence_are_drawn() -> None:
    samples = np.ones((4, 800), dtype=np.int16)
    samples[1, 80:] = 0  # 90 % silent, and the first by id
    samples[2, :320] = 0  # 40 %
    samples[3, :160] = 0
    clips = Named(("d", "a", "c", "b"))
    waveforms = SimpleNamespace(samples=samples, sample_rate=RATE)
    settings = SpectralSettings(sample_rate=RATE, n_mels=4, fmax=4000.0)
    found = examples(clips, waveforms, {"nnaudio": Levels(settings), "kaldi": Levels(settings), "odd": Levels(None)})
    assert [(one.clip, one.frontend, round(one.silent, 2)) for one in found] == [
        ("a", "nnaudio", 0.9), ("a", "kaldi", 0.9), ("c", "nnaudio", 0.4), ("c", "kaldi", 0.4),
    ]  # fmt: skip
    assert found[0].values.shape == (4, 200)
    assert found[0].seconds == 0.1
    assert found[0].hertz[0] != found[1].hertz[0], "Kaldi has the other scale"


def test_parity_in_decibels_is_what_a_hand_computes() -> None:
    powers, reference = np.array([[[1.0, 2.0], [10.0, 1e-3]]]), np.array([[[1.0, 1.0], [1.0, 1e-3]]])
    found = _difference(*(torch.from_numpy(np.log(values)).float() for values in (powers, reference)))
    gaps = [0.0, 10 * math.log10(2), 10.0, 0.0]
    assert found["max_db"] == pytest.approx(max(gaps), rel=1e-5)
    assert found["mean_db"] == pytest.approx(sum(gaps) / 4, rel=1e-5)
    assert found["clips"] == 1


def test_parity_names_another_feature_instead_of_comparing_it() -> None:
    class Fake(nn.Module):
        def __init__(self, gain, frames):
            super().__init__()
            self.gain, self.frames = gain, frames

        def forward(self, audio):
            return torch.full((len(audio), 2, self.frames), math.log(self.gain))

    made = {"torchaudio": Fake(1.0, 5), "nnaudio": Fake(2.0, 5), "short": Fake(1.0, 4), "kaldi": Fake(1.0, 5)}
    found = parity(made, torch.zeros(3, 8))
    assert list(found) == ["nnaudio", "short", "kaldi", "torchaudio as float16"]
    assert found["nnaudio"]["max_db"] == found["nnaudio"]["mean_db"] == pytest.approx(10 * math.log10(2), rel=1e-5)
    assert found["short"]["reasons"]["max_db"] == "another feature, (2, 4) instead of (2, 5) (freq, time)"
    assert found["kaldi"]["max_db"] is None
    assert found["torchaudio as float16"]["max_db"] == 0.0


def test_the_source_is_named_with_codec_and_rate(tmp_path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros(100), 22_050)
    assert codec(SimpleNamespace(sounds=[tmp_path / "a.flac"])) == "FLAC PCM_16, 22050 Hz"
    assert codec(SimpleNamespace(sounds=lambda _: None)) == "generated"
