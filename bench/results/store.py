"""Where records live: one JSON file per cell, written whole or not at all, artifacts first.

Layout of a run folder: ``records/<cell.id>.json`` with its ``.npz`` (and ``.safetensors``) beside it,
``logs/<cell.id>.log``, ``plan.json`` and the marker ``.bench-run.json``. What is damaged is renamed ``NAME.damaged-N``.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cell import Cell, axes
from bench.errors import StoreError
from bench.results.folder import check_folder, disk_errors, mark, remove_temporaries, write_atomic
from bench.results.plans import StoredPlan, parse_plan
from bench.results.reading import read_bytes, reason, set_aside
from bench.results.records import AGAIN, Record, parse_record

if TYPE_CHECKING:
    import numpy as np

    from bench.clips import Clips
    from bench.results.predictions import Arrays


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

    def prepare(self, *, adopt: bool = False) -> list[str]:
        """Make the run folder, with its marker; returns notes on what was damaged.

        Args:
            adopt: Take a folder that holds other things.

        Raises:
            StoreError: It holds other things, or cannot be written.
        """
        check_folder(self.root, adopt=adopt)
        notes = [mark(self.root)]
        try:
            parse_plan(self.plan_path)
        except StoreError as error:
            with disk_errors(self.plan_path):
                notes.append(f"{error}. Set aside as {set_aside(self.plan_path).name}")
        return [note for note in notes if note]

    @contextlib.contextmanager
    def exclusive(self, *, adopt: bool = False) -> Iterator[list[str]]:
        """Hold the folder for one run at a time; the kernel lets go when the process dies.

        What a killed run left half written is removed: nobody else writes while the folder is held. Arguments, value
        and errors as :meth:`prepare`.
        """
        notes = self.prepare(adopt=adopt)
        with disk_errors(self.root):
            handle = (self.root / ".lock").open("w")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreError(
                    f"another bench run is writing to {self.root}; wait for it or give --out another folder"
                ) from error
            remove_temporaries(self.root)
            yield notes

    def read(self, cell: Cell) -> Record | None:
        """The stored record of ``cell``, ``None`` where there is none or it cannot be read."""
        with contextlib.suppress(StoreError):
            return self._record(self.path(cell))
        return None

    def _record(self, path: str | Path) -> Record | None:
        """The record in a file, ``None`` where there is none."""
        origin = str(path).removeprefix(f"{self.root}/")
        try:
            return parse_record(read_bytes(path), origin)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{origin}: cannot be read: {reason(error)}") from error

    def records(self) -> tuple[list[Record], list[StoreError]]:
        """All readable records in the order of their cells, and one error per file or folder that is not: the plan too."""
        bad: list[StoreError] = []
        try:
            parse_plan(self.plan_path)
        except StoreError as error:
            bad.append(error)

        def unreadable(error: OSError) -> None:
            bad.append(StoreError(f"{error.filename}: cannot be read: {reason(error)}"))

        base = self.root / "records" if (self.root / "records").is_dir() else self.root
        good: list[Record] = []
        for folder, inner, names in os.walk(base, onerror=unreadable):
            inner.sort()
            if base == self.root == Path(folder):
                continue
            for name in sorted([*names, *inner]):
                if not name.endswith(".json") or name.startswith("."):
                    continue
                try:
                    if record := self._record(f"{folder}/{name}"):
                        good.append(record)
                except StoreError as error:
                    bad.append(error)
        good.sort(key=lambda record: axes(record.cell))
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
        with disk_errors(aside.root):
            aside.path(cell).parent.mkdir(parents=True, exist_ok=True)
            for file in path.parent.glob(f"{glob.escape(path.stem)}.*"):
                file.replace(aside.path(cell).with_name(file.name))
        mark(aside.root)
        return aside.root

    def set_damaged_aside(self, cell: Cell) -> str:
        """Rename a record of ``cell`` that cannot be read, or whose files were changed, together with these files.

        Returns:
            What was wrong and where it is now, empty where nothing was.
        """
        path = self.path(cell)
        try:
            record = self._record(path)
            if record is not None:
                self.check(record)
            return ""
        except StoreError as error:
            with disk_errors(path):
                moved = [set_aside(file).name for file in (path, *self._beside(path)) if os.path.lexists(file)]
            return f"{error}. Set aside as {', '.join(moved)}; the cell is run again"

    @staticmethod
    def _beside(path: Path) -> list[Path]:
        """Files that a record at ``path`` may have."""
        return [path.with_suffix(suffix) for suffix in (".npz", ".safetensors")]

    def write_log(self, cell: Cell, text: str) -> None:
        """Keep what was printed while ``cell`` ran."""
        write_atomic(self.log_path(cell), text.encode())

    @staticmethod
    def _artifact(path: Path, content: bytes) -> dict[str, Any]:
        write_atomic(path, content)
        return {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    def predictions(self, record: Record) -> Arrays:
        """The arrays stored beside a record, checked against its checksum; each is unpacked when it is asked for.

        Raises:
            StoreError: There are none, or they are not what was written; so does asking for an array that is damaged.
        """
        from bench.results.predictions import NpzArrays

        return NpzArrays(*self._content(record, "predictions"), scored=bool(record.scores))

    def content(self, record: Record, kind: str) -> bytes:
        """The bytes of an artifact of a record, checked against its checksum.

        Raises:
            StoreError: There is none, or it is not what was written.
        """
        return self._content(record, kind)[0]

    def _content(self, record: Record, kind: str) -> tuple[bytes, str]:
        """The same, with what it is called in messages."""
        entry, where = record.artifacts.get(kind), record.cell.id
        if entry is None:
            raise StoreError(f"{where}: the record names no {kind}")
        name = f"{where}: {kind} {entry['file']}"
        try:
            content = read_bytes(f"{self.root}/records/{where.rpartition('/')[0]}/{entry['file']}")
        except OSError as error:
            raise StoreError(f"{name} cannot be read: {reason(error)}; {AGAIN}") from error
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            verb = "were" if kind.endswith("s") else "was"
            raise StoreError(f"{name} {verb} changed after the record was written; {AGAIN}")
        return content, name

    def intact(self, record: Record) -> bool:
        """Whether the files beside a record are those that were written."""
        with contextlib.suppress(StoreError):
            self.check(record)
            return True
        return False

    def check(self, record: Record) -> None:
        """Raise ``StoreError`` unless the files beside a record are there, predictions with the bytes that were written."""
        if "predictions" in record.artifacts:
            self.predictions(record)
        for entry in record.artifacts.values():
            file = self.path(record.cell).with_name(entry["file"])
            if not file.is_file() or file.stat().st_size != entry.get("bytes", file.stat().st_size):
                changed = f"{file.name} is missing or was changed after the record was written"
                raise StoreError(f"{record.cell.id}: {changed}; {AGAIN}")

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Keep what was planned, so that holes stay visible."""
        write_atomic(self.plan_path, (json.dumps(plan, indent=1, sort_keys=True) + "\n").encode())

    @property
    def plan_path(self) -> Path:
        """Where the plan stands."""
        return self.root / "plan.json"

    def read_plan(self) -> StoredPlan:
        """What was planned in this folder; nothing where there is no plan, or one that is damaged."""
        with contextlib.suppress(StoreError):
            return parse_plan(self.plan_path)
        return StoredPlan(cells=[], decisions=[])

    def planned(self) -> list[Cell]:
        """The cells that were ever planned in this folder."""
        return self.read_plan().cells


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
