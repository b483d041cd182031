"""Every registered model keeps its contract. A new model is covered by being registered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.plugins.discovery import discover
from bench.plugins.registry import Registry
from bench.testing import check_model
from bench.testing.inputs import take
from bench.testing.results import Effort

LARGE = 6_000_000
"""Parameters above which only the count is checked here; ``bench check NAME --slow`` does the rest."""

BATCH_DEPENDENT = {"calm.as_coded", "convnext_attention.batch_graph"}
"""The published graphs that mix the clips of a batch."""

REGISTRY = discover()
REPEATS = [spec for spec in REGISTRY.models.specs() if spec.alias_of and "frontend" not in spec.axes]
"""Aliases: a check looks at no axis but the front end, so that each would only repeat that of its model."""
MODELS = [name for name in REGISTRY.models if name not in {spec.name for spec in REPEATS}]
QUICK = (
    "logits", "finite", "gradient", "deterministic", "batch_mates", "permutation", "state_dict", "bf16", "cuda",
    "missing_class",
)  # fmt: skip


@pytest.fixture(scope="module")
def registry() -> Registry:
    return REGISTRY


@pytest.mark.parametrize("name", MODELS)
def test_conformance(name, registry):
    spec = registry.models[name].spec
    large = (spec.parameters or 0) > LARGE
    optional = "+".join((*spec.modalities, *spec.optional_modalities))
    checks = ("parameters",) if large else ("parameters", *QUICK, f"logits[{optional}]", f"gradient[{optional}]")
    results = check_model(name, registry, effort=Effort(only=checks))
    assert [str(result) for result in results if result.status == "failed"] == []
    assert any(result.status == "passed" for result in results)


@pytest.mark.parametrize("alias", REPEATS, ids=lambda spec: spec.name)
def test_an_alias_is_its_model_but_for_axes(alias, registry):
    model = registry.models[alias.alias_of].spec
    said = {name: getattr(model, name) for name in ("name", "alias_of", "axes", "sets", "description")}
    assert replace(alias, **said) == model
    assert registry.models[alias.name].factory == registry.models[model.name].factory
    assert model.name in MODELS


@pytest.mark.parametrize("name", sorted(BATCH_DEPENDENT))
def test_the_originals_that_mix_the_clips_of_a_batch_are_found(name, registry):
    assert not registry.models[name].spec.inductive
    results = {r.name: r for r in check_model(name, registry, effort=Effort(only=("batch_mates",)))}
    assert results["batch_mates"].status == "passed"
    assert results["batch_mates"].measured > 0.001


def test_no_other_model_depends_on_batch_mates(registry):
    assert {spec.name for spec in registry.models.specs() if not spec.inductive} == BATCH_DEPENDENT


@pytest.mark.parametrize("name", [spec.name for spec in REGISTRY.models.specs() if "default" in spec.sets])
def test_every_default_network_learns_32_clips_by_heart(name, registry):
    from bench_datasets.demo import load

    results = check_model(name, registry, effort=Effort(only=("overfit",), overfit_clips=take(load(None)), slow=True))
    assert [str(result) for result in results if result.status == "failed"] == []
    found = {result.name: result for result in results}
    assert "overfit" not in found or found["overfit"].measured == 1.0
    assert ("overfit" in found) == (registry.models[name].spec.parameters is not None)
