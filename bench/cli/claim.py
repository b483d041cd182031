"""``bench claim``: a claimed ranking against the records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.analysis import phrases
from bench.analysis.comparison import Source
from bench.analysis.ranking_claim import JudgedClaim, judge_claim, parse_claim
from bench.cli.common import CELL_FAILED, OK, open_host, print_json, print_note, print_table, print_text
from bench.cli.flags import AsJson, LeftOut, OneDataset, PluginFiles, Results
from bench.cli.options import MetricName
from bench.cli.report import open_store, records_of
from bench.errors import NoCellError
from bench.metrics.scoring import catalog
from bench.reports import formatting
from bench.results.folder import write_atomic
from bench.statistics.draws import MIN_SEEDS
from bench.statistics.results import Refusal


def main(  # noqa: PLR0913  one parameter per option
    claim: Annotated[
        str, typer.Argument(metavar="CLAIM", show_default=False, help="'A > B > C', or with scores 'A = 99 > B = 98'.")
    ],
    results: Results,
    *,
    dataset: OneDataset = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Also write the lines there.")] = None,
    metric: MetricName = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Compare a claimed ranking of models with the records.

    The smallest difference that the clips could show is printed before the verdict. Steps are compared on the clips
    that both models share, with draws over groups and seeds; the verdict is that of the board's letters (Holm's method
    over the pairs of its ranked rows), the p value of the pair alone stands beside it.
    """
    store = open_store(results)
    records, bad = records_of(store)
    metrics = catalog(open_host(plugin, no_plugin).registry)
    source = Source(predictions=store.predictions, metrics=metrics, metric=metric, planned=store.planned())
    held, problems = judge_claim(records, parse_claim(claim), source, dataset=dataset)
    if not held:
        reasons = "".join(f"\n  - {problem}" for problem in problems)
        raise NoCellError(f"no section of {store.root} has results of every model of the claim{reasons}")
    if out is not None:
        lines = [line for one in held for line in (*describe(one), *(" | ".join(row) for row in rows(one)))]
        write_atomic(out, ("\n".join(lines) + "\n").encode())
    if as_json:
        print_json([{"outcome": one.outcome, "held": one} for one in held])
    else:
        for one in held:
            first, last = describe(one)
            print_text(first)
            print_table(headers(one), rows(one), numeric=headers(one)[1:6])
            print_text(last)
    for problem in (*map(str, bad), *problems):
        print_note(problem)
    return CELL_FAILED if bad else OK


def headers(held: JudgedClaim) -> list[str]:
    """What stands over :func:`rows`."""
    unit = _shown(held)[1]
    over = " over clips only" if all(step.verdict.seeds < MIN_SEEDS for step in held.steps) else ""
    measured = (f"claimed {unit}", f"measured {unit}", f"95 % interval{over}", "p (Holm, board)", "p unadjusted")
    return ["claimed", *measured, "outcome"]


def _shown(held: JudgedClaim) -> tuple[float, str]:
    """What a difference is multiplied by to be shown, and what it is called."""
    metric = held.steps[0].verdict.metric
    return (100.0, "points") if metric.unit == "fraction" else (1.0, metric.unit or metric.name)


def rows(held: JudgedClaim) -> list[list[str]]:
    """One line per step, under :func:`headers`."""
    lines = []
    scale, _ = _shown(held)
    for step in held.steps:
        result = step.verdict.paired
        if isinstance(result, Refusal):
            continue
        claimed = formatting.UNKNOWN if step.claimed is None else f"{scale * step.claimed:+.2f}"
        low, high = result.interval.low, result.interval.high
        lines.append(
            [
                f"{step.better} > {step.worse}", claimed, f"{scale * result.difference:+.2f}",
                f"[{scale * low:+.2f}, {scale * high:+.2f}]", _p(step.verdict.p_adjusted), _p(result.p_value),
                step.outcome,
            ]
        )  # fmt: skip
    return lines


def _p(value: float | None) -> str:
    return formatting.UNKNOWN if value is None else formatting.p_value(value).removeprefix("p ").removeprefix("= ")


def describe(held: JudgedClaim) -> tuple[str, str]:
    """What could be seen at all, and the verdict on the whole order."""
    verdicts = [step.verdict for step in held.steps]
    paired = [verdict.paired for verdict in verdicts if not isinstance(verdict.paired, Refusal)]
    clips, groups = ([getattr(one, name) for one in paired] for name in ("clips", "groups"))
    size = f"{phrases.between(clips, 'shared clip')} in {phrases.between(groups, 'group')}, "
    seeds = phrases.between([len(own) for one in verdicts for own in (one.seeds_a, one.seeds_b)], "seed")
    scale, unit = _shown(held)
    limit = "unknown" if held.resolution is None else f"{scale * held.resolution:.2f} {unit}"
    start = f"{held.dataset}, {held.protocol}: {size}{seeds}. Minimum detectable difference: {limit}."
    start = " ".join([start, *dict.fromkeys(verdict.chosen for verdict in verdicts if verdict.chosen)])
    unfit = dict.fromkeys(why for verdict in verdicts for why in verdict.unfit)
    unranked = dict.fromkeys(why for verdict in verdicts if not verdict.unfit for why in verdict.unranked)
    for title, why in (("Open whatever the clips say", unfit), ("Not ranked on the board", unranked)):
        start += f" {title}: {'; '.join(why)}." if why else ""
    steps = len(held.steps)
    open_ = sum(step.outcome == "unresolved" for step in held.steps)
    wrong = sum(step.outcome == "contradicted" for step in held.steps)
    if held.outcome == "confirmed":
        return start, f"The claimed order is confirmed: all of its {phrases.plural(steps, 'step')}."
    if held.outcome == "contradicted":
        return start, f"The claimed order is contradicted: steps that go the other way: {wrong} of {steps}."
    return start, f"The claimed order is not resolvable here: open steps: {open_} of {steps}."
