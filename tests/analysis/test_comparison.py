"""A against B: the same numbers as the statistics give on arrays made by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench import builtin
from bench.analysis.comparison import Source, compare, parse_choice
from bench.analysis.ranking_claim import judge_claim, parse_claim
from bench.cli.claim import describe as describe_claim
from bench.cli.compare import describe, sentence
from bench.errors import SelectionError, UnknownNameError
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.results.store import Store
from bench.statistics.paired import mcnemar_exact, paired_cluster_bootstrap
from bench.statistics.results import Refusal

METRICS = catalog(load_modules(builtin).registry)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def verdict_of(store, a="a", b="b", **options):
    verdicts, problems = compare(
        store.records()[0],
        parse_choice(a),
        parse_choice(b),
        Source(predictions=store.predictions, metrics=METRICS),
        **options,
    )
    assert problems == []
    (verdict,) = verdicts
    return verdict


def correct_of(store, samples, model, folds, seeds):
    rows = []
    for seed in seeds:
        parts = [store.predictions(store.read(samples.cell(model, fold, seed))) for fold in folds]
        rows.append(np.concatenate([part["logits"].argmax(1) == part["targets"] for part in parts]))
    return np.stack(rows)


def test_numbers_are_those_of_the_statistics(samples, store):
    for fold in (1, 2, 3):
        for seed in (0, 1):
            samples.evaluated(store, samples.cell("a", fold, seed), 0.9)
        samples.evaluated(store, samples.cell("b", fold, 0), 0.7)
    verdict = verdict_of(store)
    a, b = correct_of(store, samples, "a", (1, 2, 3), (0, 1)), correct_of(store, samples, "b", (1, 2, 3), (0,))
    groups = np.concatenate([[f"r{fold}-{i // 2}" for i in range(samples.CLIPS)] for fold in (1, 2, 3)])
    expected = paired_cluster_bootstrap(a, b, groups)
    assert verdict.paired == expected
    assert verdict.mcnemar == ((0, mcnemar_exact(a[0], b[0])),)
    assert verdict.value_a - verdict.value_b == pytest.approx(expected.difference)
    by_fold = [(a.mean(0) - b.mean(0))[i * samples.CLIPS : (i + 1) * samples.CLIPS].mean() for i in range(3)]
    assert verdict.fold_differences == pytest.approx(by_fold)


def test_only_shared_folds_count(samples, store):
    for fold in (1, 2, 3):
        samples.evaluated(store, samples.cell("a", fold), 0.9)
    for fold in (2, 3, 4):
        samples.evaluated(store, samples.cell("b", fold), 0.9)
    verdict = verdict_of(store)
    assert verdict.folds == (2, 3)
    assert verdict.paired.clips == 2 * samples.CLIPS


def test_discordant_clips_are_listed_clearest_first(samples, store):
    for seed in (0, 1):
        samples.evaluated(store, samples.cell("a", 1, seed), 0.8)
        samples.evaluated(store, samples.cell("b", 1, seed), 0.6)
    verdict = verdict_of(store)
    a, b = (correct_of(store, samples, name, (1,), (0, 1)).mean(0) for name in "ab")
    assert len(verdict.discordant) == int((a != b).sum())
    gaps = [abs(one.right_a - one.right_b) for one in verdict.discordant]
    assert gaps == sorted(gaps, reverse=True)
    first = verdict.discordant[0]
    index = int(first.clip.split("-")[1])
    assert (first.right_a, first.right_b) == (a[index], b[index])
    assert first.target == samples.LABELS[index % 4]
    assert first.group == f"r1-{index // 2}"


def test_the_sentence_says_who_and_how_sure(samples, store):
    for fold in range(1, 6):
        for seed in range(3):
            samples.evaluated(store, samples.cell("a", fold, seed), 0.6)
            samples.evaluated(store, samples.cell("b", fold, seed), 0.95)
    text = sentence(verdict_of(store))
    assert text.startswith("b is better than a by ")
    assert "(Holm over the pairs of 2 ranked rows; unadjusted p = " in text
    assert "200 shared clips; minimum detectable difference here " in text
    assert any("exact McNemar" in line for line in describe(verdict_of(store)))
    assert any("by fold: -" in line for line in describe(verdict_of(store)))


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_neither_is_better(samples, store, seeds):
    for seed in range(3):
        samples.evaluated(store, samples.cell("a", 1, seed), 0.3)
    for seed in range(seeds):
        samples.evaluated(store, samples.cell("b", 1, seed), 0.95)
    verdict = verdict_of(store)
    assert verdict.paired.interval.high < 0
    assert not verdict.resolved
    said = sentence(verdict)
    few = "1 seed" if seeds == 1 else "2 seeds"
    assert said.startswith(f"Whether a or b is better is not known ({few} of at least 3): b is ahead by ")
    assert "] over clips only, p " in said
    assert "unadjusted (not both ranked on the board)" in said


def test_board_and_comparison_agree_on_every_pair(samples, store):
    """Nine models close to each other: some pairs differ significantly alone, but not among all of them."""
    names = [f"m{i}" for i in range(9)]
    for place, name in enumerate(names):
        for seed in range(3):
            for fold in (1, 2, 3):
                samples.evaluated(store, samples.cell(name, fold, seed), 0.9 - 0.035 * place)
        samples.evaluated(store, samples.cell(name, 1, 0, inputs="audio.shuffled"), 0.3)
    (section,) = samples.build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections
    ranked = [row for row in section.rows if row.rank]
    assert len(ranked) == 9
    source = Source(predictions=store.predictions, metrics=METRICS)
    alone = 0
    for pair in section.resolution.pairs:
        better, worse = ranked[pair.better], ranked[pair.worse]
        choices = [parse_choice(f"{row.key.model},inputs=audio") for row in (better, worse)]
        (verdict,), _ = compare(store.records()[0], *choices, source)
        assert verdict.resolved == (not set(better.rank.tie) & set(worse.rank.tie))
        assert verdict.p_adjusted == pair.p_adjusted >= verdict.paired.p_value == pytest.approx(pair.p_value)
        assert verdict.paired.difference == pytest.approx(pair.difference)
        assert verdict.paired.resolution == pytest.approx(pair.resolution)
        alone += verdict.paired.resolved > verdict.resolved
    assert alone > 0


def test_a_control_is_a_family_of_its_own(samples, store):
    for seed in range(3):
        for inputs in ("audio", "audio.shuffled"):
            samples.evaluated(store, samples.cell("a", 1, seed, inputs=inputs), 0.9 if inputs == "audio" else 0.2)
    verdict = verdict_of(store, "a,inputs=audio", "a,inputs=audio.shuffled")
    assert verdict.p_adjusted is None
    assert verdict.resolved


def test_equal_rows_cannot_be_told_apart(samples, store):
    for seed in range(3):
        record = samples.evaluated(store, samples.cell("a", 1, seed), 0.8)
        arrays = store.predictions(record)
        store.write(record.model_copy(update={"cell": samples.cell("b", 1, seed)}), arrays)
    verdict = verdict_of(store)
    assert "do not differ significantly: the difference is 0.0 points" in sentence(verdict)
    assert verdict.discordant == ()


def test_too_few_groups_is_said(samples, store):
    for model in "ab":
        record = samples.evaluated(store, samples.cell(model), 0.8)
        arrays = dict(store.predictions(record))
        arrays["groups"] = np.array(["x", "y"] * (samples.CLIPS // 2))
        store.write(record, arrays)
    verdict = verdict_of(store)
    assert isinstance(verdict.paired, Refusal)
    assert "cannot be compared" in sentence(verdict)


def test_rows_of_one_model_are_told_apart_by_axes(samples, store):
    for frontend in ("kaldi", "logmel"):
        samples.evaluated(store, samples.cell("a", frontend=frontend), 0.8)
    with pytest.raises(SelectionError, match="a,frontend=kaldi or a,frontend=logmel"):
        verdict_of(store, "a", "a,frontend=kaldi")
    verdict = verdict_of(store, "a,frontend=logmel", "a,frontend=kaldi")
    assert "a (frontend logmel)" in sentence(verdict)
    with pytest.raises(SelectionError, match="the same row"):
        verdict_of(store, "a,frontend=kaldi", "a,frontend=kaldi")
    with pytest.raises(SelectionError, match="not AXIS=VALUE"):
        parse_choice("a,colour=red")


def test_each_row_that_a_choice_is_offered_can_be_chosen(samples, store):
    for axes in itertools.product(("logistic", "knn"), ("fp32", "bf16"), ("quick", "full")):
        more = dict(zip(("mode", "precision", "recipe"), axes, strict=True))
        samples.evaluated(store, samples.cell("a", **more), 0.8)
    for said in ("a", "a,mode=knn", "a,precision=bf16,mode=logistic"):
        with pytest.raises(SelectionError, match="say which: ") as failed:
            verdict_of(store, said, said)
        first, *others = str(failed.value).partition("say which: ")[2].split(" or ")
        for other in others:
            verdict_of(store, first, other)
    with pytest.raises(SelectionError, match="fits no row; there is a,mode=knn,recipe=full,precision=bf16 or a,mode"):
        verdict_of(store, "a,mode=knn,recipe=full,precision=bf16", "a,mode=mlp")


def test_sections_are_never_mixed_and_datasets_can_be_chosen(samples, store):
    for dataset in ("toy", "other"):
        for model in "ab":
            samples.evaluated(store, samples.cell(model, dataset=dataset), 0.8, dataset__title=dataset)
    verdicts, _ = compare(
        store.records()[0], parse_choice("a"), parse_choice("b"), Source(predictions=store.predictions, metrics=METRICS)
    )
    assert [verdict.dataset for verdict in verdicts] == ["other", "toy"]
    assert verdict_of(store, dataset="toy").dataset == "toy"


def test_tables_of_one_title_are_told_apart_by_what_they_hold(samples, store):
    for contents in ("ab12cd", "12ab34"):
        for model in "ab":
            cell = samples.cell(model, dataset=f"manifest@own~{contents}")
            samples.evaluated(store, cell, 0.8, dataset__title="own", dataset__manifest_sha256=contents)
    both = Source(predictions=store.predictions, metrics=METRICS)
    choices = [parse_choice(name) for name in "ab"]
    for asked, shown in ((None, ["own (12ab34)", "own (ab12cd)"]), ("manifest@own~ab12cd", ["own (ab12cd)"])):
        verdicts, _ = compare(store.records()[0], *choices, both, dataset=asked)
        assert [verdict.dataset for verdict in verdicts] == shown
        assert {verdict.dataset_name for verdict in verdicts} == {"manifest"}
    assert len(compare(store.records()[0], *choices, both, dataset="manifest")[0]) == 2
    held, _ = judge_claim(store.records()[0], parse_claim("a > b"), both)
    assert [one.dataset for one in held] == ["own (12ab34)", "own (ab12cd)"]


def test_unknown_names(samples, store):
    samples.evaluated(store, samples.cell("alpha"), 0.8)
    with pytest.raises(UnknownNameError, match="alpha"):
        verdict_of(store, "alpha", "alpah")
    with pytest.raises(UnknownNameError, match="toy"):
        verdict_of(store, "alpha", "alpha", dataset="toi")


def test_changed_predictions_are_said(samples, store):
    samples.evaluated(store, samples.cell("a"), 0.8)
    record = samples.evaluated(store, samples.cell("b"), 0.8)
    path = store.path(record.cell).with_suffix(".npz")
    path.write_bytes(path.read_bytes()[:-1])
    verdicts, problems = compare(
        store.records()[0], parse_choice("a"), parse_choice("b"), Source(predictions=store.predictions, metrics=METRICS)
    )
    assert verdicts == []
    assert any("changed after" in problem for problem in problems)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"protocol__ranked": False}, "a: the protocol is not ranked; b: the protocol is not ranked"),
        ({"model__inductive": False}, "a: a clip's score depends on its batch mates (not inductive)"),
    ],
)
def test_what_a_board_never_ranks_is_never_better(samples, store, changes, why):
    for seed in range(3):
        samples.evaluated(store, samples.cell("a", 1, seed), 0.95, **changes)
        samples.evaluated(
            store, samples.cell("b", 1, seed), 0.2, protocol__ranked=changes.get("protocol__ranked", True)
        )
    verdict = verdict_of(store)
    assert verdict.paired.interval.low > 0
    assert not verdict.resolved
    assert sentence(verdict).startswith(f"Whether a or b is better is not known ({why}): a is ahead by ")
    source = Source(predictions=store.predictions, metrics=METRICS)
    (held,), _ = judge_claim(store.records()[0], parse_claim("a > b"), source)
    assert held.outcome == "unresolved"
    assert f"Open whatever the clips say: {why}." in describe_claim(held)[0]


def test_why_one_of_two_has_no_rank_is_said(samples, store):
    for fold, seed in itertools.product((1, 2), range(3)):
        samples.evaluated(store, samples.cell("a", fold, seed), 0.95)
        if fold == 1:
            samples.evaluated(store, samples.cell("b", fold, seed), 0.2)
    assert "  not ranked: b: missing fold 2" in describe(verdict_of(store))
