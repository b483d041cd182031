"""Speed from several processes: medians, intervals from eight on, and a word about it."""

from __future__ import annotations

import json

import pytest

from bench import builtin
from bench.analysis.board import build_board
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.reports import formatting
from bench.statistics.timing import process_interval

METRICS = catalog(load_modules(builtin).registry)


RATES = [100.0, 102.0, 98.0, 55.0, 101.0, 99.0, 103.0, 97.0]
"""One process was held up."""


@pytest.fixture
def board_of_rates(samples, tmp_path):
    from bench.results.store import Store

    def board(rates):
        store = Store(tmp_path / str(len(rates)))
        samples.evaluated(store, samples.cell("a"), 0.9)
        for process, rate in enumerate(rates):
            samples.profiled(store, samples.cell("a", 0, process, kind="profile"), rate)
        return build_board(store.records()[0], metrics=METRICS, predictions=store.predictions)

    return board


def test_a_speed_is_the_median_of_its_processes_with_an_interval(board_of_rates):
    (section,) = board_of_rates(RATES).sections
    (speed,) = section.rows[0].speeds
    assert speed.processes == 8
    assert speed.values["infer_clips_per_s"] == 99.5
    assert speed.values["latency_s"] == pytest.approx((1 / 99 + 1 / 100) / 2)
    interval = process_interval(RATES)
    assert speed.intervals["infer_clips_per_s"] == (interval.low, interval.high)
    assert speed.reasons["device_peak_mib"] == "no CUDA device"
    assert "device_peak_mib" not in speed.intervals
    assert "Speed and memory: medians of 8 fresh processes, measured in turns." in formatting.section_notes(section)


def test_few_processes_have_a_median_and_no_interval(board_of_rates):
    (section,) = board_of_rates(RATES[:3]).sections
    (speed,) = section.rows[0].speeds
    assert (speed.processes, speed.values["infer_clips_per_s"], dict(speed.intervals)) == (3, 100.0, {})


def test_one_process_says_nothing_of_processes(board_of_rates):
    (section,) = board_of_rates(RATES[:1]).sections
    assert not any("processes" in note for note in formatting.section_notes(section))


def test_another_batch_is_another_measurement(samples, tmp_path):
    from bench.results.store import Store

    store = Store(tmp_path)
    samples.evaluated(store, samples.cell("a"), 0.9)
    samples.profiled(store, samples.cell("a", 0, 0, kind="profile"), 10.0)
    samples.profiled(store, samples.cell("a", 0, 1, kind="profile", batch=64), 90.0)
    (section,) = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections
    (speed,) = section.rows[0].speeds
    assert (speed.processes, speed.values["infer_clips_per_s"]) == (1, 10.0)


def test_the_interval_stands_in_the_json(board_of_rates):
    from bench.reports.formats import json_

    (row,) = json.loads(json_(board_of_rates(RATES)))["sections"][0]["rows"]
    low, high = row["speeds"][0]["intervals"]["latency_s"]
    assert low < row["speeds"][0]["latency_s"] < high
