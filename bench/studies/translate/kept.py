"""What the head of each step said, kept in the output folder, so that a stopped command goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.results.provenance import digest, engine_hash, library_versions, source_hash
from bench.studies.translate.divisions import Case, Fold, Indices
from bench.studies.translate.rules import Step


def kept_at(out: Path, case: Case, step: Step) -> Path:
    """The file of a step on these vectors by this code."""
    total = hashlib.sha256(json.dumps([case.classes, case.groups, case.recipe.head_c]).encode())
    for values in (case.x, case.targets, case.folds):
        total.update(np.ascontiguousarray(values).tobytes())
    code = [engine_hash(), source_hash(__name__), library_versions()]
    names = step.divide.__name__, step.head.__name__
    return out / "steps" / f"{digest([total.hexdigest(), *names, code])}.json"


def read_kept(path: Path, folds: Sequence[Fold]) -> list[Indices] | None:
    """The classes of each fold's test clips, ``None`` where nothing was kept, or a file was cut off."""
    try:
        kept = [np.asarray(one) for one in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError):
        return None
    shapes = [fold.test.shape for fold in folds]
    return kept if [one.shape[-1:] for one in kept if one.dtype.kind == "i"] == shapes else None
