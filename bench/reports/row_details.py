"""What the page tells about one row beyond its cells in the table."""

from __future__ import annotations

from typing import Any

from bench.analysis.model import Row, Section
from bench.reports import formatting
from bench.results.quantities import OF_SPEED, Speed


def cell_table(row: Row) -> dict[str, Any]:
    """The score by fold and seed."""
    seeds = sorted({cell.seed for cell in row.cells})
    folds = sorted({cell.fold for cell in row.cells} | set(row.folds_planned)) if row.cells else []
    values = {(cell.fold, cell.seed): formatting.score(cell.value, row.primary) for cell in row.cells}
    return {
        "seeds": seeds,
        "folds": [(fold, [values.get((fold, seed), formatting.UNKNOWN) for seed in seeds]) for fold in folds],
    }


def speed_words(section: Section, speed: Speed) -> str:
    """What was measured on one machine, in one line."""
    label = next((item.label for item in section.hardware if item.key == speed.hardware), speed.hardware)
    left = f"not counted: {', '.join(speed.uncounted)}" if speed.uncounted else "every operator counted"
    texts = {one.name: formatting.measured(one, speed.values.get(one.name)) for one in (*OF_SPEED, *speed.added)}
    beside = {
        "infer_clips_per_s": f" at batch {speed.infer_batch or formatting.UNKNOWN}",
        "latency_s": f" (median absolute deviation {texts['latency_mad_s']})" + ", unsteady" * speed.unsteady,
        "flops_per_clip": f" ({left})",
        "joules_per_clip": f", {texts['net_joules_per_clip']} above idle ({speed.energy_source})",
    }
    told = []
    for one in (*OF_SPEED, *speed.added):
        why = next((speed.reasons[key] for key in one.paths[0].split(".")[1:] if key in speed.reasons), "")
        if speed.values.get(one.name) is not None and one.shown != "never":
            told.append(f"{one.title} {texts[one.name]}{beside.get(one.name, '')}")
        elif why and one.shown != "never":
            told.append(f"{one.title} unknown: {why}")
    return f"{label}: {'; '.join(told)}"


def facts(row: Row) -> list[tuple[str, str]]:
    """Names and values for the list beside the row's notes; what is not known is left out."""
    key, model = row.key, row.model
    pairs = [
        ("mode", key.mode),
        ("started from", "" if key.weights == "random" else key.weights),
        ("front end", f"{key.frontend}, {'computed per batch' if key.feeding == 'fly' else key.feeding}"),
        ("recipe", key.recipe),
        ("precision", key.precision),
        ("parameters", "" if model.parameters is None else f"{model.parameters:,}"),
        ("of the front end", f"{model.frontend_parameters:,}" if model.frontend_parameters else ""),
        ("stored weights", formatting.size(model.checkpoint_bytes) if model.checkpoint_bytes else ""),
        ("interval", row.interval.method if row.interval else ""),
        ("given by", model.plugin),
        ("follows", model.source),
        ("licence", model.license),
        ("ran on", ", ".join(row.devices)),
        ("provenance", row.provenance if row.value is not None else ""),
    ]
    return [(name, value) for name, value in pairs if value]
