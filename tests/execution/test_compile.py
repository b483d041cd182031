"""``recipe.compile``: the network goes through torch.compile, and nothing else changes."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from bench.data.batches import Batches
from bench.execution.pipeline import Pipeline, compile_network, compiled_graphs
from bench.execution.step import Inference, StepSettings, TrainStep, predict
from bench.execution.train import Trained, train
from bench.recipe import Recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),  # inductor's own
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU"),
]

CLIPS, SAMPLES, CLASSES = 36, 32, 3


def small() -> tuple[Batches, Pipeline]:
    rng = np.random.default_rng(3)
    targets = rng.integers(CLASSES, size=CLIPS)
    waves = (rng.normal(0, 500, (CLIPS, SAMPLES)) + 4000 * (targets[:, None] - 1)).astype(np.int16)
    torch.manual_seed(5)
    model = torch.nn.Sequential(torch.nn.Linear(SAMPLES, 8), torch.nn.GELU(), torch.nn.Linear(8, CLASSES))
    pipeline = Pipeline(model, frontend=None, normaliser=None, modalities=("audio",), num_classes=CLASSES)
    return Batches({"audio": waves}, targets, np.arange(CLIPS), 8, seed=2), pipeline


def trained(*, compiled: bool) -> tuple[Trained, np.ndarray]:
    batches, pipeline = small()
    recipe = Recipe(epochs=3, batch=8, ema=0.9, normalise="none", lr=1e-2, compile=compiled)
    if compiled:
        compile_network(pipeline)
    done = train(TrainStep(pipeline, StepSettings(recipe=recipe, seed=1), len(batches)), batches)
    return done, predict(Inference(done.pipeline), batches).logits


def test_training_and_prediction_are_those_of_the_eager_network() -> None:
    eager, eager_logits = trained(compiled=False)
    torch._dynamo.utils.counters.clear()
    compiled, logits = trained(compiled=True)

    # Training and the averaged copy in evaluation are graphs of their own.
    assert compiled_graphs() >= 2
    np.testing.assert_allclose(compiled.curves["train_loss"], eager.curves["train_loss"], rtol=1e-5)
    np.testing.assert_allclose(logits, eager_logits, atol=1e-5)


def test_a_compiled_cell_has_a_name_of_its_own_and_says_what_the_first_calls_took(make_runner) -> None:
    runs = {
        name: make_runner("tones.good", profile=True, evaluate=False, overrides=overrides).run().records[0]
        for name, overrides in {"eager": (), "compiled": ("recipe.compile=true",)}.items()
    }
    eager, compiled = runs["eager"], runs["compiled"]

    assert {r.status for r in runs.values()} == {"ok"}
    assert "compile" not in eager.timing
    firsts = compiled.timing["compile"]
    assert set(firsts) == {"first_infer_s", "first_train_s", "first_one_s", "graphs"}
    assert firsts["graphs"] >= 3  # a batch, a training step, a single clip
    assert firsts["first_train_s"] > 5 / compiled.timing["train"]["clips_per_s"]
    assert compiled.timing["flops"]["total"] == eager.timing["flops"]["total"] > 0
    assert compiled.cell.recipe != eager.cell.recipe
