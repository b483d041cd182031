"""Captured steps: the same numbers as steps that run as they stand, from the same draws, and an honest way back."""

import copy
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.config.recipes import resolve
from bench.data.batches import Batches, resident, to_tensor
from bench.errors import RecipeError
from bench.execution.augment import Augmenter
from bench.execution.graphs import WARM, Draws, Graphs, Places, cuda_graph
from bench.execution.optimisation import Average
from bench.execution.pipeline import Pipeline
from bench.execution.step import Inference, StepSettings, TrainStep, predict
from bench.recipe import Recipe

CLASSES, CLIPS, SAMPLES = 3, 22, 256
RECIPE = Recipe(
    epochs=4, lr=1e-2, batch=4, ema=0.9, roll=True, shift=0.001, gain_db=6.0, noise_snr_db=20.0, mixup_alpha=0.4,
    mixup_prob=0.5, warmup=0.2, schedule="cosine",
)  # fmt: skip


def batches(seed: int | None = 0) -> Batches:
    rng = np.random.default_rng(5)
    waves = rng.integers(-9000, 9000, size=(CLIPS, SAMPLES)).astype(np.int16)
    return Batches({"audio": waves}, rng.integers(CLASSES, size=CLIPS), np.arange(CLIPS), 4, seed=seed)


def new_step(device: str = "cpu") -> TrainStep:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(SAMPLES, 16, bias=False), nn.BatchNorm1d(16), nn.GELU(), nn.Linear(16, CLASSES))
    pipeline = Pipeline(model, frontend=None, normaliser=None, modalities=("audio",), num_classes=CLASSES).to(device)
    return TrainStep(pipeline, StepSettings(recipe=RECIPE, seed=3, device=device), len(batches()))


def losses(step: TrainStep, epochs: int = 4) -> list[float]:
    torch.manual_seed(0)
    return [float(step(batch)) for epoch in range(1, epochs + 1) for batch in batches().epoch(epoch)]


def held_by_places(step: TrainStep) -> TrainStep:
    """A step that is 'captured' as CUDA would: the code runs once without effect, then again for each replay."""

    def capture(call):
        places = step.graphs.draws._places
        held = [step.pipeline, step.average.module, step.optimizer]
        before = [copy.deepcopy(one.state_dict()) for one in held]
        output = call()
        for one, state in zip(held, before, strict=True):
            one.load_state_dict(state)

        def replay() -> None:
            places._makers.clear()
            step.graphs.draws.fixed(places)
            output.copy_(call())
            step.graphs.draws.fixed(None)

        return replay, output

    step.capture(capture)
    return step


