"""The training loop against a hand-written one, and what it promises."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.clips import TaskInfo
from bench.data.batches import Batches
from bench.errors import DataError, SealedError
from bench.execution.augment import Augmenter
from bench.execution.optimisation import make_optimizer, rate_factor
from bench.execution.pipeline import Normaliser, Pipeline
from bench.execution.results import DivergedError, LogitsShapeError, OverBudgetError, classify
from bench.execution.step import Inference, StepSettings, TrainStep, predict
from bench.execution.train import Trained, Validation, train
from bench.frontends.mfcc import build as build_mfcc
from bench.planning.costs import Cost
from bench.protocols.split import Leak, Split
from bench.recipe import Recipe
from bench.results.reading import parse_as
from bench.results.records import Score

CLIPS, SAMPLES, CLASSES = 40, 64, 3


def material(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Int16 waveforms whose level tells the class, and targets."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(CLASSES, size=CLIPS)
    waves = rng.normal(0, 500, (CLIPS, SAMPLES)) + 4000 * (targets[:, None] - 1)
    return waves.astype(np.int16), targets


def network(dropout: float = 0.2) -> Pipeline:
    torch.manual_seed(7)
    model = nn.Sequential(
        nn.Linear(SAMPLES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, CLASSES)
    )
    return Pipeline(model, frontend=None, normaliser=None, modalities=("audio",), num_classes=CLASSES)


def fit(pipeline: Pipeline, batches: Batches, recipe: Recipe, *, seed: int = 0, **more) -> Trained:
    return train(TrainStep(pipeline, StepSettings(recipe=recipe, seed=seed), len(batches)), batches, **more)


@pytest.mark.parametrize(("budget", "stops"), [(0.05, True), (1e4, False), (None, False)])
def test_a_cell_that_would_take_far_too_long_stops_after_its_first_steps(budget: float | None, stops: bool) -> None:
    waves, targets = material()
    steps = []

    class Slow(TrainStep):
        def __call__(self, batch):
            steps.append(len(batch))
            time.sleep(0.01)
            return super().__call__(batch)

    recipe, batches = plain(budget_seconds=budget), Batches({"audio": waves}, targets, np.arange(CLIPS), 8, seed=5)
    step = Slow(network(), StepSettings(recipe=recipe, seed=0), len(batches))
    if not stops:
        assert train(step, batches).steps == len(steps) == 15
        return
    with pytest.raises(OverBudgetError, match=r"by its first 6 steps.*recipe\.budget_seconds") as caught:
        train(step, batches)
    assert len(steps) == 6
    assert parse_as(Cost, caught.value.cost).step_s >= 0.01
    assert classify(caught.value) == ("over_budget", "budget")


def plain(**changes) -> Recipe:
    values = {"epochs": 3, "batch": 8, "ema": None, "mixup_alpha": 0.0, "normalise": "none"}
    return Recipe(**(values | changes))


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_losses_equal_a_hand_written_loop(schedule: str, optimizer: str) -> None:
    waves, targets = material()
    recipe = plain(schedule=schedule, optimizer=optimizer, warmup=0.2, lr=3e-3, step_from=2, step_factor=0.5)
    trained = fit(network(), Batches({"audio": waves}, targets, np.arange(CLIPS), 8, seed=5), recipe, seed=11)

    model = network().model
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    kind = torch.optim.AdamW if optimizer == "adamw" else torch.optim.Adam
    hand = kind([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}], lr=3e-3, weight_decay=0.05)
    torch.manual_seed(11)
    x, y = torch.from_numpy(waves).float() / 32768, torch.from_numpy(targets)
    steps, warm, step, losses = 15, 3, 0, []
    for epoch in (1, 2, 3):
        order = torch.randperm(CLIPS, generator=torch.Generator().manual_seed(5 * 100003 + epoch))
        total = 0.0
        for part in order.split(8):
            factor = (step + 1) / (warm + 1)
            if step >= warm:
                cosine = 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
                factor = {"constant": 1.0, "step": 0.5 ** (epoch - 1), "cosine": cosine}[schedule]
            for group in hand.param_groups:
                group["lr"] = 3e-3 * factor
            loss = F.cross_entropy(model(x[part]), y[part], label_smoothing=0.1)
            hand.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            hand.step()
            step += 1
            total += loss.item() / 5
        losses.append(total)
    np.testing.assert_allclose(trained.curves["train_loss"], losses, atol=1e-6, rtol=0)
    assert trained.steps == 15
    assert trained.clips == 3 * CLIPS


def test_same_seed_same_weights_other_seed_other_weights() -> None:
    waves, targets = material()
    recipe = plain(ema=0.9, mixup_alpha=0.4, gain_db=6.0, roll=True)

    def weights(seed: int) -> torch.Tensor:
        batches = Batches({"audio": waves}, targets, np.arange(CLIPS), 8, seed=seed)
        trained = fit(network(), batches, recipe, seed=seed)
        return torch.cat([p.flatten() for p in trained.pipeline.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_averaged_weights_follow_their_definition() -> None:
    waves, targets = material()
    recipe = plain(ema=0.5, epochs=1, batch=20)
    snapshots = []

    class Spy(Pipeline):
        def logits(self, inputs):
            snapshots.append(self.model[0].weight.detach().clone())
            return super().logits(inputs)

    torch.manual_seed(7)
    base = network(dropout=0.0)
    spy = Spy(base.model, frontend=None, normaliser=None, modalities=("audio",), num_classes=CLASSES)
    trained = fit(spy, Batches({"audio": waves}, targets, np.arange(CLIPS), 20, seed=0), recipe)
    first, last = snapshots[1], spy.model[0].weight.detach()  # after step 1, after step 2
    expected = first * 0.5 + last * 0.5
    torch.testing.assert_close(trained.pipeline.model[0].weight.detach(), expected)


@dataclass
class Told:
    """A metric that answers with given values."""

    values: list[float | None]
    higher_is_better: bool = True
    name: str = "told"

    def score(self, logits, targets) -> Score:
        value = self.values.pop(0)
        return Score(name=self.name, value=value, unit="", higher_is_better=self.higher_is_better)

    def better(self, a, b) -> bool:
        return b is None or (a > b if self.higher_is_better else a < b)


@pytest.mark.parametrize("higher", [True, False])
def test_best_validation_epoch_in_the_metrics_direction_is_kept_and_patience_stops(*, higher: bool) -> None:
    waves, targets = material()
    batches = Batches({"audio": waves}, targets, np.arange(CLIPS), 8, seed=0)
    values = [0.2, 0.9, 0.5, 0.4, 0.3, 0.2]
    metric = Told([value if higher else 1 - value for value in values], higher)
    seen: list[torch.Tensor] = []
    told: list[dict[str, float]] = []
    pipeline = network()

    def note(_epoch: int, scores: dict[str, float]) -> None:
        seen.append(pipeline.model[0].weight.detach().clone())
        told.append(dict(scores))

    validation = Validation(batches=batches, metric=metric)
    trained = fit(pipeline, batches, plain(epochs=6, patience=2), validation=validation, on_epoch=note)
    assert trained.selected_epoch == 2
    assert trained.epochs == 4
    assert torch.equal(trained.pipeline.model[0].weight, seen[1])
    assert [set(scores) for scores in told] == [{"train_loss", "lr", "seconds", "val_told"}] * 4
    assert trained.curves["val_told"] == [scores["val_told"] for scores in told]


def test_a_metric_that_is_undefined_on_the_validation_clips_selects_nothing_and_says_so() -> None:
    waves, targets = material()
    batches = Batches({"audio": waves}, targets, np.arange(CLIPS), 8, seed=0)
    with pytest.raises(DataError, match="told is not defined on the 40 validation clips"):
        fit(network(), batches, plain(), validation=Validation(batches=batches, metric=Told([None])))


def test_diverging_loss_is_an_error_that_names_the_rate() -> None:
    waves, targets = material()

    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(SAMPLES, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) * float("inf")

    pipeline = Pipeline(Broken(), frontend=None, normaliser=None, modalities=("audio",), num_classes=CLASSES)
    with pytest.raises(DivergedError, match=r"recipe\.lr"):
        fit(pipeline, Batches({"audio": waves}, targets, np.arange(CLIPS), 8, seed=0), plain())


def test_wrong_shape_of_logits_is_named() -> None:
    pipeline = Pipeline(
        nn.Linear(SAMPLES, 5), frontend=None, normaliser=None, modalities=("audio",), num_classes=CLASSES
    )
    with pytest.raises(LogitsShapeError, match=r"returned \(2, 5\), expected logits \(2, 3\)"):
        pipeline({"audio": torch.zeros(2, SAMPLES)})


def test_prediction_order_and_mode() -> None:
    waves, targets = material()
    pipeline = network().train()
    index = np.array([5, 3, 30, 1])
    found = predict(Inference(pipeline), Batches({"audio": waves}, targets, index, 3, seed=None))
    assert found.index.tolist() == index.tolist()
    pipeline.eval()
    with torch.no_grad():
        expected = pipeline.model(torch.from_numpy(waves[index]).float() / 32768)
    np.testing.assert_allclose(found.logits, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("kind", ["bin", "global", "half"])
def test_normaliser_against_numpy(kind: str) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(3, 2, (10, 4, 7)) + np.arange(4)[:, None]
    normaliser = Normaliser(4 if kind == "bin" else 1)
    normaliser.fit((torch.from_numpy(part).float() for part in np.array_split(features, 3)), kind)
    if kind == "bin":
        mean = features.mean(axis=(0, 2))[:, None]
        scale = math.sqrt(((features - mean) ** 2).mean())
    else:
        mean, scale = features.mean(), features.std() * (2 if kind == "half" else 1)
    np.testing.assert_allclose(
        normaliser(torch.from_numpy(features).float()).numpy(), (features - mean) / scale, atol=1e-4
    )


def test_schedules_warm_up_and_end() -> None:
    cosine = rate_factor(Recipe(epochs=10, warmup=0.1, schedule="cosine"), 10)
    assert cosine(0) == pytest.approx(1 / 11)
    assert cosine(10) == pytest.approx(1.0)
    assert cosine(99) < 0.001
    step = rate_factor(Recipe(epochs=10, warmup=0.0, schedule="step", step_from=5, step_factor=0.85), 4)
    assert [round(step(4 * epoch), 4) for epoch in (0, 3, 4, 5)] == [1.0, 1.0, 0.85, 0.7225]


def test_decay_on_matrices_only() -> None:
    groups = make_optimizer(network(), Recipe(weight_decay=0.3), "cpu").param_groups
    assert [g["weight_decay"] for g in groups] == [0.3, 0.0]
    assert all(p.ndim > 1 for p in groups[0]["params"])
    everything = make_optimizer(network(), Recipe(weight_decay=0.3, decay_all=True), "cpu").param_groups
    assert [g["weight_decay"] for g in everything] == [0.3]


def test_test_split_is_sealed() -> None:
    none = np.arange(0)
    split = Split(
        train=none, validation=none, test=np.arange(4), leak=Leak(clips=0, train_clips=0, test_clips=4, groups=())
    )
    with pytest.raises(SealedError, match="sealed"):
        split.test_indices(finalised=False)
    assert len(split.test_indices(finalised=True)) == 4


class TestAugmenter:
    def augmenter(self, **settings) -> Augmenter:
        return Augmenter.of(Recipe(**settings), 16_000, 3)

    def test_roll_keeps_the_samples(self) -> None:
        x = torch.arange(12.0).reshape(2, 6)
        y = self.augmenter(roll=True).roll({"audio": x}, derived=False)["audio"]
        assert torch.equal(y.sort(dim=1).values, x)

    def test_a_derived_picture_is_rolled_by_the_same_time_and_a_given_one_is_not(self) -> None:
        audio = torch.arange(280.0).expand(32, 280)
        image = torch.arange(28.0).expand(32, 1, 5, 28)
        both = self.augmenter(roll=True).roll({"audio": audio, "image": image}, derived=True)
        starts = both["audio"].argmin(dim=1)  # where the first sample went
        columns = both["image"][:, 0, 2].argmin(dim=1)
        assert len(set(starts.tolist())) > 20
        away = (starts / 10 - columns).abs()
        assert bool((torch.minimum(away, 28 - away) <= 0.5).all())
        given = self.augmenter(roll=True).roll({"audio": audio, "image": image}, derived=False)
        assert torch.equal(given["image"], image)
        alone = self.augmenter(roll=True).roll({"image": image}, derived=True)["image"]
        assert not torch.equal(alone, image)

    def test_gain_stays_within_its_bounds(self) -> None:
        y = self.augmenter(gain_db=6.0).waveform(torch.ones(200, 2))
        assert float(y.min()) >= 10 ** (-6 / 20) - 1e-6
        assert float(y.max()) <= 10 ** (6 / 20) + 1e-6
        assert float(y[:, 0].std()) > 0.1

    def test_noise_has_the_ratio(self) -> None:
        x = torch.sin(torch.arange(40_000.0))[None]
        noise = self.augmenter(noise_snr_db=10.0).waveform(x) - x
        ratio = 10 * math.log10(float(x.square().mean() / noise.square().mean()))
        assert ratio == pytest.approx(10, abs=0.3)

    def test_masks_zero_whole_bins_and_frames(self) -> None:
        x = torch.ones(64, 16, 40)
        y = self.augmenter(spec_masks=1, freq_mask=6, time_mask=10).features(x)
        assert torch.equal(x, torch.ones(64, 16, 40))
        hidden_bins = (y == 0).all(dim=2).sum(dim=1)
        hidden_frames = (y == 0).all(dim=1).sum(dim=1)
        assert int(hidden_bins.max()) <= 6
        assert int(hidden_frames.max()) <= 10
        assert int(hidden_bins.max()) > 0
        rebuilt = 1 - ((y == 0).all(dim=2)[:, :, None] | (y == 0).all(dim=1)[:, None, :]).float()
        assert torch.equal(y, rebuilt)

    @pytest.mark.parametrize("frames", [10, 51, 251, 1501])
    def test_masks_never_hide_more_than_their_share_together(self, frames: int) -> None:
        y = self.augmenter(spec_masks=2).features(torch.ones(256, 64, frames))
        hidden_frames, hidden_bands = (y == 0).all(dim=1).sum(dim=1), (y == 0).all(dim=2).sum(dim=1)
        assert 0 < int(hidden_frames.max()) <= min(0.4 * frames, 96)
        assert 12 < int(hidden_bands.max()) <= 24

    def test_clips_of_five_seconds_are_masked_as_the_widths_say(self) -> None:
        x = torch.ones(128, 64, 251)
        found = self.augmenter(spec_masks=2).features(x)
        assert torch.equal(found, self.augmenter(spec_masks=2, mask_share=1.0).features(x))

    def test_a_share_of_nothing_hides_nothing(self) -> None:
        x = torch.ones(4, 16, 40)
        assert torch.equal(self.augmenter(spec_masks=3, mask_share=0.0).features(x), x)

    def test_where_the_frequency_axis_is_no_band_only_time_is_hidden(self) -> None:
        y = self.augmenter(spec_masks=2, freq_mask=6, time_mask=10).features(torch.ones(64, 16, 40), bands=False)
        assert not bool((y == 0).all(dim=2).any())
        assert bool((y == 0).all(dim=1).any())

    def test_hidden_bands_hold_the_mean_of_their_clip(self) -> None:
        x = torch.randn(32, 20, 30, generator=torch.Generator().manual_seed(0)) + torch.arange(32.0)[:, None, None]
        y = self.augmenter(spec_masks=1, freq_mask=5).bands(x)
        hidden = ((y - x).abs() > 1e-5).any(dim=2)
        assert 0 < int(hidden.sum(dim=1).max()) <= 5
        expected = torch.where(hidden[:, :, None], x.mean(dim=(1, 2), keepdim=True), x)
        torch.testing.assert_close(y, expected, atol=1e-5, rtol=0)
        assert self.augmenter(spec_masks=0).bands(x) is x

    def test_cepstra_are_made_of_what_is_left_of_the_spectrogram(self) -> None:
        task = TaskInfo(num_classes=2, sample_rate=16_000, clip_samples=16_000)
        frontend = build_mfcc(task, n_mfcc=13, n_mels=40, n_fft=512, window=400, hop=160)
        recipe = plain(spec_masks=1, freq_mask=10, time_mask=0)
        audio = 0.1 * torch.randn(8, 16_000, generator=torch.Generator().manual_seed(1))
        pipeline = Pipeline(nn.Identity(), frontend=frontend, normaliser=None, modalities=("audio",), num_classes=2)
        pipeline.bands = False
        found = pipeline.features(audio, Augmenter.of(recipe, 16_000, 3).bands)
        mel = frontend.mel(audio)
        expected = frontend.dct @ Augmenter.of(recipe, 16_000, 3).bands(mel)
        torch.testing.assert_close(found, expected)
        assert float((found - pipeline.features(audio)).abs().max()) > 0.1
        log_mel = Pipeline(nn.Identity(), frontend=frontend.mel, normaliser=None, modalities=("audio",), num_classes=2)
        torch.testing.assert_close(log_mel.features(audio, Augmenter.of(recipe, 16_000, 3).bands), mel)

    def test_mixup_mixes_labels_as_it_mixes_clips(self) -> None:
        x = torch.eye(4)
        mixed, soft = self.augmenter(mixup_alpha=1.0, mixup_prob=1.0).mixup({"audio": x}, torch.arange(4), 4)
        torch.testing.assert_close(mixed["audio"], soft)
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(4))

    def test_text_is_never_mixed(self) -> None:
        inputs = {"audio": torch.eye(4), "text": torch.ones(4, 2, dtype=torch.int64)}
        same, targets = self.augmenter(mixup_alpha=1.0, mixup_prob=1.0).mixup(inputs, torch.arange(4), 4)
        assert same is inputs
        assert targets.ndim == 1
