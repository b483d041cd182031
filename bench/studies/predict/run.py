"""Files through a fitted cell: the same reader, rate, front end and normalisation, in windows of its clip length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.cell import parse_inputs
from bench.data.decode import at_level, decode
from bench.data.decoders import SOUND_SUFFIXES
from bench.data.waveforms import fit, silence_bounds
from bench.errors import DataError, SelectionError
from bench.execution.kept import Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was found in ``[start, stop)`` seconds of a file: the chance of each label ``(classes,)``."""

    file: Path
    start: float
    stop: float
    chances: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A file that could not be read, and why."""

    file: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    file: Path
    start: int
    stop: int
    samples: npt.NDArray[np.float32]


def files_of(places: Sequence[Path]) -> list[Path]:
    """The files that are named, and in their place those of a folder whose names end like audio's, sorted.

    Raises:
        SelectionError: A folder holds none.
    """
    found: list[Path] = []
    for place in places:
        if not place.is_dir():
            found.append(place)
            continue
        inside = sorted(p for p in place.rglob("*") if p.suffix.lower() in SOUND_SUFFIXES and p.is_file())
        if not inside:
            raise SelectionError(f"no audio file below {place}; name the files, or convert them to .wav or .flac")
        found += inside
    return found


def listen(
    kept: Kept, files: Sequence[Path], *, hop: float | None = None, device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Heard | Unread]:  # fmt: skip
    """What a cell says about each window of each file, in their order.

    A file up to the length of a clip is one window, filled as the cell's clips were. The windows of a longer one follow
    each other by ``hop`` seconds (``None``: their own length); the last ends with the file. The first is what the cell
    would have heard of the file as a clip.
    """
    size = kept.recipe.eval_batch
    waiting: list[_Window] = []
    for done, file in enumerate(files, 1):
        try:
            for window in _windows(kept, file, hop):
                waiting.append(window)
                if len(waiting) == size:
                    yield from _answers(kept, waiting, device)
                    waiting = []
        except DataError as error:
            yield from _answers(kept, waiting, device)
            waiting = []
            yield Unread(file=file, reason=str(error))
        if progress is not None:
            progress(done, len(files))
    yield from _answers(kept, waiting, device)


def check_inputs(kept: Kept) -> None:
    """Refuse a cell whose network needs more than audio."""
    cell = kept.record.cell
    tested = {name: how for name, how in parse_inputs(cell.inputs).items() if "missing" not in how}
    heard = all(name == "audio" or "derived" in how for name, how in tested.items())
    if not heard or "audio" not in tested or any("shuffled" in how for how in tested.values()):
        raise SelectionError(f"{cell.id} was tested on {cell.inputs}; only cells tested on audio alone take files")


def _windows(kept: Kept, file: Path, hop: float | None) -> Iterator[_Window]:
    rate, length, recipe = kept.task.sample_rate, kept.task.clip_samples, kept.recipe
    found = decode((file,), 0, file.name, rate)
    first, last = 0, len(found.samples)
    if recipe.trim_db is not None:
        first, last = silence_bounds(found.samples, recipe.trim_db, rate)
    step = length if hop is None else max(1, round(hop * rate))
    starts = [*range(first, max(first, last - length), step), max(first, last - length)]
    for start in starts:
        stop = min(start + length, last)
        samples, _, _ = fit(found.samples[start:stop], length, rate, (None, recipe.fill))
        yield _Window(file=file, start=start, stop=stop, samples=at_level(samples, found.scale))


def _answers(kept: Kept, windows: Sequence[_Window], device: str) -> Iterator[Heard]:
    if not windows:
        return
    clips = np.stack([window.samples for window in windows])
    own = np.asarray([window.stop - window.start for window in windows], dtype=np.int64)
    if kept.recipe.fill == "tile":
        own[:] = kept.task.clip_samples
    rate = kept.task.sample_rate
    for window, row in zip(windows, kept.heard(clips, own, device), strict=True):
        yield Heard(file=window.file, start=window.start / rate, stop=window.stop / rate, chances=row)
