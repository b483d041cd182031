"""A recipe sweep in words, Markdown and CSV: pure, from the JSON values of the study."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from bench.analysis import phrases
from bench.reports import formatting
from bench.studies.profile.render import pipe_table

Curve = Mapping[str, Any]
Point = Mapping[str, Any]

BEST = "best"
LOWER = "told apart"
ALIKE = "not told apart"


def header(sweep: Mapping[str, Any], curve: Curve) -> tuple[str, ...]:
    """Titles of one curve's table."""
    score = f"{curve['metric']} %" if _is_percent(curve) else str(curve["metric"])
    return (*sweep["keys"], score, "95 % interval", "against the best", "epochs x clips", "train s/cell", "status")


def table_rows(sweep: Mapping[str, Any], curve: Curve) -> list[list[str]]:
    """The cells under :func:`header`, one row per point of the grid, in its order."""
    rows = []
    for index, point in enumerate(curve["points"]):
        interval = point["interval"]
        ends = (
            formatting.UNKNOWN if interval is None else f"[{_value(curve, interval[0])}, {_value(curve, interval[1])}]"
        )
        rows.append(
            [
                *(point["texts"][key] for key in sweep["keys"]),
                _value(curve, point["score"]),
                ends,
                _against(curve, index),
                f"{point['epochs']:.4g} x {point['train_clips']:.0f}",
                formatting.significant(point["train_s"]),
                point["status"],
            ]
        )
    return rows


def sentences(sweep: Mapping[str, Any], curve: Curve) -> list[str]:
    """What the table says, one statement each: warning first, then best, alike, steepness, budget and losses."""
    said = [_label(curve)]
    if curve["best"] is None:
        said.append(f"No best value: {curve['comparison']['reason']}.")
    else:
        said += _best(sweep, curve)
        for key in sweep["keys"]:
            said += _along(sweep, curve, key)
        said += _resolution(curve)
    said += _chosen(sweep, curve)
    said.append(_budgets(curve))
    said += _lost(sweep, curve)
    return [*said, *(f"Left out: {problem}." for problem in curve["problems"])]


def markdown(sweep: Mapping[str, Any], pictures: Mapping[int, str]) -> str:
    """The whole page.

    Args:
        sweep: The study.
        pictures: File name of each curve's drawing by its place, as far as there is one.
    """
    swept = " and ".join(f"recipe.{key}" for key in sweep["keys"])
    parts = [f"# Recipe sensitivity: {swept}", _about(sweep)]
    for place, curve in enumerate(sweep["curves"]):
        label = curve["selection"]["label"]
        parts.append(f"## {curve['label']} on {curve['title'] or curve['dataset']}{f' ({label})' if label else ''}")
        if place in pictures:
            parts.append(f"![{curve['metric']} of {curve['label']} by {swept}]({pictures[place]})")
        parts.append(pipe_table(header(sweep, curve), table_rows(sweep, curve)))
        parts.append("\n".join(f"- {text}" for text in sentences(sweep, curve)))
    return "\n\n".join(parts) + "\n"


def table_csv(sweep: Mapping[str, Any]) -> str:
    """Every point of every curve, raw numbers, unknown left empty."""
    names = ("score", "epochs", "train_clips", "clips_seen", "train_s", "validation", "status", "recipe")
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    head = ("label", "dataset", "protocol", "metric", *(f"recipe.{key}" for key in sweep["keys"]))
    table.writerow([*head, *names, "low", "high", "difference_to_best", "p_value", "resolved", "best", "selection"])
    for curve in sweep["curves"]:
        fixed = [curve["label"], curve["dataset"], curve["protocol"], curve["metric"]]
        for index, point in enumerate(curve["points"]):
            against = point["against_best"] or {}
            table.writerow(
                [
                    *fixed,
                    *(point["texts"][key] for key in sweep["keys"]),
                    *(point[name] for name in names),
                    *(point["interval"] or ("", "")),
                    *(against.get(name) for name in ("difference", "p_value", "resolved")),
                    index == curve["best"],
                    curve["selection"]["label"] or "",
                ]
            )
    return buffer.getvalue()


def _about(sweep: Mapping[str, Any]) -> str:
    what = sweep["what"]
    fixed = f", {', '.join(what['fixed'])}" if what["fixed"] else ""
    limit = f", at most {what['limit']} clips a part" if what["limit"] else ""
    return (
        f"Recipe {what['recipe'] or 'of the data set'}{fixed}; {phrases.plural(what['points'], 'point')}, "
        f"{phrases.plural(sweep['cells'], 'cell')}; {what['device']}, {what['precision']}{limit}."
    )


def _label(curve: Curve) -> str:
    advice = curve["selection"]
    if advice["validates"]:
        return "The protocol has validation clips: a value picked on them, fold by fold, has a clean test score."
    other = " or ".join(f"--protocol {name}" for name in advice["protocols"])
    use = f"to pick a value, use {other}" if other else "the data set has no protocol with validation clips"
    return (
        f"Sensitivity, not selection: these scores come from the test clips, and picking a value by them is selection "
        f"on the test split; {use}."
    )


