"""Rows whose recipe was chosen by their own test clips: marked, and ranked where none of them has looked."""

from __future__ import annotations

import itertools

import pytest

from bench import builtin
from bench.analysis.board import build_board
from bench.analysis.comparison import Source, compare, parse_choice
from bench.analysis.grouping import RowGroup, row_key
from bench.analysis.tuned import seen_folds
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.protocols.split import authors_parts
from bench.results.store import Store

METRICS = catalog(load_modules(builtin).registry)
FOLDS = (1, 2, 3, 4)


@pytest.fixture
def made(samples, tmp_path):
    """Rows on four folds; of each the entries of ``tuned_on`` by test fold, ``None`` = a record that says nothing."""

    def make(*, authors_parts=True, **rows):
        store = Store(tmp_path)
        for number, (model, chosen) in enumerate(rows.items()):
            for fold, seed in itertools.product(FOLDS, range(3)):
                where = samples.cell(model, fold, seed)
                record = samples.evaluated(store, where, 0.9 - 0.2 * number, protocol__authors_parts=authors_parts)
                tuned = chosen(fold) if callable(chosen) else chosen
                recipe = {"name": "full"} | ({} if tuned is None else {"tuned_on": tuned})
                store.write(record.model_copy(update={"recipe": recipe}))
        records = store.records()[0]
        (section,) = build_board(records, metrics=METRICS, predictions=store.predictions).sections
        return (
            section,
            {row.key.model: row for row in section.rows},
            Source(predictions=store.predictions, metrics=METRICS),
            records,
        )

    return make


def on(*folds, dataset="toy"):
    return [{"dataset": dataset, "folds": list(folds), "date": None, "settings": []}]


def test_rows_are_ranked_on_the_folds_that_no_recipe_saw(made) -> None:
    section, rows, source, records = made(tuned=on(1, 2), clean=[])
    assert (rows["tuned"].seen, rows["clean"].seen) == ((1, 2), ())
    assert section.common_folds == (3, 4)
    assert all(row.folds_used == (3, 4) and row.rank is not None for row in rows.values())
    whole = [cell.value for cell in rows["tuned"].cells]
    assert rows["tuned"].whole == pytest.approx(sum(whole) / 12)
    assert rows["tuned"].value == pytest.approx(sum(whole[6:]) / 6)
    assert "Ranked on folds 3, 4: recipes were chosen by results on folds 1, 2 (tuned)." in section.notes
    (verdict,), _ = compare(records, parse_choice("tuned"), parse_choice("clean"), source)
    assert verdict.folds == (3, 4)
    assert verdict.chosen == "Ranked on folds 3, 4: recipes were chosen by results on folds 1, 2 (tuned)."


def test_a_recipe_that_saw_every_fold_is_shown_and_not_ranked(made) -> None:
    section, rows, _, _ = made(greedy=on(*FOLDS), tuned=on(1, 2), clean=[])
    assert section.common_folds == (3, 4)
    assert rows["greedy"].value is not None
    assert rows["greedy"].not_ranked == ("its recipe saw folds 3, 4 too",)
    assert rows["greedy"].rank is None
    assert {rows["tuned"].rank is not None, rows["clean"].rank is not None} == {True}


def test_where_no_two_folds_are_left_all_are_kept_and_it_is_said(made) -> None:
    section, rows, _, _ = made(one=on(1, 2), two=on(3))
    assert section.common_folds == FOLDS
    assert all(row.rank is not None and row.whole is None for row in rows.values())
    note = "Too good, no two folds are clean: recipes were chosen by results on folds 1, 2 (one); fold 3 (two)."
    assert note in section.notes


def test_a_choice_inside_the_training_folds_has_seen_no_test_fold(made) -> None:
    section, rows, _, _ = made(nested=lambda fold: on(*(f for f in FOLDS if f != fold)), clean=[])
    assert rows["nested"].seen == ()
    assert section.common_folds == FOLDS
    assert not any("recipe" in note for note in section.notes)


def test_other_sets_do_not_count_and_divisions_of_our_own_mix_all_folds(made) -> None:
    assert made(other=on(1, dataset="another"), clean=[])[1]["other"].seen == ()
    assert made(authors_parts=False, mixed=on(1), clean=[])[1]["mixed"].seen == FOLDS
    assert made(whole=on(), clean=[])[1]["whole"].seen == FOLDS


