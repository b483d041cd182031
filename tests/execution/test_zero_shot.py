"""Mode zero_shot: prompts from a file, one a seed, and no training clip in what comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.cell import Cell
from bench.config.recipes import parse_overrides, resolve
from bench.config.selection import Selection
from bench.errors import RecipeError
from bench.execution.classifiers import restore
from bench.execution.zero_shot import prompted
from bench.job import Job
from bench.planning.plan import expand
from bench.plugins.discovery import load
from bench.plugins.factories import load_factory
from bench.recipe import PROMPTS, Recipe
from bench.running.preparation import load_all

PLUGINS = tuple(Path(__file__).with_name(name) for name in ("modes_plugin.py", "zero_shot_plugin.py"))
TEMPLATES = ("{label}", "a sound of {label}")


@pytest.fixture(scope="module")
def registry():
    return load(PLUGINS).registry


@pytest.fixture
def run(registry, evaluated):
    """``run(seed, ...)`` one cell in this process."""

    def one(seed=0, **settings):
        recipe = Recipe(name="plain", trim_db=None, prompts=TEMPLATES, **settings)
        cell = Cell(
            kind="evaluate", dataset="tones", protocol="official@1", fold=0, model="texts", mode="zero_shot", seed=seed,
            recipe="plain", clip_samples=1600,
        )  # fmt: skip
        return evaluated(registry, Job(cell=cell, recipe=recipe, fingerprint="f", keep_checkpoint=True))

    return one


def test_a_cell_is_a_prompt_and_no_training_clip_is_used(run, registry) -> None:
    first, second = run(0), run(1)
    assert [one.record.provenance["frozen"]["prompt"] for one in (first, second)] == list(TEMPLATES)
    assert not np.array_equal(first.arrays["logits"], second.arrays["logits"])
    np.testing.assert_array_equal(run(0, shots=1).arrays["logits"], first.arrays["logits"])
    assert first.record.timing["train_clips_per_s"] is None
    assert first.record.score("accuracy") is not None
    assert first.record.score("retrieval_map") == second.record.score("retrieval_map")
    head = prompted(load_factory(registry.models["texts"].factory)(_Task), TEMPLATES[1], ["pitch0", "pitch1", "pitch2"])
    vectors = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
    again = restore(head.tensors(), multi_label=False)
    np.testing.assert_allclose(again.logits(vectors), head.logits(vectors), rtol=1e-5)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(head.logits(vectors), unit @ head.text.T, rtol=1e-5)


class _Task:
    num_classes = 3


def test_the_plan_names_models_without_texts_and_seeds_without_a_prompt(registry) -> None:
    asked = Selection(
        models=("texts", "modes.good"), datasets=("tones",), mode="zero_shot", seeds=(0, 5), profile=False
    )
    cells = expand(asked, registry, load_all(asked, registry)).cells
    found = {(one.cell.model, one.cell.seed): (one.decision, one.reason) for one in cells}
    assert found["texts", 0][0] == "run"
    assert found["texts", 5] == (
        "incompatible", f"a seed is a prompt of mode zero_shot, and recipe.prompts has {len(PROMPTS)}: use --seeds 0-4"
    )  # fmt: skip
    assert "embeds no text" in found["modes.good", 0][1]


def test_prompts_are_a_template_a_list_or_a_file(tmp_path) -> None:
    def read(value: str) -> tuple[str, ...]:
        return resolve("quick", overrides=parse_overrides([f"recipe.prompts={value}"])).prompts

    file = tmp_path / "prompts.txt"
    file.write_text("{label}\n\n  a sound of {label}, far away \n")
    assert read(str(file)) == ("{label}", "a sound of {label}, far away")
    assert read("a {label}") == ("a {label}",)
    assert read('["{label}", "my {label}"]') == ("{label}", "my {label}")
    other = resolve("quick", overrides={"prompts": str(file)})
    assert other.name != resolve("quick", overrides={"prompts": "{label}"}).name
    for text, told in (("{label}\n a dog", "a dog"), ("a {label}\na {label}", "twice"), ("\n", "at least 1")):
        file.write_text(text)
        with pytest.raises(RecipeError, match=told):
            read(str(file))
    with pytest.raises(RecipeError, match=r"no such file"):
        read(str(tmp_path / "none.txt"))
