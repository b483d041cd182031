"""Generated sounds, pictures and words: a data set without files, for the first run and for tests.

Ten kinds of sound are told apart by their spectrum over time. Loudness, length, peaks and silence say nothing: the
samples of every clip are the *same* Gaussian amplitudes in another order (rank mapping), times a random gain, over a
noise floor. Exactly one clip in ten of each fold carries a wrong label, drawn evenly from the other classes, so that
no classifier can expect more than 0.90.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench import Clips
from bench_datasets._common import manifest_digest

BAYES_ACCURACY = 0.90
RATE = 16_000
SAMPLES = 16_000
SIDE = 28
FOLDS = 5
TEST_FOLD = 5
SOURCES = 2
TAKES = 4
LABELS = (
    "low chord", "high chord", "rising sweep", "falling sweep", "vibrato",
    "low noise", "high noise", "pulsed noise", "buzz", "siren",
)  # fmt: skip
_VERSION = 1
_SEED = 20_150_413
_FLOOR = 0.1
_QUIETEST, _LOUDEST = 0.02, 0.2
_COMMON_WORDS = ("a", "the", "sound", "clip", "recorded", "outside", "inside", "short")
_WORDS = (
    "deep drone organ bass", "bright bell glass treble", "climb ascend upward growing", "drop descend downward fading",
    "wobble tremble singing warble", "rumble thunder distant muffled", "hiss spray steam sizzle",
    "beat throb steady engine", "bee razor motor rasp", "alarm ambulance alternate warning",
)  # fmt: skip


@functools.lru_cache(maxsize=1)
def amplitudes() -> npt.NDArray[np.float64]:
    """Those of a normal distribution, ``(16000,)``, ascending."""
    from scipy.special import ndtri  # 24 MB, which nobody needs who reads clips that were kept

    return np.asarray(ndtri((np.arange(SAMPLES) + 0.5) / SAMPLES))


@dataclass(frozen=True, slots=True)
class Sounds:
    """Waveforms, made when asked for; all share :func:`amplitudes` before the gain."""

    truth: npt.NDArray[np.int64]
    source: npt.NDArray[np.int64]

    def __call__(self, index: int) -> tuple[npt.NDArray[np.float32], int]:
        """Waveform ``(16000,)`` float32 in (-1, 1) of clip ``index``, and 16000 Hz."""
        rng = np.random.default_rng([_SEED, 1, int(index)])
        pitch = np.random.default_rng([_SEED, 2, int(self.source[index])]).uniform(0.85, 1.18)
        pattern = _pattern(int(self.truth[index]), pitch, rng)
        pattern = pattern / pattern.std() + _FLOOR * rng.standard_normal(SAMPLES)
        gain = np.exp(rng.uniform(np.log(_QUIETEST), np.log(_LOUDEST)))
        mapped = np.empty(SAMPLES)
        mapped[np.argsort(pattern)] = amplitudes()  # rearranged to rise and fall as the pattern does
        return (gain * mapped).astype(np.float32), RATE


@dataclass(frozen=True, slots=True)
class Pictures:
    """Noisy 28 x 28 pictures: a grating whose angle and width belong to the class."""

    truth: npt.NDArray[np.int64]

    def __call__(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """``(len(indices), 1, 28, 28)`` float32 in [0, 1]."""
        rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
        images = np.empty((len(indices), 1, SIDE, SIDE), dtype=np.float32)
        for place, index in enumerate(indices):
            rng = np.random.default_rng([_SEED, 3, int(index)])
            kind = int(self.truth[index])
            angle = np.pi * (kind % 5) / 5
            waves = 3.0 if kind < 5 else 6.0
            across = rows * np.sin(angle) + columns * np.cos(angle)
            grating = np.sin(2 * np.pi * (waves * across + rng.uniform()))
            images[place, 0] = 0.5 + 0.25 * grating + 0.15 * rng.standard_normal((SIDE, SIDE))
        return images.clip(0.0, 1.0)


def load(root: Path | None = None) -> Clips:  # noqa: ARG001  (the contract of every loader)
    """400 clips of 1 s: 10 classes, 5 folds of 80, 4 takes of each source, no source in two folds."""
    truth, source, folds, labels = _plan()
    ids = tuple(f"demo-{i:03d}" for i in range(len(truth)))
    groups = tuple(f"source-{number:03d}" for number in source)
    return Clips(
        title="Demo (generated)",
        ids=ids,
        targets=labels,
        label_names=LABELS,
        audio=Sounds(truth, source),
        sample_rate=RATE,
        clip_samples=SAMPLES,
        manifest_sha256=manifest_digest(
            version=_VERSION, seed=_SEED, ids=ids, targets=labels, folds=folds, groups=groups
        ),
        folds=folds,
        groups=groups,
        splits=tuple("test" if fold == TEST_FOLD else "train" for fold in folds.tolist()),
        images=Pictures(truth),
        image_shape=(1, SIDE, SIDE),
        texts=tuple(_text(i, int(kind)) for i, kind in enumerate(truth)),
        notes=(f"one label in ten is wrong on purpose: the best accuracy to expect is {BAYES_ACCURACY:.2f}",),
    )


def _plan() -> tuple[npt.NDArray[np.int64], ...]:
    """True class, source and fold of every clip, and the label it is given."""
    classes = len(LABELS)
    per_fold = classes * SOURCES * TAKES
    number = np.arange(FOLDS * per_fold)
    folds = number // per_fold + 1
    source = number // TAKES
    truth = source // SOURCES % classes
    labels = truth.copy()
    rng = np.random.default_rng([_SEED, 0])
    wrong = round((1 - BAYES_ACCURACY) * per_fold)
    for fold in range(1, FOLDS + 1):
        picked = rng.choice(np.flatnonzero(folds == fold), wrong, replace=False)
        labels[picked] = (truth[picked] + rng.integers(1, classes, wrong)) % classes
    return truth, source, folds, labels


def _pattern(kind: int, pitch: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A sound ``(16000,)`` of one kind, of any level."""
    if kind in (0, 1):
        root = (220.0, 1400.0)[kind] * pitch
        return sum_of_tones([root, root * 1.26, root * 1.5], rng)
    if kind == 8:
        return sum_of_tones([120.0 * pitch * k for k in range(1, 30)], rng)
    turns = np.arange(SAMPLES) / RATE
    start = rng.uniform()
    if kind in (5, 6, 7):
        low, high = ((150.0, 600.0), (3500.0, 6000.0), (900.0, 2400.0))[kind - 5]
        band = _band(low * pitch, high * pitch, rng)
        return band * (1 + 0.8 * np.sin(2 * np.pi * (5 * turns + start))) if kind == 7 else band
    return np.asarray(np.sin(2 * np.pi * np.cumsum(pitch * _course(kind, turns, start)) / RATE))


