"""``bench compare``: two rows on the same clips, in words and numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from bench.analysis import phrases
from bench.analysis.comparison import Source, Verdict, compare, parse_choice, row_names
from bench.cli import options as opt
from bench.cli.common import CELL_FAILED, OK, open_host, print_json, print_note, print_table, print_text
from bench.cli.flags import AsJson, LeftOut, OneDataset, PluginFiles, Results
from bench.cli.options import MetricName
from bench.cli.report import open_store, records_of
from bench.errors import NoCellError
from bench.metrics.scoring import catalog
from bench.metrics.specs import PRIMARY
from bench.plugins.registry import Registry
from bench.reports import formatting
from bench.results.folder import write_atomic
from bench.results.records import Score
from bench.statistics.draws import MIN_SEEDS
from bench.statistics.results import Refusal

USUAL = PRIMARY["single_label"]
"""Where no other score is meant, its name is left out."""


def main(  # noqa: PLR0913  one parameter per option
    a: Annotated[str, typer.Argument(metavar="A", show_default=False, help="MODEL or MODEL,axis=value,...")],
    b: Annotated[str, typer.Argument(metavar="B", show_default=False, help="What A is compared with.")],
    results: Results,
    *,
    dataset: OneDataset = None,
    metric: MetricName = None,
    clips: Annotated[int, typer.Option("--clips", min=0, help="How many discordant clips to list.")] = 10,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Also write the verdict there.")] = None,
    data: opt.Data = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Say which of two models is better on the same clips.

    Only clips that both have seen count; the verdict is that of the board's letters (Holm's method over the pairs of
    its ranked rows), the p value of the pair alone stands beside it. Below three seeds neither is called better.
    With ``--data`` the discordant clips come with their files, to listen to.
    """
    store = open_store(results)
    records, bad = records_of(store)
    registry = open_host(plugin, no_plugin).registry
    source = Source(predictions=store.predictions, metrics=catalog(registry), metric=metric, planned=store.planned())
    verdicts, problems = compare(records, parse_choice(a), parse_choice(b), source, dataset=dataset)
    if not verdicts:
        reasons = "".join(f"\n  - {problem}" for problem in problems)
        raise NoCellError(f"{a!r} and {b!r} share no finished fold in {store.root}{reasons}")
    if data is not None:
        heard = [with_paths(verdict, registry, data) for verdict in verdicts]
        verdicts = [verdict for verdict, _ in heard]
        problems += [problem for _, why in heard for problem in why]
    lines = [line for verdict in verdicts for line in describe(verdict)]
    if out is not None:
        write_atomic(out, ("\n".join(lines) + "\n").encode())
    if as_json:
        print_json(verdicts)
    else:
        for verdict in verdicts:
            print_text("\n".join(describe(verdict)))
            _print_clips(verdict, clips)
    for problem in (*map(str, bad), *problems):
        print_note(problem)
    return CELL_FAILED if bad or problems else OK


def describe(verdict: Verdict) -> list[str]:
    """The verdict as lines of text, the sentence first."""
    a, b = row_names(verdict.a, verdict.b)
    lines = [
        f"{verdict.dataset}, {verdict.protocol}",
        sentence(verdict),
        f"  {a}: {_value(verdict, verdict.value_a)} ({phrases.labelled('seed', verdict.seeds_a)}); "
        f"{b}: {_value(verdict, verdict.value_b)} ({phrases.labelled('seed', verdict.seeds_b)}); "
        f"{phrases.labelled('fold', verdict.folds)}",
    ]
    unranked = () if verdict.unfit else verdict.unranked
    lines += [f"  {said}" for said in (verdict.chosen, *(f"not ranked: {why}" for why in unranked)) if said]
    for seed, test in verdict.mcnemar:
        lines.append(
            f"  seed {seed}: {phrases.plural(test.only_a, 'clip')} only A gets right, {test.only_b} only B; "
            f"exact McNemar {formatting.p_value(test.p_value)} (these trained models only)"
        )
    if len(verdict.folds) > 1:
        scale, unit = _points(verdict.metric)
        shown = ", ".join(f"{scale * value:+.{1 if scale > 1 else 3}f}" for value in verdict.fold_differences)
        folds = verdict.fold_test
        tail = folds.reason if isinstance(folds, Refusal) else f"corrected t: {formatting.p_value(folds.p_value)}"
        lines.append(f"  by fold: {shown} {unit} ({tail})")
    return lines


def _value(verdict: Verdict, value: float) -> str:
    metric = verdict.metric
    name = "" if metric.name == USUAL else f" {metric.name}"
    return f"{formatting.score(value, metric)}{formatting.unit(metric)}{name}"


