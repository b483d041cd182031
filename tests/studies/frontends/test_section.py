"""The front-end study on the page, and validation accuracy against time: optional, pure, said when broken."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench import builtin
from bench.analysis.artifacts import Curve
from bench.analysis.board import build_board
from bench.cli.report import load_board
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.reports import formats
from bench.reports.curves import timed_curves
from bench.reports.html import render
from bench.results.store import Store
from bench.studies.frontends.read import read_study

REGISTRY = load_modules(builtin).registry
METRICS = catalog(REGISTRY)


GOLDEN = Path(__file__).resolve().parents[2] / "golden"
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000")


@pytest.fixture
def store(samples, tmp_path):
    store = Store(tmp_path)
    samples.evaluated(store, samples.cell("m"), 0.8)
    return store


def with_study(store):
    shutil.copy(GOLDEN / "frontends.json", store.root / "frontends.json")
    return load_board(store, REGISTRY)


def test_a_run_without_study_has_no_section(store):
    assert read_study(store.root) == (None, "")
    assert 'id="frontends"' not in render(load_board(store, REGISTRY))


def test_verdicts_and_pictures_are_on_the_page(store):
    board = with_study(store)
    page = render(board)
    section = page[page.index('<section id="frontends"') :]
    assert "Front ends: alpha.tiny on toy" in section
    assert "faster training" in section
    assert "0.444 (0.400 to 0.500)" in section
    assert "less memory" not in section
    assert "training throughput &lt;b&gt;" in section
    assert section.count("<svg") == 1
    assert "not measured" in section
    assert '<a href="#frontends">' in page
    assert render(board) == page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_spectrograms_are_put_into_the_page(store):
    (store.root / "frontends-spectrograms.png").write_bytes(PIXEL)
    page = render(with_study(store))
    assert (
        '<img class="wide" alt="Spectrograms of clips of toy under each front end" src="data:image/png;base64,' in page
    )
    for value in re.findall(r'\bsrc="([^"]*)"', page):
        assert value.startswith("data:")


def test_programs_see_the_board_only(store):
    plain = formats.json_(load_board(store, REGISTRY))
    assert formats.json_(with_study(store)) == plain
    assert "frontends" not in json.loads(plain)


@pytest.mark.parametrize(
    ("content", "words"),
    [("{torn", "not a whole JSON file"), ("[]", "of this version"), ('{"verdicts": []}', "of this version")],
)
def test_a_broken_study_is_named_and_left_out(store, content, words):
    (store.root / "frontends.json").write_text(content)
    board = load_board(store, REGISTRY)
    assert board.extra == ()
    assert any("frontends.json" in problem and words in problem for problem in board.problems)
    assert "frontends.json" in render(board)


def test_time_to_score_only_with_a_validation_part(samples, store):
    assert "Time to score" not in render(
        build_board(store.records()[0], metrics=METRICS, predictions=store.predictions)
    )
    seen = {"curve_val_accuracy": np.array([0.25, 0.5, 0.75]), "curve_seconds": np.array([10.0, 20.0, 30.0])}
    samples.evaluated(store, samples.cell("m"), 0.8, arrays=seen)
    board = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions)
    (row,) = board.sections[0].rows
    assert row.detail.curves[0].seconds == (10.0, 20.0, 30.0)
    assert timed_curves(row.detail.curves) == [[(10.0, 25.0), (20.0, 50.0), (30.0, 75.0)]]
    page = render(board)
    assert "Time to score" in page
    assert "seconds of training" in page


def test_seeds_of_a_fold_are_averaged():
    curves = [
        Curve(fold=1, seed=seed, loss=(1.0, 0.5), validation=(0.2 + seed / 10, 0.6), seconds=(10.0 + 2 * seed, 20.0))
        for seed in (0, 1)
    ]
    curves.append(Curve(fold=2, seed=0, loss=(1.0,), validation=(None,), seconds=()))
    ((first, second),) = timed_curves(curves)
    assert first == pytest.approx((11.0, 25.0))
    assert second == pytest.approx((20.0, 60.0))
