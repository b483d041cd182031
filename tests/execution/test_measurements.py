"""What a plugin measures is stored with its unit and direction, and shown where the plugin is not installed."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

import bench
from bench import builtin
from bench.analysis.board import build_board
from bench.execution.profile_parts import added_measurements
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.reports import formats, html
from bench.results.store import Store
from bench.testing.fakes import fake_plugin

pytestmark = pytest.mark.usefixtures("warm_workers")

METRICS = catalog(load_modules(builtin).registry)


CARBON = bench.MeasurementSpec(
    name="carbon_g", measure=":carbon", unit="g", title="gCO2/clip", description="grams of carbon dioxide"
)
PLUGIN = """
from bench import MeasurementSpec, hookimpl

@hookimpl
def bench_add_measurements():
    return [MeasurementSpec(name="carbon_g", measure=":carbon", unit="g", title="gCO2/clip")]

def carbon(call, clips):
    return 0.25 / clips * call(0)
"""


@pytest.fixture
def measured(monkeypatch):
    """What measurements of these names give in a plugin in memory."""

    def measure(**functions):
        others = [name for name in functions if name != "carbon"]
        specs = [CARBON, *(bench.MeasurementSpec(name=name, measure=f":{name}") for name in others)]
        plugin = fake_plugin("bench_test_measures", specs, **functions)
        monkeypatch.setitem(sys.modules, plugin.__name__, plugin)
        return added_measurements(load_modules(plugin).registry, lambda _: 8, 8)

    return measure


def test_value_unit_and_direction_are_stored(measured) -> None:
    entry = measured(carbon=lambda call, clips: 2.0 * call(3) / clips)["carbon_g"]
    assert entry == {"value": 2.0, "unit": "g", "higher_is_better": False, "title": "gCO2/clip"}


def test_a_measurement_that_fails_gives_its_reason_and_leaves_the_others(measured) -> None:
    def broken(_call, _clips):
        raise OSError("no meter")

    found = measured(carbon=lambda *_: 1, broken=broken, absent=lambda *_: None, odd=lambda *_: float("nan"))
    reasons = {name: entry.get("reasons", {}).get("value", "") for name, entry in found.items()}
    assert found["carbon_g"]["value"] == 1
    assert "bench_test_measures" in reasons["broken"]
    assert "raised OSError: no meter" in reasons["broken"]
    assert reasons["absent"] == "it cannot be measured here"
    assert reasons["odd"] == "nan is no finite number"


def test_boards_show_it_from_the_record_alone(samples, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for model, value in (("a", 0.5), ("b", None), ("c", 0)):
        samples.evaluated(store, samples.cell(model), 0.8)
        entry = {"value": value, "unit": "g", "higher_is_better": False, "title": "gCO2/clip"}
        entry |= {"reasons": {"value": "no meter"}} if value is None else {}
        measurements = {"measurements": {"carbon_g": entry}} if model != "c" else {}
        samples.profiled(store, samples.cell(model, kind="profile", fold=0), 40.0, **measurements)
    board = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions)
    lines = formats.markdown(board).splitlines()
    header = next(line for line in lines if "model" in line and "|" in line)
    column = [title.strip() for title in header.split("|")].index("gCO2/clip")
    shown = {cells[3].strip(): cells[column].strip() for line in lines if len(cells := line.split("|")) > column}
    assert (shown["a"], shown["b"], shown["c"]) == ("0.500", "-", "-")
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(formats.csv(board)))}
    assert (rows["a"]["carbon_g"], rows["b"]["carbon_g"], rows["c"]["carbon_g"]) == ("0.5", "", "")
    (section,) = json.loads(formats.json_(board))["sections"]
    speed = next(row for row in section["rows"] if row["key"]["model"] == "a")["speeds"][0]
    assert speed["carbon_g"] == 0.5
    assert speed["added"] == [{"name": "carbon_g", "title": "gCO2/clip", "unit": "g", "higher_is_better": False}]
    page = html.render(board)
    assert "gCO2/clip 0.500" in page
    assert "gCO2/clip unknown: no meter" in page


@pytest.mark.slow
def test_a_profile_cell_measures_it_and_is_measured_again_when_it_is_new(tmp_path: Path) -> None:
    plugin = tmp_path / "carbon.py"
    plugin.write_text(PLUGIN)
    options = {"out": tmp_path / "run", "evaluate": False, "recipe": "smoke"}
    (before,) = bench.run("classical.knn", "demo", **options)
    assert "carbon_g" not in before.timing.get("measurements", {})
    (after,) = bench.run("classical.knn", "demo", plugins=(plugin,), **options)
    assert after.timing["measurements"]["carbon_g"]["value"] == 0.25


def test_what_torch_does_not_see_of_a_model_is_unknown_and_not_the_rest_of_it(make_runner):
    evaluate, profile = sorted(
        make_runner("tones.opaque", profile=True, folds=(1,)).run().records, key=lambda record: record.cell.kind
    )
    for record in (evaluate, profile):
        assert record.status == "ok", record.error
        assert record.provenance["model"]["parameters"] is None
    assert profile.timing["flops"] is None
    assert "another runtime" in profile.timing["reasons"]["flops"]
