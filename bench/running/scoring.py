"""What a result gets from the host: true targets, and all that is worked out with them.

The process that fits never holds a target of the test clips. It gives logits with the names of the clips.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.clips import Clips, TaskType, reworded, veiled
from bench.errors import DataError, StoreError
from bench.metrics.scoring import compute_scores
from bench.plugins.interfaces import Finished
from bench.plugins.registry import Registry
from bench.protocols.groups import units
from bench.results.records import Failure, Record
from bench.results.store import npz_bytes
from bench.running.contamination import contamination
from bench.running.logs import CappedLog

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PREDICTIONS = "predictions.npz"
_VEILED = re.compile(r"\b[0-9a-f]{16}\b")


def completed(registry: Registry, clips: Clips, event: Finished) -> Finished:
    """What a worker gave of an evaluate cell, scored; anything else as it is. What metrics print joins the log.

    A result that cannot be scored is a failed one: predictions missing, torn, or made on other data than ``clips``.
    """
    if event.record.status != "ok" or event.record.cell.kind != "evaluate":
        return event
    printed = CappedLog()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            arrays, rows = _predictions(clips, event)
            record, arrays = scored(registry, clips, event.record, arrays, rows)
            if (seen := contamination(registry, clips, event.job, rows.tolist())) is not None:
                record = record.model_copy(update={"provenance": {**record.provenance, "contamination": seen}})
            names = {veiled(name): name for name in clips.ids}
            called = reworded(record.provenance, lambda text: _VEILED.sub(lambda one: names.get(one[0], one[0]), text))
            record = record.model_copy(update={"provenance": called})
        except Exception as error:  # noqa: BLE001  a worker or a launcher may hand over anything; it costs its cell
            reason = "data" if isinstance(error, DataError | StoreError) else "raised"
            failure = Failure(reason=reason, stage="record", message=f"{type(error).__name__}: {error}")
            record = event.record.model_copy(update={"status": "failed", "error": failure, "scores": ()})
            return replace(event, record=record, files={}, log=event.log + printed.text())
    files = {**event.files, PREDICTIONS: npz_bytes(arrays)}
    return replace(event, record=record, files=files, log=event.log + printed.text())


def _predictions(clips: Clips, event: Finished) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
    """The arrays of a result, and which of the clips they are of."""
    import numpy as np

    from bench.results.predictions import NpzArrays

    if PREDICTIONS not in event.files:
        raise DataError(f"the record came without its {PREDICTIONS}; a launcher hands over the files of the event too")
    arrays = dict(NpzArrays(event.files[PREDICTIONS]))
    theirs = {name: event.record.provenance["dataset"].get(name) for name in ("manifest_sha256", "contents_sha256")}
    places = {name: row for row, clip in enumerate(clips.ids) for name in (clip, veiled(clip))}
    unknown = [name for name in arrays["ids"].tolist() if name not in places]
    other = [name for name, digits in theirs.items() if digits and getattr(clips, name) not in ("", digits)]
    if unknown or other:
        raise DataError(
            f"the cell ran on another copy of {clips.title} than the host has (other {', '.join(other) or 'clips'}); "
            "give both the same files with --data"
        )
    rows = np.asarray([places[name] for name in arrays["ids"].tolist()], dtype=np.int64)
    return {**arrays, "ids": np.asarray([clips.ids[row] for row in rows])}, rows


def scored(
    registry: Registry, clips: Clips, record: Record, arrays: Mapping[str, npt.NDArray[Any]],
    rows: npt.NDArray[np.int64],
) -> tuple[Record, dict[str, npt.NDArray[Any]]]:  # fmt: skip
    """The record and arrays of the clips ``rows`` with everything that takes their targets."""
    import numpy as np

    from bench.metrics.clusters import cluster_figures
    from bench.metrics.retrieval import retrieved

    targets, found = clips.targets[rows], dict(arrays)
    leak = record.provenance.get("protocol", {}).get("leak", {})
    whole = leak.get("rate") == 1.0  # every group is trained on: strata of the test clips, no sample to draw from
    groups = ("",) * len(clips) if whole else units(clips) or ("",) * len(clips)
    found |= {"targets": targets, "groups": np.asarray([groups[row] for row in rows])}
    provenance = dict(record.provenance)
    majority = provenance["dataset"].get("majority_label")
    if majority is not None:
        rate = float(np.mean(targets == clips.label_names.index(majority)))
        provenance["dataset"] = {**provenance["dataset"], "majority_accuracy": rate}
    if figures := provenance.get("embeddings"):
        figures = dict(figures)
        for name in list(figures):
            if (clusters := found.pop(f"clusters_{name}", None)) is not None:
                figures[name] = {**figures[name], **cluster_figures(clusters, targets)}
        provenance["embeddings"] = figures
    kind: TaskType = "single_label" if targets.ndim == 1 else "multi_label"
    vectors, own = found.pop("vectors", None), units(clips) or ("",) * len(clips)
    if vectors is not None and kind == "single_label":
        found["retrieval"] = retrieved(vectors, targets.astype(np.int64), [own[row] for row in rows])
    scores, chance = compute_scores(registry, kind, found)
    provenance |= {"chance": chance} if chance else {}
    return record.model_copy(update={"scores": scores, "provenance": provenance}), found
