"""Speed over batch sizes in Markdown: pure, from the JSON values of the study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.results.quantities import COUNTERS
from bench.studies.common import machine, number, pipe_table

STAGES = ("load", "to_device", "front_end", "forward", "backward", "optimiser", "to_host")
STAGE_HEADER = ("phase", "stage", "ms", "share")
COUNTER_HEADER = ("phase", *(name.replace("_", " ") for name in COUNTERS))


def header(study: Mapping[str, Any]) -> tuple[str, ...]:
    """Titles of the table: what plugins measured stands before the status."""
    shown = ("batch", "infer clips/s", "train clips/s", "host peak MiB", "device peak MiB")
    return (*shown, *_added(study), "status")


def _added(study: Mapping[str, Any]) -> list[str]:
    return sorted({title for row in study["rows"] for title in row.get("added", ())})


def table_rows(study: Mapping[str, Any]) -> list[list[str]]:
    """The cells of the table under :func:`header`, one row per batch size; where throughput saturates is marked."""
    marked = {name: (found or {}).get("batch") for name, found in study["saturation"].items()}
    rows = []
    for row in study["rows"]:
        rates = [
            number(row[name]) + (" (saturated)" if marked.get(name) == row["batch"] else "")
            for name in ("infer", "train")
        ]
        peaks = [number(row[name], ".0f") for name in ("host_peak_mib", "device_peak_mib")]
        added = [number(row.get("added", {}).get(title)) for title in _added(study)]
        rows.append([str(row["batch"]), *rates, *peaks, *added, row["problem"] or "ok"])
    return rows


def notes(study: Mapping[str, Any]) -> list[str]:
    """What must be said under the table, one sentence each."""
    said = []
    for name, found in study["saturation"].items():
        if found is None:
            said.append(f"Saturation batch size of {name}: unknown, {study['reasons'][f'saturation.{name}']}.")
        else:
            said.append(
                f"Saturation batch size of {name}: {found['batch']} reaches {found['clips_per_s'] / found['best']:.0%} "
                f"of the best {found['best']:.4g} clips/s."
            )
    largest = study["largest_batch"]
    said.append(f"Largest batch: {largest if largest is not None else study['reasons']['largest_batch']}.")
    for batch, details in study["details"].items():
        findings = (details.get("guards") or {}).get("findings", ())
        said += [f"At batch {batch} the model {one['message']} ({one['kind']})." for one in findings]
    return said + _unknown(study)


def stage_rows(details: Mapping[str, Any]) -> list[list[str]]:
    """``[phase, stage, ms, share]`` of one cell's breakdown, in the order in which the stages run."""
    rows = []
    for phase in ("infer", "train"):
        part = (details.get("stages") or {}).get(phase)
        if part is None:
            continue
        whole = sum(part["stages_ms"].values())
        ordered = sorted(part["stages_ms"].items(), key=lambda item: STAGES.index(item[0]))
        rows += [[phase, name, f"{ms:.4g}", f"{ms / whole:.0%}"] for name, ms in ordered]
        verdict = "adds up" if part["adds_up"] else "does not add up: the machine was not steady"
        rows.append([phase, "end to end", f"{part['end_to_end_ms']:.4g}", f"gap {part['gap']:+.1%}, {verdict}"])
    return rows


def counter_rows(details: Mapping[str, Any]) -> list[list[str]]:
    """The counters of one step of each phase, under :data:`COUNTER_HEADER`."""
    phases = {phase: (details.get("counters") or {}).get(phase) for phase in ("infer", "train")}
    return [[phase, *(number(found[name], ".0f") for name in COUNTERS)] for phase, found in phases.items() if found]


def markdown(study: Mapping[str, Any]) -> str:
    """The whole page."""
    what = study["what"]
    about = [f"{name.replace('_', ' ')} {value}" for name, value in what.items() if name not in ("model", "dataset")]
    parts = [
        f"# {what['model']} on {what['dataset']}: throughput over batch sizes",
        f"{', '.join(about)}. {machine(study['environment'])}",
        pipe_table(header(study), table_rows(study)),
        "\n".join(f"- {note}" for note in notes(study)),
    ]
    for batch, details in study["details"].items():
        if rows := stage_rows(details):
            parts += [f"## Stages at batch {batch}", pipe_table(STAGE_HEADER, rows)]
        if rows := counter_rows(details):
            parts += [f"## Counters of a step at batch {batch}", pipe_table(COUNTER_HEADER, rows)]
    return "\n\n".join(parts) + "\n"


def operators_markdown(traces: Mapping[str, Any]) -> str:
    """The operators with the most time of their own, one table per traced phase."""
    header = ("operator", "calls", "self CPU ms", "CPU ms", "self device ms")
    parts = ["# Top operators", "Times under the profiler are inflated: read shares, not milliseconds."]
    for name, trace in traces.items():
        if trace is None:
            parts.append(f"## {name}\n\nNone: the model has no training steps.")
            continue
        rows = [
            [row["name"], str(row["calls"]), *(number(row[key]) for key in ("self_cpu_ms", "cpu_ms", "self_device_ms"))]
            for row in trace["operators"]
        ]
        caption = f"{trace['steps']} steps at batch {trace['batch']}, `{trace['file']}`"
        parts += [f"## {name}", caption, pipe_table(header, rows)]
    return "\n\n".join(parts) + "\n"


def _unknown(study: Mapping[str, Any]) -> list[str]:
    reasons: dict[str, str] = {}
    for row in study["rows"]:
        reasons |= row["reasons"]
    for details in study["details"].values():
        reasons |= {f"energy {name}": why for name, why in ((details.get("energy") or {}).get("reasons") or {}).items()}
        for phase in (details.get("counters") or {}).values():
            reasons |= (phase.get("reasons") or {}) if isinstance(phase, Mapping) else {}
        reasons |= details.get("reasons") or {}
    grouped: dict[str, list[str]] = {}
    for name, why in reasons.items():
        grouped.setdefault(why, []).append(name.replace("_", " "))
    return [f"Unknown {', '.join(names)}: {why}." for why, names in grouped.items()]
