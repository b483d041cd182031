"""Which protocol a data set gets, and what it lacks for one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.builtin import bench_add_protocols
from bench.config.selection import Selection
from bench.errors import DataError
from bench.planning.fingerprints import Loaded
from bench.planning.plan import default_protocol, expand
from bench.plugins.discovery import load_modules
from bench.plugins.specs import DatasetSpec, ModelSpec
from bench.protocols.split import make_split
from bench.testing.fakes import fake_plugin

from .plans import loaded


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
