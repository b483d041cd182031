"""A sweep over batch sizes in Markdown: pure, from the JSON values of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.reports.formatting import UNKNOWN

HEADER = ("batch", "infer clips/s", "train clips/s", "host peak MiB", "device peak MiB", "status")
STAGES = ("load", "to_device", "front_end", "forward", "backward", "optimiser", "to_host")


def table_rows(sweep: Mapping[str, Any]) -> list[list[str]]:
    """The cells of the table under :data:`HEADER`, one row per batch size, the knees marked."""
    knee = {name: (found or {}).get("batch") for name, found in sweep["knee"].items()}
    rows = []
    for row in sweep["rows"]:
        marks = {name: " (knee)" if knee.get(name) == row["batch"] else "" for name in ("infer", "train")}
        rows.append(
            [
                str(row["batch"]),
                number(row["infer"]) + marks["infer"],
                number(row["train"]) + marks["train"],
                number(row["host_peak_mib"], "{:.0f}"),
                number(row["device_peak_mib"], "{:.0f}"),
                row["problem"] or "ok",
            ]
        )
    return rows


def number(value: float | None, form: str = "{:.4g}") -> str:
    """A number, or the sign for an unknown one."""
    return UNKNOWN if value is None else form.format(value)


def notes(sweep: Mapping[str, Any]) -> list[str]:
    """What must be said under the table, one sentence each."""
    said = []
    for name, knee in sweep["knee"].items():
        if knee is None:
            said.append(f"No knee of {name}: {sweep['reasons'][f'knee.{name}']}.")
        else:
            share = knee["clips_per_s"] / knee["best"]
            said.append(
                f"Knee of {name}: batch {knee['batch']} reaches {share:.0%} of the best {knee['best']:.4g} clips/s."
            )
    largest = sweep["largest_batch"]
    said.append(f"Largest batch: {largest if largest is not None else sweep['reasons']['largest_batch']}.")
    for batch, details in sweep["details"].items():
        said += _findings(batch, details)
    return said + _unknown(sweep)


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


def markdown(sweep: Mapping[str, Any]) -> str:
    """The whole page."""
    what = sweep["what"]
    title = f"# {what['model']} on {what['dataset']}: throughput over batch sizes"
    about = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in what.items() if name not in _TITLED)
    parts = [title, f"{about}. {machine(sweep['environment'])}", pipe_table(HEADER, table_rows(sweep))]
    parts.append("\n".join(f"- {note}" for note in notes(sweep)))
    for batch, details in sweep["details"].items():
        if rows := stage_rows(details):
            parts += [f"## Stages at batch {batch}", pipe_table(("phase", "stage", "ms", "share"), rows)]
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


def pipe_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [list(header), ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_TITLED = ("model", "dataset")


def _findings(batch: str, details: Mapping[str, Any]) -> list[str]:
    guards = details.get("guards") or {}
    return [f"At batch {batch} the model {one['message']} ({one['kind']})." for one in guards.get("findings", ())]


def _unknown(sweep: Mapping[str, Any]) -> list[str]:
    reasons: dict[str, str] = {}
    for row in sweep["rows"]:
        reasons |= row["reasons"]
    for details in sweep["details"].values():
        reasons |= {f"energy {name}": why for name, why in ((details.get("energy") or {}).get("reasons") or {}).items()}
        reasons |= details.get("reasons") or {}
    grouped: dict[str, list[str]] = {}
    for name, why in reasons.items():
        grouped.setdefault(why, []).append(name.replace("_", " "))
    return [f"Unknown {', '.join(names)}: {why}." for why, names in grouped.items()]


def machine(environment: Mapping[str, Any]) -> str:
    """One or two sentences on the hardware, and on who else was busy on it."""
    cpu = environment.get("cpu") or {}
    gpu = environment.get("gpu") or {}
    torch = environment.get("torch") or {}
    named = [cpu.get("model"), f"{torch.get('threads')} threads" if torch else None, gpu.get("name")]
    contended = " Others were busy on the machine." if environment.get("contended") else ""
    return f"Measured on {', '.join(part for part in named if part) or 'unknown hardware'}.{contended}"