def _course(kind: int, turns: npt.NDArray[np.float64], start: float) -> npt.NDArray[np.float64]:
    """The frequency ``(16000,)`` in Hz over time of the sweeps, the vibrato and the siren."""
    if kind in (2, 3):
        place = (2 * turns + start) % 1.0
        return np.asarray(300.0 * 10.0 ** (place if kind == 2 else 1.0 - place))
    if kind == 4:
        return np.asarray(900.0 * (1 + 0.35 * np.sin(2 * np.pi * (7 * turns + start))))
    return np.where(np.sin(2 * np.pi * (3 * turns + start)) > 0, 600.0, 1500.0)


def sum_of_tones(frequencies: Sequence[float], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Equal sines ``(16000,)`` of the given frequencies, rounded to whole Hz, random phases."""
    spectrum = np.zeros(SAMPLES // 2 + 1, dtype=np.complex128)  # a clip of 1 s: bins 1 Hz apart
    spectrum[np.rint(frequencies).astype(int)] = np.exp(1j * rng.uniform(0, 2 * np.pi, len(frequencies)))
    return np.fft.irfft(spectrum, SAMPLES)


def _band(low: float, high: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    spectrum = np.fft.rfft(rng.standard_normal(SAMPLES))
    frequency = np.fft.rfftfreq(SAMPLES, 1 / RATE)
    spectrum[(frequency < low) | (frequency > high)] = 0
    band = np.fft.irfft(spectrum, SAMPLES)
    return np.asarray(band / band.std())


def _text(index: int, kind: int) -> str:
    rng = np.random.default_rng([_SEED, 4, index])
    words = [*rng.choice(_COMMON_WORDS, 3), *rng.choice(_WORDS[kind].split(), 2, replace=False)]
    return " ".join(rng.permutation(words))
