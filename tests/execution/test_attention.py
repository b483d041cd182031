"""The head that pools frames: against plain torch, on layers of which one tells classes apart, and as a run mode."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.cell import Cell
from bench.data.batches import Batch
from bench.data.locate import open_clips
from bench.data.waveforms import open_waveforms
from bench.errors import DataError, PluginError
from bench.execution import attention
from bench.execution import frames as frames_module
from bench.execution.attention import BATCH, Attention, clip_moments, fit_attention
from bench.execution.classifiers import restore
from bench.execution.frames import framed
from bench.execution.kept import reopen
from bench.execution.perceptron import DECAY, DROPOUT, RATE
from bench.execution.pipeline import Pipeline
from bench.execution.step import Inference
from bench.execution.windows import Windows
from bench.job import Job
from bench.plugins.discovery import load
from bench.recipe import Recipe
from bench.results.store import Store

HERE = Path(__file__).parent
PLAIN = Recipe(name="plain", epochs=2, batch=8, ema=None, trim_db=None, fill="zeros")


def clips(count: int = 80, layers: int = 3, dim: int = 6, told_by: int = 1) -> tuple[list[np.ndarray], np.ndarray]:
    """Clips of 2 to 9 steps, in one layer of which a value says the class; all else is noise of any scale."""
    rng = np.random.default_rng(0)
    targets = rng.permutation(np.arange(count) % 3)
    made = []
    for target in targets:
        states = rng.normal(size=(rng.integers(2, 10), layers, dim)) * 5 + 3
        states[:, told_by, target] += 10
        made.append(states.astype(np.float32))
    return made, targets


class Plain(nn.Module):
    """The same head clip by clip, without padding."""

    def __init__(self, layers: int, dim: int, classes: int) -> None:
        super().__init__()
        self.layers, self.query = nn.Parameter(torch.zeros(layers)), nn.Parameter(torch.zeros(dim))
        self.weight, self.bias = nn.Parameter(torch.zeros(dim, classes)), nn.Parameter(torch.zeros(classes))

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        mixed = (states * self.layers.softmax(0)[:, None]).sum(1)
        weights = (mixed @ self.query / math.sqrt(mixed.shape[1])).softmax(0)
        return weights @ mixed


def reference(frames: list[np.ndarray], targets: np.ndarray, seed: int) -> tuple[Plain, list[float]]:
    together = np.stack([one.mean(0, dtype=np.float64) for one in frames])
    mean, scale = torch.from_numpy(together.mean(0)).float(), torch.from_numpy(together.std(0)).float()
    states, known = [(torch.from_numpy(one) - mean) / scale for one in frames], torch.from_numpy(targets)
    model, draw, losses = Plain(*frames[0].shape[1:], 3), torch.Generator().manual_seed(seed), []
    steps = attention.EPOCHS * math.ceil(len(frames) / BATCH)
    layers, *rest = model.parameters()
    optimizer = torch.optim.AdamW(
        [{"params": [layers], "lr": 10 * RATE}, {"params": rest}], lr=RATE, weight_decay=DECAY
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(attention.EPOCHS):
        total = 0.0
        for index in torch.randperm(len(frames), generator=draw).split(BATCH):
            pooled = torch.stack([model.pool(states[i]) for i in index])
            kept = (torch.rand(pooled.shape, generator=draw) >= DROPOUT) / (1 - DROPOUT)
            loss = nn.functional.cross_entropy((pooled * kept) @ model.weight + model.bias, known[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(index)
        losses.append(total / len(frames))
    return model, losses


def fitted(frames, targets, classes: int = 3, seed: int = 0) -> Attention:
    return fit_attention(frames, np.eye(classes, dtype=np.float32)[targets], seed, several=False)


def test_losses_and_weights_are_those_of_plain_torch(monkeypatch) -> None:
    monkeypatch.setattr(attention, "EPOCHS", 4)
    frames, targets = clips(count=40)
    model, losses = reference(frames, targets, seed=3)
    head = fitted(frames, targets, seed=3)
    np.testing.assert_allclose(head.losses, losses, rtol=1e-4)
    torch.testing.assert_close(head.layers, model.layers.detach(), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(head.query, model.query.detach(), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(head.weight, model.weight.detach(), atol=1e-3, rtol=1e-3)
    assert head.losses[-1] < head.losses[0]
    assert head.query.abs().max() > 1e-3


@pytest.mark.parametrize("layer", [0, 2])
def test_the_layer_that_tells_the_classes_weighs_most(layer: int) -> None:
    frames, targets = clips(count=240, told_by=layer)
    head = fitted(frames[:160], targets[:160])
    shares = head.describe()["layer_weights"]
    assert np.argmax(shares) == layer
    assert shares[layer] > 0.5
    assert (head.logits(frames[160:]).argmax(1) == targets[160:]).mean() > 0.8


def test_padding_changes_nothing() -> None:
    frames, targets = clips()
    head = fitted(frames, targets, classes=4)
    together = head.logits(frames)
    long = np.full((500, 3, 6), 1e4, dtype=np.float32)
    for row, one in enumerate(frames[:4]):
        np.testing.assert_allclose(head.logits([one]), together[row][None], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(head.logits([one, long])[0], together[row], rtol=1e-4, atol=1e-4)
    assert together[:, 3].max() < -500  # no clip has the fourth class
    again = restore(head.tensors(), multi_label=False)
    np.testing.assert_array_equal(again.logits(frames), together)


def test_moments_in_pieces_are_those_of_the_clips_vectors() -> None:
    frames, _ = clips()
    shifted = [1e4 + one for one in frames]
    mean, scale = clip_moments(shifted)
    vectors = np.stack([one.mean(0, dtype=np.float64) for one in shifted])
    np.testing.assert_allclose(mean, vectors.mean(0), rtol=1e-6)
    np.testing.assert_allclose(scale, vectors.std(0), rtol=1e-5)
    assert (clip_moments([np.full((4, 1, 2), 7, dtype=np.float32)] * 2)[1] == 1).all()


@pytest.fixture(scope="module")
def registry():
    return load((HERE / "modes_plugin.py", HERE / "frames_plugin.py")).registry


@pytest.fixture
def run(registry, evaluated, tmp_path: Path, monkeypatch):
    """``run(...)``: record and arrays of a cell in a cache of the test's own, stored with its checkpoint."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    store = Store(tmp_path / "run")
    store.prepare()

    def one(recipe=PLAIN, limit=None, **changes):
        values = {"dataset": "tones", "model": "framed", "mode": "attention", "seed": 0} | changes
        cell = Cell(
            kind="evaluate", protocol="official@1", fold=0, frontend="waveform", recipe="plain", batch=8,
            clip_samples=1600, **values,
        )  # fmt: skip
        found = evaluated(registry, Job(cell=cell, recipe=recipe, fingerprint="f", limit=limit))
        return store.write(found.record, found.arrays, found.files), found.arrays

    return one


