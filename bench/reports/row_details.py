"""What the page tells about one row beyond its cells in the table."""

from __future__ import annotations

from typing import Any

from bench.analysis.model import Row, Section
from bench.reports import formatting
from bench.results.quantities import Speed


def cell_table(row: Row) -> dict[str, Any]:
    """Accuracy by fold and seed."""
    seeds = sorted({cell.seed for cell in row.cells})
    folds = sorted({cell.fold for cell in row.cells} | set(row.folds_planned)) if row.cells else []
    values = {(cell.fold, cell.seed): formatting.percent(cell.value) for cell in row.cells}
    return {
        "seeds": seeds,
        "folds": [(fold, [values.get((fold, seed), formatting.UNKNOWN) for seed in seeds]) for fold in folds],
    }


def speed_words(section: Section, speed: Speed) -> str:
    """What was measured on one machine, in one line."""
    label = next((item.label for item in section.hardware if item.key == speed.hardware), speed.hardware)
    spread = (
        ""
        if speed.latency_mad_s is None
        else f" (median absolute deviation {formatting.milliseconds(speed.latency_mad_s)})"
    )
    told = (
        f"{label}: training {formatting.significant(speed.train_clips_per_s)} clips/s, inference "
        f"{formatting.significant(speed.infer_clips_per_s)} clips/s at batch "
        f"{speed.infer_batch or formatting.UNKNOWN}, latency "
        f"{formatting.milliseconds(speed.latency_s)} ms{spread}{', unsteady' if speed.unsteady else ''}, peak host "
        f"{formatting.significant(speed.host_peak_mib, 4)} MiB, peak device "
        f"{formatting.significant(speed.device_peak_mib, 4)} MiB"
    )
    return "; ".join([told, *work_words(speed)])


def work_words(speed: Speed) -> list[str]:
    """Real-time factor, FLOPs and energy of a speed; what is unknown with the reason."""
    told = []
    if speed.real_time_factor is not None:
        told.append(f"real-time factor {formatting.significant(speed.real_time_factor)}")
    if speed.flops_per_clip is not None:
        left = f" (not counted: {', '.join(speed.uncounted)})" if speed.uncounted else " (every operator counted)"
        told.append(f"{formatting.count(round(speed.flops_per_clip))} FLOPs per clip{left}")
    elif why := speed.reasons.get("flops"):
        told.append(f"FLOPs unknown: {why}")
    if speed.joules_per_clip is not None:
        net = (
            ""
            if speed.net_joules_per_clip is None
            else f", {formatting.significant(speed.net_joules_per_clip)} above idle"
        )
        told.append(f"energy {formatting.significant(speed.joules_per_clip)} J per clip{net} ({speed.energy_source})")
    elif why := speed.reasons.get("joules_per_clip"):
        told.append(f"energy unknown: {why}")
    return told


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
        ("provenance", row.provenance if row.primary is not None else ""),
    ]
    return [(name, value) for name, value in pairs if value]
