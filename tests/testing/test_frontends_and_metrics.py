"""The conformance checks of front ends and metrics: each finds the fault it is for."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

import bench.builtin
from bench import FrontendSpec, MetricSpec
from bench.metrics.scores import mean_average_precision
from bench.plugins.discovery import load_modules
from bench.testing import check_frontend, check_metric
from bench.testing.fakes import fake_plugin
from bench.testing.inputs import hard_clips

HOST = load_modules(bench.builtin).registry


class Bands(nn.Module):
    """Log power of forty stretches of eight samples in turn; ``fault`` breaks one promise."""

    fault = ""

    def __init__(self) -> None:
        super().__init__()
        if self.fault in ("trainable", "fine_trainable"):
            self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("mix", torch.eye(40))

    def forward(self, waveform):
        frames = waveform.unflatten(1, (40, -1))
        power = self.mix @ frames.square() if self.fault == "autocast" else frames.square()
        x = power.log() if self.fault == "silence" else (power + 1e-6).log()
        if self.fault == "batch_mates":
            x = x - x.amax()
        if self.fault == "deterministic":
            x = x + torch.randn(())
        if self.fault in ("trainable", "fine_trainable"):
            x = x * self.scale
        return x[:, None] if self.fault == "shape" else x


def _variant(name: str):
    return type(name, (Bands,), {"fault": name})


FAULTS = ("shape", "silence", "batch_mates", "deterministic", "autocast", "trainable")


def build_sound(task):
    return Bands()


def build_shape(task):
    return _variant("shape")()


def build_silence(task):
    return _variant("silence")()


def build_batch_mates(task):
    return _variant("batch_mates")()


def build_deterministic(task):
    return _variant("deterministic")()


def build_autocast(task):
    return _variant("autocast")()


def build_trainable(task):
    return _variant("trainable")()


class Decibels(nn.Module):
    """The log-mel that tutorials show: its floor lies 80 dB below the loudest frame of the whole batch."""

    def __init__(self) -> None:
        from torchaudio import transforms

        super().__init__()
        self.mel = transforms.MelSpectrogram(16_000, n_fft=400, hop_length=160, n_mels=40)
        self.decibels = transforms.AmplitudeToDB(top_db=80)

    def forward(self, waveform):
        return self.decibels(self.mel(waveform))


def build_decibels(task):
    return Decibels()


def build_mfcc(task):
    from torchaudio.transforms import MFCC

    return MFCC(16_000, melkwargs={"n_fft": 400, "hop_length": 160, "n_mels": 40})


def build_nothing(task):
    return 3


def frontend(build: str, **fields: object):
    spec = FrontendSpec(name="fake", factory=f"{__name__}:{build}", **fields)
    registry = load_modules(fake_plugin("fakes", [spec])).registry
    return {result.name: result for result in check_frontend("fake", registry)}


def test_a_sound_front_end_passes_everything():
    results = frontend("build_sound")
    cuda = results.pop("cuda")
    assert cuda.status == ("passed" if torch.cuda.is_available() else "skipped")
    assert {result.status for result in results.values()} == {"passed"}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_front_end_is_found_by_its_check(fault):
    results = frontend(f"build_{fault}")
    found = {name for name, result in results.items() if result.status == "failed"}
    assert fault in found
    assert found == {fault} or (fault == "deterministic" and found == {fault, "batch_mates", "autocast"})


@pytest.mark.parametrize("build", ["build_decibels", "build_mfcc"])
def test_a_floor_over_the_whole_batch_is_found_without_any_data(torchaudio, build, monkeypatch):
    monkeypatch.delenv("BENCH_DATA", raising=False)
    result = frontend(build)["batch_mates"]
    assert result.status == "failed"
    assert "per clip" in result.message


def test_real_sounds_join_where_there_are_some(tmp_path, monkeypatch):
    sine = np.sin(np.arange(8000, dtype=np.float32))
    soundfile.write(tmp_path / "b.wav", sine, 16_000)
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    tones = np.ones((3, 16_000), dtype=np.float32)
    monkeypatch.delenv("BENCH_DATA", raising=False)
    alone = hard_clips(tones)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    more = hard_clips(tones)
    assert len(more) == len(alone) + 1
    assert np.abs(more[-1, :8000] - sine).max() < 1e-4
    assert np.abs(more).max() <= 1


def test_a_declared_trainable_front_end_is_sound():
    assert frontend("build_trainable", trainable=True)["trainable"].status == "passed"
    assert frontend("build_sound", trainable=True)["trainable"].status == "failed"


def test_a_front_end_must_be_a_module():
    (result,) = frontend("build_nothing").values()
    assert (result.name, result.status) == ("build", "failed")
    assert "returned int" in result.message


@pytest.mark.parametrize("name", list(HOST.frontends))
def test_the_hosts_front_ends_keep_their_contract(name):
    assert [str(result) for result in check_frontend(name, HOST) if result.status == "failed"] == []


@pytest.mark.parametrize("name", list(HOST.metrics))
def test_the_hosts_metrics_keep_their_contract(name):
    results = check_metric(name, HOST)
    assert [str(result) for result in results if result.status == "failed"] == []
    assert len(results) == 5 * len(HOST.metrics[name].spec.task_types)


def error_rate(logits, targets):
    return float((logits.argmax(1) != targets).mean())


def percent(logits, targets):
    return 100 * float((logits.argmax(1) == targets).mean())


def nan(logits, targets):
    return float("nan")


def first(logits, targets):
    return float(1 / (1 + np.exp(-logits[0, 0])))


def undefined(logits, targets):
    return None


def sigmoids(logits, targets):
    """What packages do that take scores outside 0 to 1 for logits: above 17 all clips are equal."""
    chances = (1 / (1 + np.exp(-logits.astype(np.float32)))).astype(np.float32)
    return mean_average_precision(chances, targets)


@pytest.mark.parametrize(
    ("compute", "fields", "found"),
    [
        ("error_rate", {"higher_is_better": False}, set()),
        ("error_rate", {}, {"direction"}),
        ("percent", {}, {"value"}),
        ("percent", {"unit": "percent"}, set()),
        ("nan", {}, {"value", "direction", "order"}),
        ("first", {}, {"order"}),
        ("undefined", {}, {"value", "direction", "order"}),
        ("sigmoids", {"task_types": ("multi_label",)}, {"large"}),
    ],
)
def test_faults_of_metrics_are_found(compute, fields, found):
    spec = MetricSpec(name="fake", compute=f"{__name__}:{compute}", **fields)
    results = check_metric("fake", load_modules(fake_plugin("fakes", [spec])).registry)
    assert {r.name.partition("[")[0] for r in results if r.status == "failed"} == found
