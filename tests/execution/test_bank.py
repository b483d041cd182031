"""The embedding cache: who reads it, what it depends on, and the windows that long clips are cut into."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.analysis.predictions import verify
from bench.cell import Cell
from bench.clips import TaskInfo
from bench.data.batches import Batch
from bench.errors import DataError
from bench.execution import embeddings
from bench.execution.embeddings import embedded
from bench.execution.pipeline import Pipeline
from bench.execution.step import Inference
from bench.execution.windows import Windows, window_of
from bench.job import Job
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load
from bench.recipe import Recipe
from bench.results.provenance import weights_label

PLUGIN = Path(__file__).with_name("modes_plugin.py")
PLAIN = Recipe(name="plain", epochs=2, batch=8, ema=None, trim_db=None, normalise="none")


@pytest.fixture(scope="module")
def registry():
    return load((PLUGIN,)).registry


@pytest.fixture
def run(registry, evaluated, tmp_path: Path, monkeypatch):
    """``run(mode, ...)``: the ``frozen`` section and the logits of a cell, in a cache of the test's own."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))

    def one(mode="probe", recipe=PLAIN, file=None, limit=None, **changes):
        weights = weights_label(file) if file else "random"
        values = {"dataset": "tones", "model": "modes.good", "recipe": "plain", "seed": 0} | changes
        cell = Cell(
            kind="evaluate", protocol="official@1", fold=0, mode=mode, weights=weights, frontend="torchaudio",
            batch=8, clip_samples=1600, **values,
        )  # fmt: skip
        found = evaluated(registry, Job(cell=cell, recipe=recipe, fingerprint="f", weights=file, limit=limit))
        return found.record, found.arrays

    return one


def test_heads_and_seeds_share_vectors_and_scores_stay(run, tmp_path: Path) -> None:
    record, arrays = run()
    first = record.provenance["frozen"]["cache"]
    assert first["fresh"]
    assert first["clips"] == 48
    assert record.memory["host_peak_mib"] is not None
    again, same = run()
    assert again.memory["host_peak_mib"] is None
    assert again.provenance["frozen"]["cache"] == {**first, "fresh": False}
    np.testing.assert_array_equal(arrays["logits"], same["logits"])
    assert again.provenance["batch_mates"] == record.provenance["batch_mates"]
    other, _ = run("prototypes")
    assert other.provenance["frozen"]["cache"] == {**first, "fresh": False}
    (entry,) = (tmp_path / "cache" / "embeddings").iterdir()
    values = entry / "values.bin"
    values.write_bytes(b"\1" + values.read_bytes()[1:])
    with pytest.warns(UserWarning, match="damaged"):
        repaired, arrays = run()
    assert repaired.provenance["frozen"]["cache"]["fresh"]
    np.testing.assert_array_equal(arrays["logits"], same["logits"])


def test_what_vectors_find_is_scored_beside_every_head(run, registry) -> None:
    found = [run(mode) for mode in ("probe", "knn")]
    for record, arrays in found:
        assert "vectors" not in arrays
        np.testing.assert_array_equal(arrays["retrieval"], found[0][1]["retrieval"])
        assert record.score("recall_at_1") == pytest.approx(np.nanmean(arrays["retrieval"][:, 2]))
        assert 0 < record.provenance["chance"]["recall_at_1"] < record.score("recall_at_1")
        assert record.score("v_measure") is None  # too few clips for clusters
        assert verify([record], lambda _, arrays=arrays: arrays, catalog(registry))[1] == []
    assert run("scratch")[0].score("retrieval_map") is None


def test_heads_share_the_map_and_the_clusters_of_their_test_clips(run, monkeypatch) -> None:
    monkeypatch.setattr(embeddings, "MIN_CLIPS", 5)
    record, arrays = run()
    assert arrays["embed_map"].shape == (12, 2)
    assert {"clusters", "purity"} <= record.provenance["embeddings"]["embedding"].keys()

    def again(_values):
        raise AssertionError("drawn again")

    monkeypatch.setattr(embeddings, "tsne_map", again)
    other, same = run("prototypes")
    assert other.provenance["embeddings"] == record.provenance["embeddings"]
    np.testing.assert_array_equal(same["embed_map"], arrays["embed_map"])
    assert same["embed_map"].dtype == arrays["embed_map"].dtype
    with pytest.raises(AssertionError, match="drawn again"):
        run("prototypes", seed=1)  # a network of other weights


