"""Whatever a run holds: board, comparison and claim say the same of every pair, and no more than its results carry."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.analysis.board import build_board
from bench.analysis.comparison import Source, compare, parse_choice
from bench.analysis.ranking_claim import judge_claim, parse_claim
from bench.cli.compare import sentence
from bench.reports import formats, formatting
from bench.reports.headline import headline
from bench.results.records import Failure, Record, Score

FOLDS = (1, 2, 3)
MARKS = (
    "",
    "",
    "",
    "transductive",
    "control",
    "unpublishable",
    "tuned on 1",
    "tuned on all",
    "no predictions",
    "short",
)
LEAST_SEEDS = 3

models = st.fixed_dictionaries(
    {
        "accuracy": st.sampled_from((0.0, 0.5, 0.55, 0.8, 1.1)),
        "like": st.sampled_from(("own", "own", "twin")),
        "seeds": st.integers(1, 5),
        "lost": st.lists(st.tuples(st.sampled_from(FOLDS), st.integers(0, 4)), max_size=2),
        "status": st.sampled_from(("failed", "oom", "over_budget", "missing")),
        "mark": st.sampled_from(MARKS),
    }
)
boards = st.fixed_dictionaries(
    {
        "models": st.lists(models, min_size=1, max_size=5),
        "ranked": st.sampled_from((True, True, True, False)),
        "groups": st.sampled_from(("pairs", "none", "one", "some")),
        "metric": st.sampled_from(("accuracy", "accuracy", "log_loss", "map")),
    }
)


def made(samples, drawn):
    """The records of a run, their arrays, and its cells without a record."""
    records, stored, planned = [], {}, []
    for number, model in enumerate(drawn["models"]):
        mark = model["mark"]
        for fold, seed in itertools.product(FOLDS, range(model["seeds"])):
            axes = {"mode": "probe"} if mark == "control" else {}
            cell = samples.cell(f"m{number}", fold, seed, **axes)
            lost = (fold, seed) in model["lost"]
            if lost and model["status"] == "missing":
                planned.append(cell)
                continue
            plan = lost and model["status"] == "over_budget"
            record, arrays = result(samples, drawn, model, cell, number)
            if lost:
                error = Failure(reason="memory", stage="plan" if plan else "train", message="too much")
                changes = {"status": model["status"], "error": error, "scores": (), "artifacts": {}}
                known = {"schema_version": 1} if plan else record.provenance
                record = record.model_copy(update={**changes, "provenance": known})
            records.append(record)
            stored[cell] = arrays
    return records, stored, planned


def result(samples, drawn, model, cell, number):
    mark, like = model["mark"], 0 if model["like"] == "twin" else number
    rng = np.random.default_rng([like, cell.fold, cell.seed, round(100 * model["accuracy"])])
    arrays = samples.fold_arrays(cell.fold, model["accuracy"], rng)
    named = arrays["groups"]
    names = {"pairs": named, "none": "", "one": "r", "some": np.where(np.arange(samples.CLIPS) < 3, "", named)}
    arrays["groups"] = np.broadcast_to(names[drawn["groups"]], samples.CLIPS)
    if mark == "short":
        arrays = {name: values[:20] if len(values) == samples.CLIPS else values for name, values in arrays.items()}
    value = float((arrays["logits"].argmax(1) == arrays["targets"]).mean())
    changes = {
        "protocol__ranked": drawn["ranked"], "protocol__authors_parts": True,
        "model__inductive": mark != "transductive",
        "publishable": mark != "unpublishable", "not_publishable": ["a limit"] if mark == "unpublishable" else [],
        "dataset__test": len(arrays["ids"]),
    }  # fmt: skip
    tuned = {"tuned on 1": [1], "tuned on all": [*FOLDS]}.get(mark)
    record = Record(
        cell=cell, status="ok", scores=(Score(name="accuracy", value=value),), environment=samples.ENVIRONMENT,
        provenance=samples.provenance(cell.model, **changes), started_at="2026-01-01T00:00:00Z",
        recipe={"name": "quick", "tuned_on": [{"dataset": "toy", "folds": tuned}] if tuned else []},
        artifacts={} if mark == "no predictions" else {"predictions": {"file": "x", "sha256": "", "bytes": 1}},
    )  # fmt: skip
    return record, arrays


def check_rows(section, marks):
    for row in section.rows:
        mark, seeds = marks[row.key.model], len(row.seeds_used)
        assert (row.rank is None) == (row.value is None or bool(row.not_ranked))
        if row.rank is not None:
            assert seeds >= LEAST_SEEDS
            assert row.folds_used == section.common_folds
            assert row.rank.best <= row.rank.worst
            assert row.rank.tie
            assert mark not in ("transductive", "control", "no predictions")
            assert section.protocol.ranked
        if row.interval is not None:
            assert row.interval.low <= row.value + 1e-12
            assert row.interval.high >= row.value - 1e-12
            assert row.interval.method.endswith("over clips only") == (seeds < LEAST_SEEDS)
        if row.value is None:
            assert row.outcomes or row.not_ranked
        elif row.interval is None:
            assert any(note.startswith("no interval: ") for note in row.notes)


def check_headline(section):
    """It says of each ranked row what its letters say, and names each row of a result."""
    said = headline(section)
    ranked = [row for row in section.rows if row.rank]
    order = said.split(". ")[0]
    assert bool(said) == any(row.value is not None for row in section.rows)
    if len(ranked) < 2:
        assert " worse" not in said
        assert "cannot be told apart" not in said
        return
    first = ranked[0]
    tied, *worse = order.split("; ")
    alone = f"{first.key.model} is better than "
    assert tied.startswith(alone) != (" cannot be told apart by " in tied)
    for row in ranked[1:]:
        shares = bool(set(row.rank.tie) & set(first.rank.tie))
        assert (row.key.model in tied.removeprefix(alone).split(" cannot")[0]) == shares
        mine = [text for text in worse if text.startswith(f"{row.key.model} is ")]
        assert len(mine) == (not shares)
        for text in mine:
            low, high = (float(end) for end in text.split("[")[1].split("]")[0].split(", "))
            assert 0 <= low <= high
    for row in section.rows:
        assert row.value is None or row.key.model in said


def check_formats(board):
    texts = {"md": formats.markdown(board), "csv": formats.csv(board), "tex": formats.latex(board)}
    rows = [row for section in json.loads(formats.json_(board))["sections"] for row in section["rows"]]
    for row, plain in zip((row for section in board.sections for row in section.rows), rows, strict=True):
        assert plain["not_ranked"] == list(row.not_ranked)
        assert (plain["primary"] is None) == (row.value is None)
        for said in formatting.remarks(row):
            held = [text for name, text in texts.items() if name != "tex" or row.value is not None]
            assert all(said in text.replace(r"\_", "_").replace(r"\%", "%") for text in held), said


def check_pair(records, source, section, a, b):
    (verdict,), _ = compare(records, parse_choice(a.key.model), parse_choice(b.key.model), source)
    text = sentence(verdict)
    assert (" is better than " in text) == verdict.resolved
    both = a.rank is not None and b.rank is not None
    assert (verdict.p_adjusted is not None) == both
    if both:
        assert verdict.resolved != bool(set(a.rank.tie) & set(b.rank.tie))
        assert (verdict.value_a, verdict.value_b) == pytest.approx((a.value, b.value), abs=1e-12)
        assert verdict.p_adjusted >= verdict.paired.p_value - 1e-9
    if min(len(verdict.seeds_a), len(verdict.seeds_b)) < LEAST_SEEDS:
        assert not verdict.resolved
        assert "over clips only" in text or "cannot be compared" in text
    steps = {}
    for first, second in ((a, b), (b, a)):
        held, problems = judge_claim(records, parse_claim(f"{first.key.model} > {second.key.model}"), source)
        assert held or problems
        steps[first.key.model] = held[0].outcome if held else "unresolved"
    if verdict.resolved:
        better = a if verdict.lead > 0 else b
        assert not verdict.paired.interval.covers(0.0)
        assert text.startswith(f"{better.key.model} is better than ")
        assert steps[better.key.model] == "confirmed"
        assert sorted(steps.values()) == ["confirmed", "contradicted"]
        if both:
            other = b if better is a else a
            assert better.rank.best < other.rank.worst
            assert section.rows.index(better) < section.rows.index(other)
    else:
        assert set(steps.values()) == {"unresolved"}


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=boards)
def test_board_comparison_and_claim_agree(samples, drawn):
    records, stored, planned = made(samples, drawn)
    metrics, metric = samples.METRICS, drawn["metric"]

    def predictions(record):
        return stored[record.cell]

    board = build_board(records, metrics=metrics, metric=metric, planned=planned, predictions=predictions)
    marks = {f"m{number}": model["mark"] for number, model in enumerate(drawn["models"])}
    check_formats(board)
    source = Source(predictions=predictions, metrics=metrics, metric=metric, planned=planned)
    for section in board.sections:
        check_rows(section, marks)
        check_headline(section)
        held = [row for row in section.rows if row.value is not None and row.interval is not None]
        for a, b in itertools.combinations(held, 2):
            if set(a.folds_done) & set(b.folds_done):
                check_pair(records, source, section, a, b)
