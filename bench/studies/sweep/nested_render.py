"""A nested choice in words, and the best point of a sweep as a recipe file: pure, from the JSON values of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench import escaping
from bench.analysis import phrases
from bench.config.recipes import parse_overrides
from bench.studies.common import pipe_table
from bench.studies.sweep.words import is_percent, over, shown, texts_of, unit_of

Choice = Mapping[str, Any]
"""What :func:`bench.studies.sweep.nested_read.read_choice` gives."""


def nested_part(one: Choice, keys: Sequence[str]) -> list[str]:
    """What one model's choice says, and the table of what was tried inside the training folds."""
    tried = [
        [fold, *(point["texts"][key] for key in keys), shown(one, point["score"])]
        for fold, chosen in one["choices"].items()
        for point in (chosen["tried"] if chosen else ())
    ]
    said = "\n".join(f"- {text}" for text in nested_sentences(one))
    return [said, *([pipe_table(("test fold", *keys, f"{one['metric']} inside"), tried)] if tried else [])]


def nested_sentences(one: Choice) -> list[str]:
    """What a nested choice is, scores, and costs; the first is a headline."""
    ends = "" if one["interval"] is None else f" {_interval(one, one['interval'])}"
    picked: dict[str, list[int]] = {}
    for fold, chosen in one["choices"].items():
        if chosen is not None:
            picked.setdefault(texts_of(list(chosen["texts"]), chosen["texts"]), []).append(int(fold))
    where = f"{one['model']} on {one['title']}"
    if not picked:
        return [f"{where}: nothing to choose, its settings train the same; {_score(one)}{ends}."]
    said = "; ".join(f"{texts} ({phrases.labelled('fold', folds)})" for texts, folds in picked.items())
    return [
        f"{where}: {_score(one)}{ends}, each fold's setting chosen inside its training folds.",
        f"Chosen: {said}.",
        f"Against the recipe as it is, without a search, {_difference(one, one['default'])}.",
        f"Against the best single setting picked with hindsight on the test folds, {_hindsight(one)}.",
    ]


def best_recipe(sweep: Mapping[str, Any], curve: Choice) -> str:
    """The best point as a recipe file that says what it was chosen on; empty where there is none to choose."""
    if curve["best"] is None or len(curve["points"]) < 2:
        return ""
    point = curve["points"][curve["best"]]
    settings = {**parse_overrides(sweep["what"]["fixed"]), **point["values"]}
    seen = {
        name: curve[source] for name, source in (("dataset", "dataset"), ("folds", "tuned_folds"), ("date", "date"))
    }
    inline = ", ".join(
        f"{name} = {escaping.toml(value)}" for name, value in {**seen, "settings": sweep["keys"]}.items()
    )
    lines = [
        f"# The highest of {len(curve['points'])} points for {curve['label']}, by its scores on the folds below.",
        f"base = {escaping.toml(sweep['what']['recipe'] or point['recipe'].partition('~')[0])}",
    ]
    for key, value in settings.items():
        said = f"# {key} was none, which no file can say: --set recipe.{key}=none"
        lines.append(said if value is None else f"{key} = {escaping.toml(value)}")
    return "\n".join([*map(escaping.line, lines), f"tuned_on = [{{{inline}}}]"]) + "\n"


def _score(one: Choice) -> str:
    return f"{shown(one, one['score'])}{unit_of(one)}"


def _interval(one: Choice, ends: Sequence[float]) -> str:
    return f"[{', '.join(shown(one, end) for end in ends)}]{over(one)}"


def _difference(one: Choice, other: Mapping[str, Any]) -> str:
    """Nested minus another score, in points where it is shown in percent."""
    if other["difference"] is None:
        return f"no difference is known ({other['reason']})"
    sign = "+" if other["difference"] > 0 else ""
    ends = f" {_interval(one, other['interval'])}" if other["interval"] else ""
    points = " points" if is_percent(one) else ""
    return f"{shown(one, other['score'])}{unit_of(one)}: {sign}{shown(one, other['difference'])}{points}{ends}"


def _hindsight(one: Choice) -> str:
    best = one["hindsight"]
    if best is None:
        return "no difference is known (no setting finished every fold and seed)"
    return f"{texts_of(list(best['texts']), best['texts'])} with {_difference(one, best)}"
