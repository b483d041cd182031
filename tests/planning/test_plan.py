"""Plans as values: what is selected, what it costs, what does not fit a budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.builtin import bench_add_protocols
from bench.cell import Cell
from bench.clips import Clips
from bench.config.selection import Selection, select_models
from bench.errors import DataError, NoCellError, SelectionError, UnknownNameError
from bench.planning.axes import choose_axes
from bench.planning.costs import Cost, cost_key, cost_of, expected_seconds, with_costs
from bench.planning.fingerprints import Loaded
from bench.planning.plan import default_protocol, expand
from bench.plugins.discovery import load_modules
from bench.plugins.specs import DatasetSpec, FrontendSpec, ModelSpec, ProtocolSpec
from bench.protocols.split import make_split
from bench.results.records import Failure, Record
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
    ModelSpec(
        name="either", factory="json:loads", modalities=(), optional_modalities=("audio", "image"), frontend="mel",
        frontends=("given",), pretrain="json:dumps",
    ),
    ModelSpec(
        name="either.tuned", factory="json:loads", modalities=(), optional_modalities=("audio", "image"),
        frontend="mel", alias_of="either", axes={"mode": "finetune", "weights": "masked", "inputs": "audio"},
    ),
    ModelSpec(
        name="views.control", factory="json:loads", modalities=("audio", "image"), derived=("image",),
        alias_of="views", axes={"inputs": "audio.shuffled+image"},
    ),
    ModelSpec(name="forest", factory="json:loads", estimator=True),
    ModelSpec(name="bert", factory="json:loads", needs_weights=True),
]  # fmt: skip


@pytest.fixture
def registry():
    specs = [
        *MODELS,
        DatasetSpec(name="set", load="json:loads", protocols=("4+1",), groups="source"),
        FrontendSpec(name="mel", factory="json:loads"),
        FrontendSpec(name="fancy", factory="json:loads", trainable=True),
        FrontendSpec(name="given", factory="json:loads"),
        ProtocolSpec(name="4+1"),
    ]
    return load_modules(fake_plugin("fakes", specs)).registry


def loaded(registry, *, texts=None, images=False, features=False) -> dict[str, Loaded]:
    clips = Clips(
        title="Set", ids=tuple(map(str, range(30))), targets=np.arange(30) % 3, label_names=("a", "b", "c"),
        audio=None if features else lambda _: (np.zeros(4, dtype=np.float32), 8), sample_rate=8, clip_samples=4,
        manifest_sha256="m", folds=np.repeat([1, 2, 3], 10), groups=tuple(map(str, range(30))), texts=texts,
        features=np.zeros((30, 3, 5), dtype=np.float32) if features else None,
        images=(lambda _: np.zeros((1, 1, 28, 28), dtype=np.float32)) if images else None,
    )  # fmt: skip
    return {"set": Loaded(entry=registry.datasets["set"], clips=clips)}


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


def test_an_alias_is_its_axes(registry) -> None:
    plan = plan_of(registry, "net", folds=(1,), profile=False)
    axes = {(p.cell.model, p.cell.frontend, p.cell.feeding) for p in plan.cells}
    assert axes == {("net.small", "mel", "fly"), ("net.small", "mel", "precomputed"), ("net.small", "fancy", "fly")}
    assert {p.decision for p in plan.cells} == {"run"}


def test_incompatible_pairs_have_reasons(registry) -> None:
    reasons = {p.cell.model: p.reason for p in plan_of(registry, "all", folds=(1,), frontend="fancy").cells if p.reason}
    assert reasons["pair"] == "needs image; Set gives audio; does not take front end 'fancy'; it takes waveform"
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


def one(registry, model: str, data=None, **selection):
    """The first evaluate cell of a model on one fold."""
    return plan_of(registry, model, data=data, folds=(1,), profile=False, **selection).cells[0]


def test_an_aliass_mode_weights_and_inputs_hold_unless_the_selection_says_otherwise(registry) -> None:
    rich = loaded(registry, images=True)
    fixed = one(registry, "either.tuned", rich)
    assert (fixed.cell.model, fixed.cell.mode, fixed.cell.weights, fixed.cell.inputs) == (
        "either", "finetune", "masked", "audio",
    )  # fmt: skip
    assert fixed.decision == "run"
    own = ModelSpec(name="own", factory="json:loads", axes={"mode": "finetune", "weights": "masked"}, pretrain="a:b")
    alias = ModelSpec(name="own.probe", factory="json:loads", alias_of="own", axes={"mode": "probe"})
    both = load_modules(fake_plugin("own", [own, alias])).registry
    chosen = choose_axes(Selection(), both, alias, loaded(registry)["set"].clips)
    assert (chosen.mode, chosen.weights, chosen.problem) == ("probe", "masked", "")
    other = one(registry, "either.tuned", rich, mode="probe", weights="random", inputs="image")
    assert (other.cell.mode, other.cell.weights, other.cell.inputs) == ("probe", "random", "image")


def test_modes_get_their_own_recipe(registry) -> None:
    specs = [
        ModelSpec(
            name="tuned", factory="json:loads", frontend="mel", pretrain="json:dumps",
            recipes={"*": {"lr": 0.25}, "*@finetune": {"lr": 0.5}},
        ),
        DatasetSpec(name="set", load="json:loads", groups="source"),
        FrontendSpec(name="mel", factory="json:loads"),
        ProtocolSpec(name="4+1"),
    ]  # fmt: skip
    own = load_modules(fake_plugin("own", specs)).registry
    assert one(own, "tuned").recipe.lr == 0.25
    assert one(own, "tuned", mode="finetune", weights="masked").recipe.lr == 0.5


@pytest.mark.parametrize(
    ("model", "selection", "reason"),
    [
        (
            "either",
            {"mode": "attention"},
            "gives one vector a clip and no frames, which mode attention pools; use --mode probe or knn or logistic or "
            "neighbours or mlp or prototypes",
        ),
        ("forest", {"mode": "attention"}, "is an estimator, fitted from scratch: it has no attention"),
        (
            "either",
            {"weights": "masked"},
            "mode scratch starts from random weights, not from masked; use --mode finetune or probe or knn or "
            "logistic or neighbours or mlp or prototypes",
        ),
        (
            "either.tuned",
            {"weights": "random"},
            "mode finetune needs weights to start from; add --weights masked or --weights FILE",
        ),
        ("net.small", {"mode": "probe", "weights": "masked"}, "has no masked pre-training; use --weights FILE"),
        ("forest", {"mode": "probe"}, "is an estimator, fitted from scratch: it has no probe"),
        ("forest", {"weights": "masked"}, "is an estimator, fitted from scratch: it has no start from weights"),
        ("bert", {}, "never starts at random; add --weights FILE"),
        ("pair", {}, "needs image; Set gives audio"),
        ("net.small", {"inputs": "audio+image"}, "does not take image; it takes audio"),
        ("either", {"inputs": "image"}, "needs image; Set gives audio"),
        ("either", {"inputs": "audio+image.shuffled"}, "needs image; Set gives audio"),
        ("either", {"inputs": "audio+image.derived"}, "does not take a derived image"),
        ("either", {"inputs": "audio.missing"}, "audio missing leaves nothing to test on"),
        ("views", {"inputs": "audio"}, "needs image, which inputs 'audio' leave out"),
        ("views", {"inputs": "audio+image.missing"}, "cannot do without image in test; it can do without nothing"),
        (
            "net.small",
            {"frontend": "given"},
            "front end 'given' is for data with published features; Set gives waveforms",
        ),
    ],
)
def test_each_incompatible_pair_has_one_clear_reason(registry, model: str, selection, reason: str) -> None:
    planned = one(registry, model, **selection)
    assert planned.decision == "incompatible"
    assert planned.reason == reason


def test_a_model_without_needs_takes_what_there_is_but_not_nothing(registry) -> None:
    assert one(registry, "either").cell.inputs == "audio"
    assert one(registry, "either", loaded(registry, images=True)).cell.inputs == "audio+image"
    specs = [
        ModelSpec(name="seer", factory="json:loads", modalities=(), optional_modalities=("image", "text")),
        DatasetSpec(name="set", load="json:loads", groups="source"),
        ProtocolSpec(name="4+1"),
    ]
    blind = one(load_modules(fake_plugin("own", specs)).registry, "seer")
    assert (blind.decision, blind.reason) == ("incompatible", "needs one of image, text; Set gives audio")


def test_inputs_are_written_in_the_models_order_and_derived_where_nothing_is_given(registry) -> None:
    rich = loaded(registry, images=True)
    assert one(registry, "views", rich, inputs="image+audio.shuffled").cell.inputs == "audio.shuffled+image"
    assert one(registry, "views.control", rich).cell.inputs == "audio.shuffled+image"
    assert one(registry, "views.control").cell.inputs == "audio.shuffled+image.derived"
    assert one(registry, "either", rich, inputs="image.missing+audio").cell.inputs == "audio+image.missing"
    assert one(registry, "keen", loaded(registry, texts=("word",) * 30), inputs="audio").cell.inputs == "audio"


def test_published_features_have_a_front_end_of_their_own(registry) -> None:
    data = loaded(registry, features=True)
    good = one(registry, "either", data)
    assert (good.cell.frontend, good.cell.feeding, good.decision) == ("given", "precomputed", "run")
    assert one(registry, "net.small", data).reason == "does not take front end 'given'; it takes fancy, mel"
    assert "no waveform for front end 'mel'" in one(registry, "either", data, frontend="mel").reason
    assert "nothing is computed per batch" in one(registry, "either", data, feeding="fly").reason
    assert "gives no waveform to derive it from" in one(registry, "views", data).reason


def test_a_weights_file_names_itself_in_cell_and_fingerprint(registry, tmp_path) -> None:
    weights = tmp_path / "ssl.safetensors"
    weights.write_bytes(b"one")
    first = one(registry, "net.small", mode="finetune", weights=str(weights))
    assert first.decision == "run"
    assert first.cell.weights.startswith("ssl~")
    assert first.cell.weights in first.cell.id
    long = tmp_path / f"{'x' * 200}.pt"
    long.write_bytes(b"one")
    assert len(one(registry, "net.small", mode="finetune", weights=long).cell.id.rpartition("/")[2]) < 200
    weights.write_bytes(b"two")
    second = one(registry, "net.small", mode="finetune", weights=weights)
    assert first.cell.weights != second.cell.weights
    probed = one(registry, "net.small", mode="probe", weights=weights)
    renamed = one(registry, "net.small", mode="probe", weights=weights, weights_prefix="net.=")
    assert renamed.cell.weights == probed.cell.weights.replace("~", "+net._~")
    marks = {p.fingerprint for p in (first, second, probed, renamed, one(registry, "net.small"))}
    assert len(marks) == 5


def test_what_cannot_be_meant_is_refused_before_any_data(registry) -> None:
    with pytest.raises(SelectionError, match=r"--weights masked .* or --weights FILE"):
        plan_of(registry, "net.small", mode="finetune")
    with pytest.raises(SelectionError, match="'finetun' is not one of scratch, finetune, probe, knn"):
        plan_of(registry, "net.small", mode="finetun")
    with pytest.raises(SelectionError, match=r"cannot be 'shufled'"):
        plan_of(registry, "net.small", inputs="audio.shufled")
    with pytest.raises(SelectionError, match=r"neither 'masked' nor a file; looked for .*nowhere\.pt"):
        plan_of(registry, "net.small", mode="probe", weights="nowhere.pt")
    for start, prefix in ((None, "net.="), ("masked", "net.="), ("x.pt", "net.")):
        with pytest.raises(SelectionError, match=r"beside --weights FILE as OLD=NEW, e\.g\. net\.="):
            plan_of(registry, "net.small", mode="probe", weights=start, weights_prefix=prefix)
    assert one(registry, "either.tuned", mode="finetune").cell.weights == "masked"


def test_fingerprint_follows_pretraining_and_tokenizer_sources(tmp_path, monkeypatch) -> None:
    from bench.results.provenance import source_hash

    monkeypatch.syspath_prepend(tmp_path)
    sources = {name: tmp_path / f"own_{name}.py" for name in ("masking", "words")}
    specs = [
        ModelSpec(
            name="net", factory="json:loads", modalities=("audio", "text"), pretrain="own_masking:build",
            tokenizer="own_words:build",
        ),
        DatasetSpec(name="set", load="json:loads", groups="source"),
        ProtocolSpec(name="4+1"),
    ]  # fmt: skip
    own = load_modules(fake_plugin("own", specs)).registry
    data = loaded(own, texts=("word",) * 30)

    def marks(masking: str, words: str) -> tuple[str, str]:
        sources["masking"].write_text(masking)
        sources["words"].write_text(words)
        source_hash.cache_clear()
        masked = one(own, "net", data, mode="finetune", weights="masked").fingerprint
        return masked, one(own, "net", data).fingerprint

    base = marks("a = 1", "b = 1")
    assert base == marks("a = 1", "b = 1")
    masking, words = marks("a = 2", "b = 1"), marks("a = 1", "b = 2")
    assert masking[0] != base[0]
    assert masking[1] == base[1]
    assert words[0] != base[0]
    assert words[1] != base[1]


def test_fingerprint_follows_the_code_of_data_sets_front_ends_and_their_helpers(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("data", "front", "helper", "unrelated"):
        (tmp_path / f"such_{name}.py").write_text("import such_helper" if name in ("data", "front") else "")
    specs = [
        ModelSpec(name="net", factory="json:loads", frontend="own"),
        ModelSpec(name="raw", factory="json:loads"),
        DatasetSpec(name="set", load="such_data:load", groups="source"),
        FrontendSpec(name="own", factory="such_front:build"),
        ProtocolSpec(name="4+1"),
    ]
    own = load_modules(fake_plugin("such", specs)).registry

    def marks() -> list[str]:
        return [one(own, name, loaded(own)).fingerprint for name in ("net", "raw")]

    for name, changes in (("unrelated", (False, False)), ("front", (True, False)), ("data", (True, True))):
        before = marks()
        (tmp_path / f"such_{name}.py").write_text("import such_helper  # edited")
        assert tuple(a != b for a, b in zip(before, marks(), strict=True)) == changes
    before = marks()
    (tmp_path / "such_helper.py").write_text("# edited")
    assert not set(before) & set(marks())


def test_only_data_sets_of_the_user_carry_their_contents(registry) -> None:
    (data,) = loaded(registry).values()
    clips = replace(data.clips, title="My birds, 2", contents_sha256="ab12cd" + 58 * "0")
    assert replace(data, clips=clips).label == "set@My_birds__2~ab12cd"
    cell = one(registry, "forest", {"set": replace(data, clips=clips)}).cell
    assert (cell.data_name, cell.id.partition("/")[0]) == ("set", "set@My_birds__2~ab12cd")
    for own in ({"needs_files": False}, {"manifest_sha256": "m"}, {"archive_sha256": "a"}):
        entry = replace(data.entry, spec=replace(data.entry.spec, **own))
        assert replace(data, clips=clips, entry=entry).label == "set"


def test_a_progress_line_names_what_is_unusual() -> None:
    cell = Cell(kind="evaluate", dataset="d", protocol="4+1@1", fold=1, model="m")
    assert cell.short == "m on d fold 1 seed 0"
    tuned = replace(cell, mode="finetune", weights="masked", inputs="audio.shuffled+image")
    assert tuned.short == "m (audio.shuffled+image), finetune from masked, on d fold 1 seed 0"
    assert replace(cell, inputs="audio+image.derived").short == cell.short


@pytest.fixture
def two_sets():
    """A set with three folds of twenty clips, one with a published split only, and protocols for either."""
    specs = [
        ModelSpec(name="net", factory="json:loads"),
        DatasetSpec(name="set", load="json:loads"),
        DatasetSpec(name="split", load="json:loads", protocols=("official",)),
        *bench_add_protocols(),
    ]
    registry = load_modules(fake_plugin("two", specs)).registry
    clips = loaded(registry)["set"].clips
    divided = replace(clips, title="Split", folds=None, splits=("train", "train", "test") * 10)
    both = {"set": clips, "split": divided}
    return registry, {name: Loaded(entry=registry.datasets[name], clips=both[name]) for name in both}


def decided(two_sets, **selection) -> dict[tuple[str, int], tuple[str, str]]:
    registry, data = two_sets
    plan = expand(Selection(models=("net",), datasets=tuple(data), **selection), registry, data)
    return {(p.cell.dataset, p.cell.fold, p.cell.kind): (p.decision, p.reason) for p in plan.cells}


def test_a_set_without_the_fold_is_named_and_the_others_run(two_sets) -> None:
    """It ended the whole run."""
    assert decided(two_sets, folds=(1,)) == {
        ("set", 1, "evaluate"): ("run", ""),
        ("set", 0, "profile"): ("run", ""),
        ("split", 1, "evaluate"): ("incompatible", "Split has no fold 1; it has 0"),
    }
    with pytest.raises(DataError, match=r"Set has no fold 7; it has 1, 2, 3; Split has no fold 7; it has 0"):
        decided(two_sets, folds=(1, 7))


def test_a_set_that_lacks_what_the_protocol_needs_is_named_and_the_others_run(two_sets) -> None:
    cells = decided(two_sets, protocol="4+1", profile=False)
    assert {key for key, (decision, _) in cells.items() if decision == "run"} == {
        ("set", fold, "evaluate") for fold in (1, 2, 3)
    }
    decision, reason = cells["split", 0, "evaluate"]
    assert decision == "incompatible"
    assert reason.startswith("Split has no folds, which protocol '4+1' needs; --protocol may be grouped-10, ")
    assert "official, " in reason


@pytest.mark.parametrize(
    ("changes", "protocol"),
    [
        ({}, "grouped-folds"), ({"groups": None}, "4+1"), ({"folds_to_draw": 3}, "grouped-5"),
        ({"folds_to_draw": 3, "groups": None}, "4+1"), ({"folds": None, "splits": ("train", "test") * 15}, "official"),
        ({"folds": None}, "grouped-5"), ({"folds": None, "groups": None}, "grouped-folds"),
    ],
)  # fmt: skip
def test_the_first_protocol_that_suits_the_clips_is_the_default(two_sets, changes, protocol) -> None:
    registry, data = two_sets
    spec = replace(data["set"].entry.spec, protocols=("grouped-folds", "4+1", "official"))
    clips = replace(data["set"].clips, **{"groups": tuple(f"g{i}" for i in range(30)), **changes})
    assert default_protocol(Loaded(entry=replace(data["set"].entry, spec=spec), clips=clips), registry) == protocol


def test_a_protocol_that_no_set_has_what_it_takes_for_is_one_error(two_sets) -> None:
    with pytest.raises(DataError, match="Set has no published train/test split and no validation clips"):
        decided(two_sets, protocol="official-val")


def test_a_protocol_of_a_stranger_runs_where_the_clips_have_what_it_needs(two_sets) -> None:
    assert "few-shot-1" not in two_sets[0].datasets["set"].spec.protocols
    cells = decided(two_sets, protocol="few-shot-1", seeds=(0, 1), profile=False, folds=(2,))
    assert cells["set", 2, "evaluate"] == ("run", "")
    registry, data = two_sets
    chosen = Selection(models=("net",), datasets=("set",), protocol="few-shot-2", seeds=(0, 1), profile=False)
    plan = expand(chosen, registry, data)
    assert [(p.train_clips, p.test_clips) for p in plan.cells] == [(6, 10)] * 6
    assert len({p.fingerprint for p in plan.cells}) == 6


def test_too_few_clips_for_a_draw_are_named_for_the_set_that_has_them(two_sets) -> None:
    with pytest.raises(DataError, match="Set: outside fold 1 'a' has 6, 'b' has 7, 'c' has 7 of 20 clips needed"):
        decided(two_sets, protocol="few-shot-20")


def test_a_recipe_chosen_on_a_part_is_chosen_on_the_whole_and_an_estimator_reads_none_of_it() -> None:
    chosen = {"*": {"lr": 0.5, "tuned_on": ({"dataset": "part", "folds": (1,), "settings": ("lr",)},)}}
    specs = [
        ModelSpec(name="net", factory="json:loads", recipes=chosen),
        ModelSpec(name="forest", factory="json:loads", recipes=chosen, estimator=True),
        DatasetSpec(name="set", load="json:loads"),
        DatasetSpec(name="part", load="json:loads", part_of="set"),
        DatasetSpec(name="other", load="json:loads"),
        *bench_add_protocols(),
    ]
    registry = load_modules(fake_plugin("parts", specs)).registry
    clips = loaded(registry)["set"].clips
    data = {name: Loaded(entry=registry.datasets[name], clips=clips) for name in ("set", "part", "other")}
    plan = expand(Selection(models=("net", "forest"), datasets=tuple(data), profile=False), registry, data)
    seen = {(p.cell.model, p.cell.dataset): [entry.dataset for entry in p.recipe.tuned_on] for p in plan.cells}
    assert seen == {
        ("net", "set"): ["part", "set"], ("net", "part"): ["part"], ("net", "other"): ["part"],
        **{("forest", name): [] for name in data},
    }  # fmt: skip
    plain = load_modules(fake_plugin("plain", [replace(specs[0], recipes={"*": {"lr": 0.5}}), *specs[1:]])).registry
    again = expand(Selection(models=("net", "forest"), datasets=tuple(data), profile=False), plain, data)
    assert [p.fingerprint for p in again.cells] == [p.fingerprint for p in plan.cells]


def test_inner_division_leaves_the_outer_fold_out(two_sets) -> None:
    registry, data = two_sets
    split = make_split(registry.protocols["inner"], data["set"].clips, 3)
    folds = np.asarray(data["set"].clips.folds)
    assert {*folds[split.train]} == {2}
    assert {*folds[split.test]} == {1}
    assert len(split.validation) == 0
