"""Board rows for those who collect results: ``.eval_results`` of Hugging Face, and logs of Every Eval Ever."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

from bench import __version__, escaping
from bench.analysis.model import Board, Row, Section
from bench.reports import formatting
from bench.reports.formats import DIGITS
from bench.results.records import Score
from bench.results.writing import plain

EEE_SCHEMA = "0.3.0"
"""Version of Every Eval Ever's ``eval.schema.json`` that the logs follow."""


def _scored(board: Board) -> Iterator[tuple[Section, Row]]:
    return ((section, row) for section in board.sections for row in section.rows if row.value is not None)


def _setup(section: Section, row: Row) -> dict[str, str]:
    """What a number means: how the clips were divided, on which copy, and all that qualifies it."""
    told = {
        "model": formatting.label(row.key), "protocol": section.protocol.words, "data": section.dataset.title,
        "folds": ", ".join(map(str, row.folds_used)), "seeds": ", ".join(map(str, row.seeds_used)),
        "remarks": "; ".join(formatting.remarks(row)), "command": row.command,
    }  # fmt: skip
    return {name: escaping.line(text) for name, text in told.items() if text}


def eval_results(board: Board) -> str:
    """A list of entries as ``.eval_results/*.yaml`` of a model's repository holds them, each named in its notes.

    ``dataset.id`` is the data set's name here; whoever publishes an entry writes the benchmark's own in its place.
    """
    lines = ["# An entry for each row: keep those of one model, and give dataset.id as its benchmark does."]
    for section, row in _scored(board):
        told = _setup(section, row)
        if row.interval is not None:
            ends = (f"{end:.4f}" for end in (row.interval.low, row.interval.high))
            told = {"interval": f"95 % of {row.primary.name} from {' to '.join(ends)}", **told}
        notes = "; ".join(f"{name}: {text}" for name, text in told.items() if name != "command")
        lines += [
            "- dataset:",
            f"    id: {escaping.toml(section.dataset.name)}",
            f"    task_id: {escaping.toml(f'{section.protocol.name}/{row.primary.name}')}",
            f"  value: {plain(row.value, DIGITS)}",
            f"  notes: {escaping.toml(notes)}",
        ]
    return "\n".join(lines if len(lines) > 1 else [*lines, "[]"]) + "\n"


def every_eval_ever(board: Board) -> str:
    """A JSON object for each row on a line of its own, each after Every Eval Ever's schema.

    It says when it was made: now, or ``SOURCE_DATE_EPOCH``.
    """
    made = os.environ.get("SOURCE_DATE_EPOCH") or str(int(time.time()))
    logs = (_log(section, row, made) for section, row in _scored(board))
    lines = (json.dumps(log, ensure_ascii=False, allow_nan=False) for log in logs)
    return "".join(f"{escaping.terminal(line)}\n" for line in lines)


def _log(section: Section, row: Row, made: str) -> dict[str, Any]:
    told = _setup(section, row)
    model = row.key.model
    facts = {"parameters": row.model.parameters, "license": row.model.license, "source": row.model.source,
             "trained_on": ", ".join(row.model.trained_on), "plugin": row.model.plugin}  # fmt: skip
    return {
        "schema_version": EEE_SCHEMA,
        "evaluation_id": f"{section.dataset.name}/{told['model']}/{made}",
        "retrieved_timestamp": made,
        "source_metadata": {
            "source_name": "bench", "source_type": "evaluation_run", "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "bench", "version": __version__},
        "model_info": {
            "name": told["model"], "id": model,
            "additional_details": {
                "deployment_type": "self_deployed", "model_availability": "unknown",
                **{name: str(value) for name, value in facts.items() if value},
            },
        },
        "evaluation_results": [
            _result(section, row, score, told) for score in (row.primary, *row.scores) if score.value is not None
        ],
    }  # fmt: skip


def _result(section: Section, row: Row, score: Score, told: dict[str, str]) -> dict[str, Any]:
    details: dict[str, Any] = {"score": plain(score.value, DIGITS), "details": told}
    if score.name == row.primary.name and row.interval is not None:
        told_of = {"lower": "low", "upper": "high", "confidence_level": "level", "method": "method"}
        between = {name: getattr(row.interval, ours) for name, ours in told_of.items()}
        details["uncertainty"] = {"confidence_interval": plain(between, DIGITS)}
        if section.dataset.test_clips:
            details["uncertainty"]["num_samples"] = section.dataset.test_clips
    low, high = (0, 1) if score.unit == "fraction" else ("-Infinity", "Infinity")
    return {
        "evaluation_name": f"{section.dataset.name} {section.protocol.name} {score.name}",
        "source_data": {"dataset_name": section.dataset.name, "source_type": "other"},
        "metric_config": {
            "metric_id": score.name, "metric_unit": "proportion" if score.unit == "fraction" else score.unit or "none",
            "lower_is_better": not score.higher_is_better,
            "score_type": "continuous", "min_score": low, "max_score": high,
        },
        "score_details": details,
    }  # fmt: skip
