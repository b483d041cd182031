"""Lists of values on the command line, and the grid that they span."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import Cell
from bench.config.recipes import parse_lists, parse_overrides, resolve, split_values
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import RecipeError, SelectionError
from bench.planning.plan import PlannedCell
from bench.running.progress import Progress
from bench.studies.sweep.run import make_grid, run_sweep, trained


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1e-5,3e-5", ("1e-5", "3e-5")),
        ("[0.9, 0.95]", ("[0.9, 0.95]",)),
        ("[0.9,0.95],[0.9,0.999]", ("[0.9,0.95]", "[0.9,0.999]")),
        ("'a,b'", ("'a,b'",)),
        ("none, 0.9 ", ("none", "0.9")),
        ("1,,2", ("1", "", "2")),
    ],
)
def test_commas_separate_outside_brackets_and_quotes(text, parts) -> None:
    assert split_values(text) == parts


@given(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=6, unique=True))
def test_lists_keep_their_values_and_order(values) -> None:
    fixed, several = parse_lists(["recipe.epochs=3", f"recipe.lr={','.join(map(repr, values))}"])
    assert fixed == ("recipe.epochs=3",)
    assert [float(text) for text in several["lr"]] == values


@pytest.mark.parametrize(
    ("items", "says"),
    [
        (["recipe.lr=1,,2"], "is empty"),
        (["recipe.lr=1e-3,0.001"], "0.001 stands twice"),
        (["recipe.lr=1,2", "recipe.lr=3"], "given twice"),
        (["recipe.lr=3", "recipe.lr=1,2"], "given twice"),
        (["lr=1,2"], r"recipe\.KEY=VALUE"),
    ],
)
def test_lists_that_make_no_sense(items, says) -> None:
    with pytest.raises(RecipeError, match=says):
        parse_lists(items)


def test_a_run_takes_one_value_and_says_who_takes_more() -> None:
    with pytest.raises(RecipeError, match="2 values; `bench sweep` takes a list"):
        parse_overrides(["recipe.lr=1e-3,1e-2"])
    assert parse_overrides(["recipe.betas=[0.9, 0.95]"]) == {"betas": [0.9, 0.95]}


def test_grid_is_every_combination() -> None:
    grid = make_grid(["recipe.lr=1,2", "recipe.batch=8", "recipe.epochs=3,4,5", "recipe.ema=none,0.9"])
    assert grid.keys == ("lr", "epochs", "ema")
    assert len(set(grid.points)) == 12
    assert grid.overrides(grid.points[0]) == ("recipe.batch=8", "recipe.lr=1", "recipe.epochs=3", "recipe.ema=none")
    with pytest.raises(SelectionError, match="nothing to sweep"):
        make_grid(["recipe.lr=1"])


@pytest.mark.parametrize(
    ("mode", "weights", "setting", "alike"),
    [
        ("attention", "random", "neighbours=3", True),
        ("neighbours", "random", "neighbours=3", False),
        ("logistic", "random", "epochs=3", True),
        ("logistic", "random", "shots=3", False),
        ("logistic", "masked", "pretrain_lr=0.1", False),
        ("finetune", "random", "epochs=3", False),
    ],
)
def test_points_that_a_frozen_mode_reads_nothing_of_are_the_same(mode, weights, setting, alike) -> None:
    cell = Cell(kind="evaluate", dataset="d", protocol="p@1", fold=1, model="m", seed=0, mode=mode, weights=weights)
    models = {"m": type("Entry", (), {"spec": type("Spec", (), {"estimator": False})})}
    registry = type("Registry", (), {"models": models})
    recipes = [resolve("quick", None, parse_overrides(items)) for items in ([], [f"recipe.{setting}"])]
    told = [PlannedCell(cell=cell, recipe=one, fingerprint="", train_clips=1, test_clips=1) for one in recipes]
    assert (trained(told[0], registry) == trained(told[1], registry)) is alike


def test_a_value_out_of_range_is_refused_before_anything_runs(tmp_path) -> None:
    selection = Selection(models=("classical.knn",), overrides=("recipe.lr=1e-3,-1",))
    with pytest.raises(RecipeError, match=r"recipe\.lr = -1"):
        run_sweep(selection, Settings(out=tmp_path), Progress())
    assert not list(tmp_path.iterdir())
    with pytest.raises(SelectionError, match="nothing to sweep: the study trains"):
        run_sweep(Selection(evaluate=False, overrides=("recipe.lr=1,2",)), Settings(out=tmp_path), Progress())
