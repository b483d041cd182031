"""The published notebook's graph: its size to the last parameter, its patches, its window, its missing logarithm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import get_window

from bench import DataError, TaskInfo
from bench_plugins.meamtm import as_coded, bench_add_models

SPEC = next(spec for spec in bench_add_models() if spec.name == "meamtm.as_coded")
SHORT = TaskInfo(num_classes=5, sample_rate=16_000, clip_samples=8_000)


@pytest.fixture(scope="module")
def small():
    """The graph for half a second and five classes, at random weights."""
    torch.manual_seed(0)
    return as_coded.build(SHORT).eval()


def test_size_is_the_published_one() -> None:
    with torch.device("meta"):
        model = as_coded.build(TaskInfo(num_classes=50))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == SPEC.parameters
    assert count / 1e6 == pytest.approx(85.85, rel=1e-4)
    assert model.grid[0] * model.grid[1] == 588
    assert model.pos_embed.shape == (1, 590, 768)
    assert (len(model.blocks), model.pos_drop.p) == (12, 0.5)
    assert model.blocks[0].attn.heads == 12
    assert model.blocks[0].attn.qkv.bias is None


@pytest.mark.parametrize(("rate", "samples"), [(16_000, 80_000), (44_100, 220_500), (8_000, 40_000)])
def test_five_seconds_give_500_frames_at_every_rate(rate, samples) -> None:
    assert as_coded.RawMel.frames(samples, rate) == 500


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_counted_frames_are_those_of_the_front_end(rate) -> None:
    samples = rate // 2 + 7
    front = as_coded.RawMel(rate)
    with torch.no_grad():
        assert front(torch.randn(1, samples)).shape == (1, 128, as_coded.RawMel.frames(samples, rate))


def test_front_end_is_mel_power_of_25_samples_without_logarithm() -> None:
    torch.manual_seed(1)
    front, clip = as_coded.RawMel(44_100), torch.randn(1, 6_000)
    window = np.zeros(2048)
    window[(2048 - 25) // 2 :][:25] = get_window("hann", 25)
    frames = [clip[0, start : start + 2048].numpy() * window for start in range(0, 6_000 - 2048 + 1, 437)]
    power = np.abs(np.fft.rfft(frames)) ** 2  # (time, 1025)
    expected = front.layer.mel_basis.detach().numpy() @ power.T
    with torch.no_grad():
        np.testing.assert_allclose(front(clip)[0].numpy(), expected, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(front(3 * clip), 9 * front(clip), rtol=1e-4, atol=1e-6)
        assert front(0 * clip).abs().max() == 0


def test_resampling_keeps_a_tone_where_it_was() -> None:
    def loudest(rate: int) -> int:
        tone = torch.sin(2 * torch.pi * 6_000 * torch.arange(rate // 2) / rate)
        with torch.no_grad():
            return int(as_coded.RawMel(rate)(tone[None])[0].mean(dim=1).argmax())

    assert abs(loudest(16_000) - loudest(44_100)) <= 1


def test_the_mel_bank_learns_and_the_fourier_kernels_do_not(small) -> None:
    assert [name for name, _ in small.mel.named_parameters()] == ["layer.mel_basis"]


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    model = as_coded.build(SHORT).train()
    torch.nn.functional.cross_entropy(model(torch.randn(3, 8_000)), torch.arange(3)).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_logits_are_a_clips_own(small) -> None:
    clips = torch.randn(3, 8_000)
    with torch.no_grad():
        logits = small(clips)
        torch.testing.assert_close(small(clips[1:2]), logits[1:2], atol=1e-5, rtol=1e-4)
    assert logits.shape == (3, 5)
    assert small.embed(clips[:1]).shape == (1, 768)


def test_features_keep_full_precision_under_autocast(small) -> None:
    clip = torch.randn(1, 8_000)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert small.mel(clip).dtype == torch.float32


def test_clips_too_short_for_a_patch_are_refused() -> None:
    with pytest.raises(DataError, match=r"clips of 0\.1 s give 6 frames; meamtm\.as_coded needs 16, that is 0\.20 s"):
        as_coded.build(TaskInfo(num_classes=5, clip_samples=1_600))


def test_it_takes_the_waveform_and_trains_as_published() -> None:
    assert SPEC.frontend is None
    assert SPEC.inductive
    published = SPEC.recipes["full"]
    assert (published["optimizer"], published["lr"], published["batch"], published["epochs"]) == ("adam", 1e-4, 12, 100)
