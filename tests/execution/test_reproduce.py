"""A stored number comes out again, bit by bit, and is compared with its interval."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.cell import Cell
from bench.config.recipes import parse_overrides, resolve
from bench.config.settings import Settings
from bench.data.contents import content_digest
from bench.data.locate import open_clips
from bench.errors import SelectionError
from bench.results.provenance import weights_label, weights_sha256
from bench.results.records import Record, Score, parse_record
from bench.running.runner import Runner
from bench.statistics.results import Interval, Refusal
from bench.studies.common import find_record
from bench.studies.reproduce.run import Reproduction, base_recipe, check_data, reproduce, selection_of

pytestmark = pytest.mark.usefixtures("warm_workers")

PLUGIN = Path(__file__).with_name("faulty_plugin.py")
LOSS = Score(name="log_loss", value=None, unit="nats", higher_is_better=False)
JUDGED = [("tags", "map", "fraction"), ("tags_by_loss", "log_loss", "nats")]


@pytest.mark.slow
def test_a_record_is_reproduced_exactly(make_runner, tmp_path: Path) -> None:
    runner = make_runner("tones.good", folds=(1, 2), overrides=("recipe.epochs=2", "recipe.lr=0.003"))
    runner.run()
    record = find_record(runner.store, "fold2")
    settings = Settings(out=tmp_path / "again", plugins=(PLUGIN,), jobs=1)
    found = reproduce(runner.store, record, settings, None, None)
    assert found.same_predictions
    assert found.within
    assert found.changed == ()
    assert found.after.recipe["lr"] == 0.003
    with pytest.raises(SelectionError, match="matches 2 records"):
        find_record(runner.store, "tones.good")
    with pytest.raises(SelectionError, match="no record"):
        find_record(runner.store, "tones.bad")


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "metric", "unit"), JUDGED)
def test_a_record_is_judged_by_the_metric_of_its_data(make_runner, tmp_path: Path, dataset, metric, unit) -> None:
    plugins = (PLUGIN.with_name("multilabel_plugin.py"),)
    runner = make_runner("several.net", datasets=(dataset,), folds=(1,), settings={"jobs": 1, "plugins": plugins})
    (record,) = runner.run().records
    settings = Settings(out=tmp_path / "again", plugins=plugins, jobs=1)
    values = reproduce(runner.store, record, settings, None, None).to_json()
    assert (values["metric"], values["unit"], values["within"]) == (metric, unit, True)
    assert values["before"] == values["after"] == record.score(metric)


def test_every_setting_of_a_stored_recipe_is_given_as_it_was() -> None:
    published = Path(__file__).parents[2] / "results" / "published"
    for path in sorted((published / "esc10-full" / "records").rglob("evaluate-fold1-*.json")):
        record = parse_record(path.read_bytes(), path.name)
        asked = selection_of(record, None)
        again = resolve(asked.recipe, overrides=parse_overrides(asked.overrides)).model_dump(mode="json")
        assert {**again, "name": ""} == {**again, **record.recipe, "name": ""}


def test_other_data_are_refused_before_anything_runs(make_runner, tmp_path: Path, monkeypatch) -> None:
    runner = make_runner("tones.good", folds=(1,))
    entry = runner.host.registry.datasets["tones"]
    clips = open_clips(entry.spec, None, load=entry.factory)
    cell = Cell(kind="evaluate", dataset="tones", protocol="4+1@1", fold=1, model="tones.good", mode="scratch")
    own = {"manifest_sha256": clips.manifest_sha256, "contents_sha256": content_digest(clips)}
    record = Record(cell=cell, status="ok", started_at="2026-01-01", provenance={"dataset": own})
    check_data(record, entry, None)
    check_data(record.model_copy(update={"provenance": {}}), entry, None)  # an old record names neither
    monkeypatch.setattr(Runner, "run", lambda _: pytest.fail("it ran"))
    for name, words in (("manifest_sha256", "other clips"), ("contents_sha256", "other recordings")):
        foreign = record.model_copy(update={"provenance": {"dataset": {**own, name: "0" * 64}}})
        with pytest.raises(SelectionError, match=f"{words}.*000000000000.*--data"):
            reproduce(runner.store, foreign, Settings(out=tmp_path / "again", plugins=(PLUGIN,)), None, None)


def test_a_score_is_compared_with_its_own_interval(make_repetition) -> None:
    found = make_repetition(Interval(estimate=0.7, low=0.6, high=0.8, level=0.95, method="bootstrap"), 0.75)
    assert found.within
    said = "log_loss 0.750 nats against 0.700 nats [0.600, 0.800]; changed since: data"
    assert found.sentence() == f"reproduced: {found.before.cell.id}: {said}"
    assert found.to_json()["interval"] == [0.6, 0.8]
    assert not make_repetition(found.interval, 0.9).within


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(low=st.floats(0, 0.7), high=st.floats(0.7, 2), value=st.floats(0, 2))
def test_the_verdict_never_contradicts_the_interval_in_its_sentence(make_repetition, low, high, value) -> None:
    found = make_repetition(Interval(estimate=0.7, low=low, high=high, level=0.95, method="bootstrap"), value)
    said = found.sentence().partition(":")[0]
    assert said == ("reproduced" if low <= value <= high else "NOT reproduced")
    assert found.to_json()["within"] == (said == "reproduced")


def test_without_an_interval_only_the_same_score_is_reproduced(make_repetition) -> None:
    refusal = Refusal(reason="3 groups")
    assert make_repetition(refusal, 0.7).within
    found = make_repetition(refusal, 0.71)
    assert not found.within
    assert "NOT reproduced" in found.sentence()
    assert "[no interval: 3 groups]" in found.sentence()
    assert (found.to_json()["interval"], found.to_json()["reason"]) == (None, "3 groups")


@pytest.fixture
def make_repetition():
    """``make_repetition(interval, after)``: a log loss of 0.7 that came out as ``after``."""
    cell = Cell(kind="evaluate", dataset="tones", protocol="4+1@1", fold=1, model="tones.good", mode="scratch")
    before, after = (
        Record(cell=cell, status="ok", started_at="2026-01-01", scores=(LOSS.of(value),)) for value in (0.7, 0.0)
    )

    def make(interval: Interval | Refusal, value: float) -> Reproduction:
        new = after.model_copy(update={"scores": (LOSS.of(value),)})
        return Reproduction(
            before=before, after=new, score=LOSS.of(0.7), interval=interval, same_predictions=False, changed=("data",)
        )

    return make


@pytest.mark.slow
def test_every_setting_of_the_recipe_is_given(make_runner) -> None:
    runner = make_runner("tones.good", folds=(1,), seeds=(3,), limit=6)
    record = runner.run().records[0]
    selection = selection_of(record, None)
    assert (selection.folds, selection.seeds, selection.limit) == ((1,), (3,), 6)
    assert len(selection.overrides) == len(record.recipe) - 1


def test_base_of_a_label() -> None:
    labels = {"quick": "quick", "full~ab12cd": "full", "smoke@limit5": "smoke", "mine~00ff00": "quick"}
    assert {label: base_recipe(label) for label in labels} == labels


def test_a_cell_from_a_file_needs_that_file(tmp_path: Path) -> None:
    weights, other = tmp_path / "ssl.safetensors", tmp_path / "other.safetensors"
    weights.write_bytes(b"weights")
    other.write_bytes(b"others")
    sha256 = weights_sha256(weights)
    cell = Cell(
        kind="evaluate", dataset="tones", protocol="4+1@1", fold=1, model="tones.good", mode="finetune",
        weights=weights_label(weights), inputs="audio.shuffled",
    )  # fmt: skip
    record = Record(cell=cell, status="ok", started_at="2026-01-01", provenance={"weights": {"sha256": sha256}})
    with pytest.raises(SelectionError, match=f"sha256 {sha256}.* --weights FILE"):
        selection_of(record, None)
    with pytest.raises(SelectionError, match=f"other.* has sha256 .*{sha256}"):
        selection_of(record, None, other)
    selection = selection_of(record, None, weights)
    assert (selection.mode, selection.weights, selection.inputs) == ("finetune", weights, "audio.shuffled")
    untold = record.model_copy(update={"provenance": {}})
    assert selection_of(untold, None, weights).weights == weights
    with pytest.raises(SelectionError, match=f"sha256 {sha256[:6]}"):
        selection_of(untold, None, other)
    masked = record.model_copy(update={"cell": replace(cell, weights="masked")})
    assert selection_of(masked, None).weights == "masked"
    with pytest.raises(SelectionError, match="leave out --weights"):
        selection_of(masked, None, weights)
