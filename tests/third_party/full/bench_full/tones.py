"""48 generated tones: three registers, eight groups of six clips, two folds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench import Clips
from bench_full import LABELS

RATE, SAMPLES, GROUPS, PER_GROUP = 16_000, 4_000, 8, 6
"""Hz, samples, groups, clips of a group (two a class)."""
REGISTERS = ((200.0, 400.0), (1_000.0, 1_600.0), (3_000.0, 5_000.0))
"""Lowest and highest frequency of each class in Hz."""


def load(root: Path | None) -> Clips:
    """The data set; ``root`` is ``None``, since nothing is read."""
    count = GROUPS * PER_GROUP
    targets = np.arange(count, dtype=np.int64) % len(LABELS)
    group = np.arange(count) // PER_GROUP
    ids = tuple(f"tone{i:02d}" for i in range(count))
    return Clips(
        title="tones",
        ids=ids,
        targets=targets,
        label_names=LABELS,
        audio=lambda index: (_tone(index, int(targets[index])), RATE),
        sample_rate=RATE,
        clip_samples=SAMPLES,
        manifest_sha256=hashlib.sha256(b"tones 1" + "".join(ids).encode()).hexdigest(),
        folds=(group % 2 + 1).astype(np.int64),
        groups=tuple(f"group{g}" for g in group),
        notes=("generated",),
    )


def _tone(index: int, target: int) -> npt.NDArray[np.float32]:
    """A tone of the class's register, of random frequency, loudness and phase, in noise at 20 dB."""
    random = np.random.default_rng(index)
    frequency, level = random.uniform(*REGISTERS[target]), random.uniform(0.1, 0.5)
    time = np.arange(SAMPLES) / RATE
    tone = level * np.sin(2 * np.pi * (frequency * time + random.uniform()))
    noise = random.normal(scale=level * 0.07, size=SAMPLES)
    return np.clip(tone + noise, -1, 1).astype(np.float32)