def _points(metric: Score) -> tuple[float, str]:
    """What a difference is multiplied by to be shown, and what it is called."""
    if metric.unit != "fraction":
        return 1.0, f"{metric.unit} of {metric.name}".strip()
    return 100.0, "points" if metric.name == USUAL else f"points of {metric.name}"


def sentence(verdict: Verdict) -> str:
    """Who is better, by how much, and whether the clips can tell."""
    a, b = row_names(verdict.a, verdict.b)
    result, metric = verdict.paired, verdict.metric
    if isinstance(result, Refusal):
        return f"{a} and {b} cannot be compared: {result.reason}."
    better, worse, sign = (a, b, metric.sign) if verdict.lead >= 0 else (b, a, -metric.sign)
    low, high = sorted((sign * result.interval.low, sign * result.interval.high))
    over = "" if verdict.seeds >= MIN_SEEDS else " over clips only"
    numbers = (
        f"{formatting.score(abs(result.difference), metric)} {_points(metric)[1]} "
        f"[{formatting.score(low, metric)}, {formatting.score(high, metric)}]{over}, "
        f"{p_values(verdict, result.p_value)}, {phrases.plural(result.clips, 'shared clip')}"
    )
    limit = ""
    if not isinstance(result.resolution, Refusal):
        limit = f"; minimum detectable difference here {formatting.difference(result.resolution, metric)}"
    if verdict.unfit:
        why = "; ".join(verdict.unfit)
        return f"Whether {a} or {b} is better is not known ({why}): {better} is ahead by {numbers}{limit}."
    if verdict.resolved:
        return f"{better} is better than {worse} by {numbers}{limit}."
    if result.difference == 0:
        return f"{a} and {b} do not differ significantly: the difference is {numbers}{limit}."
    return f"{a} and {b} do not differ significantly: {better} is ahead by {numbers}{limit}."


def p_values(verdict: Verdict, alone: float) -> str:
    """The p value among the ranked rows of the board, and that of the pair alone."""
    if verdict.p_adjusted is None:
        return f"{formatting.p_value(alone)} unadjusted (not both ranked on the board)"
    family = f"Holm over the pairs of {verdict.ranked} ranked rows"
    return f"{formatting.p_value(verdict.p_adjusted)} ({family}; unadjusted {formatting.p_value(alone)})"


def _print_clips(verdict: Verdict, most: int) -> None:
    found = verdict.discordant
    if not found or not most:
        return
    print(
        f"  {phrases.plural(len(found), 'clip')} judged differently"
        + (f", the clearest {most}:" if len(found) > most else ":")
    )
    listen = any(one.path for one in found)
    print_table(
        ["clip", "fold", "group", "target", "A right", "B right", "A says", "B says", *(["file"] if listen else [])],
        [
            [
                one.clip, str(one.fold), one.group, one.target, formatting.percent(one.right_a, 0) + " %",
                formatting.percent(one.right_b, 0) + " %", one.answer_a, one.answer_b,
                *([one.path or formatting.UNKNOWN] if listen else []),
            ]
            for one in found[:most]
        ],
        numeric=("fold", "A right", "B right"), kept=("target", "A says"),
    )  # fmt: skip
    if not listen:
        print_text(f"  to listen: the same command with --data DIR, the folder of {verdict.dataset_name}")


def with_paths(verdict: Verdict, registry: Registry, data: Path) -> tuple[Verdict, list[str]]:
    """The verdict with the file of each discordant clip.

    Returns:
        The verdict, and what must be said: files that do not exist as such, or clips of another copy.
    """
    from bench.data.locate import open_clips

    entry = registry.datasets[verdict.dataset_name]
    clips = open_clips(entry.spec, data, load=entry.factory, offline=True)
    if clips.audio is None or callable(clips.audio):
        return verdict, [f"{verdict.dataset}: its clips are no files of their own; listen by id"]
    files = dict(zip(clips.ids, clips.audio, strict=True))
    found = tuple(
        dataclasses.replace(one, path=str(files[one.clip])) if one.clip in files else one for one in verdict.discordant
    )
    said = []
    if clips.manifest_sha256 != verdict.manifest_sha256:
        said.append(f"{verdict.dataset}: the data in {data} are another copy than the one measured")
    if missing := sum(one.path is None for one in found):
        said.append(f"{verdict.dataset}: {missing} of {len(found)} discordant clips are not in {data}")
    return dataclasses.replace(verdict, discordant=found), said
