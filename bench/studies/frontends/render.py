"""The front-end study in Markdown: pure, from the JSON values of the study."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bench.analysis import phrases
from bench.reports import formatting
from bench.studies.common import machine, number, pipe_table

ROWS = ("feeding", "infer clips/s", "train clips/s", "latency ms", "CPU ms/clip", "MFLOP/clip", "train MiB",
        "infer MiB", "waveform augmentation", "status")  # fmt: skip
MORE = ("feeding", "processes", "device train MiB", "device infer MiB", "J/clip", "unknown")
VERDICTS = ("claim", "reading and baseline", "on the fly", "baseline", "unit", "ratio", "verdict", "rests on")
SPECTROGRAMS, BARS = "frontends-spectrograms", "frontends-bars"
"""Names of the pictures beside the page, without ending."""


def about(what: Mapping[str, Any]) -> str:
    """Recipe, device, precision and batch."""
    return f"{what['recipe']}, {what['device']}, {what['precision']}, batch {what['batch']}"


def shown(text: str) -> str:
    """A feeding's name, or a text that begins with it, as people read it.

    >>> shown("nnaudio fly"), shown("nnaudio fly: latency"), shown("nnaudio precomputed")
    ('nnaudio on the fly', 'nnaudio on the fly: latency', 'nnaudio precomputed')
    """
    return re.sub(r"^(\S+) fly(?=$|:)", r"\1 on the fly", text)


def feeding_rows(study: Mapping[str, Any]) -> list[list[str]]:
    """The cells of the table under :data:`ROWS`, one row per feeding."""
    rows = []
    for name, row in study["rows"].items():
        flops = None if row["flops"] is None else row["flops"] / 1e6
        rates = [number(value) for value in (*(row[key] for key in ("infer", "train", "latency_ms", "cpu_ms")), flops)]
        peaks = [number(row[key], ".0f") for key in ("host_train_mib", "host_infer_mib")]
        augmentable = {True: "possible", False: "ruled out", None: formatting.UNKNOWN}[row["augmentable"]]
        status = row["problem"] or ("ok, others were busy" if row["contended"] else "ok")
        rows.append([shown(name), *rates, *peaks, augmentable, status])
    return rows


def more_rows(study: Mapping[str, Any]) -> list[list[str]]:
    """The cells of the table under :data:`MORE`, one row per feeding that was measured."""
    rows = []
    for name, row in study["rows"].items():
        if row["status"] == "ok":
            left_out = f" ({row['left_out']} left out: others were busy)" if row["left_out"] else ""
            keys = ("device_peak_mib", "device_infer_peak_mib", "joule")
            unknown = "; ".join(dict.fromkeys(row["reasons"][key] for key in keys if row["reasons"].get(key)))
            numbers = [number(row[key]) for key in keys]
            rows.append([shown(name), f"{row['processes']}{left_out}", *numbers, unknown])
    return rows


def delivery_header(study: Mapping[str, Any]) -> tuple[str, ...]:
    """Titles of the delivery table."""
    rates = [f"clips/s at batch {batch}" for batch in study["delivery"]["batches"]]
    return ("data come from", *rates, "disk bytes/clip", "bytes/clip to the device", "host MiB", "unknown")


def delivery_rows(study: Mapping[str, Any]) -> list[list[str]]:
    """The cells of the table under :func:`delivery_header`, one row per way: median and interval over rounds."""
    rows = []
    for row in study["delivery"]["rows"]:
        rates = [_rate(row["rates"][str(batch)]) for batch in study["delivery"]["batches"]]
        sizes = [number(row[key], ".0f") for key in ("disk_bytes", "device_bytes")]
        why = "; ".join(dict.fromkeys(row["reasons"].values()))
        rows.append([row["name"], *rates, *sizes, number(row["host_mib"], ".1f"), why])
    return rows


def _rate(rate: Mapping[str, Any] | None) -> str:
    if rate is None:
        return formatting.UNKNOWN
    if rate["interval"] is None:
        return f"{number(rate['clips_per_s'])} ({rate['reason']})"
    low, high = (number(end) for end in rate["interval"])
    return f"{number(rate['clips_per_s'])} ({low} to {high})"


def verdict_rows(study: Mapping[str, Any], *, main: bool = False) -> list[list[str]]:
    """The cells of the table under :data:`VERDICTS`; ``main`` = only the readings meant first."""
    rows = []
    for case in study["verdicts"]:
        if main and not case["main"]:
            continue
        verdict = f"{case['verdict']} ({case['note']})" if case["note"] else case["verdict"]
        fly, stored, ratio, *ends = map(
            formatting.significant, (case["fly"], case["stored"], case["ratio"], *(case["interval"] or ()))
        )
        interval = f" ({' to '.join(ends)})" if ends else ""
        basis = case["basis"].replace("is not told apart", "is within the margin")
        rows.append([case["claim"], shown(case["case"]), fly, stored, case["unit"], ratio + interval, verdict, basis])
    return rows


def markdown(study: Mapping[str, Any]) -> str:
    """The whole page."""
    what, features = study["what"], study["features"]
    processes = f"{what['processes']} {'process' if what['processes'] == 1 else 'processes'} per feeding."
    parts = [
        f"# Front ends: {what['model']} on {what['dataset']}, on the fly against stored features",
        f"{about(what)}, {processes} {machine(study['environment'])}",
        "## Verdicts, frozen nnAudio against float32 features",
        pipe_table(VERDICTS, verdict_rows(study, main=True)),
        "## Speed and memory",
        pipe_table(ROWS, feeding_rows(study)),
        "Latency runs from the waveform to the logits; for stored features it begins with the features, so a new "
        "clip pays for its front end on top.",
        pipe_table(MORE, more_rows(study)),
        f"![clips/s, bytes per clip and host memory of each feeding]({BARS}.svg)",
        "## Delivery: data until the model's forward would begin",
        pipe_table(delivery_header(study), delivery_rows(study)),
        _delivery(study["delivery"]),
        "## Storage and preparation",
        _storage(features),
        "## The same clips under each front end",
        _spectrograms(study["pictures"]),
        "## Parity with torchaudio before training",
        _parity(features["parity"]),
        "## Accuracy",
        _accuracy(study),
        "## Every reading of every claim",
        pipe_table(VERDICTS, verdict_rows(study)),
    ]
    return "\n\n".join(parts) + "\n"


def _spectrograms(pictures: Sequence[Mapping[str, Any]]) -> str:
    if not pictures:
        return "Not drawn: none of these front ends says which frequencies its bins stand for."
    silent = {one["clip"]: one["silent"] for one in pictures}
    named = ", ".join(f"{clip} ({share:.0%} digital silence)" for clip, share in silent.items())
    shown = "the first clip by id and the one closest to half silence under each front end, one colour scale"
    return f"![{shown}]({SPECTROGRAMS}.svg)\n\nClips: {named}. Trainable front ends start as frozen nnAudio."


def _delivery(delivery: Mapping[str, Any]) -> str:
    busy = " Others were busy on the machine meanwhile." if delivery.get("contended") else ""
    return (
        f"Median and 95 % interval over {delivery['rounds']} interleaved rounds of one process, {delivery['clips']} "
        f"clips a round, {phrases.plural(delivery['threads'], 'thread')}; files are decoded by one. "
        "Every way is normalised alike. "
        f"{delivery['cold']}. Host memory is the peak of one pass above the process's resident set before it, mapped "
        "pages of the page cache included. Bytes to the device are what the harness hands over, float32 in all cases; "
        f"on a CPU nothing crosses a bus.{busy}"
    )


def _storage(features: Mapping[str, Any]) -> str:
    storage, preparation = features["storage"], features["preparation"]
    baseline = features["baseline"]
    shape = " x ".join(str(size) for size in baseline["shape"])
    named = f"Source: {baseline['codec']}. Waveforms: int16 at {baseline['sample_rate']} Hz. "
    named += f"Features: {baseline['frontend']}, {shape} (freq x time)."
    base = storage["int16"]
    ratios = [formatting.UNKNOWN if size is None else f"{size / base:.2f} x" for size in storage.values()]
    rows = [[name, number(size, ".0f"), ratio] for (name, size), ratio in zip(storage.items(), ratios, strict=True)]
    table = pipe_table(("kept", "bytes/clip", "of the int16 waveform"), rows)
    seconds = (
        f"Preparing float32 features of all {preparation['of']} clips takes {preparation['seconds']:.3g} s once "
        f"(measured on {preparation['clips']} clips, {phrases.plural(preparation['threads'], 'thread')})."
    )
    seconds += f" Decoding all of them takes {preparation['decode_s']:.3g} s (from {preparation['decoded']} clips)."
    unknown = [f"Unknown {name}: {why}." for name, why in features["reasons"].items()]
    return "\n\n".join([named, table, seconds, *unknown])


def _parity(parity: Mapping[str, Any]) -> str:
    rows = []
    for name, found in parity.items():
        note = (found.get("reasons") or {}).get("max_db", "")
        rows.append([name, number(found["max_db"], ".3g"), number(found["mean_db"], ".2g"), note])
    return pipe_table(("front end", "largest dB", "mean dB", "note"), rows)


def _accuracy(study: Mapping[str, Any]) -> str:
    if not study["accuracy"]:
        return f"Unknown: {study['reasons']['accuracy']}."
    rows = []
    for found in study["accuracy"]:
        if found["difference"] is None:
            rows.append([found["frontend"], *[formatting.UNKNOWN] * 3, found["reason"]])
            continue
        interval = found["interval"]
        ends = found.get("reason", "") if interval is None else " to ".join(f"{100 * end:+.1f}" for end in interval)
        scores = [formatting.percent(found[key]) for key in ("accuracy", "accuracy_frozen")]
        rows.append([found["frontend"], *scores, f"{100 * found['difference']:+.1f}", ends])
    return pipe_table(("front end", "accuracy %", "frozen nnAudio %", "difference", "95 % interval"), rows)
