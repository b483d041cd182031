"""A plugin file for tests: an encoder of frames, with several layers of which one tells the classes apart."""

from bench import ModelSpec, hookimpl


@hookimpl
def bench_add_models():
    common = {"factory": ":build", "axes": {"mode": "attention"}, "lengths": True, "recipes": {"*": {"fill": "zeros"}}}
    return [
        ModelSpec(name="framed", embeds_frames=True, **common),
        ModelSpec(name="framed.lying", embeds_frames=True, **common, options={"lying": True}),
        ModelSpec(name="framed.mates", embeds_frames=True, **common, options={"mates": True}),
        ModelSpec(name="framed.loud", embeds_frames=True, **common, options={"gain": 1e6}),
        ModelSpec(name="framed.broken", embeds_frames=True, **common, options={"gain": float("nan")}),
    ]


def build(task, *, lying=False, mates=False, gain=1.0):
    import torch
    from torch import nn

    class Framed(nn.Module):
        """Power of the samples in each step at three pitches, and two layers of it that say nothing."""

        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, task.num_classes)

        def forward(self, audio, audio_samples=None):
            return self.head(self.embed(audio, audio_samples))

        def embed(self, audio, audio_samples=None):
            return torch.stack([x[:, 1].mean(0) for x in self.steps(audio, audio_samples)])

        def steps(self, audio, audio_samples=None):
            counts = [audio.shape[1]] * len(audio) if audio_samples is None else audio_samples.tolist()
            time = torch.arange(100) / task.sample_rate
            pitches = torch.stack([torch.exp(2j * torch.pi * (300 + 700 * i) * time) for i in range(3)])
            found = []
            for wave, count in zip(audio, counts, strict=True):
                blocks = wave[: count // 100 * 100].view(-1, 100)
                power = (blocks.to(pitches.dtype) @ pitches.T).abs().log1p()
                flat = torch.full_like(power, 2.0)
                found.append(torch.stack([flat, power, flat], 1))
            return found

        if not lying:

            def frames(self, audio, audio_samples=None):
                found = self.steps(audio, audio_samples)
                return [gain * x * (len(found) if mates else 1) for x in found]

    return Framed()
