"""The generated parts of docs/translate.md, of what ``bench translate`` found and of the table of rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.studies.translate.render import HEADER, NOTES, between, points, table_rows
from bench.studies.translate.rules import RULES

SETS = ("esc50", "esc10")
ENCODERS = {"mel_statistics": "mel statistics", "aisfx": "aisfx", "birdnet": "BirdNET"}
"""In the order of the page: the name of the file and that in words."""

Found = Mapping[str, Any]


def parts(published: Path, table: Callable[..., str]) -> dict[str, str]:
    """The contents of each generated part, by its name."""
    found = {name: read(published / f"translate-{name}") for name in SETS}
    places = [(f"{rule.title} {rule.version}", *source.split(" ", 1)) for rule in RULES for source in rule.sources]
    pages = "\n".join(
        tables(name, encoder, one, table) for name, encoders in found.items() for encoder, one in encoders.items()
    )
    return {
        "summary": summary(found["esc50"]),
        "causes": causes(found, table),
        "tables": pages + "\n" + "\n\n".join(NOTES) + "\n",
        "places": table(("rule", "file:lines", "what stands there"), places),
    }


def read(folder: Path) -> dict[str, Found]:
    """What was found of each encoder."""
    files = {encoder: folder / f"{encoder}.json" for encoder in ENCODERS}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.is_file()}


def summary(found: Mapping[str, Found]) -> str:
    """Two sentences on one data set."""

    def told(rule: str, step: int | None) -> str:
        effects = [(ENCODERS[name], effect(one, rule, step)) for name, one in found.items()]
        return ", ".join(f"{amount(one)} ({name})" for name, one in effects if one is not None)

    title = title_of(next(iter(found.values())))
    return (
        f"On {title} the accuracy of the clean protocol changes, in points, with folds over clips instead of "
        f"recordings by {told('mteb', 0)}; from there with eight clips a class instead of all by {told('mteb', 1)}; "
        f"and with the whole of mteb's rule by {told('mteb', None)}.\n\n"
        f"The epoch picked on the tested clips changes X-ARES' linear score by {told('xares-linear', 1)}, and that of "
        f"AST's head by {told('ast', 1)}; a linear layer in place of the clean regression changes it by "
        f"{told('xares-linear', 0)} as X-ARES trains it, and by {told('ast', 0)} as AST's script does; ten "
        f"neighbours by {told('xares-knn-repaired', 0)}; HEAR's rule, grid and a fold less to train on, by "
        f"{told('hear', None)}.\n"
    )


def causes(found: Mapping[str, Mapping[str, Found]], table: Callable[..., str]) -> str:
    """What each step of each rule adds or takes: a row each, a column for each encoder on each data set."""
    every = [(name, one) for some in found.values() for name, one in some.items()]
    rows, seen = [], set()
    for rule, place, step in ((one, place, step) for one in RULES for place, step in enumerate(one.steps)):
        cells = [amount(effect(one, rule.name, place)) for _, one in every]
        if step not in seen:
            rows.append((rule.title.partition(",")[0], f"{step.cause}: {step.text}", *cells))
        seen.add(step)
    return table(("rule", "cause", *(f"{ENCODERS[name]}, {title_of(one)}" for name, one in every)), rows)


def tables(dataset: str, encoder: str, found: Found, table: Callable[..., str]) -> str:
    """One encoder on one data set, with the command that makes it again."""
    what = found["what"]
    name = what["model"].partition("~")[0].replace("@", ":")
    some = [rule["name"] for rule in found["rules"]]
    rules = "" if len(some) == len(RULES) else f" --rules {','.join(some)}"
    size = f"{what['clips']} clips, {what['folds']} folds, {what['dim']} values a clip"
    command = f"bench translate {name} --dataset {dataset} --recipe quick{rules}"
    title = f"### {ENCODERS[encoder]} on {title_of(found)}\n\n{size}. `{command}`\n\n"
    return title + table(HEADER, [*table_rows(found)])


def title_of(found: Found) -> str:
    """The data set without what is said of its files."""
    return str(found["what"]["title"]).partition(" (")[0]


def effect(found: Found, rule: str, step: int | None) -> Found | None:
    """Of a step of a rule, or of the rule as a whole; ``None`` where it was not scored."""
    of: Sequence[Found] = [one for one in found["rules"] if one["name"] == rule]
    return None if not of else of[0]["against_clean"] if step is None else of[0]["steps"][step]["effect"]


def amount(effect: Found | None) -> str:
    """Points and interval."""
    return "not run" if effect is None else f"{points(effect['adds'])} {between(effect['interval'], points)}"
