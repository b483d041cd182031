"""Formats: byte for byte against golden files, readable by the tools that will read them."""

from __future__ import annotations

import csv as csv_module
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import builtin, escaping
from bench.analysis import phrases
from bench.analysis.board import build_board
from bench.analysis.model import Board
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.reports import formats, formatting, html, terminal
from bench.reports.columns import columns
from bench.reports.fitting import MOST_ROWS
from bench.results.store import Store

METRICS = catalog(load_modules(builtin).registry)


GOLDEN = Path(__file__).resolve().parents[1] / "golden"
RENDERERS = {
    "leaderboard.md": formats.markdown,
    "leaderboard.csv": formats.csv,
    "leaderboard.json": formats.json_,
    "leaderboard.tex": formats.latex,
    "leaderboard.txt": terminal.text,
}


@pytest.mark.parametrize("name", RENDERERS)
def test_golden(name, golden_board):
    """Set BENCH_GOLDEN=write to make the files again after a deliberate change."""
    made = RENDERERS[name](golden_board)
    if os.environ.get("BENCH_GOLDEN") == "write":
        (GOLDEN / name).write_text(made, encoding="utf-8")
    assert made == (GOLDEN / name).read_text(encoding="utf-8")
    assert made == RENDERERS[name](golden_board)


@pytest.mark.parametrize("room", [80, 120])
def test_a_terminal_gets_the_columns_and_rows_that_fit(room, golden_board):
    section = golden_board.sections[0]
    many = replace(golden_board, sections=(replace(section, rows=section.rows[:1] * 50), *golden_board.sections))
    made = terminal.text(many, room)
    ruled = [line for line in made.splitlines() if line and not line.strip("- ")]
    assert len(ruled) == len(many.sections)
    assert max(map(len, ruled)) <= room
    first, *_ = made.split("\n\n" + many.sections[1].dataset.title)
    assert first.count(section.rows[0].key.model) >= MOST_ROWS
    assert "(30 more rows; --wide shows all)" in first
    assert "accuracy % [95 %" in first
    assert "(not shown: " in made
    assert "(not shown: " not in terminal.text(many)


def test_letters_beyond_eight_groups_give_way_to_ranks(golden_board):
    section = golden_board.sections[0]

    def tied(tie):
        rows = [replace(row, rank=row.rank and replace(row.rank, tie=tie)) for row in section.rows]
        return replace(golden_board, sections=(replace(section, rows=tuple(rows)),))

    eight, nine = tied("abcdefgh"), tied("abcdefgh(53)")
    for render in (formats.markdown, formats.latex, terminal.text, html.render):
        assert "abcdefgh" in render(eight)
        made = render(nine)
        assert "abcdefgh" not in made
        assert "With more than 8 tie groups, ranks" in made.replace("\n", " ")
    assert "abcdefgh(53)" in formats.csv(nine)


def test_a_board_of_profiles_has_no_column_without_a_value(samples, tmp_path):
    store = Store(tmp_path)
    for number in (1, 2):
        samples.profiled(store, samples.cell(f"net{number}", 0, kind="profile"), 100.0 * number)
    board = build_board(store.records()[0], metrics=samples.METRICS)
    (section,) = board.sections
    shown = columns(section)
    assert [one.title for one in shown if all(one.text(row) in ("", "-") for row in section.rows)] == []
    assert {"rank", "tie", "accuracy %"}.isdisjoint(one.title for one in shown)
    assert "net1" in formats.latex(board)
    page = html.render(board)
    assert '<input type="checkbox" class="group" value="score"' not in page
    assert '<input type="checkbox" class="group" value="speed"' in page
    assert 'class="num rank"' not in page
    made = terminal.text(board, 80)
    assert "infer clips/s" in made
    assert "(guessing)" not in made


def test_csv_is_read_back(golden_board):
    rows = list(csv_module.DictReader(io.StringIO(formats.csv(golden_board))))
    assert len(rows) == sum(len(section.rows) for section in golden_board.sections)
    first = golden_board.sections[0].rows[0]
    assert float(rows[0]["value"]) == pytest.approx(first.value, abs=1e-9)
    assert rows[0]["ranked"] == "True"


def test_json_keeps_fractions_and_no_details(golden_board):
    values = json.loads(formats.json_(golden_board))
    row = values["sections"][0]["rows"][0]
    assert 0 <= row["primary"] <= 1
    assert "detail" not in row


def test_markdown_says_what_must_be_said(golden_board):
    page = formats.markdown(golden_board)
    for words_ in (
        "3/5", "over budget", "3400 s", "needs text", "few seeds", "Minimum detectable difference",
        "always the majority class", "Elsewhere-1", "AudioSet", "Lossy copy", "not a whole JSON file",
        "Not comparable with the speed columns above",
    ):  # fmt: skip
        assert words_ in page
    assert "Not shown" not in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    widths = {line.count("|") - line.count("\\|") for line in tables[:10]}
    assert len(widths) == 1


def test_bars_in_names_do_not_break_the_table(samples, tmp_path):
    from bench.results.store import Store

    store = Store(tmp_path)
    record = samples.ended(store, samples.cell("a"), "failed", "raised", "train", "x | y")
    board = build_board([record.model_copy(update={"cell": samples.cell("odd|name")})], metrics=METRICS)
    line = next(line for line in formats.markdown(board).splitlines() if "odd" in line)
    assert "odd\\|name" in line


def test_empty_board_renders():
    board = Board(sections=(), problems=(), environments=(), published=(), records=0)
    for render in RENDERERS.values():
        assert isinstance(render(board), str)


def test_latex_escapes():
    assert escaping.latex("50 % of a_b & c~d") == r"50 \% of a\_b \& c\textasciitilde{}d"


@given(st.floats(min_value=1e-6, max_value=1e8))
def test_significant_keeps_three_digits(value):
    text = formatting.significant(value)
    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=0.0051)


@given(st.sets(st.integers(min_value=0, max_value=30)))
def test_numbers_lose_nothing(values):
    text = phrases.numbers(values)
    found = set()
    for part in text.split(", ") if values else []:
        low, _, high = part.partition("-")
        found |= set(range(int(low), int(high or low) + 1))
    assert found == values


def test_latex_and_csv_say_what_markdown_says_of_a_row(golden_board):
    tex, table = formats.latex(golden_board), formats.csv(golden_board)
    assert "gamma [3] " in tex
    few = "not ranked: few seeds (1 of at least 3), interval over clips only"
    assert f"\\footnotesize [3] gamma: {few}." in tex
    assert "do not put its numbers beside published ones as equal" in tex
    assert "delta: fold 4, seed 0: failed in train (nan): the loss became NaN in epoch 3" in tex
    rows = {row["model"]: row for row in csv_module.DictReader(io.StringIO(table)) if row["protocol"] == "4+1@1"}
    assert (rows["delta"]["folds_used"], rows["delta"]["seeds_used"]) == ("1-3", "0")
    assert "1 row with missing folds: shown over the folds done, not ranked." in rows["alpha.tiny"]["table_notes"]
