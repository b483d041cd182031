"""What every front end must do, whichever it is."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import get_type_hints

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.clips import TaskInfo
from bench.errors import DataError
from bench.frontends import base, mfcc
from bench.frontends.precision import full_precision, read_precision, write_precision
from bench.frontends.settings import SpectralOptions, SpectralSettings
from bench.frontends.specs import FRONTENDS

TASK = TaskInfo(num_classes=10, clip_samples=8_000)
NAMES = [spec.name for spec in FRONTENDS]
EVERY = pytest.mark.parametrize("name", NAMES)


def build(name: str, **options):
    spec = next(s for s in FRONTENDS if s.name == name)
    module, function = spec.factory.split(":")
    return getattr(importlib.import_module(module), function)(TASK, **options)


def noise(batch: int = 2, samples: int = 8_000, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))


@EVERY
def test_shape_dtype_and_declared_shape_agree(name):
    front = build(name)
    with torch.no_grad():
        features = front(noise())
    assert features.dtype == torch.float32
    assert tuple(features.shape[1:]) == front.feature_shape(8_000)
    assert features.isfinite().all()


@EVERY
def test_shortest_clip_works_and_one_sample_less_is_refused(name):
    front = build(name)
    assert front(noise(samples=front.min_samples)).shape[1:] == front.feature_shape(front.min_samples)
    with pytest.raises(DataError, match=f"at least {front.min_samples} samples"):
        front(noise(samples=front.min_samples - 1))
    with pytest.raises(DataError, match="too short"):
        front.feature_shape(front.min_samples - 1)


@EVERY
def test_a_clip_does_not_see_its_batch_mates(name):
    front = build(name)
    quiet = 1e-3 * noise(1)
    with torch.no_grad():
        alone = front(quiet)
        beside = front(torch.cat([quiet, 1000 * noise(3, seed=1)]))[:1]
    torch.testing.assert_close(beside, alone, atol=2e-4, rtol=0)


@EVERY
def test_silence_is_finite_and_so_are_all_gradients(name):
    front = build(name)
    x = torch.zeros(2, 8_000)
    x[1, 4_000:] = noise(1)[0, 4_000:]
    x.requires_grad_()
    features = front(x)
    assert features.isfinite().all()
    features.sum().backward()
    assert x.grad.isfinite().all()
    for parameter in front.parameters():
        assert parameter.grad.isfinite().all()


@EVERY
def test_only_the_trainable_ones_have_parameters(name):
    spec = next(s for s in FRONTENDS if s.name == name)
    front = build(name)
    trained = [p for p in front.parameters() if p.requires_grad]
    assert bool(trained) == spec.trainable
    if trained:
        front(noise()).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)


def test_trainable_parts_are_the_named_ones():
    assert [n for n, _ in build("nnaudio_mel").named_parameters()] == ["layer.mel_basis"]
    assert {n for n, _ in build("nnaudio_stft").named_parameters()} == {"layer.stft.wsin", "layer.stft.wcos"}


def test_trainable_ones_start_equal_to_the_frozen_one():
    x = noise()
    frozen = build("nnaudio")(x)
    for name in ("nnaudio_mel", "nnaudio_stft"):
        torch.testing.assert_close(build(name)(x).detach(), frozen, atol=1e-5, rtol=0)


@EVERY
def test_autocast_of_the_caller_changes_nothing(name):
    front = build(name)
    x = noise()
    with torch.no_grad():
        plain = front(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = front(x)
    assert mixed.dtype == torch.float32
    assert torch.equal(plain, mixed)


@EVERY
def test_unsuitable_input_is_named(name):
    front = build(name)
    for wrong, error, message in (
        (noise().double(), TypeError, "torch.float64; float32"),
        ((noise() * 32768).to(torch.int16), TypeError, "int16.*/ 32768"),
        (noise()[0], ValueError, r"shape \(8000,\).*x\[None\]"),
        (noise()[:, None].repeat(1, 2, 1), ValueError, r"shape \(2, 2, 8000\).*x\.mean\(1\)"),
        (noise().numpy(), TypeError, "ndarray.*from_numpy"),
        (noise(0), DataError, "holds no clip"),
    ):
        with pytest.raises(error, match=message):
            front(wrong)


@EVERY
def test_unknown_options_are_refused(name):
    with pytest.raises(TypeError, match="top_db"):
        build(name, top_db=80)
    with pytest.raises(TypeError):
        build(name, sample_rate=8_000)


@EVERY
def test_all_take_the_same_options(name):
    options = {"n_fft": 1024, "window": 640, "hop": 320, "n_mels": 64, "fmin": 20, "fmax": 7000.0, "floor": 1e-6}
    assert set(options) == set(get_type_hints(SpectralOptions))
    front = build(name, **options)
    assert front.settings == SpectralSettings(sample_rate=16_000, **options)
    assert str(front.settings) in repr(front)


@EVERY
def test_the_floor_is_the_natural_logarithm_of_the_option(name):
    features = build(name, floor=1e-3)(torch.zeros(1, 8_000)).detach()
    if name == "mfcc":
        expected = torch.zeros_like(features)
        expected[:, 0] = torch.tensor(1e-3).log() * 64**0.5
    else:
        expected = torch.full_like(features, torch.tensor(1e-3).log().item())
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=0)


@EVERY
def test_state_dict_round_trip(name):
    front, other = build(name), build(name)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(0.5)
        other.load_state_dict(front.state_dict(), strict=True)
        torch.testing.assert_close(other(noise()), front(noise()), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_fft": 511}, ValueError, "odd; use 512"),
        ({"window": 600}, ValueError, "window = 600 samples do not fit"),
        ({"hop": 0}, ValueError, "hop = 0"),
        ({"hop": 160.0}, TypeError, "hop = 160.0 is a float"),
        ({"n_mels": True}, TypeError, "n_mels"),
        ({"floor": 0.0}, ValueError, "floor"),
        ({"fmin": -1.0}, ValueError, "fmin"),
        ({"fmin": 9000.0}, ValueError, "below 8000.0 Hz"),
        ({"fmax": float("nan")}, ValueError, "fmax = nan"),
        ({"fmax": "8000"}, TypeError, "fmax"),
    ],
)
def test_settings_out_of_range(options, error, message):
    with pytest.raises(error, match=message):
        build("torchaudio", **options)


def test_mfcc_count_is_checked():
    with pytest.raises(ValueError, match="n_mfcc = 65: must be 1 to n_mels = 64"):
        build("mfcc", n_mfcc=65)
    with pytest.raises(TypeError, match="n_mfcc"):
        build("mfcc", n_mfcc=13.0)


def test_trainable_is_checked():
    with pytest.raises(ValueError, match="'none', 'mel', 'stft'"):
        build("nnaudio", trainable="both")


def test_construction_prints_nothing(capsys):
    for name in NAMES:
        build(name)
    assert capsys.readouterr() == ("", "")


@settings(max_examples=25, deadline=None)
@given(
    samples=st.integers(400, 3_000), hop=st.integers(50, 500), name=st.sampled_from(["torchaudio", "kaldi", "nnaudio"])
)
def test_declared_frames_hold_for_every_length(samples, hop, name):
    front = build(name, hop=hop, n_mels=40)
    assert tuple(front(noise(1, samples)).shape[1:]) == front.feature_shape(samples)


def test_listing_imports_no_torch():
    code = "import sys, bench.frontends, bench.frontends.specs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def global_tf32():
    torch.backends.fp32_precision = "tf32"


PRECISIONS = [
    lambda: None,
    lambda: torch.set_float32_matmul_precision("high"),
    global_tf32,
    lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    lambda: setattr(torch.backends.cudnn.rnn, "fp32_precision", "ieee"),
    lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
]


@pytest.fixture
def own_precision():
    kept = read_precision()
    yield
    write_precision(kept)


@pytest.mark.usefixtures("own_precision")
@pytest.mark.parametrize("change", PRECISIONS)
def test_short_mantissas_are_off_on_cuda_and_restored(change):
    change()
    before, backends = read_precision(), torch.backends
    with full_precision(torch.device("cuda")):
        found = [home.fp32_precision for home in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)]
        assert found == ["ieee"] * 3
        older = read_precision()[:2]  # says the same, or nothing where it was at odds with the newer one before
        assert older in [("highest", False), ("highest", None)]
    assert read_precision() == before
    with pytest.raises(KeyError), full_precision(torch.device("cuda")):
        raise KeyError
    assert read_precision() == before


@EVERY
@pytest.mark.usefixtures("own_precision")
def test_a_front_end_on_cuda_leaves_every_switch_inheriting_as_it_was(name, monkeypatch):
    def on_cuda(_device):
        return full_precision(torch.device("cuda"))

    for module in (base, mfcc):
        monkeypatch.setattr(module, "full_precision", on_cuda)
    before, front = read_precision(), build(name)
    front(noise())
    assert read_precision() == before
    global_tf32()
    assert torch.backends.cuda.matmul.fp32_precision == torch.backends.mkldnn.matmul.fp32_precision == "tf32"
    front(noise())  # also where the older interface refuses to answer


@pytest.mark.gpu
@EVERY
def test_the_gpu_agrees_with_the_cpu(name):
    front = build(name)
    x = noise()
    with torch.no_grad():
        here = front(x)
        there = front.cuda()(x.cuda()).cpu()
    torch.testing.assert_close(there, here, atol=1e-2, rtol=0)
