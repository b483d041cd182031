"""Which augmentation hurts on a data set: a small network learns with each alone and is scored on clips held back.

The clips held back are of the training part, whole groups where there are any; no test clip is heard.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special
from torch import Tensor, nn

from bench.config.recipes import resolve
from bench.errors import BenchError
from bench.execution.build import build_pipeline
from bench.execution.inputs import Inputs, feature_shape
from bench.execution.seeding import seed_everything
from bench.execution.step import Inference, StepSettings, TrainStep, predict
from bench.execution.train import train
from bench.frontends.torchaudio import build
from bench.plugins.specs import ModelSpec
from bench.protocols.split import available_folds, make_split
from bench.recipe import Recipe
from bench.testing.datasets import DatasetCase
from bench.testing.inputs import as_inputs, in_turn, subset
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


def _judged(case: DatasetCase, name: str, measured: Callable[[], Measured]) -> CheckResult:
    found = measured()
    if name not in found.effects:
        return skipped(found.about)
    (key, value), (change, half) = ALONE[name], found.effects[name]
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
    """On what, or why nothing was; accuracy without any augmentation; what each changes and half its 95 % interval."""

    about: str
    plain: float = 0.0
    effects: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def measure(case: DatasetCase, tell: Tell) -> Measured:
    """Train and score: without, and with each augmentation alone, from the same seeds."""
    clips, recipe = case.clips, resolve("quick", overrides=OFF)
    if clips.audio is None:
        return Measured("the publishers give features: no waveform is augmented")
    learnt, held = _parts(case)
    about = f"{len(learnt)} training clips and {len(held)} held back"
    if min(len(learnt), len(held)) < len(clips.label_names):
        return Measured(f"{about} are too few for {len(clips.label_names)} classes")
    tell(f"decoding {about}")
    data = _inputs(case, np.concatenate([learnt, held]), recipe)
    rows, tested = np.arange(len(learnt)), np.arange(len(learnt), len(learnt) + len(held))
    runs = [(seed, name) for seed in range(SEEDS) for name in ("none", *ALONE)]
    pace = _pace(data, recipe, rows[:_TRIED])
    passes = SECONDS / len(runs) / pace - len(held)  # clips that one run may go through, scoring aside
    rows = rows[: max(FEWEST, int(passes / (recipe.epochs + 1)))]
    right: dict[str, list[npt.NDArray[np.bool_]]] = {name: [] for name in ("none", *ALONE)}
    left, start = SECONDS, time.perf_counter()
    for number, (seed, name) in enumerate(runs, 1):
        tell(f"augmentation {name}, seed {seed}: run {number} of {len(runs)}, about {left:.0f} s left")
        changed = recipe.model_copy(update=dict([ALONE[name]]) if name in ALONE else {})
        right[name].append(_run(data, changed, rows, tested, seed))
        left = (time.perf_counter() - start) / number * (len(runs) - number)
    scored = np.array(list(right.values()), dtype=float)
    found = effects(scored, held if clips.groups is None else np.asarray(clips.groups)[held])
    about = f"a small network, {len(rows)} clips learnt, {len(held)} held back, {SEEDS} seeds"
    return Measured(about, float(scored[0].mean()), dict(zip(ALONE, found, strict=True)))


def effects(right: npt.NDArray[np.float64], groups: npt.NDArray[Any]) -> list[tuple[float, float]]:
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
    found = []
    for way in right[1:]:
        clipwise = (way - right[0]).mean(axis=0)
        sums = np.bincount(place, clipwise - clipwise.mean(), len(names))
        variance = (sums**2).sum() / clips**2 * len(names) / (len(names) - 1) + 2 * noise / seeds
        found.append((float(clipwise.mean()), float(special.stdtrit(freedom, 0.975) * np.sqrt(variance))))
    return found


def _inputs(case: DatasetCase, chosen: Rows, recipe: Recipe) -> Inputs:
    """The clips as the small network hears them: about 130 frames of mel bands, however long a clip is."""
    model = ModelSpec(name="ear", factory="bench.testing.augmentations:Ear", frontend=None)
    data = as_inputs(case.registry, model, subset(case.clips, chosen), trim_db=recipe.trim_db)
    hop = max(64, data.task.clip_samples // 128)
    window = 1 << int(max(2 * hop, 0.04 * data.task.sample_rate) - 1).bit_length()
    bands = build(data.task, n_fft=window, window=window, hop=hop, n_mels=_BANDS).eval()
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
    rows = np.flatnonzero(np.asarray(clips.splits or ["train"] * len(clips)) == "train")
    for protocol in case.protocols:
        with contextlib.suppress(BenchError):  # one that these clips have not
            fold = available_folds(protocol, clips)[0]
            rows = make_split(protocol, clips, fold, known_leaks=clips.groups or ()).train
            break
    rows = rng.permutation(rows[~np.isin(np.asarray(clips.ids)[rows], clips.listed_bad)])
    groups = np.asarray(clips.groups)[rows] if len(set(clips.groups or ())) > 1 else rows
    names, sizes = np.unique(groups, return_counts=True)
    order = rng.permutation(len(names))
    count = int(np.searchsorted(np.cumsum(sizes[order]), len(rows) / 4)) + 1
    held = np.isin(groups, names[order[: min(count, len(names) - 1)]])
    labels = clips.targets.argmax(axis=1) if clips.targets.ndim == 2 else clips.targets
    learnt, held_back = (part[in_turn(labels[part])] for part in (rows[~held], rows[held]))
    return learnt[:LARGEST], held_back[: LARGEST // 2]
