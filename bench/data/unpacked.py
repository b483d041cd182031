"""Files out of a container (tar shards, tables with sound in their cells), written once per what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.data.cache import cache_root, digest, ensure
from bench.data.contents import file_digests
from bench.errors import DataError
from bench.results.reading import parse_json, read_bytes

_TOLD = "told.json"


def unpacked(sources: Sequence[Path], write: Callable[[Path], Any], *, version: int = 1) -> tuple[Path, Any]:
    """A folder of the cache that holds what ``write(folder)`` made of ``sources``, and the JSON value that it gave.

    Raises:
        DataError: A source cannot be read, or the folder cannot be written.
    """
    held = file_digests(sources)
    if missing := [str(path) for path, sha256 in zip(sources, held, strict=True) if not sha256]:
        raise DataError(f"cannot read {missing[0]}")
    goal = cache_root() / "unpacked" / digest("unpacked", version, [path.name for path in sources], held)[:32]

    def made(folder: Path) -> dict[str, Any]:
        (folder / _TOLD).write_text(json.dumps(write(folder)), encoding="utf-8")
        return {}

    ensure(goal, _TOLD, made)
    return goal, parse_json(read_bytes(goal / _TOLD))
