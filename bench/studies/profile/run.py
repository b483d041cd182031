"""Throughput of one model over batch sizes: profile cells in fresh processes, and where larger batches stop paying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import NoCellError, SelectionError
from bench.planning.plan import PlannedCell
from bench.plugins.discovery import load
from bench.running.progress import Progress
from bench.studies.common import Profiled, only_model, profile_in_turns
from bench.studies.profile.read import batch_row, cell_details, saturation

ON_CPU = "on a CPU a batch that does not fit is swapped, not refused: searched for on CUDA only"
NOT_ASKED = "not searched for; ask with --largest"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileStudy:
    """What was measured over batch sizes.

    Attributes:
        rows: By rising batch, see :func:`bench.studies.profile.read.batch_row`.
        saturation: Of ``infer`` and ``train``, or why it is not known.
        cells: By batch.
        largest: The largest batch whose training step fits the device, or why it is not known.
    """

    rows: tuple[dict[str, Any], ...]
    saturation: Mapping[str, dict[str, float] | str]
    cells: Mapping[int, Profiled]
    largest: int | str

    @property
    def failed(self) -> bool:
        """Whether a cell has no result; running out of memory is a result of this study."""
        return any(status not in ("ok", "oom") for row in self.rows for status in row["statuses"])

    @property
    def reused(self) -> int:
        """Records that were there before."""
        return sum(one.reused for one in self.cells.values())

    @property
    def chosen(self) -> PlannedCell | None:
        """The cell at the saturation batch size of inference, else at the smallest batch that was measured."""
        measured = [row["batch"] for row in self.rows if set(row["statuses"]) == {"ok"}]
        found = self.saturation["infer"]
        batch = found["batch"] if isinstance(found, dict) else next(iter(measured), None)
        return None if not measured or batch is None else self.cells[int(batch)].planned

    def to_json(self) -> dict[str, Any]:
        """JSON values, each batch's latency, stages, FLOPs, guards and energy under ``details``."""
        firsts = {batch: one.records[0] for batch, one in self.cells.items()}
        unknown = {f"saturation.{name}": found for name, found in self.saturation.items() if isinstance(found, str)}
        if isinstance(self.largest, str):
            unknown["largest_batch"] = self.largest
        first = next(iter(firsts.values()))
        shown = ("dataset", "model", "frontend", "feeding", "device", "precision", "clip_samples")
        return {
            "what": {name: getattr(first.cell, name) for name in shown},
            "rows": list(self.rows),
            "saturation": {name: found if isinstance(found, dict) else None for name, found in self.saturation.items()},
            "largest_batch": None if isinstance(self.largest, str) else self.largest,
            "details": {str(batch): cell_details(r) for batch, r in firsts.items() if r.status == "ok"},
            "environment": first.environment,
            "reasons": unknown,
        }


def run_batches(
    selection: Selection, batches: Sequence[int], settings: Settings, progress: Progress, *, processes: int = 1
) -> ProfileStudy:
    """Profile one model at each batch size, every cell in a process of its own, nothing beside it.

    Args:
        selection: Exactly one model and one data set; recipe overrides are kept and the batch is added.
        batches: Sizes in clips, each 1 or more.
        settings: How to run.
        progress: Told what happens.
        processes: Processes per batch, 1 or more; 8 give an interval.

    Raises:
        SelectionError: No or several models, no batch or one below 1.
        NoCellError: The model cannot be measured on these data.
        BenchError: As :meth:`bench.running.runner.Runner.run`.
    """
    sizes = sorted(set(batches))
    if not sizes or sizes[0] < 1 or processes < 1:
        raise SelectionError(f"batches are {list(batches)}, processes {processes}; give sizes of 1 or more clips")
    only_model(selection, load(settings.plugins, without=settings.without).registry)
    variants = {size: at_batch(selection, size) for size in sizes}
    cells = profile_in_turns(variants, settings, progress, processes=processes)
    if refused := next((one.refused for one in cells.values() if one.refused), None):
        raise NoCellError(refused)
    rows = tuple(batch_row(size, one.records) for size, one in cells.items())
    return ProfileStudy(
        rows=rows,
        saturation={name: saturation({row["batch"]: row[name] for row in rows}) for name in ("infer", "train")},
        cells=cells,
        largest=ON_CPU if selection.device == "cpu" else NOT_ASKED,
    )


def at_batch(selection: Selection, batch: int) -> Selection:
    """The selection at one batch size."""
    return replace(selection, overrides=(*selection.overrides, f"recipe.batch={batch}"))
