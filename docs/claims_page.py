"""The page of the five source documents: each claim, where it is built, the verdict, and the numbers it rests on.

The claims stand in ``claims.toml``; every number is read from what is published under ``results/published``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bench.analysis.family import ALPHA
from bench.reports.formatting import percent, significant, trained

DOCS = Path(__file__).resolve().parent
ROOT, PUBLISHED = DOCS.parent, DOCS.parent / "results" / "published"
VERDICTS = ("holds", "holds in part", "refuted", "not resolved", "design", "not measured")
INTRO = """# The five documents, claim by claim

Each family of networks follows a document. What it claims, where that is built here, and what became of it when it was
measured. *Design*: it says how something is made, there is nothing to measure. *Not resolved*: it was measured, and the
clips and seeds do not decide. Intervals are 95 %.

"""


def page(parameters: Mapping[str, int | None], table: Callable[..., str]) -> str:
    """The whole page; ``parameters``: of each model of the registry."""
    documents = tomllib.loads((DOCS / "claims.toml").read_text(encoding="utf-8"))["document"]
    counts = Counter(claim["verdict"] for document in documents for claim in document["claim"])
    parts = [INTRO, table(("verdict", "claims"), [(verdict, str(counts[verdict])) for verdict in VERDICTS])]
    for document in documents:
        parts.append(f"\n## {document['title']} (`{document['family']}`)\n\nSource: {document['source']}.\n\n")
        rows = [(claim["says"], _built(claim["built"]), _verdict(claim, parameters)) for claim in document["claim"]]
        parts.append(table(("claim", "built", "verdict"), rows))
    return "".join(parts)


def _built(place: str) -> str:
    path, _, name = place.partition(":")
    text = (ROOT / path).read_text(encoding="utf-8")
    if f"class {name}" not in text and f"def {name}" not in text:
        raise ValueError(f"docs/claims.toml: {path} has no {name}")
    return f"[`{name}`](../{path})"


def _verdict(claim: Mapping[str, Any], parameters: Mapping[str, int | None]) -> str:
    if claim["verdict"] not in VERDICTS:
        raise ValueError(f"docs/claims.toml: {claim['verdict']!r} is no verdict; known: {', '.join(VERDICTS)}")
    said = [f"**{claim['verdict']}**", *(_number(number, parameters) for number in claim.get("numbers", ()))]
    return ". ".join([*said, *([claim["why"].replace("\n", " ").rstrip(".")] if "why" in claim else [])]) + "."


def _number(number: Mapping[str, Any], parameters: Mapping[str, int | None]) -> str:
    if model := number.get("parameters"):
        return f"`{model}` has {(parameters[model] or 0) / 1e6:.2f} M"
    if name := number.get("finding"):
        first = _read("findings.json")["findings"][name]["numbers"][0]
        shown = first["value"] if first["value"] > 1e-6 else 0.0
        amount = f"{significant(float(shown))} {first['unit']}".strip()
        return f"{first['what']}: {amount} ([finding](findings.md#{name}))"
    if name := number.get("sweep"):
        curves = _read(f"{name}/sweep.json")["curves"]
        if reach := number.get("reach"):
            told = ", ".join(_reached(curve, reach) for curve in curves)
            return f"Passes to {percent(reach)} %: {told} {_link('sweep', name, 'sweep.md')}"
        return "; ".join(_curve(name, curve) for curve in curves)
    if name := number.get("compared"):
        return f"{_compared(name, *number['pair'])} {_link('compared', name, 'compare.txt')}"
    if name := number.get("study"):
        cases = [case for case in _read(f"{name}/frontends.json")["verdicts"] if case["claim"] == number["claim"]]
        return f"{'; '.join(_case(case) for case in cases if case['main'])} {_link('study', name, 'frontends.md')}"
    board = number["board"]
    rows = _read(f"{board}/leaderboard.json")["sections"][0]["rows"]
    if pair := number.get("pair"):
        return f"{_difference(board, *(_row(rows, axes) for axes in pair))} {_link('board', board)}"
    row = _row(rows, {axis: value for axis, value in number.items() if axis != "board"})
    low, high = (percent(row["interval"][end]) for end in ("low", "high"))
    return f"{_name(row)} {percent(row['primary'])} % [{low}, {high}] {_link('board', board)}"


def _link(word: str, folder: str, file: str = "leaderboard.md") -> str:
    return f"([{word}](../results/published/{folder}/{file}))"


@cache
def _read(name: str) -> Any:
    return json.loads((PUBLISHED / name).read_text(encoding="utf-8"))


def _name(row: Mapping[str, Any]) -> str:
    key = row["key"]
    return trained(f"`{key['model']}`", key["mode"], key["weights"])


def _row(rows: Iterable[Mapping[str, Any]], axes: Mapping[str, str]) -> Mapping[str, Any]:
    """The first row of these axes: the best of them."""
    return next(row for row in rows if all(row["key"][axis] == value for axis, value in axes.items()))


def _difference(board: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    section = _read(f"{board}/leaderboard.json")["sections"][0]
    ranked = [row for row in section["rows"] if row["rank"]]
    places = sorted((ranked.index(a), ranked.index(b)))
    pair = next(p for p in section["resolution"]["pairs"] if [p["better"], p["worse"]] == places)
    better, worse = (_name(ranked[place]) + f" ({ranked[place]['key']['inputs']})" for place in places)
    told = "" if pair["p_adjusted"] < ALPHA else ", not told apart"
    return (
        f"{better} is {percent(pair['difference'])} points [{percent(pair['low'])}, {percent(pair['high'])}] above "
        f"{worse}{told}"
    )


def _compared(folder: str, a: str, b: str) -> str:
    """What `bench compare` said of two models with fewer seeds than a rank takes."""
    lines = (PUBLISHED / folder / "compare.txt").read_text(encoding="utf-8").splitlines()
    said = lines[lines.index(f"$ bench compare {a} {b} results/published/{folder}") + 1]
    ahead = re.search(r"(?P<who>\S+) is ahead by (?P<much>.*?), p ", said)
    if ahead is None:
        raise ValueError(f"results/published/{folder}/compare.txt: nobody is ahead in {said!r}")
    return f"`{ahead['who']}` is ahead of `{b if ahead['who'] == a else a}` by {ahead['much']}"


def _reached(curve: Mapping[str, Any], score: float) -> str:
    """The first point at the score, and the first whose whole interval is there."""
    key = next(iter(curve["points"][0]["texts"]))
    scores = [(point["texts"][key], point["score"], (point["interval"] or [None])[0]) for point in curve["points"]]
    mean = next((text for text, value, _ in scores if value is not None and value >= score), None)
    sure = next((text for text, _, low in scores if low is not None and low >= score), None)
    last = f"more than {scores[-1][0]}"
    return f"`{curve['model']}` {mean or last} (interval above it: {sure or last})"


def _case(case: Mapping[str, Any]) -> str:
    ends = f" [{case['interval'][0]:.2f}, {case['interval'][1]:.2f}]" if case["interval"] else ""
    ratio = "" if case["ratio"] is None else f", ratio {case['ratio']:.2f}{ends}"
    unit = f" {case['unit']}" if case["unit"] else " (1 = augmentation stays possible)"
    sides = [_short(float(case[side])) for side in ("fly", "stored")]
    return f"{' against '.join(sides)}{unit}{ratio}"


def _short(value: float) -> str:
    return significant(value) if value < 1e6 else f"{significant(value / 1e6)} M"


def _curve(folder: str, curve: Mapping[str, Any]) -> str:
    scores = [point["score"] for point in curve["points"] if point["score"] is not None]
    ends = [curve["points"][place]["texts"] for place in (0, -1)]
    axis = next(iter(ends[0]))
    return (
        f"`{curve['model']}` {percent(min(scores))} to {percent(max(scores))} % over {axis} {ends[0][axis]} to "
        f"{ends[1][axis]} {_link('sweep', folder, 'sweep.md')}"
    )
