"""A recipe sweep in words, Markdown and CSV: pure, from the JSON values of the study."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from bench import escaping
from bench.analysis import phrases
from bench.reports import formatting
from bench.studies.common import pipe_table
from bench.studies.sweep.nested_render import nested_part
from bench.studies.sweep.words import is_percent, over, shown, texts_of, unit_of

Curve = Mapping[str, Any]
Point = Mapping[str, Any]

BEST = "best"
LOWER = "differs significantly"
ALIKE = "no significant difference"


def header(sweep: Mapping[str, Any], curve: Curve) -> tuple[str, ...]:
    """Titles of one curve's table."""
    score = f"{curve['metric']} %" if is_percent(curve) else str(curve["metric"])
    interval = f"95 % interval{over(curve)}"
    return (*sweep["keys"], score, interval, "against the best", _unit(curve), "train s/cell", "status")


def table_rows(sweep: Mapping[str, Any], curve: Curve) -> list[list[str]]:
    """The cells under :func:`header`, one row per point of the grid, in its order."""
    rows = []
    for index, point in enumerate(curve["points"]):
        ends = [shown(curve, end) for end in point["interval"] or ()]
        interval = f"[{', '.join(ends)}]" if ends else formatting.UNKNOWN
        epochs = "" if point["epochs"] is None else f"{point['epochs']:.4g} x "
        budget = f"{epochs}{point['train_clips']:.0f}"
        texts = [point["texts"][key] for key in sweep["keys"]]
        score, seconds = shown(curve, point["score"]), formatting.significant(point["train_s"])
        rows.append([*texts, score, interval, _against(curve, index), budget, seconds, point["status"]])
    return rows


def sentences(sweep: Mapping[str, Any], curve: Curve) -> list[str]:
    """What the table says, one statement each: warning first, then best, alike, steepness, budget and losses."""
    said = [_label(curve)]
    if (alike := sweep["what"]["points"] - len(curve["points"])) > 0:
        said.append(f"{phrases.plural(alike, 'further point')} would train the same: the model reads nothing of it.")
    if curve["best"] is None:
        said.append(f"No best value: {curve['comparison']['reason']}.")
    else:
        said += _best(sweep, curve)
        for key in sweep["keys"]:
            said += _along(sweep, curve, key)
        said += _resolution(curve)
    said += _chosen(sweep, curve)
    said.append(_budgets(curve))
    said += _seconds(curve)
    said += _lost(sweep, curve)
    return [*said, *(f"Left out: {problem}." for problem in curve["problems"])]


def markdown(sweep: Mapping[str, Any], pictures: Mapping[int, str], overviews: Mapping[str, str]) -> str:
    """The whole page; ``pictures`` by place of the curve, ``overviews`` by data set."""
    swept = " and ".join(f"recipe.{key}" for key in sweep["keys"])
    title = "Nested search" if sweep.get("nested") else "Recipe sensitivity"
    parts = [f"# {title}: {swept}", _about(sweep)]
    parts += [part for one in sweep.get("nested", ()) for part in nested_part(one, sweep["keys"])]
    parts += [f"![models on {dataset} by {swept}]({file})" for dataset, file in overviews.items()]
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
    tests, fixed = ("difference", "p_value", "resolved"), ("label", "dataset", "protocol", "metric")
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    swept = [f"recipe.{key}" for key in sweep["keys"]]
    table.writerow([*fixed, *swept, *names, "low", "high", "difference_to_best", *tests[1:], "best", "selection"])
    for curve in sweep["curves"]:
        for index, point in enumerate(curve["points"]):
            against = point["against_best"] or {}
            row = [*(curve[name] for name in fixed), *(point["texts"][key] for key in sweep["keys"])]
            row += [*(point[name] for name in names), *(point["interval"] or ("", ""))]
            row += [against.get(name) for name in tests]
            row += [index == curve["best"], curve["selection"]["label"] or ""]
            table.writerow(map(escaping.csv, row))
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
    end = "Highest" if curve.get("higher_is_better", True) else "Lowest"
    said = f"{end}: {texts_of(sweep['keys'], point['texts'])} with {shown(curve, point['score'])}{unit_of(curve)}"
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
    where = f" (at {texts_of(held, points[curve['best']]['texts'])})" if held else ""
    if len(shape["order"]) < 2:
        return []
    if shape["compared"]:
        said.append(f"{name}{where}: {_alike(points, key, shape)}.")
    said.append(_steep(curve, shape["sensitivity"], f"{name}{where}"))
    if shape["edge"]:
        said.append(f"{name}: the best value is the last one tried on its side; better ones may lie beyond.")
    return said


