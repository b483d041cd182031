"""Sound files to samples: read to their end in blocks; what a header says of the length is not believed.

The decoder is libsndfile, or for the whole set PyAV with ``BENCH_DECODER=pyav``: no file of a set is ever handed to
another decoder in silence.
"""

from __future__ import annotations

import contextlib
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
import soundfile

from bench.data.containers import EndlessBytes, container, without_xing
from bench.errors import DataError
from bench.textfiles import file_size, read_bytes

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
_BLOCK = 1 << 12
_LARGEST_BLOCK = 1 << 23
"""Values; libsndfile fails on FLAC blocks of more than 2**24 where the count of channels is no power of two."""
_MP3_FRAME = 1152
_MP3_SLACK = 2048
"""Bytes behind the last frame that are no audio: tags, padding."""
_DENSEST = 1024
"""Samples in a byte; silence compresses well."""
_GUESSED = 1 << 36
"""Frames of weeks: reckoned from a pretended size, no header says so."""


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
        size = file_size(path)
        with contextlib.suppress(soundfile.LibsndfileError, OSError), _Blocks(os.fsencode(path)) as file:
            sure = 0 < file.frames * file.channels <= _most(size)
            if file.format in ("MP3", "OGG"):
                data = read_bytes(path)
                sure = without_xing(data) != data if file.format == "MP3" else len(container(data).parts) == 1
            if sure:
                return float(file.frames / file.samplerate)
    audio = read_audio((path,), 0)
    return float(audio.samples.shape[1] / audio.rate)


def decoder() -> str:
    """Name and version of the decoder of files: ``libsndfile 1.2.2``.

    Raises:
        DataError: ``BENCH_DECODER`` names none, or one that is not installed.
    """
    if _chosen() == "pyav":
        return f"PyAV {_pyav().__version__}"
    return f"libsndfile {soundfile.__libsndfile_version__}"


def _most(size: int) -> int:
    """Values that a file of so many bytes may hold: a few kilobytes can claim to be days of silence."""
    return max(1 << 26, size, min(_DENSEST * size, 1 << 29))


def _left(most: int, found: Floats) -> int:
    """What is left of ``most`` values after a block."""
    if found.size > most:
        raise ValueError("it decodes to far more samples than a file of its size holds")
    return most - found.size


class _Blocks(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read forward only, block by block; soundfile would seek to where the header says it stands."""

    def seekable(self) -> bool:
        return False

    def blocks(self, most: int, frames: int = 0) -> tuple[Floats, soundfile.LibsndfileError | None]:
        """All frames ``(frames, channels)`` up to the end or to the block with the first error.

        More than ``most`` values are an error, whatever made them so many. The first block is as long as the header
        says, which is right for nearly every file and then never copied.
        """
        found = [np.empty((0, self.channels), dtype=np.float32)]
        frames = frames or max(_BLOCK, min(self.frames, _LARGEST_BLOCK // self.channels))
        error = None
        try:
            while len(found) == 1 or len(found[-1]):
                most = _left(most, found[-1])
                found.append(self.read(out=np.empty((frames, self.channels), dtype=np.float32)))
                frames = min(frames, _BLOCK)
        except soundfile.LibsndfileError as caught:
            error = caught
        return (found[1] if len(found) == 3 else np.concatenate(found)), error


def _by_libsndfile(path: Path, data: bytes) -> Audio:
    held = container(data)
    parts: list[Floats] = []
    rates = set()
    for part in held.parts:
        with _Blocks(os.fsencode(path) if part is data else io.BytesIO(part)) as file:
            if file.format == "MP3":
                return _mp3(data)
            samples, error = file.blocks(_most(len(data)))
            rates.add((file.samplerate, file.channels))
        if error is not None:
            raise error
        parts.append(samples)
    if len(rates) > 1:
        raise ValueError(f"its parts differ in rate and channels: {sorted(rates)}")
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    cut = held.cut or (held.frames is not None and len(whole) < held.frames)
    return Audio(samples=whole.T, rate=rates.pop()[0], cut=cut)


def _mp3(data: bytes) -> Audio:
    """To the last frame, whatever a Xing header or the first frame say; what follows the last frame is no fault."""
    bare = without_xing(data)
    stream = EndlessBytes(data) if bare == data else io.BytesIO(data)
    with _Blocks(stream) as file:
        rate, promised = file.samplerate, file.frames
        samples, error = file.blocks(_most(len(data)), _MP3_FRAME)
    ended = stream.tell()
    if len(data) - ended > _MP3_SLACK:
        with _Blocks(EndlessBytes(bare)) as file:
            more, _ = file.blocks(_most(len(data)), _MP3_FRAME)
        if len(more) - len(samples) > 4 * _MP3_FRAME:  # more than an encoder's delay and padding
            samples, error, promised = more, None, 0
    if not len(samples) and error is not None:
        raise error
    short = len(samples) + _MP3_FRAME < promised < _GUESSED
    return Audio(samples=samples.T, rate=rate, cut=short or (error is not None and ended == len(data)))


def _by_pyav(_: Path, data: bytes) -> Audio:
    """The first audio stream, by FFmpeg's libraries."""
    av = _pyav()
    try:
        with av.open(io.BytesIO(data)) as file:
            stream = file.streams.audio[0]
            convert = av.AudioResampler(format="fltp", layout=stream.layout.name, rate=stream.rate)
            parts: list[Floats] = []
            most = _most(len(data))
            for frame in chain(file.decode(stream), (None,)):
                for part in convert.resample(frame):
                    parts.append(part.to_ndarray())
                    most = _left(most, parts[-1])
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
