"""From profile records to one row per feeding, and a finished study as a section of the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.analysis.artifacts import PageSection
from bench.escaping import html as escape
from bench.results.quantities import NAMED
from bench.results.reading import parse_json, read_bytes
from bench.results.records import Record
from bench.statistics.results import Refusal
from bench.statistics.timing import MIN_PROCESSES, process_interval
from bench.studies.common import bad_record, machine, why
from bench.studies.frontends import FILE
from bench.studies.frontends.claims import BUSY_SPOILS
from bench.studies.frontends.plots import bars
from bench.studies.frontends.render import SPECTROGRAMS, VERDICTS, about, verdict_rows

MEMORY = ("host_train_mib", "host_infer_mib", "device_peak_mib", "device_infer_peak_mib")
QUANTITIES = {
    "infer": "infer_clips_per_s",
    "train": "train_clips_per_s",
    "flops": "flops_per_clip",
    "joule": "joules_per_clip",
}
MEASURED = (*BUSY_SPOILS, *MEMORY, "flops", "joule")


def feeding_row(records: Sequence[Record], refused: str | None = None) -> dict[str, Any]:
    """Speed and memory of one feeding as JSON values: medians over processes.

    Returns:
        Every name of :data:`MEASURED` (``None`` = unknown), ``infer_spread`` and ``train_spread`` (over the blocks of
        the first process), ``samples`` (``{name: one number per process}``), ``intervals`` (``{name: [low, high]}``
        where there are 8 processes), ``processes``, ``left_out`` (processes beside which others were busy, where 8
        are left without them), ``contended``, ``status``, ``problem``, ``cell``, ``augmentable``, ``reasons``.
    """
    row: dict[str, Any] = {
        **dict.fromkeys((*MEASURED, "infer_spread", "train_spread", "augmentable", "contended", "cell")),
        "samples": {}, "intervals": {}, "processes": 0, "left_out": 0, "reasons": {},
    }  # fmt: skip
    if not records:
        return {**row, "status": "incompatible", "problem": refused}
    if (bad := bad_record(records)) is not None:
        return {**row, "status": bad.status, "problem": why(bad), "cell": bad.cell.id}
    quiet = [record for record in records if not record.environment.get("contended")]
    used = quiet if len(quiet) >= MIN_PROCESSES else list(records)
    numbers = [_numbers(record) for record in used]
    known = {name: [one[name] for one in numbers if one[name] is not None] for name in MEASURED}
    samples = {name: values for name, values in known.items() if values}
    intervals = {name: process_interval(samples.get(name, ())) for name in BUSY_SPOILS}
    cell, timing, memory = used[0].cell, used[0].timing, used[0].memory
    energy = timing.get("energy") or {}
    no_energy = (energy.get("reasons") or {}).get("joules_per_clip") or "no energy counter was read"
    return {
        **row,
        **{name: float(np.median(values)) for name, values in samples.items()},
        "infer_spread": timing["infer"].get("spread"),
        "train_spread": (timing.get("train") or {}).get("spread"),
        "samples": samples,
        "intervals": {name: [i.low, i.high] for name, i in intervals.items() if not isinstance(i, Refusal)},
        "processes": len(used),
        "left_out": len(records) - len(used),
        "contended": any(record.environment.get("contended") for record in used),
        "status": "ok",
        "problem": None,
        "cell": cell.id,
        "augmentable": cell.feeding == "fly",
        "reasons": {
            **memory.get("reasons", {}), **timing.get("reasons", {}),
            **({"joule": no_energy} if energy.get("joules_per_clip") is None else {}),
        },
    }  # fmt: skip


def _numbers(record: Record) -> dict[str, Any]:
    timing, memory = record.timing, record.memory
    return {
        **{name: NAMED[quantity].read(record) for name, quantity in QUANTITIES.items()},
        "latency_ms": (timing.get("latency") or {}).get("median_ms"),
        "cpu_ms": 1e3 * timing["infer"]["cpu_s"] / timing["infer"]["clips"],
        **{name: memory.get(name) for name in MEMORY},
    }


def read_study(folder: Path) -> tuple[PageSection | None, str]:
    """The study of a run folder, as a section of its page.

    Returns:
        The section and an empty text; ``None`` and an empty text where there is none; ``None`` and what is wrong where
        its file is torn, foreign or of another version.
    """
    path = folder / FILE
    if not path.is_file():
        return None, ""
    try:
        values = parse_json(read_bytes(path))
        picture = folder / f"{SPECTROGRAMS}.png"
        return _section(values, picture.read_bytes() if picture.is_file() else b""), ""
    except (OSError, ValueError) as error:
        return None, f"{FILE}: not a whole JSON file ({error}); `bench frontends` makes it again"
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        return None, f"{FILE}: no front-end study of this version ({error!r}); `bench frontends` makes it again"


def _section(values: Mapping[str, Any], spectrograms: bytes) -> PageSection:
    what = values["what"]
    caption = "Each feeding; the baseline of stored features in red."
    pictures = [("Speed, storage and memory", caption, str(bars(values)["inline"]))]
    if spectrograms:
        alt = escape(f"Spectrograms of clips of {what['dataset']} under each front end", quote=True)
        source = f"data:image/png;base64,{base64.b64encode(spectrograms).decode()}"
        image = f'<img class="wide" alt="{alt}" src="{source}">'
        pictures.append(("What each front end makes of a clip", "One colour scale for all.", image))
    return PageSection(
        anchor="frontends",
        title=f"Front ends: {what['model']} on {what['dataset']}",
        context=(f"{about(what)}.", machine(values["environment"])),
        header=tuple(VERDICTS),
        rows=tuple(tuple(row) for row in verdict_rows(values, main=True)),
        pictures=tuple(pictures),
    )
