"""Where records live: one JSON file per cell, written whole or not at all, artifacts first.

Layout of a run folder: ``records/<cell.id>.json`` with its ``.npz`` (and ``.safetensors``) beside it,
``logs/<cell.id>.log``, ``plan.json``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import io
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cell import Cell
from bench.errors import StoreError
from bench.results.records import Record, parse_record, upgraded_cell

if TYPE_CHECKING:
    import numpy as np

    from bench.clips import Clips
    from bench.results.predictions import Arrays


def write_atomic(path: Path, content: bytes) -> None:
    """Publish ``content`` at ``path``: unique temporary name, fsync, rename. Readers see the old or the new file.

    Raises:
        StoreError: The disk is full or the folder cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with _disk_errors(path):
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
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise StoreError(
            f"cannot write {path}: {what}. Records written before are kept; free space or choose another "
            "folder with --out, then run the same command again: it resumes"
        ) from error


class Store:
    """The records of one run folder.

    Args:
        root: The run folder (``--out``). Nothing is created before the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def path(self, cell: Cell) -> Path:
        """Where the record of ``cell`` stands."""
        return self.root / "records" / f"{cell.id}.json"

    def log_path(self, cell: Cell) -> Path:
        """Where the output of ``cell``'s worker is kept."""
        return self.root / "logs" / f"{cell.id}.log"

    def prepare(self) -> None:
        """Make the run folder and prove that it can be written."""
        probe = self.root / f".{uuid.uuid4().hex}.probe"
        write_atomic(probe, b"")
        probe.unlink(missing_ok=True)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the folder for one run at a time; the kernel lets go when the process dies.

        What a killed run left half written is removed: nobody else writes while the folder is held.
        """
        self.prepare()
        with (self.root / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreError(
                    f"another bench run is writing to {self.root}; wait for it or give --out another folder"
                ) from error
            for leftover in self.root.rglob(".*.tmp"):
                leftover.unlink(missing_ok=True)
            yield

    def read(self, cell: Cell) -> Record | None:
        """The stored record of ``cell``, ``None`` where there is none or it cannot be read."""
        try:
            return parse_record(self.path(cell).read_text(encoding="utf-8"), self.path(cell).name)
        except (FileNotFoundError, StoreError):
            return None

    def records(self) -> tuple[list[Record], list[StoreError]]:
        """All readable records in the order of their cells, and one error per unreadable file."""
        good: list[Record] = []
        bad: list[StoreError] = []
        base = self.root / "records" if (self.root / "records").is_dir() else self.root
        for path in sorted(base.rglob("*.json")):
            if path.name.startswith(".") or (base == self.root and path.parent == self.root):
                continue
            origin = str(path).removeprefix(f"{self.root}/")
            try:
                good.append(parse_record(path.read_bytes().decode(), origin))
            except FileNotFoundError:
                continue  # replaced or removed since it was listed
            except (OSError, UnicodeDecodeError) as error:
                bad.append(StoreError(f"{origin}: cannot be read: {error}"))
            except StoreError as error:
                bad.append(error)
        good.sort(key=lambda record: record.cell)
        return good, bad

    def write(
        self,
        record: Record,
        arrays: Mapping[str, np.ndarray[Any, Any]] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Record:
        """Store a record, its artifacts first.

        Args:
            record: What became of a cell.
            arrays: Stored as one compressed ``.npz`` under the artifact name ``predictions``.
            files: Further artifacts, name (with suffix) to content, e.g. ``{"checkpoint.safetensors": ...}``.

        Returns:
            The record as stored, with ``artifacts`` filled in.
        """
        path = self.path(record.cell)
        artifacts = dict(record.artifacts)
        if arrays is not None:
            artifacts["predictions"] = self._artifact(path.with_suffix(".npz"), npz_bytes(arrays))
        for name, content in (files or {}).items():
            kind, _, suffix = name.partition(".")
            artifacts[kind] = self._artifact(path.with_suffix(f".{suffix}"), content)
        record = record.model_copy(update={"artifacts": artifacts})
        write_atomic(path, record.to_json().encode())
        return record

    def set_aside(self, cell: Cell, clips: Clips) -> Path | None:
        """Move the result that stands under ``cell`` away if it was measured on other data than ``clips``.

        Returns:
            The run folder that holds it now, ``None`` where nothing had to be moved.
        """
        record = self.read(cell)
        found = (record.provenance.get("dataset") or {}) if record is not None and record.status == "ok" else {}
        # Records of earlier versions know the list of clips only.
        name = next((name for name in ("contents_sha256", "manifest_sha256") if found.get(name)), None)
        if name is None or found[name] == getattr(clips, name):
            return None
        aside, path = Store(self.root / "other-data" / found[name][:12]), self.path(cell)
        with _disk_errors(aside.root):
            aside.path(cell).parent.mkdir(parents=True, exist_ok=True)
            for file in path.parent.glob(f"{glob.escape(path.stem)}.*"):
                file.replace(aside.path(cell).with_name(file.name))
        return aside.root

    def write_log(self, cell: Cell, text: str) -> None:
        """Keep what was printed while ``cell`` ran."""
        write_atomic(self.log_path(cell), text.encode())

    @staticmethod
    def _artifact(path: Path, content: bytes) -> dict[str, Any]:
        write_atomic(path, content)
        return {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    def predictions(self, record: Record) -> Arrays:
        """The arrays stored beside a record, checked against its checksum; each is unpacked when it is asked for."""
        from bench.results.predictions import NpzArrays

        entry = record.artifacts.get("predictions")
        if entry is None:
            raise StoreError(f"{record.cell.id}: the record names no predictions")
        path = self.path(record.cell).with_name(str(entry["file"]))
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{record.cell.id}: predictions {path.name} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise StoreError(f"{record.cell.id}: predictions {path.name} were changed after the record was written")
        try:
            return NpzArrays(content)
        except ValueError as error:
            raise StoreError(f"{record.cell.id}: predictions {path.name} cannot be read: {error}") from error

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Keep what was planned, so that holes stay visible."""
        write_atomic(self.root / "plan.json", (json.dumps(plan, indent=1, sort_keys=True) + "\n").encode())

    def read_plan(self) -> dict[str, Any] | None:
        """The last plan of this folder, ``None`` where there is none."""
        try:
            plan = json.loads((self.root / "plan.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return plan if isinstance(plan, dict) else None

    def planned(self) -> list[Cell]:
        """The cells that were ever planned in this folder."""
        plan = self.read_plan() or {}
        return [Cell.from_json(upgraded_cell(values)) for values in plan.get("cells", ())]


def npz_bytes(arrays: Mapping[str, np.ndarray[Any, Any]], *, compressed: bool = True) -> bytes:
    """An ``.npz`` whose bytes depend on its content only (no time stamps)."""
    import zipfile

    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(arrays[name]), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue())
    return buffer.getvalue()
