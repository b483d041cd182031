"""Files that a job names, for a machine that does not have them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.data.cache import cache_root
from bench.errors import SelectionError
from bench.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A file or folder, packed."""

    sha256: str
    content: bytes

    @classmethod
    def of(cls, source: Path) -> Parcel:
        """Pack ``source`` under its own name."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.add(source, arcname=source.name)
        return cls(sha256=hashlib.sha256(buffer.getvalue()).hexdigest(), content=buffer.getvalue())

    def opened(self) -> Path:
        """Where it lies here, unpacked once per machine."""
        place = cache_root() / "parcels" / self.sha256[:32]
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(dir=place.parent))
            with tarfile.open(fileobj=io.BytesIO(self.content)) as archive:
                archive.extractall(fresh, filter="data")
            with contextlib.suppress(OSError):  # another task was first
                fresh.rename(place)
            shutil.rmtree(fresh, ignore_errors=True)
        return place


def pack(job: Job) -> dict[str, Path]:
    """What is to be sent of a job's files: the path that the job names -> the file or folder itself."""
    found = {str(path): path for path in (*job.plugins, job.weights) if path is not None}
    if job.data is not None and not job.data.is_dir():
        raise SelectionError(
            f"--data {job.data}: a table names files elsewhere, which are not sent; put all on a disk that "
            "every machine has and say so with --launcher ray:shared_data=true"
        )
    place = job.data or Path(os.environ.get("BENCH_DATA", os.devnull))
    if (place / job.cell.data_name).is_dir():
        place /= job.cell.data_name
    elif job.data is None:
        return found  # each machine finds it, makes it or downloads it
    found[f"{job.cell.data_name}:data"] = place
    return found


def unpacked(job: Job, parcels: Mapping[str, Parcel]) -> Job:
    """The job with the paths that its files have here."""

    def here(path: Path) -> Path:
        return parcels[str(path)].opened() / path.name if str(path) in parcels else path

    data = parcels.get(f"{job.cell.data_name}:data")
    return replace(
        job, plugins=tuple(map(here, job.plugins)), weights=here(job.weights) if job.weights else None,
        data=next(data.opened().iterdir()) if data else job.data,
    )  # fmt: skip
