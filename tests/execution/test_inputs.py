"""What a cell feeds its model: shuffled and missing inputs, tokenizers, calls by name, published features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import Cell, format_inputs, parse_inputs
from bench.config.recipes import resolve
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.data.text import hash_tokens
from bench.errors import DataError, PluginError, SelectionError
from bench.execution.build import build_model, build_pipeline, materialise
from bench.execution.evaluate import Progress
from bench.execution.inputs import Inputs, arranged, prepare
from bench.execution.opening import WorkerCache, split_for
from bench.execution.pipeline import Pipeline
from bench.execution.profile import build_calls
from bench.job import Job
from bench.plugins.discovery import load
from bench.running.runner import Runner

pytestmark = pytest.mark.usefixtures("warm_workers")

PLUGIN = Path(__file__).with_name("inputs_plugin.py")
TRAIN, TEST, PREDICT = set(range(12)), set(range(12, 20)), set(range(20, 24))


@pytest.fixture(scope="module")
def registry():
    return load((PLUGIN,)).registry


def job_of(model: str, inputs: str, *, dataset: str = "views", seed: int = 0, **axes) -> Job:
    cell = Cell(
        kind="evaluate", dataset=dataset, protocol="official@1", fold=0, model=model, inputs=inputs, seed=seed, batch=4,
        clip_samples=32, recipe="smoke", **axes,
    )  # fmt: skip
    recipe = resolve("smoke", None, {"epochs": 2, "fill": "zeros", "normalise": "none"})
    return Job(cell=cell, recipe=recipe, fingerprint="0")


def inputs_of_cell(registry, model: str, inputs: str, **more) -> Inputs:
    job = job_of(model, inputs, **more)
    data = prepare(registry, job)
    split = split_for(registry, data.clips, job)
    return arranged(data, split, job.cell.seed)


def owners(data: Inputs, modality: str, *, test: bool = False) -> list[int]:
    """Whose input each clip is given, in the order of the clips."""
    rows = np.arange(len(data.clips))
    batches = data.test_batches(rows, 5) if test else data.batches(rows, 5)
    found = torch.cat([batch.inputs[modality].flatten(1)[:, 0] for batch in batches.epoch(0)])
    return (found * 100 - 1).round().int().tolist()


@given(
    st.permutations(["audio", "image", "text"]).flatmap(
        lambda names: st.tuples(
            *(
                st.tuples(st.just(name), st.sampled_from([(), ("derived",), ("shuffled",), ("derived", "missing")]))
                for name in names
            )
        )
    )
)
def test_inputs_survive_writing_and_reading(pairs) -> None:
    assert parse_inputs(format_inputs(dict(pairs))) == dict(pairs)
    assert list(parse_inputs(format_inputs(dict(pairs)))) == [name for name, _ in pairs]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("smell", "'smell' is no modality; they are audio, image, text"),
        ("audio+audio", "name audio twice"),
        ("audio.shufled", r"cannot be 'shufled'; allowed are audio\.derived, audio\.shuffled, audio\.missing"),
        ("audio.shuffled.missing", "either shuffled or missing"),
        ("audio.shuffled.shuffled", "once"),
        ("", "no modality"),
    ],
)
def test_unreadable_inputs_are_refused(text: str, said: str) -> None:
    with pytest.raises(SelectionError, match=said):
        parse_inputs(text)


def test_shuffled_rows_stay_in_their_part_and_leave_their_clip(registry) -> None:
    data = inputs_of_cell(registry, "tell.both", "audio.shuffled+image")
    assert data.given == {"audio": "shuffled", "image": "given"}
    assert owners(data, "image") == list(range(24))
    moved = owners(data, "audio")
    for part in (TRAIN, TEST, PREDICT):
        assert {moved[i] for i in part} == part
    assert all(owner != clip for clip, owner in enumerate(moved))
    assert owners(data, "audio", test=True) == moved


def test_the_shuffle_follows_the_seed_and_touches_no_shared_array(registry) -> None:
    first = owners(inputs_of_cell(registry, "tell.both", "audio.shuffled+image"), "audio")
    assert first == owners(inputs_of_cell(registry, "tell.both", "audio.shuffled+image"), "audio")
    assert first != owners(inputs_of_cell(registry, "tell.both", "audio.shuffled+image", seed=1), "audio")
    cache = WorkerCache()
    job = job_of("tell.both", "audio.shuffled+image")
    data = prepare(registry, job, cache)
    arranged(data, split_for(registry, data.clips, job), 0)
    assert owners(prepare(registry, job_of("tell.both", "audio+image"), cache), "audio") == list(range(24))


def test_two_shuffled_inputs_move_apart(registry) -> None:
    data = inputs_of_cell(registry, "tell.both", "audio.shuffled+image.shuffled")
    assert owners(data, "audio") != owners(data, "image")


def test_text_and_its_mask_move_together(registry) -> None:
    data = inputs_of_cell(registry, "tell.worded", "audio+text.shuffled")
    batch = next(data.batches(np.arange(24), 24).epoch(0))
    tokens = batch.inputs["text"][:, 0].tolist()
    assert sorted(tokens) == list(range(100, 124))
    assert all(token != 100 + clip for clip, token in enumerate(tokens))
    assert torch.equal(batch.inputs["text_mask"], batch.inputs["text"] > 0)


def test_missing_is_there_in_training_and_absent_in_test(registry) -> None:
    data = inputs_of_cell(registry, "tell.both", "audio+image.missing")
    assert data.given["image"] == "missing"
    assert data.tested == ("audio",)
    assert set(next(data.batches(np.arange(4), 4, seed=1).epoch(0)).inputs) == {"audio", "image"}
    assert set(next(data.test_batches(np.arange(4), 4).epoch(0)).inputs) == {"audio"}


def test_ordinary_test_batches_equal_batches_in_order(registry) -> None:
    data = inputs_of_cell(registry, "tell.hashed", "audio+text")
    rows = np.asarray([5, 2, 9])
    plain, tested = (list(b.epoch(0)) for b in (data.batches(rows, 2), data.test_batches(rows, 2)))
    for one, other in zip(plain, tested, strict=True):
        assert one.index.tolist() == other.index.tolist()
        assert one.inputs.keys() == other.inputs.keys()
        assert all(torch.equal(one.inputs[name], other.inputs[name]) for name in one.inputs)


def test_a_derived_picture_is_its_clips_own_even_where_audio_is_shuffled(registry) -> None:
    data = inputs_of_cell(registry, "tell.view", "audio.shuffled+image.derived")
    plain = inputs_of_cell(registry, "tell.view", "audio+image.derived")
    assert data.given == {"audio": "shuffled", "image": "derived"}
    assert data.task.image_shape == (1, 28, 28)
    assert np.array_equal(data.arrays["image"], plain.arrays["image"])
    both = inputs_of_cell(registry, "tell.view", "audio+image.derived.shuffled")
    assert both.given["image"] == "derived, shuffled"


@pytest.mark.parametrize("inputs", ["image", "audio", "audio+image"])
def test_a_model_of_several_modalities_is_called_by_name_even_with_one(registry, inputs: str) -> None:
    data = inputs_of_cell(registry, "tell.either", inputs)
    model = build_model(registry.models["tell.either"], data.task, 0)
    pipeline = build_pipeline(model, data, job_of("tell.either", inputs).recipe, np.arange(12))
    assert materialise(pipeline, data, np.arange(2)).shape == (2, 2)
    assert set(model.seen) == set(inputs.split("+"))


def test_a_model_of_one_modality_is_called_with_it_alone() -> None:
    class One(torch.nn.Module):
        def forward(self, sounds):
            return sounds[:, :2]

    pipeline = Pipeline(One(), frontend=None, normaliser=None, modalities=("audio",), num_classes=2)
    assert pipeline({"audio": torch.ones(3, 4)}).shape == (3, 2)


def test_profiling_leaves_out_what_is_missing(registry) -> None:
    _, calls = build_calls(registry, job_of("tell.both", "audio+image.missing"), Progress())
    assert set(calls.tested[0].inputs) == {"audio"}
    assert set(calls.trained[0].inputs) == {"audio", "image"}
    assert calls.infer(0) == 4
    assert calls.learn is not None
    assert calls.learn(0) == 4


class TestTokenizers:
    def test_the_models_own_gets_the_options_it_takes_and_runs_once(self, registry) -> None:
        cache = WorkerCache()
        data = prepare(registry, job_of("tell.worded", "audio+text"), cache)
        assert data.arrays["text"][:, 0].tolist() == list(range(100, 124))
        again = prepare(registry, job_of("tell.worded", "audio+text", seed=1), cache)
        assert again.arrays["text"] is data.arrays["text"]

    def test_without_one_words_are_hashed(self, registry) -> None:
        data = prepare(registry, job_of("tell.hashed", "audio+text"))
        ids, mask = hash_tokens(data.clips.texts, 32)
        assert np.array_equal(data.arrays["text"], ids)
        assert np.array_equal(data.arrays["text_mask"], mask)

    def test_other_results_are_refused_by_name(self, registry) -> None:
        with pytest.raises(PluginError, match=r"tokenizer of 'tell\.careless' .* \(24, 32\) float64 .* expected"):
            prepare(registry, job_of("tell.careless", "audio+text"))


class TestPublishedFeatures:
    def test_they_are_the_models_audio_and_nothing_is_decoded(self, registry) -> None:
        job = job_of("tell.both", "audio", dataset="published", frontend="given", feeding="precomputed")
        data = prepare(registry, job)
        assert data.waveforms is None
        assert data.frontend is None
        assert data.stored_features
        assert data.task.feature_shape == (3, 5)
        batch = next(data.batches(np.asarray([3, 1]), 2).epoch(0))
        assert np.array_equal(batch.inputs["audio"].numpy(), data.clips.features[[3, 1]])

    def test_no_picture_can_be_derived_from_them(self, registry) -> None:
        job = job_of("tell.view", "audio+image.derived", dataset="published", frontend="given", feeding="precomputed")
        with pytest.raises(DataError, match="no waveforms"):
            prepare(registry, job)

    def test_a_run_scores_them_and_says_so(self, tmp_path: Path) -> None:
        selection = Selection(
            models=("tell.both", "tell.either"), datasets=("published",), recipe="smoke",
            overrides=("recipe.epochs=2",), profile=False,
        )  # fmt: skip
        records = Runner(selection, Settings(out=tmp_path, plugins=(PLUGIN,), jobs=1)).run().records
        found = {record.cell.model: record for record in records}
        good, incompatible = found["tell.both"], found["tell.either"]
        assert good.status == "ok", good.error
        assert (good.cell.frontend, good.cell.feeding, good.cell.inputs) == ("given", "precomputed", "audio")
        assert good.provenance["dataset"]["train"] == 12
        assert good.provenance["dataset"]["test"] == 8
        assert good.provenance["dataset"]["report"] == {}
        assert incompatible.status == "incompatible"
        assert "does not take front end 'given'" in incompatible.error.message
