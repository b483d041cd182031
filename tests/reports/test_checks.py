"""Published results and recomputed scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.analysis.predictions import verify
from bench.errors import DataError
from bench.reports.published import find_published, read_published
from bench.results.records import Score
from bench.results.store import Store

ROOT = Path(__file__).resolve().parents[2]


def test_project_file_of_published_results():
    entries = read_published(ROOT / "results" / "published.toml")
    by_system = {(entry.dataset, entry.system): entry for entry in entries}
    assert by_system["esc50", "AST-P"].value == pytest.approx(0.956)
    assert by_system["esc10", "random forest"].value == pytest.approx(0.727)
    assert all(entry.source and entry.protocol for entry in entries)


def test_all_faults_of_a_file_are_named_together(tmp_path):
    path = tmp_path / "published.toml"
    path.write_text(
        '[[result]]\ndataset = "x"\nsystem = 3\npercent = 120\nprotocol = "p"\nsource = "s"\nyear = 1\n'
        '[[result]]\ndataset = "x"\n'
    )
    with pytest.raises(DataError) as error:
        read_published(path)
    for words in ("result 1: system = 3", "percent = 120", "year is no key", "result 2: percent is missing"):
        assert words in str(error.value)


def test_not_toml_and_not_there(tmp_path):
    path = tmp_path / "published.toml"
    with pytest.raises(DataError, match="cannot read"):
        read_published(path)
    path.write_text("= 1")
    with pytest.raises(DataError, match="is not TOML"):
        read_published(path)


def test_the_nearest_file_is_found(tmp_path):
    run = tmp_path / "results" / "runs"
    run.mkdir(parents=True)
    assert find_published(run) is None
    (tmp_path / "results" / "published.toml").write_text("")
    assert find_published(run) == tmp_path.resolve() / "results" / "published.toml"


def test_verify_finds_an_edited_score(samples, tmp_path):
    store = Store(tmp_path)
    record = samples.evaluated(store, samples.cell("a"), 0.8)
    metrics = {"accuracy": samples.METRICS["accuracy"]}
    record = record.model_copy(update={"scores": record.scores[:1]})
    assert verify([record], store.predictions, metrics) == (1, [])
    edited = record.model_copy(update={"scores": (Score(name="accuracy", value=0.999), Score(name="odd", value=1.0))})
    checked, problems = verify([edited], store.predictions, metrics)
    assert checked == 1, "a score that nobody can compute is not counted as recomputed"
    assert "accuracy is stored as 0.999" in problems[0]
    assert "odd cannot be recomputed" in problems[1]
