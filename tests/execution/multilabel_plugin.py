"""A plugin file for tests: clips with several labels, and models whose front end or answers are hard to score."""

from __future__ import annotations

import numpy as np
import torch

from bench import Clips, DatasetSpec, FrontendSpec, ModelSpec, hookimpl

CLIPS, SAMPLES, RATE, CLASSES = 40, 800, 8000, 4


@hookimpl
def bench_add_models():
    heard = {"frontend": "drawn", "recipes": {"*": {"normalise": "global"}}}
    return [
        ModelSpec(name="several.net", factory=":build"),
        ModelSpec(name="several.one_label", factory=":build_stubborn", estimator=True, task_types=("single_label",)),
        ModelSpec(name="several.stubborn", factory=":build_stubborn", estimator=True),
        ModelSpec(name="several.heard", factory=":build_centres", estimator=True, **heard),
        ModelSpec(name="several.heard_net", factory=":build", **heard),
    ]


@hookimpl
def bench_add_datasets():
    common = {"needs_files": False, "protocols": ("3+1+1", "4+1"), "recipe": "smoke", "folds": (1, 2, 3, 4, 5)}
    return [
        DatasetSpec(name="tags", load=":load_tags", **common),
        DatasetSpec(name="tags_by_loss", load=":load_tags", primary_metric="log_loss", **common),
        DatasetSpec(name="one_tag", load=":load_one_tag", **common),
    ]


@hookimpl
def bench_add_frontends():
    return [FrontendSpec(name="drawn", factory=":build_frontend")]


def indicators():
    """``(clips, classes)``: every class is there and absent in every fold."""
    return np.stack(
        [(np.arange(CLIPS) // 5 >> k) % 2 for k in range(CLASSES - 1)] + [np.arange(CLIPS) // 5 % 3 == 0], 1
    )


def load_tags(root):
    return _clips(indicators().astype(np.float32), "tags")


def load_one_tag(root):
    return _clips(np.arange(CLIPS) // 5 % CLASSES, "one tag")


def _clips(targets, title):
    return Clips(
        title=title, ids=tuple(f"clip-{i}" for i in range(CLIPS)), targets=targets,
        label_names=tuple(f"tone {k}" for k in range(CLASSES)), sample_rate=RATE, clip_samples=SAMPLES,
        folds=np.arange(CLIPS) % 5 + 1, manifest_sha256=title, audio=_chord,
    )  # fmt: skip


def _chord(index):
    rng = np.random.default_rng(index)
    time = np.arange(SAMPLES) / RATE
    tones = [np.sin(2 * np.pi * 400 * (k + 1) * time) for k in range(CLASSES) if indicators()[index, k]]
    return (0.1 * np.sum([*tones, 0.05 * rng.standard_normal(SAMPLES)], axis=0)).astype(np.float32), RATE


class Spectrum(torch.nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = torch.nn.LazyLinear(classes)

    def forward(self, x):
        return self.head(torch.fft.rfft(x).abs() if x.ndim == 2 else x.flatten(1))


def build(task):
    return Spectrum(task.num_classes)


class Drawn(torch.nn.Module):
    """A front end of random, frozen filters with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = torch.nn.Parameter(torch.randn(6, 1, 80), requires_grad=False)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, audio):
        return self.drop(torch.nn.functional.conv1d(audio[:, None], self.filters, stride=40))


def build_frontend(task):
    return Drawn()


class Stubborn:
    """Fits nothing: its probabilities favour class 0, its answer is always class 1."""

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def fit(self, x, y):
        return self

    def predict(self, x):
        if self.multi_label:
            return np.ones((len(x), self.classes))
        return np.ones(len(x), dtype=np.int64)

    def predict_proba(self, x):
        return np.tile([0.7, 0.1, 0.1, 0.1], (len(x), 1))

    multi_label = False


def build_stubborn(task):
    return Stubborn(task.num_classes)


class Centres:
    """Nearest class mean."""

    def fit(self, x, y):
        flat = x.reshape(len(x), -1)
        self.centres = np.stack([flat[y == k].mean(0) for k in np.unique(y)])
        return self

    def decision_function(self, x):
        return -np.linalg.norm(x.reshape(len(x), 1, -1) - self.centres, axis=2)


def build_centres(task):
    return Centres()
