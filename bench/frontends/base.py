"""What all front ends have in common: input checks and the logarithm."""

from __future__ import annotations

import contextlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bench.errors import DataError
from bench.frontends.precision import full_precision
from bench.frontends.settings import SpectralSettings


class Frontend(nn.Module, ABC):
    """Waveform ``(batch, samples)`` float32 in [-1, 1] to features ``(batch, freq, time)`` float32.

    A clip's features depend on that clip alone. The computation runs in float32 whatever the caller's autocast
    or TF32 settings are: quiet mel bins beside loud ones do not survive a short mantissa.

    Attributes:
        settings: The checked options.
        bins: Size of the frequency axis.
        min_samples: Shortest clip it can transform.
    """

    def __init__(self, settings: SpectralSettings, *, bins: int, min_samples: int) -> None:
        super().__init__()
        self.settings, self.bins, self.min_samples = settings, bins, min_samples

    @abstractmethod
    def compute(self, waveform: Tensor) -> Tensor:
        """The features ``(batch, freq, time)`` of a waveform that has passed the checks."""

    def frames(self, samples: int) -> int:
        """Number of frames of a clip of ``samples`` samples: one per hop where they are centred."""
        return 1 + samples // self.settings.hop

    def feature_shape(self, samples: int) -> tuple[int, int]:
        """``(freq, time)`` of the features of a clip of ``samples`` samples.

        Raises:
            DataError: The clip is shorter than ``min_samples``.
        """
        self._check_length(samples)
        return self.bins, self.frames(samples)

    def forward(self, waveform: Tensor) -> Tensor:
        """Features ``(batch, freq, time)`` of a batch.

        Raises:
            TypeError: Not a float32 tensor.
            ValueError: Not two-dimensional.
            DataError: No clip, or clips shorter than ``min_samples``.
        """
        self._check(waveform)
        with full_precision(waveform.device):
            return self.compute(waveform)  # (batch, samples) -> (batch, freq, time)

    def extra_repr(self) -> str:
        """The settings, for ``print(frontend)``."""
        return str(self.settings)

    def _check(self, waveform: Tensor) -> None:
        if not isinstance(waveform, Tensor):
            raise TypeError(f"the waveform is a {type(waveform).__name__}; use torch.from_numpy(x)")
        if waveform.dtype != torch.float32:
            advice = ".float() / 32768" if waveform.dtype == torch.int16 else ".float()"
            raise TypeError(f"the waveform is {waveform.dtype}; float32 in [-1, 1] is needed, e.g. x{advice}")
        if waveform.ndim != 2:
            advice = {1: "one clip: use x[None]", 3: "stereo: mix down with x.mean(1)"}.get(waveform.ndim, "see shape")
            shape = tuple(waveform.shape)
            raise ValueError(f"the waveform has shape {shape}; (batch, samples) mono is needed ({advice})")
        if not waveform.shape[0]:
            raise DataError("the batch holds no clip; at least one is needed")
        self._check_length(waveform.shape[1])

    def _check_length(self, samples: int) -> None:
        if samples < self.min_samples:
            rate = self.settings.sample_rate
            raise DataError(
                f"clips of {samples} samples ({samples / rate * 1000:.1f} ms at {rate} Hz) are too short for n_fft "
                f"{self.settings.n_fft} and window {self.settings.window}: at least {self.min_samples} samples are "
                "needed; pad the clips or lower n_fft"
            )


def power_of(spectrum: Tensor) -> Tensor:
    """Squared magnitude of a complex spectrum, same shape; added in place: temporaries are as large as features get."""
    power = spectrum.real.square()
    return power.addcmul_(spectrum.imag, spectrum.imag)


def log_power(power: Tensor, floor: float) -> Tensor:
    """``ln(max(power, floor))``: finite everywhere, gradient exactly 0 below the floor; same shape."""
    return power.clamp(min=floor).log()


@contextlib.contextmanager
def own_filter_warning() -> Iterator[None]:
    """Silence nnAudio's message about empty mel filters; :func:`check_filters` says it in our words."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected in mel frequency basis")
        yield


def check_filters(bank: Tensor, settings: SpectralSettings, *, tolerated: int = 0) -> None:
    """Warn where filters of a ``bank (mel, frequency)`` are narrower than the spacing of the Fourier bins.

    So many of them are ``tolerated``, since a published setting has them.
    """
    empty = int((bank.detach().abs().amax(dim=1) == 0).sum())
    if empty > tolerated:
        warnings.warn(
            f"{empty} of {settings.n_mels} mel filters hold no Fourier bin at n_fft {settings.n_fft} and "
            f"{settings.sample_rate} Hz, so their features are constant; raise n_fft or lower n_mels",
            UserWarning,
            stacklevel=3,
        )
