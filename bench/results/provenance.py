"""What a number depends on: hashes of sources, library versions, the state of the working tree."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.errors import CheckpointError
from bench.results.imports import code_files

LIBRARIES = (
    "torch", "torchaudio", "torchvision", "nnAudio", "timm", "transformers", "numpy", "scipy", "scikit-learn",
    "soundfile", "soxr",
)  # fmt: skip
"""The libraries whose version can change a score."""

RESULT_CODE = ("data", "frontends", "execution", "metrics", "protocols", "clips.py")
"""The parts of the host that can change a score."""

PROFILE_CODE = (*RESULT_CODE, "measurement")
"""The parts of the host that can change a timing."""


def digest(value: Any) -> str:
    """Sixteen hex digits over a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=256)
def source_hash(factory: str) -> str:
    """Sixteen hex digits over the files that the code of a ``"module:function"`` is made of; see :func:`code_files`.

    Of a library that stands in :data:`LIBRARIES` the name is enough: its version is part of every fingerprint.
    """
    module = factory.partition(":")[0]
    if module.partition(".")[0] in {*LIBRARIES, "sklearn"}:
        return digest(module)
    return hash_files(*code_files(module))


@functools.lru_cache(maxsize=8)
def engine_hash(parts: tuple[str, ...] = RESULT_CODE) -> str:
    """Sixteen hex digits over the parts of the host that a result depends on."""
    root = Path(__file__).resolve().parents[1]
    files: list[Path] = []
    for part in parts:
        path = root / part
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return hash_files(root, files)


def hash_files(root: Path, files: Iterable[Path]) -> str:
    """Sixteen hex digits over relative names and contents."""
    total = hashlib.sha256()
    for path in files:
        total.update(path.relative_to(root).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def weights_sha256(path: Path) -> str:
    """Sixty-four hex digits over a weight file, or over the sorted files of a folder.

    Raises:
        CheckpointError: Nothing is there, or it cannot be read.
    """
    try:
        if path.is_dir():
            total = hashlib.sha256()
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                total.update(file.relative_to(path).as_posix().encode() + b"\0")
                total.update(bytes.fromhex(_file_sha256(file)))
            return total.hexdigest()
        return _file_sha256(path)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no weights at {path.absolute()}; give --weights an existing file or folder, or `masked`"
        ) from error
    except OSError as error:
        raise CheckpointError(f"the weights {path.absolute()} cannot be read: {error.strerror or error}") from error


def weights_label(path: Path) -> str:
    """What a cell calls a weight file: its name without suffix, ``~`` and six digits of its contents."""
    return f"{file_word(path.name if path.is_dir() else path.stem)}~{weights_sha256(path)[:6]}"


def file_word(name: str) -> str:
    """A name as part of a cell's id, which is also a file name: other characters become ``_``, a long one is cut."""
    return re.sub(r"[^A-Za-z0-9._+]", "_", name)[:24]


def _file_sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@functools.lru_cache(maxsize=1)
def library_versions() -> dict[str, str | None]:
    """Version of each library that can change a score, ``None`` where it is not installed; imports none of them."""
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, **{name: _version(name) for name in LIBRARIES}}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


_OF_EXTRA = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)[^;]*;\s*extra\s*==\s*['\"]([^'\"]+)['\"]\s*")


def extra_versions(extra: str, distribution: str) -> dict[str, str | None]:
    """Version of each distribution that an extra asks for, ``None`` where it is not installed.

    Requirements under a further condition (a Python version, a platform) are left out: they may not apply here.
    """
    try:
        lines = importlib.metadata.requires(distribution) if distribution else None
    except importlib.metadata.PackageNotFoundError:
        lines = None
    found = filter(None, map(_OF_EXTRA.fullmatch, lines or ()))
    return {match[1]: _version(match[1]) for match in found if match[2] == extra}


@functools.lru_cache(maxsize=1)
def git_state() -> dict[str, Any] | None:
    """Commit and cleanliness of the checkout that the host runs from; ``None`` where it is an installed copy."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": dirty}


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
