"""Which augmentation hurts on a data set: a small network learns with each alone and is scored on clips held back.

The clips held back are of the training part, whole groups where there are any; no test clip is heard.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import special
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from bench.config.recipes import resolve
from bench.errors import BenchError
from bench.execution.build import build_pipeline
from bench.execution.inputs import Inputs, feature_shape
from bench.execution.seeding import seed_everything
from bench.execution.step import Inference, StepSettings, TrainStep, predict
from bench.execution.train import train
from bench.plugins.specs import ModelSpec
from bench.protocols.split import available_folds, make_split
from bench.recipe import Recipe
from bench.testing.datasets import DatasetCase
from bench.testing.inputs import as_inputs, subset
from bench.testing.results import Check, CheckResult, failed, passed, skipped

OFF: Mapping[str, Any] = {"roll": False, "spec_masks": 0, "mixup_alpha": 0.0, "gain_db": 0.0, "shift": 0.0}
ALONE: Mapping[str, tuple[str, Any]] = {
    "roll": ("roll", True), "masks": ("spec_masks", 2), "mixup": ("mixup_alpha", 0.4), "gain": ("gain_db", 6.0),
    "shift": ("shift", 0.1),
}  # fmt: skip
"""What each augmentation sets: the values of ``quick``, and the shift that speech gets."""

SECONDS = 80.0
"""Of training, all networks together; as many clips are taken as this allows."""

SEEDS = 2
FEWEST, LARGEST = 120, 480
"""Training clips where there are as many, even if it takes longer, and at most; half as many are held back."""

_TRIED = 48
_BANDS = 48
_FEWEST_GROUPS = 5
_SEGMENTS = 8

Rows = npt.NDArray[np.int64]
Tell = Callable[[str], None]


class Bands(nn.Module):
    """``(batch, samples) -> (batch, 48, about 130)``: log power in mel bands, however long a clip is."""

    window: Tensor
    mel: Tensor

    def __init__(self, samples: int, rate: int) -> None:
        super().__init__()
        self.hop = max(64, samples // 128)
        size = 1 << int(max(2 * self.hop, 0.04 * rate) - 1).bit_length()
        self.register_buffer("window", torch.hann_window(size))
        self.register_buffer("mel", melscale_fbanks(size // 2 + 1, 50.0, rate / 2, _BANDS, rate).T)

    def forward(self, audio: Tensor) -> Tensor:
        """Waveform to features."""
        size = len(self.window)
        spectrum = torch.stft(audio, size, self.hop, window=self.window, pad_mode="constant", return_complex=True)
        power = torch.view_as_real(spectrum).square().sum(dim=-1)
        return (self.mel @ power + 1e-7).log()  # -> (batch, bands, time)


class Ear(nn.Module):
    """Three strided convolutions over time, then a linear map of eight segments: what comes when can be learnt."""

    def __init__(self, bins: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (64, 128, 128):
            layers += [nn.Conv1d(bins, width, 5, stride=2, padding=2), nn.BatchNorm1d(width), nn.ReLU()]
            bins = width
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(_SEGMENTS), nn.Flatten(), nn.Dropout(0.2))
        self.head = nn.Linear(bins * _SEGMENTS, classes)

    def forward(self, audio: Tensor) -> Tensor:
        """``(batch, bins, time) -> (batch, classes)``."""
        logits: Tensor = self.head(self.body(audio))
        return logits


def augmentation_checks(case: DatasetCase, tell: Tell) -> dict[str, Check]:
    """One check for each augmentation; the first that runs trains all networks."""
    measured = functools.cache(functools.partial(measure, case, tell))
    return {f"augmentation[{name}]": functools.partial(_judged, case, name, measured) for name in ALONE}


def _judged(case: DatasetCase, name: str, measured: Callable[[], Measured | str]) -> CheckResult:
    found = measured()
    if isinstance(found, str):
        return skipped(found)
    key, value = ALONE[name]
    change, half = found.effects[name]
    said = (
        f"{found.plain:.1%} without, {found.plain + change:.1%} with it alone: {100 * change:+.1f} points "
        f"[{100 * (change - half):+.1f}, {100 * (change + half):+.1f}] ({found.about})"
    )
    if change + half >= 0:
        return passed(f"{said}; {'helps' if change > half else 'no harm is resolved'}", change)
    if getattr(resolve("quick", clips=case.entry.spec.settings), key) != OFF[key]:
        return failed(f"{said}; hurts: train with --set recipe.{key}={str(OFF[key]).lower()}", change)
    return passed(f"{said}; hurts, and is off for this data set unless recipe.{key} says {value}", change)


@dataclass(frozen=True, slots=True)
class Measured:
    """Accuracy without any augmentation, what each alone changes with half its 95 % interval, and on what."""

    plain: float
    effects: Mapping[str, tuple[float, float]]
    about: str


def measure(case: DatasetCase, tell: Tell) -> Measured | str:
    """Train and score; a sentence where nothing can be measured."""
    clips = case.clips
    if clips.audio is None:
        return "the publishers give features: no waveform is augmented"
    learnt, held = _parts(case)
    if min(len(learnt), len(held)) < len(clips.label_names):
        return (
            f"{len(learnt)} training clips and {len(held)} held back are too few for {len(clips.label_names)} classes"
        )
    recipe = resolve("quick", overrides=OFF)
    tell(f"decoding {len(learnt) + len(held)} clips")
    data = _inputs(case, np.concatenate([learnt, held]), recipe)
    rows, tested = np.arange(len(learnt)), np.arange(len(learnt), len(learnt) + len(held))
    runs = SEEDS * (1 + len(ALONE))
    pace = _pace(data, recipe, rows[:_TRIED])
    each = SECONDS / runs / pace - len(held)  # clips that one run may go through, scoring aside
    rows = rows[: max(FEWEST, int(each / (recipe.epochs + 1)))]
    right: dict[str, list[npt.NDArray[np.bool_]]] = {}
    start = time.perf_counter()
    for number, (seed, name) in enumerate((seed, name) for seed in range(SEEDS) for name in ("none", *ALONE)):
        spent = time.perf_counter() - start
        left = spent / number * (runs - number) if number else pace * len(rows) * recipe.epochs * runs
        tell(f"augmentation {name}, seed {seed}: run {number + 1} of {runs}, about {left:.0f} s left")
        settings = dict([ALONE[name]]) if name in ALONE else {}
        right.setdefault(name, []).append(_run(data, recipe.model_copy(update=settings), rows, tested, seed))
    groups = held if clips.groups is None else np.asarray(clips.groups)[held]
    about = f"a small network, {len(rows)} clips learnt, {len(held)} held back, {SEEDS} seeds"
    scored = np.stack([right[name] for name in ("none", *ALONE)]).astype(float)
    changes, halves = effects(scored, groups)
    return Measured(float(scored[0].mean()), dict(zip(ALONE, zip(changes, halves, strict=True), strict=True)), about)


def effects(right: npt.NDArray[np.float64], groups: npt.NDArray[Any]) -> tuple[list[float], list[float]]:
    """What each way to train changes against the first, and half of its 95 % interval.

    ``right`` is ``(ways, seeds, clips)``. The variance of a difference is that over groups of clips, where there are at
    least five, else over clips, and that over seeds, taken from all ways together; Student's quantile has the degrees
    of freedom of the latter.
    """
    ways, seeds, clips = right.shape
    names, place = np.unique(groups, return_inverse=True)
    if len(names) < _FEWEST_GROUPS:
        names, place = np.arange(clips), np.arange(clips)
    freedom = ways * (seeds - 1)
    noise = ((right.mean(axis=2) - right.mean(axis=(1, 2))[:, None]) ** 2).sum() / freedom
    changes, halves = [], []
    for found in right[1:]:
        clipwise = (found - right[0]).mean(axis=0)
        sums = np.bincount(place, clipwise - clipwise.mean(), len(names))
        variance = (sums**2).sum() / clips**2 * len(names) / (len(names) - 1) + 2 * noise / seeds
        changes.append(float(clipwise.mean()))
        halves.append(float(special.stdtrit(freedom, 0.975) * np.sqrt(variance)))
    return changes, halves


def _inputs(case: DatasetCase, chosen: Rows, recipe: Recipe) -> Inputs:
    model = ModelSpec(name="ear", factory="bench.testing.augmentations:Ear", frontend=None)
    data = as_inputs(case.registry, model, subset(case.clips, chosen), trim_db=recipe.trim_db)
    bands = Bands(data.task.clip_samples, data.task.sample_rate).eval()
    return replace(data, frontend=bands, task=replace(data.task, feature_shape=feature_shape(bands, data.task)))


def _pace(data: Inputs, recipe: Recipe, rows: Rows) -> float:
    """Seconds a clip takes in training; what only the first batches cost is left out."""
    taken = []
    for epochs in (1, 1, 4):
        start = time.perf_counter()
        _run(data, recipe.model_copy(update={"epochs": epochs}), rows, rows[:1], 0)
        taken.append(time.perf_counter() - start)
    return max(taken[2] - taken[1], 0.1 * taken[2]) / (3 * len(rows))


def _run(data: Inputs, recipe: Recipe, rows: Rows, tested: Rows, seed: int) -> npt.NDArray[np.bool_]:
    """Whether the likeliest class of each tested clip is one of its own, after training on ``rows``."""
    seed_everything(seed)
    shape = data.task.feature_shape or (1, 1)
    pipeline = build_pipeline(Ear(shape[0], data.task.num_classes), data, recipe, rows)
    several = data.task.task_type == "multi_label"
    settings = StepSettings(recipe=recipe, seed=seed, sample_rate=data.task.sample_rate, multi_label=several)
    batches = data.batches(rows, recipe.batch, seed=seed)
    trained = train(TrainStep(pipeline, settings, len(batches)), batches)
    answers = predict(Inference(trained.pipeline), data.batches(tested, 64)).logits.argmax(axis=1)
    targets = data.clips.targets[tested]
    found: npt.NDArray[np.bool_] = targets[np.arange(len(tested)), answers] > 0 if several else targets == answers
    return found


def _parts(case: DatasetCase) -> tuple[Rows, Rows]:
    """Training clips of the first division that there is: those to learn, those held back; classes in turn."""
    clips, rng = case.clips, np.random.default_rng(0)
    rows = next(_divisions(case), np.flatnonzero(np.asarray(clips.splits or ["train"] * len(clips)) == "train"))
    rows = rows[~np.isin(np.asarray(clips.ids)[rows], clips.listed_bad)]
    groups = np.asarray(clips.groups)[rows] if clips.groups else rows
    if len(set(groups.tolist())) < 2:
        groups = rows
    names, sizes = np.unique(groups, return_counts=True)
    order = rng.permutation(len(names))
    count = int(np.searchsorted(np.cumsum(sizes[order]), len(rows) / 4)) + 1
    held = np.isin(groups, names[order[: min(count, len(names) - 1)]])
    labels = clips.targets.argmax(axis=1) if clips.targets.ndim == 2 else clips.targets
    return _in_turn(rows[~held], labels, LARGEST, rng), _in_turn(rows[held], labels, LARGEST // 2, rng)


def _divisions(case: DatasetCase) -> Iterator[Rows]:
    for protocol in case.protocols:
        try:
            fold = available_folds(protocol, case.clips)[0]
            yield make_split(protocol, case.clips, fold, known_leaks=case.clips.groups or ()).train
        except BenchError:  # one that these clips have not
            continue


def _in_turn(rows: Rows, labels: npt.NDArray[Any], most: int, rng: np.random.Generator) -> Rows:
    """At most so many rows in random order, one of each class after the other."""
    rows = rng.permutation(rows)
    turns = np.zeros(len(rows), dtype=np.int64)
    for label in np.unique(labels[rows]):
        found = labels[rows] == label
        turns[found] = np.arange(found.sum())
    return rows[np.argsort(turns, kind="stable")][:most]
