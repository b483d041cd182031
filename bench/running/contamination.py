"""How many test clips the weights of a model have seen before the cell began, as far as anybody declares it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from bench.clips import Clips
from bench.job import Job
from bench.plugins.factories import load_factory
from bench.plugins.registry import Registry
from bench.textfiles import read_text

SIDECAR = ".trained_on"
"""Behind the name of a weight file: a text file with a data set or a recording (``freesound:100032``) in each line."""
_RECORDING = re.compile(r"[a-z][a-z0-9_-]*:\S+")


def contamination(registry: Registry, clips: Clips, job: Job, rows: Sequence[int]) -> dict[str, Any] | None:
    """The share of the test clips ``rows`` among what the weights were trained on; ``None`` where there are no such.

    Returns:
        ``rate`` (``None`` = unknown, with the ``reason``), ``clips`` seen, those asked about (``of``), and the
        ``declared`` data sets.
    """
    entry = registry.models[job.cell.model]
    spec, given = entry.spec, job.cell.weights not in ("random", "masked")
    told = [*spec.trained_on] if not given or job.weights is None else []
    if spec.trained_recordings is not None and job.weights is None:
        told += load_factory(entry.home(spec.trained_recordings))()
    if job.weights is not None and (beside := job.weights.with_name(job.weights.name + SIDECAR)).is_file():
        told += filter(None, map(str.strip, read_text(beside).splitlines()))
    if not told and not given and not spec.options.get("weights"):
        return None
    recordings = {one for one in told if _RECORDING.fullmatch(one)}
    declared = [one for one in told if one not in recordings]
    dataset = registry.datasets[job.cell.data_name].spec
    own = clips.recordings and [clips.recordings[row] for row in rows]
    found: dict[str, Any] = {"declared": declared, "of": len(rows), "reason": ""}
    if _names(dataset.collections, declared):
        return {**found, "clips": len(rows), "rate": 1.0}
    kinds = {one.partition(":")[0] for one in recordings}
    if own and kinds & {one.partition(":")[0] for one in own}:
        seen = sum(one in recordings for one in own)
        return {**found, "clips": seen, "rate": seen / len(rows)}
    if not told:
        reason = "nothing says what its weights were trained on"
    elif not own:
        reason = f"the recordings of {clips.title} have no public ids"
    else:
        reason = f"{', '.join(declared[:3]) or ', '.join(sorted(kinds))} has no recordings to compare"
    return {**found, "clips": None, "rate": None, "reason": reason}


def _names(ours: Iterable[str], theirs: Iterable[str]) -> bool:
    """Whether one of ``theirs`` is a data set of ours, whatever its spelling; a variant is its data set."""
    known = [re.sub(r"[\W_]", "", name.casefold()) for name in ours]
    asked = [re.sub(r"[\W_]", "", name.casefold()) for name in theirs]
    return any(len(name) > 3 and one.startswith(name) for name in asked for one in known)
