"""Plans as values: what is selected, what it costs, what does not fit a budget."""

from __future__ import annotations

import numpy as np
import pytest

from bench.clips import Clips
from bench.discovery import load_modules
from bench.errors import NoCellError, UnknownNameError
from bench.plan import Loaded, Selection, expand, select_models
from bench.pricing import Cost, cost_key, expected_seconds, with_costs
from bench.specs import DatasetSpec, FrontendSpec, ModelSpec, ProtocolSpec
from bench.testing.fakes import fake_plugin

MODELS = [
    ModelSpec(name="net.small", factory="json:loads", frontend="mel", frontends=("fancy",), sets=("default",)),
    ModelSpec(
        name="net.stored", factory="json:loads", frontend="mel", alias_of="net.small", axes={"feeding": "precomputed"}
    ),
    ModelSpec(name="net.fancy", factory="json:loads", frontend="mel", alias_of="net.small", axes={"frontend": "fancy"}),
    ModelSpec(name="pair", factory="json:loads", modalities=("audio", "image")),
    ModelSpec(name="views", factory="json:loads", modalities=("audio", "image"), derived=("image",)),
    ModelSpec(name="keen", factory="json:loads", optional_modalities=("text",)),
]


@pytest.fixture
def registry():
    specs = [
        *MODELS,
        DatasetSpec(name="set", load="json:loads", protocols=("4+1",), groups="source"),
        FrontendSpec(name="mel", factory="json:loads"),
        FrontendSpec(name="fancy", factory="json:loads", trainable=True),
        ProtocolSpec(name="4+1"),
    ]
    return load_modules(fake_plugin("fakes", specs)).registry


def loaded(registry, *, texts=None, images=False) -> dict[str, Loaded]:
    clips = Clips(
        title="Set", ids=tuple(map(str, range(30))), targets=np.arange(30) % 3, label_names=("a", "b", "c"),
        audio=lambda _: (np.zeros(4, dtype=np.float32), 8), sample_rate=8, clip_samples=4, manifest_sha256="m",
        folds=np.repeat([1, 2, 3], 10), groups=tuple(map(str, range(30))), texts=texts,
        images=(lambda _: np.zeros((1, 1, 28, 28), dtype=np.float32)) if images else None,
    )  # fmt: skip
    return {"set": Loaded.of(registry.datasets["set"], clips)}


def plan_of(registry, *models: str, data=None, **selection):
    chosen = Selection(models=models, datasets=("set",), **selection)
    return expand(chosen, registry, data or loaded(registry))


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


def test_an_alias_is_its_axes(registry) -> None:
    plan = plan_of(registry, "net", folds=(1,), profile=False)
    axes = {(p.cell.model, p.cell.frontend, p.cell.feeding) for p in plan.cells}
    assert axes == {("net.small", "mel", "fly"), ("net.small", "mel", "precomputed"), ("net.small", "fancy", "fly")}
    assert {p.decision for p in plan.cells} == {"run"}


def test_misfits_have_reasons(registry) -> None:
    reasons = {p.cell.model: p.reason for p in plan_of(registry, "all", folds=(1,), frontend="fancy").cells if p.reason}
    assert reasons["pair"] == "needs image; set gives audio; does not take front end 'fancy'; it takes waveform"
    trained = plan_of(registry, "net.small", frontend="fancy", feeding="precomputed", folds=(1,)).cells[0]
    assert trained.reason == "front end 'fancy' is trained: its features cannot be precomputed"


def test_inputs_given_derived_and_optional(registry) -> None:
    audio_only = {p.cell.model: p.cell.inputs for p in plan_of(registry, "views", "keen", folds=(1,)).cells}
    assert audio_only == {"views": "audio+image.derived", "keen": "audio"}
    rich = loaded(registry, texts=("word",) * 30, images=True)
    everything = {p.cell.model: p.cell.inputs for p in plan_of(registry, "views", "keen", data=rich, folds=(1,)).cells}
    assert everything == {"views": "audio+image", "keen": "audio+text"}


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


def test_limit_is_part_of_the_name_and_of_the_cost(registry) -> None:
    cut = plan_of(registry, "net.small", folds=(1,), limit=5, profile=False).cells[0]
    assert cut.cell.recipe == "quick@limit5"
    assert (cut.train_clips, cut.test_clips) == (5, 5)


def test_fingerprint_follows_what_a_result_depends_on(registry) -> None:
    def mark(**selection) -> str:
        return plan_of(registry, "net.small", folds=(1,), profile=False, **selection).cells[0].fingerprint

    base = mark()
    assert mark() == base
    others = [
        mark(recipe="full"),
        mark(seeds=(1,)),
        mark(limit=3),
        mark(overrides=("recipe.lr=0.5",)),
        mark(frontend="fancy"),
    ]
    assert len({base, *others}) == 6


def test_cost_key_ignores_fold_and_seed(registry) -> None:
    plan = plan_of(registry, "net.small", seeds=(0, 1), profile=False)
    assert len({cost_key(p, registry, 1) for p in plan.cells}) == 1
    assert cost_key(plan.cells[0], registry, 1) != cost_key(plan.cells[0], registry, 2)


def test_estimator_cost(registry) -> None:
    planned = plan_of(registry, "net.small", folds=(1,)).cells[0]
    seconds = expected_seconds(planned, Cost(step_s=None, infer_clip_s=0.1, fit_clip_s=0.2))
    assert seconds == pytest.approx(0.5 + 20 * 0.2 + 10 * 0.1)
