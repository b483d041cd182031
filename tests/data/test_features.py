"""The feature store gives what the front end gives, once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from bench.clips import TaskInfo
from bench.data.batches import to_tensor
from bench.data.features import keep_rows, open_features
from bench.data.waveforms import Waveforms
from bench.errors import DataError
from bench.frontends.torchaudio import build


class LogMel(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mel = build(TaskInfo(num_classes=2, sample_rate=16_000, clip_samples=3_200), n_mels=40)
        self.calls = 0

    def forward(self, audio):
        self.calls += 1
        assert not self.training
        return self.mel(audio)


@pytest.fixture
def waveforms() -> Waveforms:
    samples = np.random.default_rng(0).integers(-9000, 9000, (7, 3200)).astype(np.int16)
    return Waveforms(samples=samples, lengths=np.full(7, 3200), sample_rate=16_000, report={}, fingerprint="w")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 1e-2)])
def test_same_as_on_the_fly(waveforms, tmp_path, dtype, tolerance):
    frontend = LogMel().train()
    stored = open_features(waveforms, frontend, key="mel", dtype=dtype, cache=tmp_path, batch=3)
    assert frontend.training
    assert stored.values.shape == (7, 40, 21)
    assert stored.values.dtype == dtype
    assert stored.bytes_per_clip == 40 * 21 * np.dtype(dtype).itemsize
    assert stored.seconds > 0
    expected = frontend.eval()(to_tensor(waveforms.samples)).numpy()
    np.testing.assert_allclose(stored.values, expected, atol=tolerance)


def test_written_once_per_key(waveforms, tmp_path):
    frontend = LogMel()
    first = open_features(waveforms, frontend, key="a", cache=tmp_path)
    again = open_features(waveforms, frontend, key="a", cache=tmp_path)
    assert frontend.calls == 1
    assert (again.seconds, again.fingerprint) == (first.seconds, first.fingerprint)
    open_features(waveforms, frontend, key="b", cache=tmp_path)
    assert frontend.calls == 2


def test_side_by_side_it_is_made_once(tmp_path):
    calls, began, beside = [], threading.Event(), threading.Event()

    def write(put):
        calls.append(1)
        began.set()
        beside.wait(5)
        put(np.ones((2, 3), dtype=np.float32))
        return {}

    def ask():
        return keep_rows("things", "f" * 64, write, np.dtype(np.float32), cache=tmp_path)[0]

    def second():
        began.wait(5)
        beside.set()
        return ask()

    with ThreadPoolExecutor(2) as pool:
        found = [one.result() for one in (pool.submit(ask), pool.submit(second))]
    assert len(calls) == 1
    assert all(rows.shape == (2, 3) for rows in found)


def test_power_overflows_float16(waveforms, tmp_path):
    class Power(torch.nn.Module):
        def forward(self, audio):
            return audio[:, None, :] * 1e9

    with pytest.raises(DataError, match="not finite as float16"), np.errstate(over="ignore"):
        open_features(waveforms, Power(), key="p", dtype="float16", cache=tmp_path)
    assert list((tmp_path / "features").iterdir()) == []


def test_wrong_shape_and_dtype(waveforms, tmp_path):
    with pytest.raises(DataError, match="batch, freq, time"):
        open_features(waveforms, torch.nn.Identity(), key="i", cache=tmp_path)
    with pytest.raises(DataError, match="'float64'"):
        open_features(waveforms, torch.nn.Identity(), key="i", dtype="float64", cache=tmp_path)
