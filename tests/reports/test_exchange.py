"""Rows for those who collect results: what their schemas ask for, read by what they read with."""

from __future__ import annotations

import dataclasses
import json

import pytest
import yaml

from bench.reports.exchange import EEE_SCHEMA, eval_results, every_eval_ever

REQUIRED = {"schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata", "model_info", "eval_library",
            "evaluation_results"}  # fmt: skip
"""Of a log; the schema allows nothing else that is written here."""


def scored(board):
    return [(section, row) for section in board.sections for row in section.rows if row.value is not None]


def test_entries_of_eval_results(golden_board) -> None:
    entries = yaml.safe_load(eval_results(golden_board))
    assert len(entries) == len(scored(golden_board))
    for entry, (section, row) in zip(entries, scored(golden_board), strict=True):
        assert entry["dataset"] == {
            "id": section.dataset.name, "task_id": f"{section.protocol.name}/{row.primary.name}"
        }  # fmt: skip
        assert entry["value"] == pytest.approx(row.value)
        assert row.key.model in entry["notes"]
    assert any("interval: 95 % of accuracy from 0." in entry["notes"] for entry in entries)
    empty = dataclasses.replace(golden_board, sections=())
    assert yaml.safe_load(eval_results(empty)) == []


def test_the_hub_reads_the_entries(golden_board) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    if not hasattr(hub, "parse_eval_result_entries"):
        pytest.skip("this huggingface_hub does not know .eval_results yet")
    data = yaml.safe_load(eval_results(golden_board))
    assert hub.eval_result_entries_to_yaml(hub.parse_eval_result_entries(data)) == data


def test_a_name_from_outside_stays_one_value(golden_board) -> None:
    section = golden_board.sections[0]
    odd = dataclasses.replace(section.dataset, name="a: [b]\n- c", title='"x" # y')
    board = dataclasses.replace(golden_board, sections=(dataclasses.replace(section, dataset=odd),))
    entry = yaml.safe_load(eval_results(board))[0]
    assert entry["dataset"]["id"].startswith("a: [b]")
    assert '"x" # y' in entry["notes"]
    log = json.loads(every_eval_ever(board).splitlines()[0])
    assert log["evaluation_results"][0]["source_data"]["dataset_name"].startswith("a: [b]")


def test_logs_of_every_eval_ever(golden_board, monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    text = every_eval_ever(golden_board)
    assert every_eval_ever(golden_board) == text
    logs = [json.loads(line) for line in text.splitlines()]
    for log, (_, row) in zip(logs, scored(golden_board), strict=True):
        assert set(log) == REQUIRED
        assert (log["schema_version"], log["retrieved_timestamp"]) == (EEE_SCHEMA, "1700000000")
        assert all(isinstance(value, str) for value in log["model_info"]["additional_details"].values())
        first, *others = log["evaluation_results"]
        assert first["score_details"]["score"] == pytest.approx(row.value)
        names = [score.name for score in row.scores if score.value is not None]
        assert [one["evaluation_name"].rpartition(" ")[2] for one in others] == names
        for one in (first, *others):
            assert all(isinstance(value, str) for value in one["score_details"]["details"].values())
            assert {"metric_id", "score_type", "min_score", "max_score"} <= set(one["metric_config"])
        if row.interval is not None:
            told = first["score_details"]["uncertainty"]["confidence_interval"]
            assert told["lower"] == pytest.approx(row.interval.low)
            assert told["confidence_level"] == 0.95
    loss = [one for log in logs for one in log["evaluation_results"] if one["metric_config"]["lower_is_better"]]
    assert all(one["metric_config"]["max_score"] == "Infinity" for one in loss)
    # A metric without a type would have to name its levels: the schema asks so of whatever is not continuous.
    assert {log["model_info"]["additional_details"]["deployment_type"] for log in logs} == {"self_deployed"}
