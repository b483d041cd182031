"""A plugin file for tests: noise in five folds, and models that would carry what they learnt to the next fold."""

import functools

from bench import Clips, DatasetSpec, FrontendSpec, ModelSpec, hookimpl

CLIPS, CLASSES, FOLDS, RATE, SAMPLES = 150, 3, 5, 8000, 400
MODELS = {
    "network": ":network", "cached": ":cached", "backbone": ":on_cached_backbone", "tensors": ":on_cached_tensors",
    "forest": ":forest", "scaled": ":scaled", "adapting": ":network",
}  # fmt: skip


@hookimpl
def bench_add_models():
    return [
        ModelSpec(
            name=f"leaks.{name}", factory=factory, frontend="adapting" if name == "adapting" else None,
            estimator=name in ("forest", "scaled"), recipes={"*": {"trim_db": None, "lr": 0.01, "epochs": 12}},
        )
        for name, factory in MODELS.items()
    ]  # fmt: skip


@hookimpl
def bench_add_frontends():
    return [FrontendSpec(name="adapting", factory=":adapting")]


@hookimpl
def bench_add_datasets():
    return [
        DatasetSpec(name=name, load=f":load_{name}", needs_files=False, protocols=("4+1",))
        for name in ("noise", "copies")
    ]


def load_copies(_root):
    """Each sound twice, with one label, in two folds."""
    return load_noise(_root, times=2)


def load_noise(_root, times=1):
    import numpy as np

    sounds = np.arange(CLIPS) // times
    targets = (np.random.default_rng(5).permutation(CLIPS) % CLASSES)[sounds]

    def audio(i):
        return (0.2 * np.random.default_rng([1, sounds[i]]).standard_normal(SAMPLES)).astype(np.float32), RATE

    return Clips(
        title="Noise", ids=tuple(f"noise-{i}" for i in range(CLIPS)), targets=targets,
        label_names=tuple("abc"), audio=audio, sample_rate=RATE, clip_samples=SAMPLES, manifest_sha256=f"noise-{times}",
        folds=np.arange(CLIPS) % FOLDS + 1,
    )  # fmt: skip


def layers(task, width=256):
    from torch import nn

    size = task.clip_samples if task.feature_shape is None else task.feature_shape[0] * task.feature_shape[1]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.ReLU()), nn.Linear(width, task.num_classes)


def network(task):
    from torch import nn

    return nn.Sequential(*layers(task))


@functools.cache
def cached(task):
    return network(task)


@functools.cache
def backbone(task):
    return layers(task)[0]


def on_cached_backbone(task):
    from torch import nn

    return nn.Sequential(backbone(task), layers(task)[1])


@functools.cache
def tensors(task):
    return {name: p.detach() for name, p in network(task).named_parameters()}


def on_cached_tensors(task):
    from torch import nn

    model = network(task)
    for name, x in tensors(task).items():
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, nn.Parameter(x))  # a new parameter over the memory of the last one
    return model


@functools.cache
def kept_forest():
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(20, warm_start=True, random_state=0)


def forest(task):
    return kept_forest()


def scaled(task):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), kept_forest())


@functools.cache
def centre(size):
    import torch

    return torch.zeros(size)


def adapting(task):
    import torch

    class Adapting(torch.nn.Module):
        """Follows the mean of all clips that it has seen."""

        def __init__(self):
            super().__init__()
            self.register_buffer("mean", centre(task.clip_samples))

        def forward(self, waveform):
            self.mean.lerp_(waveform.mean(0), 0.1)
            return (waveform - self.mean).reshape(len(waveform), 20, -1)

    return Adapting()
