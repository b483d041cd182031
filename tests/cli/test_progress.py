"""What is shown of something countable while it goes on."""

from __future__ import annotations

import pytest

from bench.cell import Cell
from bench.cli import progress
from bench.planning.plan import Plan, PlannedCell
from bench.recipe import Recipe
from bench.results.records import Record


def test_a_line_tells_the_time_left_at_the_pace_since_it_was_first_mentioned(monkeypatch, capsys) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    lines = progress.LineProgress()
    for seconds, done in ((100.0, 10), (101.0, 11), (110.0, 20), (111.0, 21), (190.0, 100)):
        now[0] = seconds
        lines.count("clips", done, 100)
    said = capsys.readouterr().err.splitlines()
    assert said == ["clips: 20 of 100, 1m 20s left", "clips: 100 of 100"]


def test_nothing_is_said_of_the_time_left_while_nothing_is_done(monkeypatch, capsys) -> None:
    now = iter([0.0, 0.0, 0.0, 9.0, 9.0, 9.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    lines = progress.LineProgress()
    lines.count("clips", 0, 5)
    lines.count("clips", 0, 5)
    assert capsys.readouterr().err == "clips: 0 of 5\n"


def test_cells_of_a_model_that_was_seen_go_by_its_own_pace_others_by_all_within_bounds(capsys) -> None:
    settings = {"protocol": "4+1@1", "recipe": "quick", "batch": 16, "clip_samples": 80000}
    cells = {
        model: [Cell(kind="evaluate", dataset="esc10", fold=fold, model=model, **settings) for fold in (1, 2, 3)]
        for model in ("dear", "cheap")
    }
    costs = {"dear": 48_000.0, "cheap": 100.0}
    planned = [
        PlannedCell(cell=cell, recipe=Recipe(name="quick"), fingerprint="f", train_clips=9, test_clips=9,
                    cost_s=costs[model]) for model, own in cells.items() for cell in own
    ]  # fmt: skip
    lines = progress.LineProgress()
    lines.planned(Plan(cells=tuple(planned)), 1)
    scale = Plan(cells=tuple(planned)).eta_s(1) / sum(costs[model] * 3 for model in costs)
    for left in (scale * (2 * 1200 + 3 * 25), scale * (1200 + 3 * 25)):
        lines.finished(
            Record(cell=cells["dear"].pop(), status="ok", started_at="2026-01-01", timing={"wall_s": 1200.0})
        )
        assert lines._remaining() == pytest.approx(left)
    assert "[1/6, 41m" in capsys.readouterr().err
