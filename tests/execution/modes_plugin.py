"""A plugin file for tests: generated tones with clips to predict, and small networks for every run mode."""

import json
import os
import time
from pathlib import Path

from bench import Clips, DatasetSpec, ModelSpec, hookimpl

RATE, SAMPLES, CLIPS = 8000, 1600, 48
FREQ_OPTIONS = {"n_fft": 128, "window": 128, "hop": 64, "n_mels": 8, "fmax": 4000.0}


def spec(name, **changes):
    values = {"factory": ":build", "frontend": "torchaudio", "frontend_options": FREQ_OPTIONS,
              "recipes": {"*": {"trim_db": None, "pretrain_steps": 12, "pretrain_batch": 8}},
              "pretrain": ":build_masked", "options": {"kind": name.partition(".")[2]}}  # fmt: skip
    return ModelSpec(name=name, **(values | changes))


@hookimpl
def bench_add_models():
    return [
        spec("modes.good"),
        spec("modes.wide"),
        spec("modes.mapping"),
        spec("modes.diverges"),
        spec("modes.slow"),
        spec("modes.blind", pretrain=None),
        spec("modes.bare", pretrain=":build"),
        spec("modes.own", factory=":build_with_weights"),
        spec("modes.brought", pretrain=None, trained_on=("tones of somebody else",)),
    ]


@hookimpl
def bench_add_datasets():
    return [
        DatasetSpec(name="tones", load=":load", needs_files=False, protocols=("official",)),
        DatasetSpec(name="tones-more", load=":load_more", needs_files=False, protocols=("official",)),
        DatasetSpec(name="chords", load=":load_chords", needs_files=False, protocols=("official",)),
    ]


def load(_root, *, classes=3, chords=False):
    import numpy as np

    targets = np.arange(CLIPS) % classes
    indicators = np.eye(classes)[targets] + np.eye(classes)[(targets + 1) % classes] * (np.arange(CLIPS) % 2)[:, None]

    def audio(i):
        rng = np.random.default_rng(i)
        pitches = np.flatnonzero(indicators[i]) if chords else [targets[i]]
        time = np.arange(SAMPLES) / RATE
        wave = sum(np.sin(2 * np.pi * (300 + 700 * pitch) * time + rng.uniform(0, 6)) for pitch in pitches)
        # The last samples tell the clip's number, so that a model can say whom it saw.
        wave = 0.2 * wave + 0.05 * rng.standard_normal(SAMPLES)
        return wave.astype(np.float32), RATE

    splits = tuple("predict" if i >= 44 else "test" if i >= 32 else "train" for i in range(CLIPS))
    return Clips(
        title="Tones (generated)", ids=tuple(f"tone-{i}" for i in range(CLIPS)),
        targets=indicators.astype(np.float32) if chords else targets.astype(np.int64),
        label_names=tuple(f"pitch{i}" for i in range(classes)), audio=audio, sample_rate=RATE, clip_samples=SAMPLES,
        manifest_sha256=f"tones{classes}{chords}", splits=splits,
    )  # fmt: skip


def load_more(root):
    return load(root, classes=5)


def load_chords(root):
    return load(root, classes=4, chords=True)


def build(task, *, kind):
    return networks(task, kind)[0]


def build_masked(task, *, kind):
    return networks(task, kind)[1]


def build_with_weights(task, *, kind, weights=None):
    model = networks(task, "good")[0]
    if weights is not None:
        import safetensors.torch

        model.load_state_dict(safetensors.torch.load_file(weights))
    return model


def networks(task, kind):
    """The classifier, and the same with a decoder; built in this order so that their first weights are equal."""
    import torch
    from torch import nn

    freq, frames = task.feature_shape
    width = 24 if kind == "wide" else 12

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(freq * frames, width), nn.BatchNorm1d(width), nn.GELU())
            self.head = nn.Linear(width, task.num_classes)

        def forward(self, audio):
            return self.head(self.body(audio))

        if kind != "blind":

            def embed(self, audio):
                found = self.body(audio)
                return {"late": found, "early": audio.flatten(1)[:, :5]} if kind == "mapping" else found

    class Masked(Model):
        def __init__(self):
            super().__init__()
            self.decoder = nn.Linear(width, freq * frames)

        def pretrain_loss(self, audio):
            if kind == "slow":
                time.sleep(0.05 if seen() <= 10 else 600)
            note(audio)
            hidden = torch.rand(len(audio), 1, frames, device=audio.device) < 0.5
            guess = self.decoder(self.body(audio.masked_fill(hidden, 0.0))).reshape(audio.shape)
            loss = ((guess - audio) ** 2).mean()
            return loss * float("inf") if kind == "diverges" else loss

        def reconstruct(self, audio):
            hidden = torch.rand(len(audio), 1, frames, device=audio.device) < 0.5
            guess = self.decoder(self.body(audio.masked_fill(hidden, 0.0))).reshape(audio.shape)
            pictures = {"input": audio, "masked": audio.masked_fill(hidden, float("nan")), "guess": guess}
            return {"audio": {name: x.unsqueeze(1) for name, x in pictures.items()}}

        def end_pretraining(self):
            del self.decoder

    return Model(), Masked()


def seen():
    """How many batches were written down."""
    log = os.environ.get("BENCH_TEST_SEEN")
    return len(Path(log).read_text().splitlines()) if log and Path(log).exists() else 0


def note(audio):
    """Write down what pre-training was shown, as sums of features that identify a clip without augmentation."""
    log = os.environ.get("BENCH_TEST_SEEN")
    if log:
        with Path(log).open("a") as handle:
            handle.write(json.dumps([round(float(x), 3) for x in audio.abs().sum(dim=(1, 2))]) + "\n")
