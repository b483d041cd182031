"""What cells cost, and what does not fit a budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.cell import Cell
from bench.planning.costs import Cost, cost_key, cost_of, expected_seconds, with_costs
from bench.planning.plan import START_S
from bench.results.records import Failure, Record

from .plans import plan_of


def test_budget_decides_and_says_how_to_go_on(registry) -> None:
    plan = plan_of(registry, "net.small", folds=(1,), recipe="quick")
    cheap = with_costs(plan, {p.cell: Cost(step_s=0.1, infer_clip_s=0.001, fit_clip_s=None) for p in plan.cells})
    assert [p.decision for p in cheap.cells] == ["run", "run"]
    # 20 clips at batch 16 are 2 steps an epoch, 20 epochs: 40 steps.
    assert cheap.cells[0].cost_s == pytest.approx(40 * 0.1, abs=1)
    dear = with_costs(plan, {p.cell: Cost(step_s=10.0, infer_clip_s=1.0, fit_clip_s=None) for p in plan.cells})
    assert [p.decision for p in dear.cells] == ["over_budget", "over_budget"]
    assert "7 min" in dear.cells[0].reason
    assert "recipe.budget_seconds" in dear.cells[0].reason
    full = plan_of(registry, "net.small", folds=(1,), recipe="full")
    assert (
        with_costs(full, {full.cells[0].cell: Cost(step_s=1e3, infer_clip_s=1.0, fit_clip_s=None)}).cells[0].decision
        == "run"
    )


def test_a_cost_measured_beside_others_decides_only_far_from_the_budget(registry) -> None:
    plan = plan_of(registry, "net.small", folds=(1,), recipe="quick", overrides=("recipe.budget_seconds=10",))

    def decision(step_s: float, *, contended: bool) -> tuple[str, str]:
        cost = Cost(step_s=step_s, infer_clip_s=0.0, fit_clip_s=None, contended=contended)
        first = with_costs(plan, {p.cell: cost for p in plan.cells}).cells[0]
        return first.decision, first.cost_source

    assert decision(0.4, contended=False) == ("over_budget", "measured")
    assert decision(0.4, contended=True) == ("run", "measured beside others")
    assert decision(0.6, contended=True) == ("over_budget", "measured beside others")


def test_an_estimate_decides_only_far_from_the_budget(registry) -> None:
    plan = plan_of(registry, "net.small", folds=(1,), recipe="quick", overrides=("recipe.budget_seconds=10",))
    for step_s, decision in ((0.4, "run"), (0.6, "over_budget")):
        cost = Cost(step_s=step_s, infer_clip_s=0.0, fit_clip_s=None, source="estimated")
        first = with_costs(plan, {p.cell: cost for p in plan.cells}).cells[0]
        assert (first.decision, first.cost_source) == (decision, "estimated")


RAN = {"train_s": 8.0, "steps": 20, "infer_clips_per_s": 50.0}


@pytest.mark.parametrize(
    ("axes", "status", "timing", "cost"),
    [
        ({}, "ok", RAN, Cost(step_s=0.4, infer_clip_s=0.02, fit_clip_s=None)),
        ({"mode": "probe"}, "ok", RAN, Cost(step_s=0.0, infer_clip_s=0.02, fit_clip_s=None)),
        ({}, "ok", {**RAN, "steps": None}, Cost(step_s=None, infer_clip_s=0.02, fit_clip_s=0.2)),
        ({"weights": "masked", "mode": "finetune"}, "ok", RAN, None),
        ({}, "ok", {"train_s": 8.0}, None),
        ({}, "failed", RAN, None),
        ({}, "over_budget", {}, Cost(step_s=3.0, infer_clip_s=0.1, fit_clip_s=None)),
    ],
)
def test_what_a_cell_took_tells_what_its_model_costs(axes, status, timing, cost) -> None:
    cell = Cell(kind="evaluate", dataset="toy", protocol="4+1@1", fold=1, model="net.small", **axes)
    told = {"step_s": 3.0, "infer_clip_s": 0.1, "fit_clip_s": None, "pretrain_step_s": None}
    record = Record(
        cell=cell, status=status, recipe={}, environment={}, timing=timing, started_at="2026-01-01T00:00:00+00:00",
        provenance={"dataset": {"train": 40}, **({"cost": told} if status == "over_budget" else {})},
        error=None if status == "ok" else Failure(reason="budget", stage="train", message="long"),
    )  # fmt: skip
    assert cost_of(record) == cost
    if status == "over_budget":
        for wrong in ({**told, "step_s": -1.0}, {"step_s": "long"}, 5, None):
            assert cost_of(record.model_copy(update={"provenance": {"cost": wrong}})) is None


def test_the_expected_seconds_hold_validation_and_embeddings(registry) -> None:
    (planned,) = plan_of(registry, "net.small", folds=(1,), recipe="quick", profile=False).cells
    planned = replace(planned, test_clips=500, validation_clips=100)
    cost = Cost(step_s=0.0, infer_clip_s=0.01, fit_clip_s=None)
    without = replace(planned, validation_clips=0)
    epochs = planned.recipe.epochs
    seconds = expected_seconds(planned, cost)
    assert seconds > epochs * 100 * 0.01 + 500 * 0.01 + 2 * 400 * 0.01 + 1
    assert seconds - expected_seconds(without, cost) == pytest.approx(epochs - 2.4, abs=0.01)


def test_unknown_cost_is_no_number(registry) -> None:
    plan = with_costs(plan_of(registry, "net.small", folds=(1,)), {})
    assert plan.cells[0].cost_s is None
    assert plan.eta_s(2) is None


def test_eta_counts_slots_and_profile_cells_apart(registry) -> None:
    plan = plan_of(registry, "net.small", recipe="full")
    cost = Cost(step_s=1.0, infer_clip_s=0.01, fit_clip_s=None)
    priced = with_costs(plan, {p.cell: cost for p in plan.cells})
    evaluate = [p for p in priced.cells if p.cell.kind == "evaluate"]
    profile = sum(p.cost_s for p in priced.cells if p.cell.kind == "profile")
    assert priced.eta_s(1) == pytest.approx(sum(p.cost_s for p in evaluate) + profile + 8)
    assert priced.eta_s(3) < priced.eta_s(1)
    assert priced.eta_s(100) >= evaluate[0].cost_s


def test_cells_that_publish_nothing_count_the_start_of_their_image_once(registry) -> None:
    cost = Cost(step_s=1.0, infer_clip_s=0.01, fit_clip_s=None)

    def starts(recipe: str, **more: Any) -> float:
        plan = plan_of(registry, "net.small", recipe=recipe, **more)
        priced = with_costs(plan, {p.cell: cost for p in plan.cells})
        return priced.eta_s(1) - sum(p.cost_s for p in priced.cells)

    assert starts("smoke", processes=1) == pytest.approx(START_S)
    assert starts("smoke", processes=3) == pytest.approx(3 * START_S), "further processes of a model are no forks"
    assert starts("full", processes=3) == pytest.approx(4 * START_S)
    assert starts("full", processes=3, overrides=("recipe.publishable=false",)) == pytest.approx(3 * START_S)


def test_cells_beside_some_that_publish_find_no_image(registry) -> None:
    """The one process that all cells of a run could be forked from is that of a run which publishes nothing."""
    cost = Cost(step_s=1.0, infer_clip_s=0.01, fit_clip_s=None)
    brief, full = (plan_of(registry, "net.small", recipe=recipe, processes=1) for recipe in ("smoke", "full"))
    both = replace(brief, cells=(*brief.cells, *full.cells))
    priced = with_costs(both, {p.cell: cost for p in both.cells})
    profile = [p for p in priced.cells if p.cell.kind == "profile"]
    assert len(profile) == 2
    assert priced.eta_s(1) - sum(p.cost_s for p in priced.cells) == pytest.approx(3 * START_S)


def test_cost_key_ignores_fold_and_seed(registry) -> None:
    plan = plan_of(registry, "net.small", seeds=(0, 1), profile=False)
    assert len({cost_key(p, registry, 1) for p in plan.cells}) == 1
    assert cost_key(plan.cells[0], registry, 1) != cost_key(plan.cells[0], registry, 2)


def test_estimator_cost(registry) -> None:
    planned = plan_of(registry, "net.small", folds=(1,)).cells[0]
    seconds = expected_seconds(planned, Cost(step_s=None, infer_clip_s=0.1, fit_clip_s=0.2))
    assert seconds == pytest.approx(0.5 + 20 * 0.2 + 10 * 0.1)
