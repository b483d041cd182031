"""What a plan asks of a model reads the list of the clips, and not one recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cell import Cell
from bench.config.recipes import resolve
from bench.errors import PluginError
from bench.execution.counting import Known, count_work
from bench.execution.results import Progress
from bench.job import Job
from bench.measurement.pace import Work
from bench.plugins.discovery import load

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def registry():
    return load((HERE / "frontend_plugin.py", HERE / "inputs_plugin.py")).registry


@pytest.fixture
def estimated(registry, monkeypatch, tmp_path: Path):
    """``estimated(model, dataset, clip_samples, **axes)``: its work and what stands in the cache afterwards."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    known = Known()

    def one(model: str, dataset: str, clip_samples: int, **axes):
        cell = Cell(
            kind="evaluate", dataset=dataset, protocol="official@1", fold=0, model=model, recipe="smoke", batch=4,
            clip_samples=clip_samples, **axes,
        )  # fmt: skip
        job = Job(cell=cell, recipe=resolve("smoke", None, {"fill": "zeros"}), fingerprint="0")
        return count_work(registry, job, Progress(), known), {path.name for path in tmp_path.iterdir()}

    return one


def test_an_estimate_reads_no_recording(estimated) -> None:
    for feeding in ("fly", "precomputed"):
        work, made = estimated("net.drawn", "tones", 800, frontend="drawn", feeding=feeding)
        assert sum(flops for flops, _, _ in work.step) > sum(flops for flops, _, _ in work.forward) > 0
        assert bool(work.front) == (feeding == "fly")
        assert made <= {"contents.sqlite"}
    work, made = estimated("tell.view", "views", 32, inputs="audio+image.derived", frontend="waveform")
    assert work.step
    assert made <= {"contents.sqlite"}


def test_an_estimate_says_what_cannot_be_precomputed(estimated) -> None:
    with pytest.raises(PluginError, match="other features each time or in training"):
        estimated("net.dropping", "tones", 800, frontend="dropping", feeding="precomputed")


def test_an_estimator_is_not_built_to_be_priced(estimated, monkeypatch) -> None:
    monkeypatch.setattr("bench.execution.counting.build_model", None)
    work, made = estimated("classical.svm", "tones", 800)
    assert work == Work(fitted=True)
    assert not made