def _alike(points: Sequence[Point], key: str, shape: Mapping[str, Any]) -> str:
    """Which values do not differ significantly from the best."""
    texts = [points[i]["texts"][key] for i in shape["alike"]]
    also = ", ".join(points[i]["texts"][key] for i in shape["alike_elsewhere"])
    beyond = f"{also}, beyond values that do or have no result" if also else ""
    if len(texts) > 1:
        several = f"{texts[0]} to {texts[-1]} ({len(texts)} of {len(shape['order'])} values)"
        return f"{several} do not differ significantly from the best{f'; nor does {beyond}' if also else ''}"
    if also:
        return f"every finished neighbour differs significantly from {texts[0]}; not so {beyond}"
    return f"every other finished value differs significantly from {texts[0]}"


def _steep(curve: Curve, found: Mapping[str, Any], name: str) -> str:
    amount = f"{shown(curve, found['range'])}{' points' if is_percent(curve) else ''}"
    lost = f"; {', '.join(found['lost'])} gave no complete result" if found["lost"] else ""
    if found["factor"] is None:
        return f"Sensitivity to {name}: the score spans {amount} over all values{lost}."
    if found["factor"] < 1.0001:
        return f"Sensitivity to {name}: unknown, no complete neighbour of the best{lost}."
    ends = f"{formatting.significant(found['low'])} to {formatting.significant(found['high'])}"
    short = "" if found["factor"] > 9.99 else f", only {formatting.significant(found['factor'], 2)}x of it measured"
    return f"Sensitivity to {name}: the score spans {amount} over a 10x change around the best ({ends}{short}){lost}."


def _resolution(curve: Curve) -> list[str]:
    ends = curve["comparison"]["resolution"]
    if ends is None:
        return []
    smallest = " to ".join(dict.fromkeys(shown(curve, end) for end in ends))
    unit = " points" if is_percent(curve) else unit_of(curve)
    return [
        f"Not significant is not equal: differences of neighbours below about {smallest}{unit} are found less than "
        "four times in five here."
    ]


def _chosen(sweep: Mapping[str, Any], curve: Curve) -> list[str]:
    chosen = curve["chosen"]
    if chosen is None or not curve["selection"]["validates"]:
        return []
    picked = "; ".join(f"fold {fold}: {texts_of(sweep['keys'], texts)}" for fold, texts in chosen["by_fold"].items())
    return [f"Picked on validation ({picked}), the test score is {shown(curve, chosen['test'])}{unit_of(curve)}."]


def _unit(curve: Curve) -> str:
    """What a budget counts: what is fitted once takes its training clips once."""
    return "training clips" if all(point["epochs"] is None for point in curve["points"]) else "epochs x clips"


def _budgets(curve: Curve) -> str:
    given = [point for point in curve["points"] if point["budget_measured"]] or curve["points"]
    seen = [point["clips_seen"] for point in given]
    seconds = [point["train_s"] for point in curve["points"] if point["train_s"] is not None]
    ends = dict.fromkeys(formatting.significant(end) for end in (min(seconds), max(seconds))) if seconds else {}
    took = f", {' to '.join(ends)} s of training" if ends else ""
    unit = _unit(curve)
    counted = unit if unit == "training clips" else f"clips ({unit})"
    if max(seen) - min(seen) < 0.5:
        every = "every value" if len(given) == len(curve["points"]) else "every value that finished"
        return f"Equal budgets: {every} was given {seen[0]:.0f} {counted} a cell{took}."
    return (
        f"Budgets differ: {min(seen):.0f} to {max(seen):.0f} {counted} a cell{took}; a higher score may be "
        f"{'more clips' if unit == counted else 'the longer training'}."
    )


def _seconds(curve: Curve) -> list[str]:
    """What seconds of training are not: those of an idle machine, or of heads alone."""
    said = []
    if any(point["embedded"] for point in curve["points"]):
        said.append("Seconds of training hold what embedding the clips took, whenever that was.")
    if busy := sum(point["busy"] for point in curve["points"]):
        said.append(f"Other work ran beside {phrases.plural(busy, 'cell')}: their seconds are no measure of speed.")
    return said


def _lost(sweep: Mapping[str, Any], curve: Curve) -> list[str]:
    lost = [point for point in curve["points"] if not point["complete"]]
    named = [(texts_of(sweep["keys"], p["texts"]), p["status"].replace("_", " "), p["problem"]) for p in lost]
    return [f"{texts}: {status}{f' ({problem})' if problem else ''}." for texts, status, problem in named]


def _against(curve: Curve, index: int) -> str:
    if index == curve["best"]:
        return BEST
    against = curve["points"][index]["against_best"]
    if against is None:
        return formatting.UNKNOWN
    scale, digits = (100, 1) if is_percent(curve) else (1, 3)
    sign = f"{scale * against['difference'] + 0.0:+.{digits}f}"  # no minus before a zero
    return f"{sign}, {LOWER if against['resolved'] else ALIKE} ({formatting.p_value(against['p_value'])})"
