"""Clips that hold the same samples: found by comparing decoded recordings, remembered beside their cache."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bench.clips import Clips
from bench.data.cache import cache_root, digest, ensure
from bench.data.contents import file_digests
from bench.data.decoders import read_audio
from bench.data.waveforms import Progress, open_recordings
from bench.errors import DataError
from bench.protocols.groups import with_copies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

_FILE = "copies.npy"


def know_copies(
    clips: Clips, *, cache: Path | None = None, progress: Progress | None = None, decode: bool = True
) -> Clips:
    """The clips with :attr:`bench.clips.Clips.copies`, and their groups and drawn folds accordingly.

    Recordings are decoded if they are not yet; arguments and errors of :func:`bench.data.waveforms.open_waveforms`.
    Without ``decode`` those in files count as copies where the files hold the same bytes.
    """
    if clips.features is not None:
        return with_copies(clips, _first_alike(clips.features))
    if clips.audio is None:
        return clips
    if not (decode or callable(clips.sounds)):
        return with_copies(clips, _same_files(clips, cache))
    recordings = open_recordings(clips, cache=cache, progress=progress)

    def compare(folder: Path) -> dict[str, Any]:
        np.save(folder / _FILE, _first_alike(recordings, recordings.scales))
        return {}

    root = cache_root() if cache is None else cache
    folder = root / "waveforms" / f"copies-{digest(recordings.key)[:32]}"
    ensure(folder, _FILE, compare)
    return with_copies(clips, np.load(folder / _FILE))


def _same_files(clips: Clips, cache: Path | None) -> npt.NDArray[np.int64]:
    """For each clip the number of the first one whose file holds the same bytes; silence is like nothing."""
    first: dict[str, int] = {}
    copies = np.arange(len(clips), dtype=np.int64)
    for row, held in enumerate(file_digests(cast("Sequence[Path]", clips.sounds), cache=cache)):
        other = first.setdefault(held, row) if held else row
        if other != row:
            with contextlib.suppress(DataError):  # whoever decodes it says so
                copies[row] = other if read_audio(clips.sounds, other).samples.any() else row
    return copies


def _first_alike(rows: Iterable[npt.NDArray[Any]], scales: Iterable[float] | None = None) -> npt.NDArray[np.int64]:
    """For each row the number of the first one that is equal; silence is like nothing."""
    rows = list(rows)
    levels = [1.0] * len(rows) if scales is None else list(scales)
    first = np.arange(len(rows), dtype=np.int64)
    alike: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        same = alike[row.shape, levels[index], row.sum(dtype=np.float64)]
        found = next((other for other in same if np.array_equal(rows[other], row)), None) if row.any() else None
        if found is None:
            same.append(index)
        else:
            first[index] = found
    return first
