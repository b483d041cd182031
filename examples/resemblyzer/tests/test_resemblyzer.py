"""The encoder against the package's own network and slices, which need neither librosa nor webrtcvad."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from bench import TaskInfo

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("resemblyzer") is None,
    reason="the package is not installed (no network?): pip install --no-deps Resemblyzer==0.1.4",
)


@pytest.fixture(scope="module")
def encoder():
    from bench_resemblyzer.encoder import build

    return build(TaskInfo(num_classes=5, sample_rate=16_000, clip_samples=80_000)).eval()


@pytest.fixture(scope="module")
def theirs():
    """Its ``VoiceEncoder``; what it imports for files and voices is not there and not asked."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("librosa", "webrtcvad", "scipy.ndimage.morphology"):
            if name not in sys.modules:
                stub = types.ModuleType(name)
                stub.binary_dilation = None
                patch.setitem(sys.modules, name, stub)
        from resemblyzer.voice_encoder import VoiceEncoder
    return VoiceEncoder("cpu", verbose=False)


@pytest.mark.parametrize("samples", [8000, 30_000, 80_000])
def test_vectors_are_the_packages_own(encoder, theirs, samples: int) -> None:
    clip = 0.2 * torch.randn(samples, generator=torch.Generator().manual_seed(0))
    waves, mels = theirs.compute_partial_slices(samples, 1.3, 0.75)
    padded = np.pad(clip.numpy(), (0, max(0, waves[-1].stop - samples)))
    with torch.inference_mode():
        mel = encoder.mel(torch.from_numpy(padded))
        partial = theirs(torch.stack([mel[s] for s in mels])).numpy()
        wanted = partial.mean(0) / np.linalg.norm(partial.mean(0))
        np.testing.assert_allclose(encoder.embed(clip[None])[0].numpy(), wanted, atol=1e-5)


def test_mel_is_that_of_librosa(encoder) -> None:
    librosa = pytest.importorskip("librosa", reason="librosa, which the package computes by, is not installed")
    clip = 0.2 * torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    wanted = librosa.feature.melspectrogram(y=clip.numpy(), sr=16_000, n_fft=400, hop_length=160, n_mels=40).T
    np.testing.assert_allclose(encoder.mel(clip).numpy(), wanted, atol=1e-4)


def test_silence_is_no_speaker_and_filling_is_not_heard(encoder) -> None:
    clips = 0.01 * torch.randn(3, 48_000, generator=torch.Generator().manual_seed(0))
    clips[1] = 0
    clips[2, 20_000:] = 0
    with torch.inference_mode():
        found = encoder.embed(clips, torch.tensor([48_000, 48_000, 20_000]))
        alone = encoder.embed(clips[2:, :20_000])
    assert float(found[1].abs().max()) == 0
    torch.testing.assert_close(found[2], alone[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[0].norm(), torch.tensor(1.0), atol=1e-5, rtol=0)


@pytest.mark.skipif(
    not any(d.name == "bench-example-resemblyzer" for d in importlib.metadata.distributions()),
    reason="the example is not installed: pip install --no-deps ./examples/resemblyzer",
)
@pytest.mark.timeout(0)  # it trains, for minutes on a busy machine
def test_bench_check_finds_nothing() -> None:
    command = [sys.executable, "-P", "-m", "bench", "check", "resemblyzer"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