def test_a_captured_step_learns_what_an_uncaptured_one_learns() -> None:
    plain, captured = new_step(), held_by_places(new_step())
    expected, found = losses(plain), losses(captured)
    assert captured.graphs.report() == {"captured": 2, "reason": None}  # whole batches, and the last of an epoch
    assert len(captured.graphs.seen) == 2
    assert found == pytest.approx(expected, rel=1e-5)
    for a, b in zip(plain.scored.parameters(), captured.scored.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert captured.rate == pytest.approx(plain.rate)


def test_what_cannot_be_captured_goes_on_as_it_stands_and_says_why() -> None:
    step = new_step()

    def refuse(call):
        raise RuntimeError("operation not permitted when stream is capturing\nand a long tail")

    step.capture(refuse)
    assert losses(step) == pytest.approx(losses(new_step()), rel=1e-5)
    reason = "RuntimeError: operation not permitted when stream is capturing"
    assert step.graphs.report() == {"captured": 0, "reason": reason}


class Counting(nn.Module):
    """Does something else in every call, in Python."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.calls = way, 0
        self.inner = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.way == "counter":
            self.calls += 1
        if self.way == "numpy":
            np.random.random()  # noqa: NPY002
        return x * (random.random() if self.way == "random" else 1.0)


@pytest.mark.parametrize(
    ("way", "named"),
    [("counter", "Counting.calls"), ("numpy", "numpy's global generator"), ("random", "Python's random")],
)
def test_a_call_that_would_repeat_itself_is_not_captured(way: str, named: str) -> None:
    module = Counting(way)
    graphs = Graphs(
        lambda inputs: module(inputs["x"]), "cpu", Draws("cpu"), module, lambda call: (lambda: None, call())
    )
    for _ in range(2 * WARM):
        graphs({"x": torch.ones(2)})
    assert graphs.report()["captured"] == 0
    assert f"changes {named} " in graphs.report()["reason"]


def test_compiled_and_captured_exclude_each_other() -> None:
    with pytest.raises(RecipeError, match="cuda_graphs"):
        resolve("quick", overrides={"compile": True, "cuda_graphs": True})


def test_places_hold_what_the_same_generator_would_have_drawn() -> None:
    def drawing(rng: np.random.Generator):
        return (
            lambda: rng.random(5),
            lambda: rng.integers(9, size=(3, 1)),
            lambda: rng.random((2, 7)) < 0.5,
            lambda: rng.standard_normal((2, 3), dtype=np.float32),
        )

    places = Places([make() for make in drawing(np.random.default_rng(0))], "cpu")
    tensors = [places.next(make) for make in drawing(np.random.default_rng(8))]
    expected = drawing(np.random.default_rng(8))
    for _ in range(3):
        places.draw()
        for tensor, make in zip(tensors, expected, strict=True):
            np.testing.assert_array_equal(tensor.numpy(), make())


def test_a_step_without_branches_draws_the_same_and_mixes_the_same() -> None:
    recipe = Recipe(mixup_alpha=0.4, mixup_prob=0.5)
    inputs, targets = {"audio": torch.randn(6, 8)}, torch.tensor([0, 1, 2, 0, 1, 2])
    plain = Augmenter.of(recipe, 16_000, 3)
    fixed = replace(Augmenter.of(recipe, 16_000, 3), branches=False)
    mixed = 0
    for _ in range(20):
        (a, one), (b, two) = plain.mixup(inputs, targets, 3), fixed.mixup(inputs, targets, 3)
        torch.testing.assert_close(a["audio"], b["audio"], rtol=0, atol=0)
        mixed += one.ndim == 2
        soft = one if one.ndim == 2 else nn.functional.one_hot(one, 3).float()
        torch.testing.assert_close(soft, two)
    assert 0 < mixed < 20


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.999])
def test_averages_equal_torchs(decay: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    ours = Average(model, decay)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    for _ in range(5):
        with torch.no_grad():
            for value in model.parameters():
                value.add_(torch.randn_like(value))
            model(torch.randn(8, 4))
        ours.update_parameters()
        theirs.update_parameters(model)
    for a, b in zip(ours.module.parameters(), theirs.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    torch.testing.assert_close(ours.module[1].running_mean, theirs.module[1].running_mean, rtol=0, atol=0)
    assert int(ours.module[1].num_batches_tracked) == int(model[1].num_batches_tracked)


def test_inference_is_not_captured_on_a_cpu_and_shapes_are_counted() -> None:
    infer = Inference(new_step().pipeline)
    predict(infer, batches(seed=None))
    assert infer.graphs.capture is None
    assert not infer.graphs.seen


def test_many_shapes_are_not_all_captured() -> None:
    graphs = Graphs(lambda inputs: inputs["x"].sum(), "cpu", Draws("cpu"), None, lambda call: (lambda: None, call()))
    for size in range(1, 9):
        for _ in range(WARM + 2):
            graphs({"x": torch.ones(size)})
    assert graphs.report() == {"captured": 4, "reason": None}


def test_rows_kept_on_a_device_are_the_rows() -> None:
    waves = np.arange(-6, 6, dtype=np.int16).reshape(4, 3)
    index = np.array([2, 0], dtype=np.int64)
    torch.testing.assert_close(to_tensor(resident(waves, "cpu")(index)), to_tensor(waves[index]))


@pytest.mark.gpu
def test_captured_on_a_gpu() -> None:
    plain, captured = new_step("cuda"), new_step("cuda")
    captured.capture(cuda_graph)
    expected, found = losses(plain), losses(captured)
    assert captured.graphs.report() == {"captured": 2, "reason": None}
    assert found == pytest.approx(expected, rel=1e-4)
    data = batches(seed=None)
    infer = Inference(captured.scored, "cuda", capture=True)
    logits = [predict(infer, data).logits for _ in range(3)]
    assert infer.graphs.report() == {"captured": 1, "reason": None}  # the last batch of an epoch came three times
    np.testing.assert_allclose(logits[2], logits[0], rtol=1e-4, atol=1e-5)
    on_host = predict(Inference(copy.deepcopy(captured.scored).cpu()), data).logits
    np.testing.assert_allclose(logits[0], on_host, rtol=1e-3, atol=1e-3)
