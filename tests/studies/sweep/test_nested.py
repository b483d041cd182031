"""Nested search: what is chosen for a fold never saw it, the board holds the chosen cells alone, a rerun is free."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.config.recipes import resolve
from bench.results.store import Store
from bench.studies.sweep.nested_render import best_recipe, nested_sentences

pytestmark = pytest.mark.usefixtures("warm_workers", "own_cache")

PLUGIN = Path(__file__).with_name("folds_plugin.py")


def call(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["sweep", "--plugin", str(PLUGIN), "--device", "cpu", "--jobs", "1", *words])
    return status, out.getvalue(), err.getvalue()


NESTED = ("--select", "inner", "--models", "ear.forest", "--dataset", "threefold", "--set", "recipe.trim_db=none")
GRID = ("--set", "recipe.fill=zeros,tile")


@pytest.fixture(scope="module")
def nested(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nested")
    status, out, err = call(*NESTED, *GRID, "--json", "--out", str(folder))
    assert status == 0, err
    return folder, json.loads(out)


def test_the_cells_of_the_search_stand_aside(nested) -> None:
    folder, found = nested
    searched, chosen = Store(folder / "search").records()[0], Store(folder).records()[0]
    assert found["reused"] == 0
    assert {(r.cell.protocol, r.cell.fold) for r in searched} == {
        (p, f) for p in ("4+1@1", "inner@1") for f in (1, 2, 3)
    }
    assert len(searched) == 2 * 2 * 3
    assert [(r.cell.protocol, r.cell.fold) for r in chosen] == [("4+1@1", fold) for fold in (1, 2, 3)]
    assert len({r.cell.recipe for r in chosen}) == 1


def test_each_fold_gets_what_did_best_inside_its_training_folds_and_says_so(nested) -> None:
    folder, found = nested
    (one,) = found["nested"]
    assert {fold: choice["texts"] for fold, choice in one["choices"].items()} == {
        fold: {"fill": "tile"} for fold in "123"
    }
    assert [point["score"] for point in one["choices"]["1"]["tried"]] == [1.0, 0.5]
    for record in Store(folder).records()[0]:
        (seen,) = record.recipe["tuned_on"]
        assert record.recipe["fill"] == "tile"
        assert (seen["dataset"], seen["settings"]) == ("threefold", ["fill"])
        assert seen["folds"] == [fold for fold in (1, 2, 3) if fold != record.cell.fold]
        assert record.score("accuracy") == 1.0


def test_what_the_choice_costs_is_said_against_the_plain_recipe_and_hindsight(nested) -> None:
    folder, found = nested
    (one,) = found["nested"]
    assert one["score"] == 1.0
    assert (one["default"]["score"], one["default"]["difference"]) == (1.0, 0.0)  # quick tiles too
    assert (one["hindsight"]["texts"], one["hindsight"]["score"]) == ({"fill": "tile"}, 1.0)
    page = (folder / "sweep.md").read_text()
    assert "# Nested search: recipe.fill" in page
    assert "Chosen: fill tile (folds 1-3)." in page
    assert "ear.forest" in (folder / "leaderboard.md").read_text()


def test_the_same_command_trains_nothing_again(nested) -> None:
    folder, first = nested
    before = {path: path.stat().st_mtime_ns for path in (folder / "records").rglob("*.json")}
    status, out, err = call(*NESTED, *GRID, "--json", "--out", str(folder))
    assert (status, json.loads(out)["reused"]) == (0, 12), err
    assert json.loads(out)["nested"] == first["nested"]
    assert {path: path.stat().st_mtime_ns for path in (folder / "records").rglob("*.json")} == before


def test_dry_counts_the_cells_and_trains_none(tmp_path) -> None:
    status, out, err = call(*NESTED, *GRID, "--dry", "--json", "--out", str(tmp_path))
    assert status == 0, err
    assert len(json.loads(out)["cells"]) == 12
    assert not list(tmp_path.rglob("records"))


def test_an_estimator_that_reads_nothing_of_the_grid_is_run_once(tmp_path) -> None:
    status, out, err = call(*NESTED, "--set", "recipe.lr=1e-3,1e-4", "--dry", "--json", "--out", str(tmp_path))
    assert status == 0, err
    assert [cell["protocol"] for cell in json.loads(out)["cells"]] == ["4+1@1"] * 3


def test_data_without_folds_is_one_error_that_says_what_has_some(tmp_path) -> None:
    words = ("--select", "inner", "--models", "ear.forest", "--dataset", "demo", *GRID)
    status, _, err = call(*words, "--out", str(tmp_path))
    assert (status, "tests on one of the authors' folds" in err) == (2, True)
    status, _, err = call(*words[2:], "--select", "outer", "--out", str(tmp_path))
    assert (status, "--select 'outer' is not one of inner" in err) == (2, True)


def test_words_of_a_choice() -> None:
    one = {
        "model": "m", "title": "Set", "unit": "fraction", "score": 0.8, "interval": [0.7, 0.9], "seeds": [0, 1, 2],
        "choices": {"1": {"texts": {"lr": "1e-3"}}, "2": {"texts": {"lr": "1e-4"}}, "3": {"texts": {"lr": "1e-3"}}},
        "default": {"score": 0.75, "difference": 0.05, "interval": [-0.01, 0.11], "reason": ""},
        "hindsight": {"texts": {"lr": "1e-3"}, "score": 0.82, "difference": -0.02, "interval": [-0.05, 0.01]},
    }  # fmt: skip
    assert nested_sentences(one) == [
        "m on Set: 80.0 % [70.0, 90.0], each fold's setting chosen inside its training folds.",
        "Chosen: lr 1e-3 (folds 1, 3); lr 1e-4 (fold 2).",
        "Against the recipe as it is, without a search, 75.0 %: +5.0 points [-1.0, 11.0].",
        "Against the best single setting picked with hindsight on the test folds, lr 1e-3 with 82.0 %: "
        "-2.0 points [-5.0, 1.0].",
    ]
    few = nested_sentences({**one, "seeds": [0, 1]})
    assert (
        few[0] == "m on Set: 80.0 % [70.0, 90.0] over clips only, each fold's setting chosen inside its training folds."
    )
    assert few[2].endswith("+5.0 points [-1.0, 11.0] over clips only.")


def test_the_best_point_is_a_recipe_file_that_says_what_it_was_chosen_on(tmp_path) -> None:
    points = [{"values": {"lr": 1e-3}, "recipe": "quick~1"}, {"values": {"lr": 3e-4}, "recipe": "quick~2"}]
    curve = {"best": 1, "points": points, "label": "m", "dataset": "toy", "tuned_folds": [1, 2], "date": "2026-11-28"}
    sweep = {"what": {"recipe": None, "fixed": ["recipe.epochs=3", "recipe.ema=none"]}, "keys": ["lr"]}
    path = tmp_path / "best.toml"
    path.write_text(best_recipe(sweep, curve))
    recipe = resolve(str(path), {"*": {"lr": 0.5}})
    assert (recipe.lr, recipe.epochs) == (3e-4, 3)
    assert [seen.model_dump() for seen in recipe.tuned_on] == [
        {"dataset": "toy", "folds": (1, 2), "date": "2026-11-28", "settings": ("lr",)}
    ]
    assert "--set recipe.ema=none" in path.read_text()
    assert best_recipe(sweep, {**curve, "best": None}) == ""
