"""The options that all front ends share, checked once; no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TypedDict


class SpectralOptions(TypedDict, total=False):
    """Keyword arguments that every front end takes, others are a ``TypeError``; :class:`SpectralSettings` explains."""

    n_fft: int
    window: int
    hop: int
    n_mels: int
    fmin: float
    fmax: float
    floor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectralSettings:
    """A short-time spectrum and its mel filter bank.

    Attributes:
        sample_rate: Of the waveform, in Hz.
        n_fft: Length of the Fourier transform in samples, even, at least ``window``.
        window: Length of the (periodic, unless Kaldi) Hann window in samples.
        hop: Samples between two frames.
        n_mels: Number of mel bins.
        fmin: Lower edge of the first mel filter in Hz.
        fmax: Upper edge of the last one in Hz; lowered to half the sample rate where that is less, see ``top``.
        floor: Smallest power; the features are ``ln(max(power, floor))`` (natural logarithm).

    Raises:
        TypeError: An option is of another type.
        ValueError: An option is out of range, or two contradict each other.
    """

    sample_rate: int
    n_fft: int = 512
    window: int = 400
    hop: int = 160
    n_mels: int = 128
    fmin: float = 20.0
    fmax: float = 8000.0
    floor: float = 1e-7

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value, whole = field.name, getattr(self, field.name), field.name not in ("fmin", "fmax", "floor")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                needed = "a whole number" if whole else "a number"
                raise TypeError(f"{name} = {value!r} is a {type(value).__name__}; {needed} is needed")
            if whole and value < 1:
                raise ValueError(f"{name} = {value}: must be at least 1")
            if not whole and not math.isfinite(value):
                raise ValueError(f"{name} = {value}: must be finite")
        self._check_relations()

    def _check_relations(self) -> None:
        if self.n_fft % 2:
            raise ValueError(f"n_fft = {self.n_fft} is odd; use {self.n_fft + 1}")
        if self.window > self.n_fft:
            raise ValueError(f"window = {self.window} samples do not fit into n_fft = {self.n_fft}; raise n_fft")
        if self.floor <= 0:
            raise ValueError(f"floor = {self.floor}: must be above 0, e.g. 1e-7, so that silence has a logarithm")
        if not 0 <= self.fmin < self.top:
            raise ValueError(
                f"fmin = {self.fmin} Hz must be at least 0 and below {self.top} Hz, the lesser of fmax = {self.fmax} "
                f"and half the sample rate of {self.sample_rate} Hz"
            )

    @property
    def top(self) -> float:
        """The upper edge in use in Hz: ``fmax``, or half the sample rate where that is less."""
        return min(float(self.fmax), self.sample_rate / 2)
