"""The encoder against the package's own code, and through bench."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch

from bench import TaskInfo

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("aisfx") is None,
    reason="the package aisfx is not installed (no network?): pip install --no-deps aisfx==0.1.2",
)


@pytest.fixture(scope="module")
def encoder():
    from bench_aisfx.encoder import build

    return build(TaskInfo(num_classes=5, sample_rate=44_100, clip_samples=220_500)).eval()


def noise(clips: int, samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(clips, samples, generator=torch.Generator().manual_seed(0))


def test_blocks_and_network_are_the_packages_own(encoder) -> None:
    """Its own blocking (half overlap, the partial block dropped) and network on the same log-mel."""
    import aisfx.preprocessing as theirs

    audio = noise(2, 220_500)
    with torch.inference_mode():
        ours = encoder.embed(audio)
        for row, mel in zip(ours, encoder.log_mel(audio).numpy(), strict=True):
            hop = theirs.compute_hopSize(100, 0.5, mel)
            blocks = theirs.blocking(mel, block_size=100, hop_size=hop, drop_partial_block=True)
            wanted = encoder.network(torch.from_numpy(blocks.astype(np.float32))).mean(0)
            torch.testing.assert_close(row, wanted, atol=1e-5, rtol=1e-4)


def test_log_mel_is_that_of_essentia(encoder) -> None:
    essentia = pytest.importorskip("essentia.standard", reason="Essentia is not installed")
    audio = noise(1, 220_500)
    window = essentia.Windowing(type="hann", normalized=False, zeroPadding=0)
    spectrum = essentia.Spectrum(size=2048)
    bands = essentia.MelBands(
        inputSize=1025, numberBands=96, sampleRate=44_100, lowFrequencyBound=0, highFrequencyBound=22_050,
        warpingFormula="htkMel", weighting="warping", normalize="unit_sum", type="power", log=False,
    )  # fmt: skip
    frames = essentia.FrameGenerator(audio[0].numpy(), frameSize=2048, hopSize=1024)
    wanted = np.stack([np.log10(1 + 1e4 * bands(spectrum(window(frame)))) for frame in frames]) / 9.457798957824707
    ours = encoder.log_mel(audio)[0].numpy()
    assert abs(len(ours) - len(wanted)) <= 1
    count = min(len(ours), len(wanted))
    np.testing.assert_allclose(ours[:count], wanted[:count], atol=1e-3)


def test_a_clip_hears_nothing_of_its_batch_mates_or_filling(encoder) -> None:
    audio = noise(3, 220_500)
    audio[1, 110_250:] = 0
    lengths = torch.tensor([220_500, 110_250, 1000])
    with torch.inference_mode():
        together = encoder.embed(audio, lengths)
        for i, length in enumerate(lengths.tolist()):
            clip = torch.cat([audio[i : i + 1, :length], torch.zeros(1, 2048)], dim=1)
            alone = encoder.embed(clip, torch.tensor([length]))
            if length > 1000:  # a clip of some frames is followed by silence only where there is some
                torch.testing.assert_close(together[i], alone[0], atol=1e-4, rtol=1e-3)
    assert together.shape == (3, 512)
    assert torch.isfinite(together).all()


@pytest.mark.skipif(
    not any(d.name == "bench-example-aisfx" for d in importlib.metadata.distributions()),
    reason="the example is not installed: pip install --no-deps ./examples/aisfx",
)
@pytest.mark.timeout(0)  # it trains, for minutes on a busy machine
def test_bench_check_finds_nothing() -> None:
    command = [sys.executable, "-P", "-m", "bench", "check", "aisfx"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
