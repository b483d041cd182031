"""What the head of each step said, kept in the output folder, so that a stopped command goes on where it was."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.results.folder import write_atomic
from bench.results.provenance import digest, hash_files, library_versions
from bench.studies.translate.divisions import Case, Indices
from bench.studies.translate.rules import Step

_CODE = ("bench.studies.translate", "bench.execution", "bench.protocols")
"""The rooms whose code decides what a step says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The classes of each fold's test clips, one file for each step on these vectors by this code."""

    folder: Path
    case: Case

    def said(self, step: Step) -> list[Indices] | None:
        """What was kept; ``None`` where that is nothing, or cut off."""
        try:
            kept = [np.asarray(one) for one in json.loads(self._path(step).read_bytes())]
        except (OSError, ValueError, TypeError):
            return None
        shapes = [fold.test.shape for fold in step.divide(self.case)]
        return kept if [one.shape[-1:] for one in kept if one.dtype.kind == "i"] == shapes else None

    def keep(self, step: Step, said: Sequence[Indices]) -> None:
        """Write it down.

        Raises:
            StoreError: The folder cannot be written.
        """
        write_atomic(self._path(step), json.dumps([one.tolist() for one in said]).encode())

    def _path(self, step: Step) -> Path:
        case, names, modules = self.case, [], set[str]()
        total = hashlib.sha256(json.dumps([case.classes, case.groups, case.recipe.head_c]).encode())
        for values in (case.x, case.targets, case.folds):
            total.update(np.ascontiguousarray(values).tobytes())
        for part in (step.divide, step.head):
            module = getattr(part, "func", part).__module__
            names.append(next(name for name, value in vars(sys.modules[module]).items() if value is part))
            _follow(module, modules)
        files = sorted(Path(str(sys.modules[module].__file__)) for module in modules)
        code = hash_files(Path(__file__).parents[2], files)
        return self.folder / "steps" / f"{digest([total.hexdigest(), names, code, library_versions()])}.json"


def _follow(module: str, found: set[str]) -> None:
    """Add a module and those of the same rooms whose functions and classes it names."""
    if module in found or not module.startswith(_CODE):
        return
    found.add(module)
    for value in vars(sys.modules[module]).values():
        _follow(getattr(value, "__module__", None) or "", found)
