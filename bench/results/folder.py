"""Run folders: which folder is one, what a killed run left half written in it, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bench.errors import StoreError, some
from bench.results.reading import parse_json, read_bytes, set_aside

MARKER = ".bench-run.json"
"""What tells a run folder from any other."""
OWN = ("records", "logs", "trace")
"""Folders in a run folder that only bench writes to."""
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
_LOCKS = (".lock", ".shards")
_SHOWN = 3


class _Marker(BaseModel):
    model_config = ConfigDict(strict=True)
    schema_version: int
    id: str


def write_atomic(path: Path, content: bytes) -> None:
    """Publish ``content`` at ``path``: unique temporary name, fsync, rename. Readers see the old or the new file.

    Raises:
        StoreError: The disk is full or the folder cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with disk_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an operating-system error at ``path`` into one :class:`StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        what = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise StoreError(
            f"cannot write {path}: {what}. Records written before are kept; free space or choose another "
            "folder with --out, then run the same command again: it resumes"
        ) from error


def check_folder(root: Path, *, adopt: bool = False) -> None:
    """Refuse a folder that holds other things than a run, unless it is to be ``adopt``-ed.

    Raises:
        StoreError: It holds files and neither the marker nor, as runs before there was one, records or a plan.
    """
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        found = sorted(name for name in os.listdir(root) if name not in _LOCKS and not _TEMPORARY.fullmatch(name))
    if adopt or not found or MARKER in found or _older_run(root):
        return
    raise StoreError(
        f"{root} holds {some(found, _SHOWN)} and is no run folder of bench: give a new or empty folder with --out DIR, or add "
        f"--adopt to write into {root} all the same"
    )


def mark(root: Path) -> str:
    """Give a run folder its marker if it has none; returns a note where a damaged one was set aside, else nothing."""
    path, note = root / MARKER, ""
    with disk_errors(path):
        if os.path.lexists(path):
            with contextlib.suppress(OSError, ValueError):
                _Marker.model_validate(parse_json(read_bytes(path)))
                return note
            note = f"{path} is damaged; set aside as {set_aside(path).name}"
    write_atomic(path, (json.dumps({"schema_version": 1, "id": uuid.uuid4().hex}) + "\n").encode())
    return note


def _older_run(root: Path) -> bool:
    """Whether a run made before there were markers wrote here: a record or its plan tells."""
    records = (os.path.join(place, name) for place, _, names in os.walk(root / "records") for name in names)  # noqa: PTH118
    return _has(root / "plan.json", "cells", "decisions") or any(
        _has(path, "cell", "status", "provenance") for path in records if path.endswith(".json")
    )


def _has(path: str | Path, *keys: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        values = parse_json(read_bytes(path))
        return isinstance(values, dict) and values.keys() >= {*keys}
    return False


def remove_temporaries(root: Path) -> None:
    """Remove what killed runs left half written, where runs write and nowhere else: no other run folder, no link."""
    for place in (root, *(root / name for name in OWN)):
        for folder, inner, files in os.walk(place):
            inner[:] = [] if place == root else [name for name in inner if not _foreign(os.path.join(folder, name))]  # noqa: PTH118
            for name in filter(_TEMPORARY.fullmatch, files):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, name))  # noqa: PTH108, PTH118


def _foreign(folder: str) -> bool:
    return folder.endswith(".git") or os.path.lexists(f"{folder}/{MARKER}")
