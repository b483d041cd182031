"""A plugin file for tests: a classifier that learns at small rates and overflows at large ones."""

from bench import ModelSpec, hookimpl


@hookimpl
def bench_add_models():
    return [
        ModelSpec(name="steep.net", factory=":build", frontend="torchaudio", recipes={"*": {"trim_db": None}},
                  frontend_options={"n_fft": 256, "window": 256, "hop": 128, "n_mels": 16, "fmax": 4000.0})
    ]  # fmt: skip


def build(task):
    import torch
    from torch import nn

    class Steep(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(task.feature_shape[0], task.num_classes)
            self.scale = nn.Parameter(torch.tensor(0.1))

        def forward(self, audio):
            logits = self.net(audio.mean(dim=2))
            # A step of the optimiser moves the scale by about the rate: a rate of ten overflows float32.
            return logits * torch.exp(self.scale.square())

    return Steep()
