"""What is timed is what trains: one step object, with the same settings and inputs, wherever a network runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.cell import Cell
from bench.data.batches import Batch, Batches
from bench.errors import PluginError
from bench.execution.evaluate import run_evaluate
from bench.execution.pipeline import Pipeline
from bench.execution.pretraining import PretrainStep
from bench.execution.pricing import run_price
from bench.execution.profile import build_calls
from bench.execution.profile_parts import guard_table, stage_tables
from bench.execution.results import Progress
from bench.execution.step import Inference, StepSettings, TrainStep
from bench.frontends.precision import read_precision
from bench.job import Job
from bench.plugins.discovery import load
from bench.recipe import Recipe

PLUGIN = Path(__file__).with_name("inputs_plugin.py")


@pytest.fixture(scope="module")
def registry():
    return load((PLUGIN,)).registry


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What every training step and every inference was called with."""
    seen: dict[str, list[Any]] = {"train": [], "infer": []}
    learn, infer = TrainStep.__call__, Inference.__call__

    def learnt(step: TrainStep, batch):
        rate = step.rate
        loss = learn(step, batch)
        shapes = {name: tuple(x.shape) for name, x in batch.inputs.items()}
        seen["train"].append((step.settings, shapes, step.rate != rate))
        return loss

    def inferred(step: Inference, batch, head=None):
        seen["infer"].append((step.device, step.precision, sorted(batch.inputs)))
        return infer(step, batch, head)

    monkeypatch.setattr(TrainStep, "__call__", learnt)
    monkeypatch.setattr(Inference, "__call__", inferred)
    return seen


def job() -> Job:
    cell = Cell(
        kind="evaluate", dataset="views", protocol="official@1", fold=0, model="tell.view", batch=4, clip_samples=32,
        inputs="audio+image.derived",
    )  # fmt: skip
    recipe = Recipe(name="plain", epochs=2, batch=4, ema=None, trim_db=None, fill="zeros", normalise="none", roll=True)
    return Job(cell=cell, recipe=recipe, fingerprint="0")


def test_training_profiling_and_pricing_run_one_step_with_the_same_inputs(registry, spied) -> None:
    before = read_precision()
    run_evaluate(registry, job(), Progress(), lambda *_: None)
    trained, tested = spied["train"].copy(), spied["infer"].copy()
    assert trained
    assert tested
    assert {settings.derived_picture for settings, _, _ in trained} == {True}
    assert all(moved for *_, moved in trained)  # the schedule is a part of the step

    for other in ("profile", "price"):
        spied["train"].clear()
        spied["infer"].clear()
        if other == "profile":
            _, calls = build_calls(registry, job(), Progress())
            calls.learn(0)
            calls.infer(0)
            calls.one(0)
        else:
            run_price(registry, job(), Progress())
        assert spied["train"]
        assert {repr(one) for one in spied["train"]} == {repr(one) for one in trained}, other
        assert {repr(one) for one in spied["infer"]} == {repr(one) for one in tested}, other
    assert read_precision() == before  # nor does any of them leave a switch of torch pinned


def test_a_model_that_writes_into_its_inputs_is_profiled_on_what_a_run_gives_it(registry) -> None:
    plain = job()
    cell = replace(plain.cell, model="tell.writes", inputs="audio")
    recipe = plain.recipe.model_copy(update={"roll": False})
    _, calls = build_calls(registry, replace(plain, cell=cell, recipe=recipe), Progress())
    for i in range(30):
        calls.one(i)
        calls.infer(i)
        calls.learn(i)
    stage_tables(calls, 1e-3, 1e-3, 0.1)
    assert calls.inference.pipeline.model.loudest < 1
    (finding,) = guard_table({"nothing": (lambda _: None, 1e-3)}, {}, 1.0, altering=calls.altering)["findings"]
    assert finding["kind"] == "inputs"
    assert not build_calls(registry, plain, Progress())[1].altering


def test_the_parts_that_are_timed_make_up_the_step() -> None:
    def step() -> TrainStep:
        torch.manual_seed(0)
        pipeline = pipeline_of(torch.nn.Linear(4, 2))
        recipe = Recipe(epochs=2, batch=3, ema=0.5, warmup=0.5, normalise="none", roll=True, gain_db=3.0)
        return TrainStep(pipeline, StepSettings(recipe=recipe, seed=1), 5)

    whole, pieces = step(), step()
    for number in range(3):
        batch = batch_of(number)
        whole(batch)
        value: Any = batch
        for _, part in pieces.parts:
            value = part(value)
    assert whole.rate == pieces.rate
    for one, other in zip(whole.scored.parameters(), pieces.scored.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(next(whole.scored.parameters()), next(whole.pipeline.parameters()))


def pipeline_of(model: torch.nn.Module) -> Pipeline:
    return Pipeline(model, frontend=None, normaliser=None, modalities=("audio",), num_classes=2)


def batch_of(seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    audio = torch.from_numpy(rng.normal(size=(3, 4)).astype(np.float32))
    return Batch({"audio": audio}, torch.tensor([0, 1, 1]), np.arange(3))


class Small(nn.Module):
    """A network with batch normalisation that can be pre-trained."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    def forward(self, audio):
        return self.net(audio)

    def pretrain_loss(self, audio):
        return self.net(audio).square().mean()


@pytest.mark.parametrize(("kind", "setting"), [(PretrainStep, "pretrain_batch"), (TrainStep, "batch")])
def test_batch_normalisation_of_one_clip_is_told_with_what_to_type(kind, setting: str) -> None:
    recipe = Recipe(name="plain", mixup_alpha=0.0, ema=None, shift=0.0, gain_db=0.0, roll=False, pretrain_steps=4)
    pipeline = Pipeline(Small(), frontend=None, normaliser=None, modalities=("audio",), num_classes=2)
    step = kind(pipeline, StepSettings(recipe=recipe, seed=0), *([4] if kind is TrainStep else []))
    clips = {"audio": np.random.default_rng(0).standard_normal((9, 8)).astype(np.float32)}
    batches = Batches(clips, np.arange(9) % 2, np.arange(9), 8, seed=0)
    assert [len(batch) for batch in batches.epoch(1)] == [9]
    for batch in batches.epoch(1):
        assert torch.isfinite(step(batch))
    (batch,) = Batches(clips, np.arange(9) % 2, np.arange(1), 8, seed=0).epoch(1)
    with pytest.raises(PluginError, match=rf"BatchNorm1d cannot learn from a batch of one.*--set recipe\.{setting}=8"):
        step(batch)
