"""Demo clips as features, and how much a clip's logits depend on its batch mates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from bench import TaskInfo
from bench.frontends import mfcc, torchaudio
from bench_datasets.demo import load

FRONTENDS = {"torchaudio": torchaudio.build, "mfcc": mfcc.build}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """What other batch mates do.

    Attributes:
        change: Root mean square difference of a clip's logits between two draws of mates, in standard deviations
            of the logits between clips.
        flips: Fraction of the clips whose largest logit is not the same in all draws.
        answers: Most different answers (rows of logits) in one batch.
    """

    change: float
    flips: float
    answers: int


@cache
def demo_waves() -> Tensor:
    """The waveforms ``(400, 16000)`` of the demo clips."""
    data = load(None)
    return torch.stack([torch.from_numpy(data.audio(index)[0]) for index in range(len(data))])


def demo_features(frontend: str, options: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Features ``(400, freq, time)``, z-scored over the training folds 1 to 4, targets and folds of the demo clips."""
    data = load(None)
    task = TaskInfo(num_classes=10, sample_rate=data.sample_rate, clip_samples=data.clip_samples)
    front, waves = FRONTENDS[frontend](task, **options), demo_waves()
    folds = torch.from_numpy(data.folds)
    with torch.no_grad():
        features = torch.cat([front(part) for part in waves.split(50)])
    seen = features[folds != 5]
    mean, deviation = seen.mean(dim=(0, 2), keepdim=True), seen.std(dim=(0, 2), keepdim=True)
    return (features - mean) / deviation, torch.from_numpy(data.targets), folds


def other_mates(net: nn.Module, clips: Tensor, batch: int, draws: int, seed: int) -> Dependence:
    """Score ``clips`` in ``draws`` random divisions into batches of ``batch``; a rest is left out of its draw."""
    generator = torch.Generator().manual_seed(seed)
    kept = len(clips) // batch * batch
    logits, answers = [], 0
    with torch.no_grad():
        for _ in range(draws):
            order = torch.randperm(len(clips), generator=generator)[:kept]
            parts = [net(clips[index]) for index in order.split(batch)]
            answers = max(answers, *(len(part.unique(dim=0)) for part in parts))
            scored = torch.full((len(clips), parts[0].shape[1]), torch.nan)
            scored[order] = torch.cat(parts)
            logits.append(scored)
    stacked = torch.stack(logits)  # (draws, clips, classes)
    between = stacked.nanmean(dim=0).std(dim=0).square().mean().sqrt()  # of a clip's average over draws
    moves = (stacked[1:] - stacked[:-1]).square()
    change = moves[~moves.isnan()].mean().sqrt() / between
    same = (stacked.argmax(dim=2) == stacked[0].argmax(dim=1)).all(dim=0)
    return Dependence(change=float(change), flips=1 - float(same.float().mean()), answers=answers)
