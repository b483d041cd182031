"""Whatever a verb prints fits a terminal of 80 columns, and shows what it was asked for."""

from __future__ import annotations

import json
import re
import shutil
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.__main__ import main
from bench.cell import Cell
from bench.cli import frontends, plan, sweep
from bench.cli.listing import WHAT
from bench.config.recipes import resolve
from bench.planning.plan import Plan, PlannedCell
from bench.reports.fitting import folded
from bench.results.writing import plain
from bench.studies.doctor import run as doctor

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"
COLUMNS = 80


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A published run with long names, a baseline of it, and its history over two commits."""
    to = tmp_path_factory.mktemp("published")
    shutil.copytree(PUBLISHED / "esc10-nested", to / "run")
    assert main(["baseline", "pin", str(to / "run"), "--to", str(to / "pinned.json")]) == 0
    for commit, date in (("a1", "2026-01-01"), ("b2", "2026-01-02")):
        words = ["history", "add", str(to / "pinned.json"), "--to", str(to / "kept")]
        assert main([*words, "--commit", commit, "--date", date]) == 0
    return to


def too_long(text: str) -> list[str]:
    """Lines that would be broken within a word: paths and commands stay whole, to be copied."""
    whole = re.compile(r"wrote |next: | {4}\S")
    lines = [line for line in text.splitlines() if len(line) > COLUMNS and not whole.match(line)]
    return [line for line in lines if " " in re.sub("`[^`]*`", "", line.strip())]


A, B = "convnext_attention.tiny", "digit_fusion.transformer_attention"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        *((f"list {what}", "description" if what not in ("recipes", "plugins") else "name") for what in WHAT),
        ("list suits", "did you mean 'suites'?"),
        ("report RUN", "--wide shows all"),
        (f"compare {A} {B} RUN", "A says"),
        (f"claim {B}>{A} RUN", "outcome"),
        ("baseline list .", "pinned"),
        ("baseline show pinned.json", "value"),
        ("gate RUN --baseline pinned.json", "quantity"),
        ("history show kept --all", "change"),
        ("doctor", "noise score"),
        ("check accuracy md", "passed"),
    ],
    ids=lambda words: words.split(" RUN")[0],
)
def test_what_is_printed_fits(words, says, folder, terminal, capsys, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    quiet = types.SimpleNamespace(noise={"score": 0.2, "slowest_ratio": 2.0, "repetitions": 9.0}, neighbours=[])
    monkeypatch.setattr(doctor, "_noise", lambda: types.SimpleNamespace(**vars(quiet), findings=[]))
    terminal(COLUMNS)
    status = main(words.replace("RUN", "run").split())
    shown = capsys.readouterr()
    assert status in (0, 2), shown.err
    assert says in shown.out + shown.err
    assert too_long(shown.out) + too_long(shown.err) == []
    assert "\x1b" not in shown.out


def test_a_plan_shows_models_and_costs(terminal, capsys) -> None:
    cells = [
        Cell(kind="evaluate", dataset="vggsound_instruments", protocol="official@1", fold=fold, model=model,
             inputs="audio.shuffled+image", frontend="torchaudio", recipe="quick")
        for fold in (1, 2)
        for model in (A, B)
    ]  # fmt: skip
    planned = [
        PlannedCell(cell=one, recipe=resolve("quick"), fingerprint="f", train_clips=8, test_clips=8, cost_s=90.0)
        for one in cells
    ]
    terminal(COLUMNS)
    plan.show(Plan(cells=tuple(planned)), 2)
    shown = capsys.readouterr().out
    assert "1m 30s" in shown
    assert too_long(shown) == []


def test_a_long_table_is_shown_page_by_page(terminal, capsys, monkeypatch) -> None:
    pages: list[str] = []
    monkeypatch.setattr("pydoc.pager", pages.append)
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(isatty=lambda: True))
    terminal(COLUMNS)
    assert main(["list", "models"]) == 0
    assert capsys.readouterr().out == ""
    assert pages[0].count("\n") > 20
    assert main(["list", "launchers"]) == 0
    assert "local" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verb", "path", "says"),
    [
        *((sweep, path.relative_to(PUBLISHED), "interval") for path in sorted(PUBLISHED.glob("*/sweep.json"))),
        (frontends, Path("frontends-esc50/frontends.json"), "verdict"),
    ],
    ids=str,
)
def test_what_a_study_found_fits(verb, path, says, terminal, capsys, tmp_path) -> None:
    found = json.loads((PUBLISHED / path).read_text(encoding="utf-8"))
    terminal(COLUMNS)
    if verb is sweep:
        sweep._show(found)
    else:
        study = types.SimpleNamespace(found=plain(found), examples=())
        frontends._tell(study, tmp_path, as_json=False)
    shown = capsys.readouterr().out
    assert says in shown
    assert too_long(shown) == []


@given(st.text(st.sampled_from("ab `\n"), max_size=200), st.integers(10, 60))
def test_folding_loses_nothing_and_fits(text, room) -> None:
    made = folded(text, room)
    assert made.split() == text.split()
    bare = text.replace("`", "")
    limit = max([room, *(len(word) + len(line) for line in bare.split("\n") for word in line.split())])
    if "`" not in text:
        assert max(map(len, made.split("\n"))) <= limit
    assert folded(text, None) == text
