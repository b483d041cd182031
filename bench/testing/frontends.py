"""What is checked of a front end, with the options it has by default, on clips of one second."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.clips import TaskInfo
from bench.errors import PluginError
from bench.execution.inputs import feature_shape
from bench.plugins.factories import load_factory
from bench.plugins.registry import Entry
from bench.plugins.specs import FrontendSpec
from bench.testing.inputs import hard_clips, tones
from bench.testing.results import Check, CheckResult, change, checks_of, failed, judge, passed, skipped, twice

_CLIPS = 6
_TASK = TaskInfo(num_classes=2, sample_rate=16_000, clip_samples=16_000)


@dataclass(frozen=True, slots=True)
class FrontendCase:
    """A front end built for 16 kHz and one second, and waveforms ``(6, 16000)`` float32 in [-1, 1] for it."""

    spec: FrontendSpec
    module: nn.Module
    waveform: Tensor

    @classmethod
    def of(cls, entry: Entry[FrontendSpec]) -> FrontendCase:
        """Build it; raises ``PluginError`` where its factory gives no module."""
        module = load_factory(entry.factory)(_TASK)
        if not isinstance(module, nn.Module):
            raise PluginError(f"{entry.factory} returned {type(module).__name__}; expected a torch.nn.Module")
        waveform = torch.stack([torch.from_numpy(tones(_TASK.clip_samples, 0, i)[0]) for i in range(_CLIPS)])
        return cls(entry.spec, module.eval(), waveform)

    def features(self, waveform: Tensor) -> Tensor:
        """``(batch, freq, time)`` without gradients."""
        with torch.no_grad():
            found: Tensor = self.module(waveform)
        return found


def frontend_checks(case: FrontendCase) -> dict[str, Check]:
    """The checks of one front end, by name, in order."""
    return checks_of(case, shape, silence, batch_mates, deterministic, autocast, trainable, cuda)


def shape(case: FrontendCase) -> CheckResult:
    """``(batch, samples)`` to ``(batch, freq, time)`` float32, finite."""
    freq, time = feature_shape(case.module, _TASK)
    found = case.features(case.waveform)
    if tuple(found.shape) != (_CLIPS, freq, time) or found.dtype != torch.float32:
        return failed(f"{found.dtype} {tuple(found.shape)}; expected float32 {(_CLIPS, freq, time)}")
    return judge(bool(found.isfinite().all()), f"(batch, {freq}, {time}) float32", "features are nan or infinite")


def silence(case: FrontendCase) -> CheckResult:
    """Digital silence gives finite features, and so do the hardest sounds."""
    hard = torch.from_numpy(hard_clips(case.waveform.numpy()))
    found = case.features(torch.cat([torch.zeros_like(case.waveform), hard]))
    bad = int((~found.isfinite()).sum())
    return judge(
        not bad,
        f"{bad} values of silence, clicks and the like are nan or infinite",
        "clamp before the logarithm",
        float(bad),
    )


def batch_mates(case: FrontendCase) -> CheckResult:
    """A clip's features are its own, whatever stands beside it: silence, a click, clips 100 dB apart, real sounds."""
    mates = torch.cat([case.waveform, torch.from_numpy(hard_clips(case.waveform.numpy()))])
    alone = torch.cat([case.features(one[None]) for one in mates])
    found = torch.where(alone.isfinite(), case.features(mates), 0.0)  # what is not finite is for `silence` to tell
    moved = change(found, torch.where(alone.isfinite(), alone, 0.0))
    said = f"batch mates change a clip's features by {moved:.2g} of their standard deviation"
    return judge(moved <= 1e-3, said, "take maxima and means per clip, not over the batch", moved)


def deterministic(case: FrontendCase) -> CheckResult:
    """The same clip gives the same features, to the last bit, in ``eval()``."""
    return twice(lambda: case.features(case.waveform), "no dither or other noise in eval()")


def autocast(case: FrontendCase) -> CheckResult:
    """Under bfloat16 autocast it stays in float32 and gives the same features."""
    expected = case.features(case.waveform)
    with torch.autocast("cpu", torch.bfloat16):
        found = case.features(case.waveform)
    if found.dtype != torch.float32:
        return failed(f"features are {found.dtype} under autocast; run it with torch.autocast(..., enabled=False)")
    moved = change(found, expected)
    said = f"autocast changes the features by {moved:.2g} of their standard deviation"
    return judge(moved <= 1e-3, said, "run it with torch.autocast(..., enabled=False)", moved)


def trainable(case: FrontendCase) -> CheckResult:
    """``FrontendSpec.trainable`` says whether it has parameters that ask for a gradient; these get a finite one."""
    wanted = {name: p for name, p in case.module.named_parameters() if p.requires_grad}
    if bool(wanted) != case.spec.trainable:
        names = ", ".join(wanted) or "no parameter"
        return failed(f"trainable={case.spec.trainable} is declared, but {names} asks for a gradient")
    if not wanted:
        return passed("nothing asks for a gradient, as declared")
    batch = torch.cat([case.waveform, torch.zeros_like(case.waveform[:1])])
    case.module.zero_grad(set_to_none=True)
    case.module(batch).square().mean().backward()
    bad = [name for name, p in wanted.items() if p.grad is None or not p.grad.isfinite().all()]
    case.module.zero_grad(set_to_none=True)
    said = f"{sum(p.numel() for p in wanted.values())} trainable values"
    return judge(not bad, said, f"the gradient of {', '.join(bad)} is missing, nan or infinite (silence included)")


def cuda(case: FrontendCase) -> CheckResult:
    """The GPU gives the CPU's features."""
    if not torch.cuda.is_available():
        return skipped("no CUDA device on this machine")
    expected = case.features(case.waveform)
    try:
        found = case.module.to("cuda")(case.waveform.to("cuda")).detach().cpu()
    finally:
        case.module.to("cpu")
    moved = change(found, expected)
    said = f"CPU and GPU differ by {moved:.2g} of the features' standard deviation"
    return judge(moved <= 0.01, said, "look for half precision and TF32", moved)