def _best(sweep: Mapping[str, Any], curve: Curve) -> list[str]:
    point, compared = curve["points"][curve["best"]], curve["comparison"]
    said = f"Highest: {_named(sweep['keys'], point)} with {_value(curve, point['score'])}{_unit(curve)}"
    if compared["reason"]:
        return [f"{said}; no paired test: {compared['reason']}."]
    counted = phrases.plural(compared["clips"], "clip")
    if compared["grouped"]:
        counted += f" ({phrases.plural(compared['groups'], 'group')})"
    adjusted = f"{compared['adjustment']} over {phrases.plural(compared['pairs'], 'pair')}"
    return [f"{said}; paired tests on the same {counted}, {adjusted}."]


def _along(sweep: Mapping[str, Any], curve: Curve, key: str) -> list[str]:
    shape, points = curve["shape"][key], curve["points"]
    name, said = f"recipe.{key}", []
    held = [other for other in sweep["keys"] if other != key]
    where = f" (at {_named(held, points[curve['best']])})" if held else ""
    if len(shape["order"]) < 2:
        return []
    if shape["compared"]:
        said.append(f"{name}{where}: {_alike(points, key, shape)}.")
    said.append(_steep(curve, shape["sensitivity"], f"{name}{where}"))
    if shape["edge"]:
        said.append(f"{name}: the best value is the last one tried on its side; better ones may lie beyond.")
    return said


def _alike(points: Sequence[Point], key: str, shape: Mapping[str, Any]) -> str:
    """Which values cannot be told from the best."""
    texts = [points[i]["texts"][key] for i in shape["alike"]]
    also = [points[i]["texts"][key] for i in shape["alike_elsewhere"]]
    beyond = f"{_listed(also)}, beyond values that are told apart or have no result" if also else ""
    if len(texts) == 1:
        none = f"no neighbour of {texts[0]} is finished and like it"
        return f"{none}; not told from it: {beyond}" if also else f"every other finished value is told from {texts[0]}"
    more = f"; nor can {beyond}" if also else ""
    return (
        f"{texts[0]} to {texts[-1]} ({len(texts)} of {len(shape['order'])} values) cannot be told from the best{more}"
    )


def _steep(curve: Curve, found: Mapping[str, Any], name: str) -> str:
    amount = f"{_value(curve, found['range'])}{' points' if _is_percent(curve) else ''}"
    lost = f"; {_listed(found['lost'])} gave no complete result" if found["lost"] else ""
    if found["factor"] is None:
        return f"Sensitivity to {name}: the score spans {amount} over all values{lost}."
    if found["factor"] < 1.0001:
        return f"Sensitivity to {name}: unknown, no complete neighbour of the best{lost}."
    ends = f"{formatting.significant(found['low'])} to {formatting.significant(found['high'])}"
    short = "" if found["factor"] > 9.99 else f", only {formatting.significant(found['factor'], 2)}x of it measured"
    return f"Sensitivity to {name}: the score spans {amount} over a 10x change around the best ({ends}{short}){lost}."


def _resolution(curve: Curve) -> list[str]:
    smallest = curve["comparison"]["resolution"]
    if smallest is None:
        return []
    return [
        f"Not told apart is not equal: differences below about {_value(curve, smallest)} points are found less than "
        "four times in five here."
    ]


def _chosen(sweep: Mapping[str, Any], curve: Curve) -> list[str]:
    chosen = curve["chosen"]
    if chosen is None or not curve["selection"]["validates"]:
        return []
    picked = "; ".join(f"fold {fold}: {_texts(sweep['keys'], texts)}" for fold, texts in chosen["by_fold"].items())
    return [f"Picked on validation ({picked}), the test score is {_value(curve, chosen['test'])}{_unit(curve)}."]


def _budgets(curve: Curve) -> str:
    seen = [point["clips_seen"] for point in curve["points"]]
    seconds = [point["train_s"] for point in curve["points"] if point["train_s"] is not None]
    ends = dict.fromkeys(formatting.significant(end) for end in (min(seconds), max(seconds))) if seconds else {}
    took = f", {' to '.join(ends)} s of training" if ends else ""
    if max(seen) - min(seen) < 0.5:
        return f"Equal budgets: every value was given {seen[0]:.0f} clips (epochs x clips) a cell{took}."
    return (
        f"Budgets differ: {min(seen):.0f} to {max(seen):.0f} clips (epochs x clips) a cell{took}; "
        "a higher score may be the longer training."
    )


def _lost(sweep: Mapping[str, Any], curve: Curve) -> list[str]:
    said = []
    for point in curve["points"]:
        if not point["complete"]:
            why = f" ({point['problem']})" if point["problem"] else ""
            said.append(f"{_named(sweep['keys'], point)}: {point['status'].replace('_', ' ')}{why}.")
    return said


def _against(curve: Curve, index: int) -> str:
    if index == curve["best"]:
        return BEST
    against = curve["points"][index]["against_best"]
    if against is None:
        return formatting.UNKNOWN
    sign = f"{100 * against['difference'] + 0.0:+.1f}"  # no minus before a zero
    return f"{sign}, {LOWER if against['resolved'] else ALIKE} ({formatting.p_value(against['p_value'])})"


def _is_percent(curve: Curve) -> bool:
    return bool(curve["metric"] == "accuracy")


def _value(curve: Curve, value: float | None) -> str:
    return formatting.percent(value) if _is_percent(curve) else formatting.significant(value)


def _unit(curve: Curve) -> str:
    return " %" if _is_percent(curve) else ""


def _named(keys: Sequence[str], point: Point) -> str:
    return _texts(keys, point["texts"])


def _texts(keys: Sequence[str], texts: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {texts[key]}" for key in keys)


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts)