def test_frames_are_made_once_for_all_seeds_and_the_kept_head_answers_as_it_did(run, registry, tmp_path: Path) -> None:
    record, arrays = run()
    made = record.provenance["frozen"]
    assert made["cache"]["fresh"]
    assert made["cache"]["dtype"] == "float32"
    assert np.argmax(made["layer_weights"]) == 1
    assert record.score("accuracy") > 0.6
    assert record.score("retrieval_map") is not None
    again, _ = run(seed=1)
    cache = again.provenance["frozen"]["cache"]
    assert cache == {**made["cache"], "fresh": False}
    assert again.memory["host_peak_mib"] is None
    assert again.provenance["frozen"]["loss"] != made["loss"]
    tones = registry.datasets["tones"]
    clips = open_clips(tones.spec, None, load=tones.factory)
    waves = open_waveforms(clips, trim_db=None, fill="zeros")
    rows = np.array([clips.ids.index(name) for name in arrays["ids"]])
    record, same = run()
    np.testing.assert_array_equal(same["logits"], arrays["logits"])
    kept = reopen(registry, Store(tmp_path / "run"), record)
    found = kept.logits(kept.inputs(waves.samples[rows].astype(np.float32) / 32768, waves.lengths[rows]))
    np.testing.assert_allclose(found, arrays["logits"], atol=1e-4)
    low, _ = run(recipe=PLAIN.model_copy(update={"frame_dtype": "float16"}))
    assert low.provenance["frozen"]["cache"]["dtype"] == "float16"
    assert low.provenance["frozen"]["cache"]["key"] != cache["key"]
    sizes = sorted(path.stat().st_size for path in (tmp_path / "cache" / "frames").rglob("values.bin"))
    assert sizes == [48 * 16 * 3 * 3 * 2, 48 * 16 * 3 * 3 * 4]


