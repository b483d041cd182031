"""The front-end study in Markdown: pure, from the JSON values of the study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.reports import words
from bench.reports.sweep import machine, number, pipe_table

ROWS = ("feeding", "infer clips/s", "train clips/s", "latency ms", "CPU ms/clip", "MFLOP/clip", "train MiB",
        "infer MiB", "waveform augmentation", "status")  # fmt: skip
VERDICTS = ("claim", "reading and baseline", "on the fly", "baseline", "unit", "ratio", "verdict")


def feeding_rows(study: Mapping[str, Any]) -> list[list[str]]:
    """The cells of the table under :data:`ROWS`, one row per feeding."""
    rows = []
    for name, row in study["rows"].items():
        flops = None if row["flops"] is None else row["flops"] / 1e6
        augmentable = {True: "possible", False: "ruled out", None: words.UNKNOWN}[row["augmentable"]]
        status = row["problem"] or ("ok, others were busy" if row["contended"] else "ok")
        measured = (number(row["infer"]), number(row["train"]), number(row["latency_ms"]), number(row["cpu_ms"]))
        peaks = [number(row[key], "{:.0f}") for key in ("host_train_mib", "host_infer_mib")]
        rows.append([name, *measured, number(flops), *peaks, augmentable, status])
    return rows


def verdict_rows(study: Mapping[str, Any], *, main: bool = False) -> list[list[str]]:
    """The cells of the table under :data:`VERDICTS`; ``main`` = only the readings meant first."""
    rows = []
    for case in study["verdicts"]:
        if main and not case["main"]:
            continue
        verdict = f"{case['verdict']} ({case['note']})" if case["note"] else case["verdict"]
        numbers = [words.significant(case[key]) for key in ("fly", "stored")]
        rows.append([case["claim"], case["case"], *numbers, case["unit"], words.significant(case["ratio"]), verdict])
    return rows


def markdown(study: Mapping[str, Any]) -> str:
    """The whole page."""
    what, features = study["what"], study["features"]
    about = f"{what['recipe']}, {what['device']}, {what['precision']}, batch {what['batch']}."
    parts = [
        f"# Front ends: {what['model']} on {what['dataset']}, on the fly against stored features",
        f"{about} {machine(study['environment'])}",
        "## Verdicts, frozen nnAudio against float32 features",
        pipe_table(VERDICTS, verdict_rows(study, main=True)),
        "## Speed and memory",
        pipe_table(ROWS, feeding_rows(study)),
        "Latency runs from the waveform to the logits; for stored features it begins with the features, so a new "
        "clip pays for its front end on top.",
        "## Storage and preparation",
        _storage(features),
        "## Parity with torchaudio before training",
        _parity(features["parity"]),
        "## Accuracy",
        _accuracy(study),
        "## Every reading of every claim",
        pipe_table(VERDICTS, verdict_rows(study)),
    ]
    return "\n\n".join(parts) + "\n"


def _storage(features: Mapping[str, Any]) -> str:
    storage, preparation = features["storage"], features["preparation"]
    rows = [[name, number(size, "{:.0f}"), _times(size, storage["int16"])] for name, size in storage.items()]
    table = pipe_table(("kept", "bytes/clip", "of the int16 waveform"), rows)
    seconds = (
        f"Preparing float32 features of all {preparation['of']} clips takes {preparation['seconds']:.3g} s once "
        f"(measured on {preparation['clips']} clips, {preparation['threads']} threads)."
    )
    unknown = [f"Unknown {name}: {why}." for name, why in features["reasons"].items()]
    return "\n\n".join([table, seconds, *unknown])


def _times(size: float | None, base: float) -> str:
    return words.UNKNOWN if size is None else f"{size / base:.2f} x"


def _parity(parity: Mapping[str, Any]) -> str:
    rows = []
    for name, found in parity.items():
        note = (found.get("reasons") or {}).get("max_db", "")
        rows.append([name, number(found["max_db"], "{:.3g}"), number(found["mean_db"], "{:.2g}"), note])
    return pipe_table(("front end", "largest dB", "mean dB", "note"), rows)


def _accuracy(study: Mapping[str, Any]) -> str:
    if not study["accuracy"]:
        return f"Unknown: {study['reasons']['accuracy']}."
    rows = []
    for found in study["accuracy"]:
        if found["difference"] is None:
            rows.append([found["frontend"], words.UNKNOWN, words.UNKNOWN, words.UNKNOWN, found["reason"]])
            continue
        interval = found["interval"]
        ends = found.get("reason", "") if interval is None else " to ".join(f"{100 * end:+.1f}" for end in interval)
        rows.append(
            [
                found["frontend"],
                words.percent(found["accuracy"]),
                words.percent(found["accuracy_frozen"]),
                f"{100 * found['difference']:+.1f}",
                ends,
            ]
        )
    return pipe_table(("front end", "accuracy %", "frozen nnAudio %", "difference", "95 % interval"), rows)
