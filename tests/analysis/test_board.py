"""Boards: what is averaged, ranked, kept apart and said."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from bench import builtin
from bench.analysis.board import build_board
from bench.analysis.rows import choose
from bench.errors import StoreError
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.reports import formats
from bench.results.records import Record
from bench.results.store import Store
from bench.statistics.bootstrap import cluster_bootstrap, wilson

METRICS = catalog(load_modules(builtin).registry)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def board_of(store, **options):
    return build_board(store.records()[0], metrics=METRICS, predictions=store.predictions, **options)


def only_row(store, model="m", **options):
    (section,) = board_of(store, **options).sections
    return next(row for row in section.rows if row.key.model == model)


@pytest.mark.parametrize(
    ("section", "said"),
    [("batch_mates", "a clip's score depends on its batch mates"), ("predicting", "predicting changes the model")],
)
def test_what_could_not_be_checked_of_a_model_is_said(samples, store, section, said):
    for seed, inductive in ((0, True), (1, None)):
        block = {} if inductive else {"transductive": None, "changes": None, "reason": "nobody looked"}
        samples.evaluated(store, samples.cell("m", 1, seed), 0.7, model__inductive=inductive, **{section: block})
    row = only_row(store)
    assert f"not known whether {said}: nobody looked" in row.notes
    assert row.model.inductive is None
    assert not any("not inductive" in why for why in row.not_ranked)


def test_what_is_said_of_one_models_copy_names_the_model(samples, store):
    for model, notes in (("a", ["a copy", "cut: 5."]), ("b", ["a copy", "cut: 4."]), ("c", ["a copy", "cut: 4."])):
        samples.evaluated(store, samples.cell(model, 1, 0), 0.7, dataset__notes=notes)
    (section,) = board_of(store).sections
    assert section.dataset.notes == ("a copy", "cut: 5 (a)", "cut: 4 (b, c)")


def test_accuracy_is_pooled_per_seed_then_averaged(samples, store):
    expected = []
    for seed in range(3):
        correct = []
        for fold in (1, 2):
            record = samples.evaluated(store, samples.cell("m", fold, seed), 0.7)
            arrays = store.predictions(record)
            correct.append(arrays["logits"].argmax(1) == arrays["targets"])
        expected.append(np.concatenate(correct).mean())
    row = only_row(store)
    assert row.value == pytest.approx(np.mean(expected), abs=1e-12)
    assert (row.cells_done, row.folds_used, row.seeds_used) == (6, (1, 2), (0, 1, 2))
    assert row.not_ranked == ()


@pytest.mark.parametrize(("seed", "noted"), [(0, True), (2, False)])
def test_seeds_that_begin_alike_are_named(samples, store, seed, noted):
    for number in (seed, 1):
        start = {"tensors": "0a" if noted else f"{number}", "torch": f"{number}"}
        samples.evaluated(store, samples.cell("m", 1, number), 0.7, start=start)
    assert ("seeds give the same start (tensors)" in only_row(store).notes) == noted


def test_interval_draws_groups_where_there_are_groups(samples, store):
    record = samples.evaluated(store, samples.cell("m"), 0.7)
    arrays = store.predictions(record)
    correct = arrays["logits"].argmax(1) == arrays["targets"]
    expected = cluster_bootstrap(correct, arrays["groups"], draws=4000)
    row = only_row(store)
    assert (row.interval.low, row.interval.high) == pytest.approx((expected.low, expected.high), abs=0.03)
    assert "bootstrap over 20 groups" in row.interval.method


def test_interval_is_wilson_without_groups_and_seeds(samples, store):
    record = samples.evaluated(store, samples.cell("m"), 0.7, grouped=False)
    expected = wilson(record.score("accuracy") * samples.CLIPS, samples.CLIPS)
    row = only_row(store)
    assert (row.interval.low, row.interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert row.interval.method == "Wilson, over clips only"


def test_order_of_records_does_not_matter(samples, golden_store, golden_board):
    records = golden_store.records()[0]
    random.Random(1).shuffle(records)
    again = build_board(
        records,
        planned=[*samples.planned(golden_store)],
        predictions=golden_store.predictions,
        problems=golden_board.problems,
        published=golden_board.published,
        metrics=samples.STORED_METRICS,
    )
    assert again == golden_board


def test_ranks_ties_and_few_seeds(golden_board):
    section = golden_board.sections[0]
    ranked = [row for row in section.rows if row.rank]
    assert [row.key.model for row in ranked] == ["alpha.tiny", "beta.small", "kappa"]
    assert ranked[0].rank.tie == ranked[1].rank.tie != ranked[2].rank.tie
    assert (ranked[0].rank.best, ranked[0].rank.worst) == (1, 2)
    gamma = next(row for row in section.rows if row.key.model == "gamma")
    assert gamma.not_ranked == ("few seeds (1 of at least 3), interval over clips only",)
    assert gamma.interval.method.endswith("over clips only")
    assert 0 < section.resolution.low < section.resolution.high


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_rows_are_ordered_not_ranked(samples, store, seeds):
    for model, accuracy in (("a", 0.3), ("b", 0.95)):
        for seed in range(seeds):
            samples.evaluated(store, samples.cell(model, 1, seed), accuracy)
    (section,) = board_of(store).sections
    assert [(row.key.model, row.rank) for row in section.rows] == [("b", None), ("a", None)]
    assert section.resolution.pairs == ()
    few = f"few seeds ({seeds} of at least 3), interval over clips only"
    assert section.resolution.reason == f"no row can be ranked; {few}"
    text = " ".join(formats.markdown(board_of(store)).split())
    assert "| 95 % interval over clips only |" in text
    assert f"All rows: not ranked: {few}" in text


@pytest.mark.parametrize(
    ("axes", "why"),
    [
        ({"inputs": "audio.shuffled"}, "a control"),
        ({"inputs": "audio+image.missing"}, "a control"),
        ({"mode": "probe"}, "a control: frozen random weights"),
        ({"mode": "knn"}, "a control: frozen random weights"),
    ],
)
def test_controls_are_outside_the_family(samples, store, axes, why):
    for seed in range(3):
        for model in "ab":
            samples.evaluated(store, samples.cell(model, 1, seed), 0.8)
    before = board_of(store).sections[0].resolution
    for seed in range(3):
        samples.evaluated(store, samples.cell("a", 1, seed, **axes), 0.8)
    (section,) = board_of(store).sections
    assert section.resolution == before
    (control,) = (row for row in section.rows if row.rank is None)
    assert control.not_ranked == (why,)
    assert control.interval is not None
    trained = {"model__trained_on": ["AudioSet"]}
    for seed in range(3):
        samples.evaluated(store, samples.cell("c", 1, seed, mode="probe"), 0.8, **trained)
    assert next(row for row in board_of(store).sections[0].rows if row.key.model == "c").rank is not None


def test_rows_with_missing_folds_are_shown_but_not_ranked(golden_board):
    row = next(row for row in golden_board.sections[0].rows if row.key.model == "delta")
    assert (row.folds_done, row.folds_planned) == ((1, 2, 3), (1, 2, 3, 4, 5))
    assert row.value is not None
    assert row.rank is None
    assert row.not_ranked[0] == "missing folds 4, 5"
    assert {item.status for item in row.outcomes} == {"failed", "oom"}
    assert golden_board.sections[0].common_folds == (1, 2, 3, 4, 5)


def test_without_a_complete_row_averages_cover_the_shared_folds(samples, store):
    for model, folds in (("a", (1, 2)), ("b", (2, 3)), ("c", (2, 1))):
        for fold in folds:
            for seed in range(3):
                samples.evaluated(store, samples.cell(model, fold, seed), 0.7)
    (section,) = board_of(store).sections
    assert section.common_folds == (2,)
    assert all(row.folds_used == (2,) and row.rank is not None for row in section.rows)
    assert any("averages cover fold 2" in note for note in section.notes)


def test_protocols_labels_and_copies_are_never_averaged(samples, store):
    samples.evaluated(store, samples.cell("m", 1), 0.9)
    samples.evaluated(store, samples.cell("m", 1, protocol="3+1+1@1"), 0.5, protocol__hash="b")
    samples.evaluated(store, samples.cell("m", 1, seed=1), 0.5, protocol__hash="changed meaning")
    samples.evaluated(store, samples.cell("m", 1, seed=2), 0.5, dataset__label_names=["x", "y", "z", "w"])
    samples.evaluated(store, samples.cell("m", 1, seed=3), 0.5, dataset__manifest_sha256="other")
    board = board_of(store)
    assert len(board.sections) == 5
    assert all(section.rows[0].cells_done == 1 for section in board.sections)
    notes = " ".join(note for section in board.sections for note in section.notes)
    for reason in ("other label set", "other copy of the data", "other protocol", "meaning of the protocol"):
        assert reason in notes


def test_paper_style_and_batch_dependent_rows_are_not_ranked(golden_board):
    clean, style = golden_board.sections
    assert [row.rank for row in style.rows] == [None]
    epsilon = next(row for row in clean.rows if row.key.model == "epsilon")
    assert epsilon.rank is None
    assert "batch mates" in epsilon.not_ranked[0]


def test_unpublishable_rows_are_ranked_only_among_themselves(samples, store):
    limited = {"publishable": False, "not_publishable": ["--limit 40"]}
    for seed in range(3):
        samples.evaluated(store, samples.cell("a", 1, seed), 0.9, **limited)
        samples.evaluated(store, samples.cell("b", 1, seed), 0.8, **limited)
    (section,) = board_of(store).sections
    assert all(row.rank and not row.publishable for row in section.rows)
    assert any("--limit 40" in note for note in section.notes)
    for seed in range(3):
        samples.evaluated(store, samples.cell("c", 1, seed), 0.7)
    (section,) = board_of(store).sections
    assert [(row.key.model, row.rank is not None) for row in section.rows] == [("c", True), ("a", False), ("b", False)]
    assert section.rows[1].interval is not None


def test_rows_on_other_clips_are_not_ranked(samples, store):
    for seed in range(3):
        samples.evaluated(store, samples.cell("a", 1, seed), 0.9)
        samples.evaluated(store, samples.cell("b", 1, seed), 0.8)
        record = samples.evaluated(store, samples.cell("c", 1, seed), 0.8, dataset__test=10)
        arrays = {name: value[:10] if len(value) == samples.CLIPS else value
                  for name, value in store.predictions(record).items()}  # fmt: skip
        store.write(record, arrays)
    (section,) = board_of(store).sections
    assert [row.key.model for row in section.rows if row.rank] == ["a", "b"]
    assert "other clips" in section.rows[-1].not_ranked[0]


def test_same_clips_in_another_order_are_paired(samples, store):
    samples.evaluated(store, samples.cell("a"), 0.9)
    record = samples.evaluated(store, samples.cell("b"), 0.9)
    arrays = store.predictions(record)
    order = np.random.default_rng(0).permutation(samples.CLIPS)
    mixed = {name: value[order] if len(value) == samples.CLIPS else value for name, value in arrays.items()}
    before = board_of(store)
    store.write(record, mixed)
    assert [row.rank for row in board_of(store).sections[0].rows] == [row.rank for row in before.sections[0].rows]
    assert board_of(store).sections[0].resolution == before.sections[0].resolution


def test_changed_predictions_are_named_and_never_averaged(samples, store):
    good = samples.evaluated(store, samples.cell("a", 1), 0.9)
    changed = samples.evaluated(store, samples.cell("a", 2), 0.9)
    path = store.path(changed.cell).with_suffix(".npz")
    path.write_bytes(path.read_bytes()[:-1])
    board = board_of(store)
    assert len(board.problems) == 1
    assert "fold2" in board.problems[0]
    row = board.sections[0].rows[0]
    assert row.value == pytest.approx(good.score("accuracy"))
    assert row.folds_done == (1,)


def test_without_predictions_there_is_a_mean_but_no_interval_and_no_rank(samples, store):
    values = [samples.evaluated(store, samples.cell("a", fold), 0.8).score("accuracy") for fold in (1, 2)]
    (section,) = build_board(store.records()[0], metrics=METRICS).sections
    row = section.rows[0]
    assert row.value == pytest.approx(np.mean(values))
    assert row.interval is None
    assert row.rank is None
    assert any("no interval" in note for note in row.notes)


def test_speed_is_kept_apart_by_hardware_and_device(samples, store):
    samples.evaluated(store, samples.cell("a"), 0.9)
    samples.evaluated(store, samples.cell("b"), 0.8)
    profile = {"kind": "profile", "fold": 0}
    samples.profiled(store, samples.cell("a", **profile), 10.0)
    samples.profiled(store, samples.cell("b", **profile), 20.0)
    samples.profiled(store, samples.cell("b", **profile, device="cuda"), 500.0)
    (section,) = board_of(store).sections
    assert [hardware.device for hardware in section.hardware] == ["cpu", "cuda"]
    rows = {row.key.model: row for row in section.rows}
    cpu, cuda = (hardware.key for hardware in section.hardware)
    assert rows["a"].speed(cpu).values["infer_clips_per_s"] == 10.0
    assert rows["b"].speed(cpu).values["infer_clips_per_s"] == 20.0
    assert rows["a"].speed(cuda) is None
    assert rows["b"].speed(cuda).values["infer_clips_per_s"] == 500.0


def test_speed_of_another_front_end_or_precision_is_not_taken(samples, store):
    samples.evaluated(store, samples.cell("a"), 0.9)
    samples.profiled(store, samples.cell("a", 0, kind="profile", frontend="kaldi"), 10.0)
    samples.profiled(store, samples.cell("a", 0, kind="profile", precision="bf16"), 10.0)
    (section,) = board_of(store).sections
    (measured,) = [row for row in section.rows if row.value is not None]
    assert measured.speeds == ()
    assert len(section.rows) == 3


def test_planned_outcomes_join_their_section_and_holes_are_visible(golden_board):
    rows = {row.key.model: row for row in golden_board.sections[0].rows}
    (over,) = rows["zeta.base"].outcomes
    assert (over.status, over.folds, over.cells) == ("over_budget", (1, 2, 3, 4, 5), 5)
    assert "3400 s" in over.message
    assert rows["theta"].outcomes[0].status == "missing"
    assert rows["eta.text"].outcomes[0].reason == "needs"


def test_a_board_of_planned_outcomes_only(samples, store):
    samples.ended(store, samples.cell("a"), "over_budget", "budget", "plan", "planned 9 s, budget 1 s")
    (section,) = board_of(store).sections
    assert section.dataset.title == "toy"
    assert section.rows[0].outcomes[0].status == "over_budget"


def test_two_records_of_one_cell_are_said(samples, store):
    record = samples.evaluated(store, samples.cell("a"), 0.9)
    later = record.model_copy(update={"started_at": "2026-02-01T00:00:00Z", "status": "cancelled"})
    board = build_board([later, record], metrics=METRICS, predictions=store.predictions)
    assert board.records == 1
    assert "several records" in board.problems[0]
    assert board.sections[0].rows[0].value is None


def test_refused_predictions_do_not_stop_the_others(samples, store):
    samples.evaluated(store, samples.cell("a"), 0.9)
    samples.evaluated(store, samples.cell("b"), 0.9)

    def refuse_a(record: Record):
        if record.cell.model == "a":
            raise StoreError("a: gone")
        return store.predictions(record)

    board = build_board(store.records()[0], metrics=METRICS, predictions=refuse_a)
    assert board.problems == ("a: gone",)
    assert [row.key.model for row in board.sections[0].rows if row.value is not None] == ["b"]


def test_multi_label_rows_are_sorted_by_their_score(samples, store):
    from bench.results.records import Score

    for model, value in (("a", 0.3), ("b", 0.4)):
        record = samples.evaluated(store, samples.cell(model), 0.9, dataset__primary_metric="map")
        arrays = dict(store.predictions(record))
        arrays["targets"] = np.eye(4, dtype=np.float32)[arrays["targets"]]
        store.write(record.model_copy(update={"scores": (Score(name="map", value=value),)}), arrays)
    (section,) = board_of(store).sections
    assert [(row.key.model, row.value) for row in section.rows] == [("b", 0.4), ("a", 0.3)]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], ((), ())),
        ([(1, 0), (2, 0), (1, 1), (2, 1)], ((1, 2), (0, 1))),
        ([(1, 0), (1, 1), (2, 1)], ((1, 2), (1,))),
        ([(1, 0), (2, 1)], ((1,), (0,))),
        ([(3, 0)], ((), ())),
    ],
)
def test_choose_takes_a_full_rectangle(pairs, expected):
    assert choose(pairs, (1, 2)) == expected


def test_every_record_is_read_once(samples, golden_store):
    read = []

    def counting(record: Record):
        read.append(record.cell)
        return golden_store.predictions(record)

    records = golden_store.records()[0]
    build_board(records, metrics=METRICS, predictions=counting)
    assert sorted(read) == [record.cell for record in records if "predictions" in record.artifacts]


def test_changed_recipes_are_said(samples, store):
    samples.evaluated(store, samples.cell("a", recipe="quick~0123ab"), 0.9)
    assert any("other settings" in note for note in only_row(store, "a").notes)


def test_a_clip_without_a_group_is_its_own(samples, store):
    for seed in range(3):
        arrays = samples.fold_arrays(1, 0.7, np.random.default_rng(seed))
        arrays["groups"] = np.array(["", *arrays["groups"][1:]])
        samples.evaluated(store, samples.cell("m", 1, seed), 0.7, arrays=arrays)
    assert "over 21 groups" in only_row(store).interval.method, "one clip without a group frees no other clip"


def test_a_clip_that_two_folds_test_counts_once(samples, store):
    for fold, seed in itertools.product((1, 2), range(3)):
        arrays = samples.fold_arrays(1, 0.7, np.random.default_rng(seed), grouped=False)
        samples.evaluated(store, samples.cell("m", fold, seed), 0.7, arrays=arrays)
    (section,) = board_of(store).sections
    assert section.dataset.test_clips == samples.CLIPS
    assert f"over {samples.CLIPS} groups" in section.rows[0].interval.method


@pytest.mark.parametrize("first", ["a", "z"])
def test_groups_that_only_some_records_hold_count(samples, store, first):
    samples.evaluated(store, samples.cell("m"), 0.7)
    samples.evaluated(store, samples.cell(first), 0.7, grouped=False)
    assert {row.interval.method for row in board_of(store).sections[0].rows} == {
        "bootstrap over 20 groups (BCa, t), over clips only"
    }


def test_seeds_without_a_result_are_named(samples, store):
    for seed in range(3):
        samples.evaluated(store, samples.cell("m", 1, seed), 0.7)
    for seed in (3, 4):
        samples.ended(store, samples.cell("m", 1, seed), "failed", "nan", "train", "the loss became NaN")
    assert "seeds 3, 4 without a result, not in the average" in only_row(store).notes


@pytest.mark.parametrize("same", [True, False])
def test_seeds_that_change_nothing_are_named(samples, store, same):
    for seed in range(3):
        arrays = samples.fold_arrays(1, 0.7, np.random.default_rng(0 if same else seed))
        samples.evaluated(store, samples.cell("m", 1, seed), 0.7, arrays=arrays)
    note = "its seeds give the same logits: training draws nothing, or seeds itself"
    assert (note in only_row(store).notes) == same


def test_what_no_row_may_be_published_for_is_said_without_ranks_too(samples, store):
    for model in "ab":
        samples.evaluated(store, samples.cell(model), 0.7, publishable=False, not_publishable=["a dirty tree"])
    for text in (formats.markdown(board_of(store)), formats.latex(board_of(store))):
        assert "not publishable: a dirty tree." in text


def test_a_leak_that_records_do_not_speak_of_is_unknown(samples, store):
    samples.evaluated(store, samples.cell("m"), 0.7, protocol__leak=None)
    leak = board_of(store).sections[0].protocol.leak
    assert leak == "Whether test clips share a group with training is unknown: the records do not say"


def test_sections_of_one_name_are_called_apart(samples, store):
    samples.evaluated(store, samples.cell("m", 1), 0.7)
    samples.evaluated(store, samples.cell("m", 2), 0.7, dataset__manifest_sha256="n" * 64)
    board = board_of(store)
    titles = [section.dataset.title for section in board.sections]
    assert titles == ["Toy sounds (16 kHz Ogg) (data mmmmmm)", "Toy sounds (16 kHz Ogg) (data nnnnnn)"]
    text = formats.latex(board)
    assert "\\label{tab:toy-4-1-1-1}" in text
    assert "\\label{tab:toy-4-1-1-2}" in text
