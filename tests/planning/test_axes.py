"""Modes, weights, inputs and front ends of a cell, and why a pair does not fit."""

from __future__ import annotations

import pytest

from bench.config.selection import Selection
from bench.errors import SelectionError
from bench.planning.axes import choose_axes
from bench.plugins.discovery import load_modules
from bench.plugins.specs import DatasetSpec, FrontendSpec, ModelSpec, ProtocolSpec
from bench.testing.fakes import fake_plugin

from .plans import loaded, one, plan_of


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