@pytest.mark.parametrize(
    ("measured", "chosen", "seen"),
    [
        ("manifest@own~ab12cd", "manifest@own~12ab34", (1,)),
        ("manifest@own~ab12cd", "manifest@other~ab12cd", ()),
        ("fsd50k@FSD50K~ab12cd", "fsd50k", (1,)),
    ],
)
def test_a_table_that_was_edited_has_been_seen_all_the_same(samples, tmp_path, measured, chosen, seen) -> None:
    store = Store(tmp_path)
    record = samples.evaluated(store, samples.cell("net", 1, dataset=measured), 0.8)
    tuned = record.model_copy(update={"recipe": {"name": "full", "tuned_on": on(1, dataset=chosen)}})
    assert seen_folds(RowGroup(row_key(tuned.cell), evaluate=[tuned])) == seen


def test_what_records_do_not_say_is_unknown_and_no_guess(made) -> None:
    section, rows, _, _ = made(old=None, clean=[])
    assert rows["old"].seen is None
    assert section.common_folds == FOLDS
    assert "Not recorded: what the recipe of old was chosen by." in section.notes


def test_protocols_say_whether_their_test_parts_are_the_authors() -> None:
    drawn = {s.name for s in load_modules(builtin).registry.protocols.specs() if not authors_parts(s)}
    counts = {f"grouped-{count}" for count in (3, 5, 10)}
    assert drawn == {"random-5fold", "random-80-20", "leave-one-group-out", *counts}


def test_a_recipe_that_saw_every_fold_has_no_rank_beside_one_that_saw_none(made) -> None:
    section, rows, source, records = made(greedy=on(*FOLDS), clean=[])
    assert section.common_folds == FOLDS
    assert rows["greedy"].not_ranked == ("its recipe saw folds 1-4 too",)
    assert rows["clean"].rank is not None
    note = "Ranked without rows whose recipe saw these folds: recipes were chosen by results on folds 1-4 (greedy)."
    assert note in section.notes
    (verdict,), _ = compare(records, parse_choice("greedy"), parse_choice("clean"), source)
    assert verdict.paired.interval.low > 0
    assert (verdict.resolved, verdict.unfit) == (False, ("greedy: its recipe saw folds 1-4 too",))


def test_a_control_decides_nothing_about_the_folds_of_others(made, samples, tmp_path) -> None:
    made(one=on(*FOLDS), two=on(*FOLDS))
    store = Store(tmp_path)
    for fold, seed in itertools.product(FOLDS, range(3)):
        samples.evaluated(store, samples.cell("control", fold, seed, mode="probe"), 0.3)
    (section,) = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections
    assert {row.key.model for row in section.rows if row.rank} == {"one", "two"}


def test_the_only_fold_of_a_split_is_clean_or_not(samples, tmp_path) -> None:
    store = Store(tmp_path)
    for model, seed in itertools.product(("greedy", "clean"), range(3)):
        record = samples.evaluated(store, samples.cell(model, 1, seed), 0.9)
        tuned = on(1) if model == "greedy" else []
        store.write(record.model_copy(update={"recipe": {"name": "full", "tuned_on": tuned}}))
    (section,) = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections
    assert {row.key.model: row.not_ranked for row in section.rows} == {
        "greedy": ("its recipe saw fold 1 too",), "clean": (),
    }  # fmt: skip


def test_a_row_without_the_folds_of_the_table_says_so(samples, tmp_path) -> None:
    store = Store(tmp_path)
    for model, folds in (("tuned", (1, 2)), ("clean", FOLDS)):
        for fold, seed in itertools.product(folds, range(3)):
            record = samples.evaluated(store, samples.cell(model, fold, seed), 0.9, protocol__authors_parts=True)
            tuned = on(1, 2) if model == "tuned" else []
            store.write(record.model_copy(update={"recipe": {"name": "full", "tuned_on": tuned}}))
    (section,) = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections
    row = next(row for row in section.rows if row.key.model == "tuned")
    assert (row.value, row.not_ranked, row.notes) == (None, ("no result on folds 3, 4",), ())
