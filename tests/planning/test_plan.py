"""Plans as values: what is selected, and how often it runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.cell import Cell
from bench.config.selection import Selection, select_models
from bench.errors import NoCellError, SelectionError, UnknownNameError

from .plans import MODELS, plan_of


def test_selection_by_set_family_name_and_all(registry) -> None:
    def names(*words: str) -> list[str]:
        return [entry.spec.name for entry in select_models(words, registry)]

    assert names("default") == ["net.small"]
    assert names("net") == ["net.fancy", "net.small", "net.stored"]
    assert names("pair", "net.small", "pair") == ["net.small", "pair"]
    assert names("all") == sorted(spec.name for spec in MODELS)
    with pytest.raises(UnknownNameError, match=r"net\.small"):
        names("net.smal")
    with pytest.raises(NoCellError, match="documented"):
        names("documented")


def test_folds_and_seeds_multiply_and_profile_is_one(registry) -> None:
    plan = plan_of(registry, "net.small", seeds=(0, 1))
    kinds = [p.cell.kind for p in plan.cells]
    assert kinds == ["evaluate"] * 6 + ["profile"]
    assert {(p.train_clips, p.test_clips) for p in plan.cells[:6]} == {(20, 10)}
    assert len({p.cell.id for p in plan.cells}) == len({p.fingerprint for p in plan.cells}) == 7


def test_speed_is_measured_in_as_many_processes_as_asked(registry) -> None:
    plan = plan_of(registry, "net.small", seeds=(3, 4), evaluate=False, processes=3)
    assert [(p.cell.kind, p.cell.seed) for p in plan.cells] == [("profile", 3), ("profile", 4), ("profile", 5)]
    assert len({p.cell.id for p in plan.cells}) == len({p.fingerprint for p in plan.cells}) == 3


def test_processes_take_turns_and_every_second_turn_goes_back(registry) -> None:
    from bench.planning.order import in_turns

    cells = [p for name in ("net.small", "forest") for p in plan_of(registry, name, evaluate=False, processes=3).cells]
    order = [(p.cell.model, p.cell.seed) for p in in_turns(cells)]
    assert [seed for _, seed in order] == [0, 0, 1, 1, 2, 2]
    first, second = order[0][0], order[1][0]
    assert [model for model, _ in order] == [first, second, second, first, first, second]
    assert first != second


def test_speed_takes_at_least_one_process(registry) -> None:
    from bench.config.selection import check_names

    with pytest.raises(SelectionError, match="processes is 0; speed is measured in at least 1"):
        check_names(Selection(models=("net.small",), datasets=("tones",), processes=0), registry)


def test_data_that_no_data_set_of_the_selection_reads_are_refused():
    from bench.config.selection import check_names
    from bench.plugins.discovery import discover

    generated = Selection(models=("classical.knn",), datasets=("demo",), data=Path("my.csv"))
    with pytest.raises(SelectionError, match=r"--data 'my\.csv' would not be read: demo is generated"):
        check_names(generated, discover())
    check_names(replace(generated, datasets=("demo", "esc10")), discover())


def test_limit_is_part_of_the_name_and_of_the_cost(registry) -> None:
    cut = plan_of(registry, "net.small", folds=(1,), limit=5, profile=False).cells[0]
    assert cut.cell.recipe == "quick@limit5"
    assert (cut.train_clips, cut.test_clips) == (5, 5)


def test_a_progress_line_names_what_is_unusual() -> None:
    cell = Cell(kind="evaluate", dataset="d", protocol="4+1@1", fold=1, model="m")
    assert cell.short == "m on d fold 1 seed 0"
    tuned = replace(cell, mode="finetune", weights="masked", inputs="audio.shuffled+image")
    assert tuned.short == "m (audio.shuffled+image), finetune from masked, on d fold 1 seed 0"
    assert replace(cell, inputs="audio+image.derived").short == cell.short
