"""Work, energy, real-time factor and stored weights: shown where known, with the reason where not."""

from __future__ import annotations

import csv
import io

import pytest

from bench import builtin
from bench.analysis.board import build_board
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.reports import formats
from bench.reports.columns import columns, page_columns
from bench.reports.html import facts, speed_words
from bench.results.store import Store

METRICS = catalog(load_modules(builtin).registry)


PROFILE = {"kind": "profile", "fold": 0}
TITLES = {"real-time factor", "FLOPs/clip", "J/clip"}


def section_of(store):
    (section,) = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections
    return section


@pytest.fixture
def store(samples, tmp_path):
    store = Store(tmp_path)
    for model in ("known", "silent"):
        samples.evaluated(store, samples.cell(model), 0.8)
    samples.profiled(store, samples.cell("silent", **PROFILE), 40.0)
    return store


def texts(section, model):
    row = next(row for row in section.rows if row.key.model == model)
    return {column.title: column.text(row) for column in columns(section)}


def test_no_column_without_a_value(store):
    section = section_of(store)
    assert not TITLES & {column.title for column in columns(section)}
    assert not TITLES & {field.title for field in page_columns(section)}


def test_columns_hold_what_the_record_counted(samples, store):
    samples.profiled(store, samples.cell("known", **PROFILE), 50.0, flops=samples.FLOPS, energy=samples.COUNTED)
    section = section_of(store)
    known, silent = texts(section, "known"), texts(section, "silent")
    assert (known["FLOPs/clip"], known["J/clip"], known["real-time factor"]) == ("42.0 M", "0.250", "0.00400")
    assert {silent[title] for title in TITLES} == {"-"}
    page = {field.title: [field.text(row) for row in section.rows] for field in page_columns(section)}
    assert "42.0 M" in page["FLOPs/clip"]


def test_details_name_what_is_not_counted_and_what_is_not_known(samples, store):
    samples.profiled(store, samples.cell("known", **PROFILE), 50.0, flops=samples.FLOPS, energy=samples.NO_COUNTER)
    section = section_of(store)
    row = next(row for row in section.rows if row.key.model == "known")
    told = speed_words(section, row.speeds[0])
    assert "FLOPs/clip 42.0 M (not counted: fft_r2c x1, mean x2)" in told
    assert "J/clip unknown: no RAPL on this machine" in told
    assert "J/clip" not in texts(section, "known")
    samples.profiled(
        store,
        samples.cell("known", **PROFILE),
        50.0,
        flops=None,
        energy=samples.COUNTED,
        reasons={"flops": "no network"},
    )
    section = section_of(store)
    row = next(row for row in section.rows if row.key.model == "known")
    told = speed_words(section, row.speeds[0])
    assert "FLOPs/clip unknown: no network" in told
    assert "J/clip 0.250, 0.125 above idle (RAPL)" in told


def test_stored_weights_are_those_of_the_record(samples, store):
    record = samples.evaluated(store, samples.cell("heavy"), 0.8)
    store.write(record, files={"checkpoint.safetensors": b"x" * 3_000_000})
    section = section_of(store)
    row = next(row for row in section.rows if row.key.model == "heavy")
    assert row.model.checkpoint_bytes == 3_000_000
    assert texts(section, "heavy")["stored"] == "2.86 MiB"
    assert texts(section, "known")["stored"] == "-"
    assert ("stored weights", "2.86 MiB") in facts(row)


def test_programs_get_plain_numbers(samples, store):
    samples.profiled(store, samples.cell("known", **PROFILE), 50.0, flops=samples.FLOPS, energy=samples.COUNTED)
    board = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions)
    rows = {line["model"]: line for line in csv.DictReader(io.StringIO(formats.csv(board)))}
    assert float(rows["known"]["flops_per_clip"]) == 42e6
    assert float(rows["known"]["joules_per_clip"]) == 0.25
    assert rows["silent"]["flops_per_clip"] == rows["silent"]["checkpoint_bytes"] == ""
