"""Where the files of a data set are: given, configured, cached or downloaded.

The host knows no layout. It proposes folders; the data set's own loader says whether one is right.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.clips import Clips
from bench.data.check import check_clips
from bench.data.download import download, download_folder
from bench.errors import DataError
from bench.plugins.factories import load_factory
from bench.plugins.references import split_options as split_query
from bench.plugins.specs import DatasetSpec
from bench.protocols.groups import with_folds
from bench.textfiles import at_home


def open_clips(spec: DatasetSpec, data: Path | None = None, **how: Any) -> Clips:
    """The checked clips of ``spec``; arguments and errors of :func:`find`."""
    return find(spec, data, **how)[0]


def locate(spec: DatasetSpec, data: Path | None = None, **how: Any) -> Path | None:
    """What to hand to the loader of ``spec``; arguments and errors of :func:`find`."""
    return find(spec, data, **how)[1]


def find(
    spec: DatasetSpec, data: Path | None, *, load: str | None = None, offline: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Clips, Path | None]:  # fmt: skip
    """The checked clips, and where they are: a folder, the user's file, or ``None`` for generated data.

    Args:
        spec: The data set.
        data: ``--data``: a file (passed through), a folder that holds data sets by name, or the data set itself;
            options of the loader stand behind a ``?``.
            Where given, nothing else is searched and nothing is downloaded.
        load: ``Entry.factory`` of the data set; ``None`` = ``spec.load``.
        offline: Never download.
        progress: Called as ``progress(bytes done, bytes in all)`` during a download.

    Raises:
        DataError: The data are nowhere, or the folder that carries their name is broken.
    """
    loader = load_factory(load or spec.load)
    data, options = split_options(data)
    if unknown := [name for name in options if name not in _options_of(loader)]:
        takes = ", ".join(_options_of(loader)) or "none"
        raise DataError(f"data set {spec.name!r} has no option {unknown[0]!r} behind the ? of --data; it takes {takes}")

    def read(root: Path | None) -> Clips:
        return with_folds(check_clips(loader(root, **options), spec.name))

    if not spec.needs_files:
        return read(None), None
    if data is not None and data.is_file():
        return read(data), data
    looked: list[str] = []
    for place in _places(spec, data):
        root = place / spec.name if (place / spec.name).is_dir() else place
        try:
            if root.is_dir():
                return read(root), root
            looked.append(f"{root}: no such folder")
        except DataError as error:
            if root.name == spec.name:
                raise  # a folder that carries the name of the data set is not passed over
            looked.append(f"{root}: {error}")
    if data is not None or offline or not spec.url:
        raise DataError(_nowhere(spec, looked, given=data is not None))

    def published(folder: Path) -> None:
        if not (clips := read(folder)).faithful:
            raise DataError(f"{spec.url} does not hold the published data: {'; '.join(clips.notes)}")

    root = download(spec, published, progress)
    return read(root), root


def split_options(data: Path | None) -> tuple[Path | None, dict[str, str]]:
    """``my.csv?label_separator=;&columns=path=file`` as the path and the loader's options; a file of that name wins.

    >>> split_options(Path("my.csv?columns=path=file,label=kind"))[1]
    {'columns': 'path=file,label=kind'}
    """
    place, options = split_query(str(data))
    return None if data is None else Path(place), options


def _options_of(loader: Callable[..., Clips]) -> tuple[str, ...]:
    """Keyword arguments of a loader behind its folder."""
    parameters = inspect.signature(loader).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def _places(spec: DatasetSpec, data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield at_home(data)
        return
    if configured := os.environ.get("BENCH_DATA"):
        yield at_home(configured)
    if spec.url:
        yield download_folder(spec)


def _nowhere(spec: DatasetSpec, looked: list[str], *, given: bool) -> str:
    size = f"about {spec.download_bytes / 1e6:.0f} MB" if spec.download_bytes else "size unknown"
    lines = [f"data set {spec.name!r} was not found. Looked in:", *(f"  {item}" for item in looked or ["nowhere"])]
    if spec.url:
        advice = "leave out --data to download it" if given else "go online to download it"
        lines.append(f"It is at {spec.url} ({size}): {advice}, or give a folder that holds it")
        lines.append("with --data DIR or BENCH_DATA.")
    else:
        lines.append("It cannot be downloaded: give its file or folder with --data PATH or BENCH_DATA.")
    lines.append("`--dataset demo` needs no files and no network.")
    return "\n".join(lines)
