"""A claimed ranking against synthetic records."""

from __future__ import annotations

import numpy as np
import pytest

from bench import builtin
from bench.analysis.comparison import Source
from bench.analysis.ranking_claim import judge_claim, parse_claim
from bench.cli.claim import describe, headers, rows
from bench.errors import SelectionError
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.results.store import Store

METRICS = catalog(load_modules(builtin).registry)


SEEDS = range(3)


@pytest.fixture
def store(samples, tmp_path):
    """Three models: 0.9, 0.88 (on the same clips) and 0.5."""
    store = Store(tmp_path)
    for model, accuracy in (("good", 0.9), ("near", 0.89), ("poor", 0.5)):
        for seed in SEEDS:
            rng = np.random.default_rng([seed, len(model), ord(model[0])])
            arrays = samples.fold_arrays(1, accuracy, rng)
            samples.evaluated(store, samples.cell(model, 1, seed), accuracy, arrays=arrays)
    return store


def held(store, claim):
    found, problems = judge_claim(
        store.records()[0], parse_claim(claim), Source(predictions=store.predictions, metrics=METRICS)
    )
    assert not problems
    (one,) = found
    return one


def test_a_clear_step_is_confirmed_and_its_reverse_contradicted(store):
    assert held(store, "good > poor").outcome == "confirmed"
    assert held(store, "poor > good").outcome == "contradicted"
    assert describe(held(store, "poor > good"))[1] == (
        "The claimed order is contradicted: steps that go the other way: 1 of 1."
    )


def test_a_step_below_the_resolution_stays_open(store):
    one = held(store, "good = 99.0 > near = 98.9 > poor = 50")
    assert [step.outcome for step in one.steps] == ["unresolved", "confirmed"]
    assert one.outcome == "unresolved"
    assert one.steps[0].claimed == pytest.approx(0.001)
    assert one.resolution is not None
    assert one.resolution > 0.001
    first, last = describe(one)
    assert "Minimum detectable difference: " in first
    assert last == "The claimed order is not resolvable here: open steps: 1 of 2."
    assert rows(one)[0][:2] == ["good > near", "+0.10"]


def test_p_values_are_those_of_the_board_whatever_is_claimed(store):
    alone = held(store, "near > poor").steps[0].verdict
    among = held(store, "good > near > poor").steps[1].verdict
    assert alone.p_adjusted == among.p_adjusted > alone.paired.p_value == among.paired.p_value


def test_below_three_seeds_nothing_is_confirmed(samples, store):
    for seed in (1, 2):
        store.path(samples.cell("poor", 1, seed)).unlink()
    one = held(store, "good > poor")
    assert one.outcome == "unresolved"
    assert rows(one)[0][4] == "-"


@pytest.mark.parametrize(
    ("text", "words"),
    [("a", "names one model"), ("a > a", "names a twice"), ("a > ", "empty place")],
)
def test_what_is_no_claim(text, words):
    with pytest.raises(SelectionError, match=words):
        parse_claim(text)


def test_a_percentage_above_a_hundred_is_refused(store):
    with pytest.raises(SelectionError, match="good = 120 is no percentage of accuracy"):
        held(store, "good = 120 > poor = 50")


def test_a_loss_is_claimed_the_other_way_round(store):
    source = Source(predictions=store.predictions, metrics=METRICS, metric="log_loss")
    (one,), problems = judge_claim(store.records()[0], parse_claim("good = 0.5 > poor = 2.5"), source)
    assert not problems
    assert one.outcome == "confirmed"
    assert one.steps[0].verdict.paired.difference < 0 < one.steps[0].verdict.lead
    assert rows(one)[0][1] == "-2.00"
    assert headers(one)[1:3] == ["claimed nats", "measured nats"]
    assert describe(one)[0].endswith(" nats.")


def test_axes_may_be_named():
    first, second = parse_claim("m,mode=finetune = 70 > m,mode=scratch = 65.5")
    assert first[0].axes == (("mode", "finetune"),)
    assert (first[1], second[1]) == (70, 65.5)


def test_a_model_without_results_is_said(samples, store):
    samples.ended(store, samples.cell("dead"), "failed", "nan", "train", "the loss became NaN")
    found, problems = judge_claim(
        store.records()[0], parse_claim("good > dead"), Source(predictions=store.predictions, metrics=METRICS)
    )
    assert not found
    assert problems


def test_sections_of_one_name_are_judged_apart(samples, tmp_path):
    store = Store(tmp_path)
    other = {**samples.provenance("")["protocol"], "hash": "feedfeedfeedfeed"}
    for seed in SEEDS:
        for model, accuracy in (("a", 0.95), ("b", 0.3)):
            samples.evaluated(store, samples.cell(model, 1, seed), accuracy)
            samples.evaluated(store, samples.cell(model, 2, seed), 1.2 - accuracy, protocol=other)
    source = Source(predictions=store.predictions, metrics=METRICS)
    found, problems = judge_claim(store.records()[0], parse_claim("a > b"), source)
    assert not problems
    assert {one.dataset.rpartition(" (")[2]: (one.outcome, len(one.steps)) for one in found} == {
        "protocol hash 012345)": ("confirmed", 1),
        "protocol hash feedfe)": ("contradicted", 1),
    }


def test_the_first_line_covers_every_step(samples, store):
    for seed in (1, 2):
        store.path(samples.cell("poor", 1, seed)).unlink()
    for seed in SEEDS:
        samples.evaluated(store, samples.cell("good", 2, seed), 0.9)
        samples.evaluated(store, samples.cell("near", 2, seed), 0.89)
    one = held(store, "good > near > poor")
    size = f"{samples.CLIPS} to {2 * samples.CLIPS} shared clips in {samples.CLIPS // 2} to {samples.CLIPS} groups"
    assert f"{size}, 1 to 3 seeds. " in describe(one)[0]
    assert "Open whatever the clips say: 1 seed of at least 3." in describe(one)[0]
    assert headers(one)[3] == "95 % interval"
    assert headers(held(store, "near > poor"))[3] == "95 % interval over clips only"


def test_no_p_value_claims_more_than_its_test_can(samples, store):
    for model, accuracy in (("always", 1.1), ("never", -1.0)):
        for seed in SEEDS:
            samples.evaluated(store, samples.cell(model, 1, seed), accuracy)
    assert rows(held(store, "always > never"))[0][4:6] == ["< 0.0001", "< 0.0001"]
