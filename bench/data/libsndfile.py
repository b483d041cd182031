"""Decoding by libsndfile, imported by whoever decodes."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from bench.data.containers import EndlessBytes, container, without_xing
from bench.data.decoders import Audio, left, most
from bench.textfiles import file_size, read_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

VERSION: str = soundfile.__libsndfile_version__
_BLOCK = 1 << 12
_LARGEST_BLOCK = 1 << 23
"""Values; libsndfile fails on FLAC blocks of more than 2**24 where the count of channels is no power of two."""
_MP3_FRAME = 1152
_MP3_SLACK = 2048
"""Bytes behind the last frame that are no audio: tags, padding."""
_GUESSED = 1 << 36
"""Frames of weeks: reckoned from a pretended size, no header says so."""


def sure_seconds(path: Path) -> float | None:
    """The length that a file's header says, where it can be believed."""
    size = file_size(path)
    with contextlib.suppress(soundfile.LibsndfileError, OSError), _Blocks(os.fsencode(path)) as file:
        sure = 0 < file.frames * file.channels <= most(size)
        if file.format in ("MP3", "OGG"):
            data = read_bytes(path)
            sure = without_xing(data) != data if file.format == "MP3" else len(container(data).parts) == 1
        if sure:
            return float(file.frames / file.samplerate)
    return None


class _Blocks(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read forward only, block by block; soundfile would seek to where the header says it stands."""

    def seekable(self) -> bool:
        return False

    def blocks(self, allowed: int, frames: int = 0) -> tuple[Floats, soundfile.LibsndfileError | None]:
        """All frames ``(frames, channels)`` up to the end or to the block with the first error.

        More than ``allowed`` values are an error, whatever made them so many. The first block is as long as the header
        says, which is right for nearly every file and then never copied.
        """
        found = [np.empty((0, self.channels), dtype=np.float32)]
        frames = frames or max(_BLOCK, min(self.frames, _LARGEST_BLOCK // self.channels))
        error = None
        try:
            while len(found) == 1 or len(found[-1]):
                allowed = left(allowed, found[-1])
                found.append(self.read(out=np.empty((frames, self.channels), dtype=np.float32)))
                frames = min(frames, _BLOCK)
        except soundfile.LibsndfileError as caught:
            error = caught
        return (found[1] if len(found) == 3 else np.concatenate(found)), error


def read(path: Path, data: bytes) -> Audio:
    """All samples of a file whose bytes are ``data``; raises what libsndfile does, and ``ValueError``."""
    held = container(data)
    parts: list[Floats] = []
    rates = set()
    for part in held.parts:
        with _Blocks(os.fsencode(path) if part is data else io.BytesIO(part)) as file:
            if file.format == "MP3":
                return _mp3(data)
            samples, error = file.blocks(most(len(data)))
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
        samples, error = file.blocks(most(len(data)), _MP3_FRAME)
    ended = stream.tell()
    if len(data) - ended > _MP3_SLACK:
        with _Blocks(EndlessBytes(bare)) as file:
            more, _ = file.blocks(most(len(data)), _MP3_FRAME)
        if len(more) - len(samples) > 4 * _MP3_FRAME:  # more than an encoder's delay and padding
            samples, error, promised = more, None, 0
    if not len(samples) and error is not None:
        raise error
    short = len(samples) + _MP3_FRAME < promised < _GUESSED
    return Audio(samples=samples.T, rate=rate, cut=short or (error is not None and ended == len(data)))
