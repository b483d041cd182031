"""A plugin file for tests: models that misbehave towards the process that measures them, and one without steps."""

import sys

from bench import ModelSpec, hookimpl


@hookimpl
def bench_add_models():
    options = {"n_fft": 128, "window": 128, "hop": 64, "n_mels": 8, "fmax": 4000.0}
    return [
        ModelSpec(name=f"rude.{name}", factory=factory, frontend="torchaudio", frontend_options=options)
        for name, factory in (("all", ":build"), ("estimator", ":build_estimator"))
    ] + [
        ModelSpec(name="polite.net", factory=":build_polite", frontend="nnaudio", frontend_options=options,
                  frontends=("torchaudio", "kaldi", "nnaudio_mel"), recipes={"*": {"trim_db": None}}),
    ]  # fmt: skip


def build(task):
    import threading

    import torch
    from torch import nn

    freq, frames = task.feature_shape
    torch.set_float32_matmul_precision("high")
    kept = []

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(freq * frames, task.num_classes)
            self.thread = None

        def forward(self, x):
            torch.backends.cudnn.benchmark = True
            sys.stdout.write("loud\n")
            kept.append(torch.ones(2**18))  # 1 MiB, kept for ever
            if self.training and self.thread is None:
                self.thread = threading.Thread(target=threading.Event().wait, name="lingering", daemon=True)
                self.thread.start()
            return self.net(x.flatten(1))

        def train(self, mode=True):
            if not mode:
                self.thread = None
            return super().train(mode)

    return Model()


def build_polite(task):
    from torch import nn

    freq, frames = task.feature_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(freq * frames, task.num_classes))


def build_estimator(task):
    from sklearn.neighbors import KNeighborsClassifier

    class Nearest:
        def __init__(self):
            self.inner = KNeighborsClassifier(1)

        def fit(self, x, y):
            self.inner.fit(x.reshape(len(x), -1), y)
            return self

        def predict_proba(self, x):
            return self.inner.predict_proba(x.reshape(len(x), -1))

    return Nearest()
