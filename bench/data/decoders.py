"""Sound files to samples: read to their end in blocks; what a header says of the length is not believed.

The decoder is libsndfile, or for the whole set PyAV with ``BENCH_DECODER=pyav``: no file of a set is ever handed to
another decoder in silence.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.data.containers import container
from bench.errors import DataError
from bench.textfiles import read_bytes

if TYPE_CHECKING:
    from bench.clips import AudioSource

    Floats = npt.NDArray[np.float32]

SOUND_SUFFIXES = frozenset(
    {".aif", ".aiff", ".au", ".caf", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav", ".webm"}
)
"""What is taken for sound in a folder or archive, in any case; a file that is named is read whatever it is called."""
CURE = (
    "Convert it (`ffmpeg -i FILE FILE.flac`), or decode the whole set with PyAV: pip install 'bench-audio[av]' and set "
    "BENCH_DECODER=pyav"
)
_DENSEST = 1024
"""Samples in a byte; silence compresses well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """What a file holds: ``samples (channels, samples)`` at ``rate`` Hz, and whether it is ``cut`` short."""

    samples: Floats
    rate: int
    cut: bool = False


def read_audio(source: AudioSource, index: int) -> Audio:
    """The samples of clip ``index``, all of them.

    Raises:
        DataError: The file is missing, unreadable or not of a known format, or the decoder is.
    """
    if callable(source):
        waveform, rate = source(index)
        return Audio(samples=np.atleast_2d(np.asarray(waveform, dtype=np.float32)), rate=int(rate))
    path = Path(source[index])
    data = read_bytes(path)
    if not data:
        raise DataError(f"cannot read {path}: the file is empty (0 bytes)")
    read = _DECODERS[_chosen()]
    try:
        return read(path, data)
    except DataError:
        raise
    except Exception as error:  # a decoder of damaged bytes may raise anything
        said = str(getattr(error, "error_string", error)).rstrip(". ") or type(error).__name__
        raise DataError(f"cannot read {path}: {said}. {CURE}") from error


def audio_seconds(path: Path) -> float:
    """Length of a file in seconds; decoded where its header does not say it for certain.

    Raises:
        DataError: The file is missing, unreadable or not of a known format.
    """
    if _chosen() == "libsndfile":
        from bench.data.libsndfile import sure_seconds

        if (seconds := sure_seconds(path)) is not None:
            return seconds
    audio = read_audio((path,), 0)
    return float(audio.samples.shape[1] / audio.rate)


def decoder() -> str:
    """Name and version of the decoder of files: ``libsndfile 1.2.2``.

    Raises:
        DataError: ``BENCH_DECODER`` names none, or one that is not installed.
    """
    if _chosen() == "pyav":
        return f"PyAV {_pyav().__version__}"
    from bench.data.libsndfile import VERSION

    return f"libsndfile {VERSION}"


def most(size: int) -> int:
    """Values that a file of so many bytes may hold: a few kilobytes can claim to be days of silence."""
    return max(1 << 26, size, min(_DENSEST * size, 1 << 29))


def left(allowed: int, found: Floats) -> int:
    """What is left of the ``allowed`` values after a block."""
    if found.size > allowed:
        raise ValueError("it decodes to far more samples than a file of its size holds")
    return allowed - found.size


def _by_libsndfile(path: Path, data: bytes) -> Audio:
    from bench.data.libsndfile import read  # 8 MB, which nobody needs who reads clips that were kept

    return read(path, data)


def _by_pyav(_: Path, data: bytes) -> Audio:
    """The first audio stream, by FFmpeg's libraries."""
    av = _pyav()
    try:
        with av.open(io.BytesIO(data)) as file:
            stream = file.streams.audio[0]
            convert = av.AudioResampler(format="fltp", layout=stream.layout.name, rate=stream.rate)
            parts: list[Floats] = []
            allowed = most(len(data))
            for frame in chain(file.decode(stream), (None,)):
                for part in convert.resample(frame):
                    parts.append(part.to_ndarray())
                    allowed = left(allowed, parts[-1])
            samples = np.concatenate(parts, axis=1)
            return Audio(samples=samples, rate=stream.rate, cut=container(data).cut)
    except IndexError:
        raise ValueError("it has no audio stream") from None


def _pyav() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise DataError(f"BENCH_DECODER=pyav needs PyAV ({error}); pip install 'bench-audio[av]'") from error


_DECODERS: Mapping[str, Callable[[Path, bytes], Audio]] = {"libsndfile": _by_libsndfile, "pyav": _by_pyav}


def _chosen() -> str:
    name = os.environ.get("BENCH_DECODER", "libsndfile")
    if name not in _DECODERS:
        raise DataError(f"BENCH_DECODER={name!r} is unknown; use {' or '.join(_DECODERS)}")
    return name