def test_a_cut_run_keeps_no_frames_and_windows_stand_one_behind_the_other(run, tmp_path: Path) -> None:
    record, _ = run(limit=10)
    assert record.provenance["frozen"]["cache"] is None
    assert not (tmp_path / "cache" / "frames").exists()
    run(recipe=PLAIN.model_copy(update={"long_clips": "window", "window_s": 0.05, "hop_s": 0.025}))
    (path,) = (tmp_path / "cache" / "frames").rglob("values.bin")
    assert path.stat().st_size == 48 * (7 * 4 + 2) * 3 * 3 * 4  # the last window is half sound


def test_a_model_that_promises_frames_and_has_none_is_refused(run) -> None:
    with pytest.raises(PluginError, match="Framed has no frames"):
        run(model="framed.lying")


@pytest.mark.parametrize("limit", [None, 20])
def test_frames_that_feel_their_batch_mates_make_a_record_transductive(run, limit) -> None:
    mates = [run(model="framed.mates", limit=limit, seed=seed)[0].provenance["batch_mates"] for seed in (0, 1)]
    assert mates[0]["moved"] > 5 * mates[0]["tolerance"]  # its vectors feel nothing
    assert all(one["transductive"] for one in mates)
    assert run(limit=limit)[0].provenance["batch_mates"]["moved"] < 1e-4


@pytest.mark.parametrize(
    ("model", "dtype", "said"),
    [("loud", "float16", r"beyond float16: --set recipe\.frame_dtype=float32"),
     ("broken", "float32", "not finite for clip 'tone-0'")],
)  # fmt: skip
def test_frames_that_cannot_be_kept_say_which_and_what_to_do(run, model: str, dtype: str, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        run(recipe=PLAIN.model_copy(update={"frame_dtype": dtype}), model=f"framed.{model}")


def test_a_disk_without_room_is_told_after_the_first_batch(run, monkeypatch) -> None:
    monkeypatch.setattr(frames_module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(DataError, match=r"frames of all clips take about 0\.0 GB.*frame_dtype=float16"):
        run()


class Given(nn.Module):
    """Gives the frames that it was made with."""

    def __init__(self, found) -> None:
        super().__init__()
        self.found = found

    def frames(self, audio):
        return self.found


@pytest.mark.parametrize(
    "found", [torch.zeros(2, 5), [torch.zeros(3, 4)], [torch.zeros(3, 4), "x"], torch.zeros(2, 0, 4)], ids=str
)
def test_frames_of_another_shape_are_refused(found) -> None:
    pipeline = Pipeline(Given(found), frontend=None, normaliser=None, modalities=("audio",), num_classes=2)
    batch = Batch({"audio": torch.zeros(2, 8)}, torch.zeros(2), np.arange(2))
    with pytest.raises(PluginError, match="expected frames"):
        framed(Inference(pipeline), batch)


def test_windows_of_a_clip_are_joined() -> None:
    batch = Batch(
        {"audio": torch.arange(20.0).expand(2, 20), "audio_samples": torch.tensor([20, 11])},
        torch.zeros(2),
        np.arange(2),
    )
    found = Windows(size=8, hop=8).joined(lambda part: [np.full((2, 1), x[0]) for x in part.inputs["audio"]], batch)
    assert [one[:, 0].tolist() for one in found] == [[0, 0, 8, 8, 16, 16], [0, 0]]