def test_few_shots_are_draws_from_the_same_vectors(run) -> None:
    everything, _ = run()
    few, _ = run(recipe=PLAIN.model_copy(update={"shots": 2}))
    assert everything.provenance["dataset"]["train"] == 32
    assert few.provenance["dataset"]["train"] == 6
    key = few.provenance["frozen"]["cache"]["key"]
    assert key == everything.provenance["frozen"]["cache"]["key"]
    again, _ = run("mlp", recipe=PLAIN.model_copy(update={"shots": 2}), seed=0)
    assert again.provenance["frozen"]["cache"] == {"key": key, "fresh": False, "clips": 48}


def test_a_vector_is_never_that_of_other_weights_data_or_settings(run, tmp_path: Path) -> None:
    def key(*args, **changes) -> str:
        return run(*args, **changes)[0].provenance["frozen"]["cache"]["key"]

    windows = PLAIN.model_copy(update={"long_clips": "window", "window_s": 0.1})
    keys = [
        key(), key(seed=1), key(model="modes.wide"), key(dataset="tones-more"), key(recipe=windows),
        key(recipe=windows.model_copy(update={"long_clips": "crop"})),
        key(recipe=windows.model_copy(update={"hop_s": 0.05})),
        key(recipe=PLAIN.model_copy(update={"trim_db": 20.0})), key(precision="bf16"),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("changes", [{"limit": 10}, {"inputs": "audio.shuffled"}])
def test_cells_that_share_nothing_keep_nothing(run, tmp_path: Path, changes: dict) -> None:
    record, _ = run(**changes)
    assert record.provenance["frozen"]["cache"] is None
    assert not (tmp_path / "cache" / "embeddings").exists()


class Mean(nn.Module):
    """Embeds a waveform as its mean and its length."""

    def embed(self, audio, audio_samples=None):
        return torch.stack([audio.mean(1), torch.full((len(audio),), float(audio.shape[1]))], dim=1)


def heard(windows: Windows, audio: torch.Tensor, lengths: list[int] | None = None) -> np.ndarray:
    pipeline = Pipeline(Mean(), frontend=None, normaliser=None, modalities=("audio",), num_classes=2)
    inputs = {"audio": audio}
    if lengths:
        inputs["audio_samples"] = torch.tensor(lengths)
    batch = Batch(inputs, torch.zeros(len(audio)), np.arange(len(audio)))
    return windows.average(functools.partial(embedded, Inference(pipeline)), batch)[""]


def test_windows_are_averaged_and_mostly_silent_ones_left_out() -> None:
    audio = torch.arange(20.0).expand(2, 20)
    whole = heard(Windows(), audio)
    np.testing.assert_allclose(whole, [[9.5, 20]] * 2)
    # Of 20 samples the third window holds 4 of 8: half, so that it counts, with zeros for the rest.
    wanted = (3.5 + 11.5 + (16 + 17 + 18 + 19) / 8) / 3
    np.testing.assert_allclose(heard(Windows(size=8, hop=8), audio)[:, 0], [wanted, wanted])
    short = heard(Windows(size=8, hop=8), audio, [3, 11])
    np.testing.assert_allclose(short[:, 0], [3.5, 3.5])
    assert heard(Windows(size=8, hop=4), audio, [20, 20]).shape == (2, 2)


def test_windows_follow_the_recipe() -> None:
    task = TaskInfo(num_classes=2, sample_rate=100, clip_samples=500)
    asked = Recipe(long_clips="window", window_s=2.0)
    cell = Cell(kind="evaluate", dataset="d", protocol="p@1", fold=0, model="m", mode="probe")
    assert window_of(asked, cell, task) == 200
    assert window_of(asked.model_copy(update={"window_s": 5.0}), cell, task) == 0
    assert window_of(asked.model_copy(update={"long_clips": "crop"}), cell, task) == 200
    assert window_of(asked, replace(cell, mode="scratch"), task) == 0
    assert window_of(Recipe(), cell, task) == 0
    with pytest.raises(DataError, match="--feeding fly"):
        window_of(asked, replace(cell, feeding="precomputed"), task)
